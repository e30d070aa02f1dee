"""How the reference exchange answers what the rules ask: the chain, order books, and answers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cached_property

from outcome import Error

from harness.history import Event as HistoryEvent
from harness.history import History
from scenarios.exchange import Exchange
from scenarios.records import Records
from scenarios.rules.view import Act, Answer, Comparison, Flow, FundChange, Holding
from target_stub.chain import MARK_AGE_MS_MAX, Block, Chain
from target_stub.cloud.trader import Payment, Trader
from target_stub.core import (
    LIQUIDATOR_VAULT,
    Account,
    Duplicate,
    Event,
    Filled,
    FillType,
    Instruction,
    Liquidated,
    Mode,
    PlaceOrder,
    Rejected,
    SettleTrade,
    State,
    Usdc,
    digest,
)
from target_stub.core.events import (
    Deposited,
    FillSide,
    PositionSettled,
    Transferred,
    Triggered,
    Withdrawn,
)
from target_stub.core.money import exact
from target_stub.guards import MODE_GATE

#: Fills that people agreed to; the others are how liquidation and its unwinding are booked.
_TRADES = (FillType.FILL, FillType.RPI)


class BookLedger:
    """The blocks of the chain."""

    def __init__(self, exchange: Records) -> None:
        self.exchange = exchange
        self.age_ms_max = MARK_AGE_MS_MAX
        self._entries: list[BlockEntry] = []

    def entries(self) -> Sequence[BlockEntry]:
        """Every block that the chain has now; what was looked at is not looked at again."""
        chain = self.exchange.chain
        while self._entries and not self._still_there(self._entries[-1]):
            self._entries.pop()
        before = self._entries[-1].block.state if self._entries else chain.genesis
        for block in chain.blocks[len(self._entries) :]:
            at_ms = self.exchange.block_at_ms.get(block.height, block.command.at_ms)
            self._entries.append(BlockEntry(before, block, at_ms))
            before = block.state
        return self._entries

    def _still_there(self, entry: BlockEntry) -> bool:
        blocks, height = self.exchange.chain.blocks, entry.number
        return height <= len(blocks) and blocks[height - 1] is entry.block


class BlockEntry:
    """One block, and the state before it; ``at_ms`` is when the chain made it."""

    def __init__(self, before: State, block: Block, at_ms: int) -> None:
        self.before = before
        self.block = block
        self.at_ms = at_ms
        self.number = block.height
        self.id = block.command.id
        self.mode = str(before.mode)
        self.is_open = before.mode is Mode.OK
        self.is_repeat = any(isinstance(event, Duplicate) for event in block.events)
        refused = any(isinstance(event, Rejected) for event in block.events)
        self.is_effect = not refused and not self.is_repeat

    @cached_property
    def acts(self) -> Sequence[Act]:
        """What was done to people at the marks of the chain."""
        return [act for event in self.block.events if (act := self._act(event)) is not None]

    def _act(self, event: Event) -> Act | None:
        if isinstance(event, Filled) and event.fill_type in _TRADES:
            return Act("fill", event.describe(), self._age_ms([event.market]))
        if isinstance(event, Liquidated):
            return Act("liquidation", event.describe(), self._age_ms(event.moved))
        if isinstance(event, Triggered):
            return Act("trigger", event.describe(), self._age_ms([event.order.market]))
        return None

    def _age_ms(self, markets: Iterable[str]) -> int | None:
        times = [self.before.markets[market].funding_at_ms for market in markets]
        known = [time_ms for time_ms in times if time_ms is not None]
        return self.at_ms - min(known) if known else None

    @cached_property
    def touched(self) -> Sequence[tuple[Holding | None, Holding]]:
        """The accounts that changed, at the funding indices after the block."""
        state = self.block.state
        return [
            (holding(old, state) if old else None, holding(new, state))
            for old, new in changed_accounts(self.before, state)
        ]

    @property
    def kept_usdc(self) -> Decimal:
        """Fees and remainders, less net deposits."""
        return _kept(self.block.state, self.before)

    @property
    def credited(self) -> Sequence[Payment]:
        """Deposits."""
        return [
            Payment(event.account, event.amount)
            for event in self.block.events
            if isinstance(event, Deposited)
        ]

    @property
    def funds(self) -> Sequence[FundChange]:
        """The liquidator vault, when it changed or had to."""
        old, new = (state.accounts[LIQUIDATOR_VAULT] for state in (self.before, self.block.state))
        flows = [flow for event in self.block.events for flow in _flows(event)]
        if old is new and not flows:
            return ()
        # What it owes is declared by the core itself: every withdrawal is cut by the loss factor.
        change = FundChange(LIQUIDATOR_VAULT, old.balance_usdc, new.balance_usdc, flows, True)
        return (change,)


@exact
def _kept(after: State, before: State) -> Decimal:
    kept = after.fees_usdc + after.remainder_usdc - after.net_deposits_usdc
    return kept - (before.fees_usdc + before.remainder_usdc - before.net_deposits_usdc)


@exact
def holding(account: Account, state: State) -> Holding:
    """An account apart from mark prices: sizes, and cash at the state's funding indices."""
    cash_usdc = account.balance_usdc
    for symbol, position in account.positions.items():
        accrued = state.markets[symbol].known("funding_index") - position.cached_funding_index
        cash_usdc -= position.size * accrued + position.cost_usdc
    sizes = {symbol: position.size for symbol, position in account.positions.items()}
    return Holding(account.id, sizes, cash_usdc)


