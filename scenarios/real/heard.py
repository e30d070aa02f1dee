"""What the clients of an exchange of real processes ask and are told, heard at the gate.

Nobody has to report anything: requests and answers pass by, so the rules about payments, answers
and orders can be judged of services and clients that know nothing of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from harness.history import History
from harness.live.world import LiveWorld, Overheard
from scenarios.rules.view import Answer, Payer
from scenarios.view_of_books import BookLedger, ChainEffects, learned, took_of
from target_stub.cloud.trader import Payment
from target_stub.core import CancelOrder, Deposit, Instruction, PlaceOrder, Side
from target_stub.core.events import Deposited, Duplicate
from target_stub.real.codec import answer_of, decode

CHAIN, MATCHING = "chain", "matching"
#: By what a client is known, whichever process it is in.
CLIENTS = ("people#", "outside#")
#: By what events a payer is told that his payment is booked, now or when he asked before.
_BOOKED = (Deposited, Duplicate)


class Heard:
    """All that clients have asked the chain and matching, and what they were told.

    It is their view as a rule sees it: a payer, whose payments are counted by the ids of its
    commands; the answers; and the orders that were to rest only.
    """

    def __init__(self, world: LiveWorld) -> None:
        self.answers: list[Answer] = []
        self._asked: dict[str, Payment] = {}
        self._acknowledged: dict[str, Payment] = {}
        self._resting: set[str] = set()
        self._took: list[str] = []
        self._rests: list[tuple[str, Decimal | None, Decimal | None]] = []
        if CHAIN in world.recipes:
            world.overhear(CHAIN, self.hear_chain)
        if MATCHING in world.recipes:
            world.overhear(MATCHING, self.hear_matching)

    # --- what passes by -----------------------------------------------------------------------

    def hear_chain(self, heard: Overheard) -> None:
        """A command is submitted, or its answer comes."""
        if not heard.lane.startswith(CLIENTS) or heard.target != "submit":
            return
        command = decode(heard.asked)
        if isinstance(command, Deposit):
            payment = Payment(command.account, command.amount)
            self._asked[command.id] = payment
        if not heard.status:
            return
        told = answer_of(heard.status, heard.told)
        self._learn(command.id, told, heard.lane, by_chain=True)
        booked = isinstance(told, tuple) and any(isinstance(each, _BOOKED) for each in told)
        if isinstance(command, Deposit) and booked:
            self._acknowledged[command.id] = payment

    def hear_matching(self, heard: Overheard) -> None:
        """An order is placed or cancelled, or its answer comes."""
        if not heard.lane.startswith(CLIENTS) or heard.target != "order":
            return
        order = decode(heard.asked)
        if isinstance(order, PlaceOrder) and order.instruction is Instruction.POST_ONLY:
            self._resting.add(order.id)
        if heard.status and isinstance(order, PlaceOrder | CancelOrder):
            told = answer_of(heard.status, heard.told)
            self._learn(order.id, told, heard.lane, by_chain=False)
            self._took += took_of(told, self._resting)
            if isinstance(order, PlaceOrder) and order.id in self._resting:
                buys = order.side is Side.BUY
                price = order.price
                self._rests = [(order.market, price if buys else None, None if buys else price)]

    def _learn(self, identity: str, told: object, client: str, *, by_chain: bool) -> None:
        answer = learned(told, identity=identity, client=client, by_chain=by_chain)
        if answer is not None:
            self.answers.append(answer)

    # --- as a payer -----------------------------------------------------------------------------

    @property
    def ordered(self) -> Sequence[Payment]:
        """Every payment that was asked for, once, however often."""
        return tuple(self._asked.values())

    @property
    def acknowledged(self) -> Sequence[Payment]:
        """Those that were acknowledged."""
        return tuple(self._acknowledged.values())

    def payers(self) -> Sequence[Payer]:
        """All clients are one payer: nobody pays into an account of somebody else."""
        return (self,)

    # --- as books -------------------------------------------------------------------------------

    on = (f"{MATCHING}/",)

    def best(self) -> Iterator[tuple[str, Decimal | None, Decimal | None]]:
        """The last order that was to rest only, one side of one book: nobody tells the others."""
        return iter(self._rests)

    def took(self) -> Sequence[str]:
        """The orders that were to rest and took, since it was asked last."""
        took, self._took = self._took, []
        return took


class HeardAnswers(ChainEffects):
    """What clients were told, and what the chain has done."""

    def __init__(self, heard: Heard, ledger: BookLedger) -> None:
        super().__init__(ledger)
        self.heard = heard

    def told(self, history: History) -> Iterator[Answer]:
        """Every answer that a client heard."""
        return iter(self.heard.answers)
