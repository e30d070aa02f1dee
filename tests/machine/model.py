"""The sequential truth beside the exchange: the pure core, fed with every command once.

It hears of commands from the chain's observer, in the order in which the chain took them, and of
answers from the clients. Whatever the chain does a second time, forgets or invents then shows as
a difference between two states that should be equal to the last digit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from target_stub.chain import PAUSES, Block
from target_stub.core import (
    Command,
    Deposit,
    Duplicate,
    Event,
    Filled,
    FillType,
    PlaceOrder,
    Reason,
    Rejected,
    SettleTrade,
    State,
    apply,
)
from target_stub.core.events import Deposited, TradeBusted, Withdrawn


@dataclass(slots=True)
class Sent:
    """A command that a client sent, to whom, and the answer once there is one."""

    address: str
    command: Command
    answer: tuple[Event, ...] | None = None


class Model:
    """The pure core and what it said to each command."""

    def __init__(self, genesis: State) -> None:
        self.genesis = genesis
        self.state = genesis
        self.commands: dict[str, Command] = {}
        self.answers: dict[str, tuple[Event, ...]] = {}

    def follow(self, before: State, block: Block) -> None:
        """Apply what the chain applied; a command that came before does nothing here."""
        command = block.command
        if isinstance(command, SettleTrade) and own_refusal(block):
            events = block.events
            known = replace(self.state, applied=self.state.applied.added(command.id))
            self.state = self.state if command.id in self.answers else known
        else:
            self.state, events = apply(self.state, command)
        if command.id not in self.answers:
            self.commands[command.id] = command
            self.answers[command.id] = events

    # --- comparisons, each of which returns what is wrong, or nothing ---------------------------

    def differs_from(self, chain: State) -> str:
        """The first account or total in which the chain and the model are not equal."""
        mine, theirs = self.state, chain
        for name in ("net_deposits_usdc", "fees_usdc", "remainder_usdc"):
            if getattr(mine, name) != getattr(theirs, name):
                return f"{name}: chain {getattr(theirs, name)}, model {getattr(mine, name)}"
        for name in sorted({*mine.accounts, *theirs.accounts}):
            one, other = theirs.accounts.get(name), mine.accounts.get(name)
            if one != other:
                return f"{name}: chain {one}, model {other}"
        return ""

    def misses(self, sent: Sent, *, durable: bool) -> str:
        """What a client was told that the model does not know, or knows differently.

        Only durable matching says in its answers which trades were busted.
        """
        if sent.address == "chain":
            return self._misses_answer(sent)
        busted = {event.trade for event in sent.answer or () if isinstance(event, TradeBusted)}
        missed = (
            self._misses_fill(*fill, busted=busted if durable else None) for fill in fills_of(sent)
        )
        return next(filter(None, missed), "")

    def _misses_answer(self, sent: Sent) -> str:
        known = self.answers.get(sent.command.id)
        again = (Duplicate(command_id=sent.command.id),)
        if known is None:
            return f"{sent.command.id} was answered with {sent.answer} and never applied"
        if sent.answer not in (known, again):
            return f"{sent.command.id} was answered with {sent.answer}, the model says {known}"
        return ""

    def _misses_fill(self, trade: str, fill: Filled, *, busted: set[str] | None) -> str:
        """A fill is in the model as a trade of the same two, or both say that it was refused."""
        events, command = self.answers.get(trade), self.commands.get(trade)
        if events is None or not isinstance(command, SettleTrade):
            return f"{trade} was acknowledged and never settled: {fill.describe()}"
        refused = any(isinstance(event, Rejected) for event in events)
        if busted is not None and refused is not (trade in busted):
            return f"{trade} was acknowledged as {'' if refused else 'not '}settled: {events}"
        taker, maker = fill.taker, fill.maker
        buyer, seller = (taker, maker) if taker.side == "buy" else (maker, taker)
        told = (fill.market, fill.price.value, fill.size, buyer.account, seller.account)
        real = (command.market, command.price, command.size, command.buyer, command.seller)
        return "" if told == real else f"{trade} was acknowledged as {told}, settled as {real}"

    def misbooked(self, sent: list[Sent]) -> str:
        """Money in and out as all clients know it, against what the model and the chain booked.

        This sum knows nothing of blocks: it is made of what was sent and what was answered.
        """
        paid_in = Decimal(0)
        for each in sent:
            answer = each.answer or ()
            if any(isinstance(event, Duplicate) for event in answer):
                answer = self.answers.get(each.command.id, ())
            for event in answer:
                if isinstance(event, Deposited) and isinstance(each.command, Deposit):
                    paid_in += each.command.amount.value
                elif isinstance(event, Withdrawn):
                    paid_in -= event.paid.value
        booked = self.state.net_deposits_usdc - self.genesis.net_deposits_usdc
        return "" if booked == paid_in else f"clients paid in {paid_in}, {booked} is booked"


def own_refusal(block: Block) -> bool:
    """Whether the chain refused a trade by a rule of its own, of which the core knows nothing."""
    reasons = (*PAUSES.values(), Reason.NOT_READY, Reason.RESYNC)
    return any(isinstance(event, Rejected) and event.reason in reasons for event in block.events)


def fills_of(sent: Sent) -> list[tuple[str, Filled]]:
    """The trades that an order was told it made, each with the id under which it is settled."""
    if not isinstance(sent.command, PlaceOrder):
        return []
    return [
        (f"trade-{sent.command.id}-{number}", event)
        for number, event in enumerate(sent.answer or ())
        if isinstance(event, Filled) and event.fill_type is not FillType.LIQUIDATION
    ]