def changed_accounts(before: State, after: State) -> list[tuple[Account | None, Account]]:
    """The accounts that differ between two states, old and new; shared ones cost nothing."""
    if before.accounts is after.accounts:
        return []
    return [
        (before.accounts.get(name), account)
        for name, account in after.accounts.items()
        if before.accounts.get(name) is not account
    ]


@exact
def _flows(event: Event) -> list[Flow]:
    """What an event paid into the liquidator vault, or out of it."""
    vault = LIQUIDATOR_VAULT
    flows: list[tuple[str, Usdc]] = []
    match event:
        case Filled(maker=maker, taker=taker):
            flows = [_result(each, event.fill_type) for each in (maker, taker)]
            sides = zip((maker, taker), flows, strict=True)
            flows = [flow for side, flow in sides if side.account == vault]
        case PositionSettled(account=account) if account == vault:
            flows = [_result(event, "a settled market")]
        case Liquidated():
            flows = [(f"penalty of {event.account}", event.penalty)]
            flows.append((f"debt of {event.account}", -event.deficit))
        case Withdrawn():
            flows = [(f"kept from {event.account}", event.socialised)]
            if event.account == vault:
                flows.append(("withdrawn", -event.requested))
        case Deposited(account=account, amount=amount) if account == vault:
            flows = [("deposited", amount)]
        case Transferred(account=account, to=to, amount=amount) if vault in (account, to):
            flows = [(f"from {account}", amount) if to == vault else (f"to {to}", -amount)]
    return [Flow(why, amount.value) for why, amount in flows if amount]


def _result(part: FillSide | PositionSettled, what: str) -> tuple[str, Usdc]:
    return f"of {what}", part.realised_pnl + part.realised_funding - part.fee


class Traders:
    """The clients that pay in."""

    def __init__(self, exchange: Records) -> None:
        self.exchange = exchange

    def payers(self) -> Iterable[Trader]:
        """All of them."""
        return self.exchange.traders


class SecondNode:
    """Another node of the chain, of the same software, that sees nothing but the blocks."""

    def __init__(self, exchange: Records) -> None:
        self.exchange = exchange
        self.at_ms = 0

    def compare(self) -> Iterator[Comparison]:
        """Feed it block after block; where both agree it goes on from the very same state."""
        first = self.exchange.chain
        second = self.exchange.bug.variant(Chain)(
            first.genesis,
            mode_gate=MODE_GATE in self.exchange.guards,
            mark_age_ms_max=first.mark_age_ms_max,
            clock_ms=lambda: self.at_ms,
        )
        for block in first.blocks:
            self.at_ms = self.exchange.block_at_ms.get(block.height, block.command.at_ms)
            second.submit(block.command)
            if second.state == block.state:
                yield Comparison(block.height, "the same", "the same")
                second.blocks[:] = [block]
            else:
                ours, theirs = digest(block.state), digest(second.state)
                yield Comparison(block.height, ours[:12], theirs[:12])
                return


class OrderBooks:
    """The books of matching, as its newest incarnation has them."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.on = (f"{exchange.network.name}/matching",)
        self._took: list[str] = []
        self._resting: set[str] = set()
        exchange.world.watch(f"{exchange.network.name}/matching.order", self.hear)

    def hear(self, event: HistoryEvent) -> None:
        """Look through what matching answers for an order that was to rest and has traded."""
        said = event.value
        if isinstance(said, PlaceOrder) and said.instruction is Instruction.POST_ONLY:
            self._resting.add(said.id)
        elif event.operation == "answer":
            self._took += took_of(said, self._resting)

    def best(self) -> Iterator[tuple[str, Decimal | None, Decimal | None]]:
        """The best of both sides of every book."""
        state = self.exchange.order_state()
        for market, book in state.books.items() if state else ():
            yield market, book.best_bid, book.best_ask

    def took(self) -> Sequence[str]:
        """What was heard since it was asked last."""
        took, self._took = self._took, []
        return took


def took_of(said: object, resting: Collection[str]) -> list[str]:
    """The fills that matching tells of in which an order took that was only to rest."""
    fills = [each for each in (said if isinstance(said, tuple) else ()) if isinstance(each, Filled)]
    return [each.describe() for each in fills if each.taker.order_id in resting]


class ChainEffects:
    """What came of the commands of clients on the chain."""

    def __init__(self, ledger: BookLedger) -> None:
        self.ledger = ledger

    def effects(self) -> Mapping[str, str]:
        """Commands in the blocks; a trade is an effect of the order that took."""
        done: dict[str, str] = {}
        for entry in self.ledger.entries():
            if entry.is_effect:
                done[entry.id] = f"block {entry.number}"
                if isinstance(entry.block.command, SettleTrade):
                    order = entry.id.removeprefix("trade-").rpartition("-")[0]
                    done.setdefault(order, f"block {entry.number}")
        return done

    def is_withdrawn(self, identity: str) -> bool:
        """Nothing that the chain accepted is called off; a rollback is another rule's."""
        return False


class ClientAnswers(ChainEffects):
    """What clients heard from the chain and from matching."""

    def __init__(self, exchange: Exchange, ledger: BookLedger) -> None:
        super().__init__(ledger)
        network = exchange.network.name
        self.chain, self.matching = f"{network}/chain.submit", f"{network}/matching.order"

    def told(self, history: History) -> Iterator[Answer]:
        """Every answer to a client's last request; a lost one says nothing."""
        asked: dict[tuple[str, str], str] = {}
        for event in history:
            if event.resource not in (self.chain, self.matching) or "#" in event.lane:
                continue
            if event.kind == "send":
                asked[event.lane, event.resource] = event.value.id  # type: ignore[attr-defined]
            elif event.operation == "answer":
                identity = asked[event.lane, event.resource]
                said = event.value.error if isinstance(event.value, Error) else event.value
                by_chain = event.resource == self.chain
                told = learned(said, identity=identity, client=event.lane, by_chain=by_chain)
                if told is not None:
                    yield told


def learned(said: object, *, identity: str, client: str, by_chain: bool) -> Answer | None:
    """What a client learns about a command from events or an error; a lost answer says nothing."""
    if isinstance(said, Exception):
        return None if isinstance(said, OSError) else Answer(identity, client, True, str(said))
    refusals = [
        each.describe()
        for each in (said if isinstance(said, tuple) else ())
        if isinstance(each, Rejected) and each.command_id == identity
    ]
    if refusals:
        return Answer(identity, client, True, refusals[0])
    again = said == (Duplicate(command_id=identity),)
    if said and by_chain and not again:
        # That it came before does not say what became of it: it may have been refused.
        return Answer(identity, client, False, "done")
    return None
