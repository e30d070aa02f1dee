"""What matching knows, as a function of its journal: orders, trades under way, answers, updates.

It decides nothing about time or order: the same commands give the same desk, so an incarnation that
reads the journal knows what the one before it knew, down to the number of the last update.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from target_stub.chain import Head
from target_stub.core import (
    Account,
    BustTrade,
    Command,
    Event,
    Filled,
    FillType,
    FollowChain,
    InFlight,
    Mode,
    Order,
    Resync,
    SettleTrade,
    Side,
    State,
    TraderProfile,
    Usdc,
    apply,
    apply_all,
)
from target_stub.core.events import OrderAccepted, OrderCancelled, TradeBusted, Triggered
from target_stub.core.money import EXACT, ZERO

#: How many price levels of each side an update of a book tells.
LEVELS = 15
#: Events that are told to everybody who follows the orders.
PUBLIC = (OrderAccepted, OrderCancelled, Filled, TradeBusted, Triggered)


@dataclass(frozen=True, slots=True)
class Matched:
    """A trade that the chain has not answered, and its orders as they were before it."""

    trade: SettleTrade
    orders: tuple[Order, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command did; ``trades`` are those that it matched, ``busts`` those that fell since."""

    events: tuple[Event, ...]
    trades: tuple[str, ...] = ()
    busts: tuple[TradeBusted, ...] = ()


@dataclass(frozen=True, slots=True)
class Levels:
    """A book as everybody may see it: price and size of the best levels, best first."""

    market: str
    bids: tuple[tuple[Decimal, Decimal], ...]
    asks: tuple[tuple[Decimal, Decimal], ...]

    def describe(self) -> str:
        """One line for a report."""
        bid, ask = (f"{side[0][0]}" if side else "none" for side in (self.bids, self.asks))
        return f"{self.market} bid {bid}, ask {ask}"


@dataclass(frozen=True, slots=True)
class Update:
    """One thing that everybody is told; ``seq_no`` grows by one from each to the next."""

    seq_no: int
    what: Event | Levels

    def describe(self) -> str:
        """One line for a report."""
        return f"{self.seq_no}: {self.what.describe()}"


@dataclass(frozen=True, slots=True)
class Followed:
    """What the journal did since somebody read it last: how long it is, and the state after it."""

    length: int
    done: tuple[tuple[Command, tuple[Event, ...]], ...]
    state: State

    def __str__(self) -> str:
        return f"{len(self.done)} new of {self.length} commands"


@dataclass(slots=True)
class OrderDesk:
    """Begins as an exchange with markets and nobody in it, and goes through the journal."""

    state: State
    #: The mode of the chain at the head that was followed last; None before the first.
    chain_mode: Mode | None = None
    in_flight: InFlight = field(default_factory=InFlight)
    matched: dict[str, Matched] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    updates: list[Update] = field(default_factory=list)
    #: By trade: the command that matched it.
    origins: dict[str, str] = field(default_factory=dict)
    #: Every command of the journal that was applied, with what it did.
    done: list[tuple[Command, tuple[Event, ...]]] = field(default_factory=list)

    def apply(self, command: Command) -> tuple[Event, ...]:
        """Do what a command of the journal says; raises Missing if it needs an unknown value.

        Such a command counts as never seen, now and whenever the journal is read.
        """
        before = self.state
        self.state, events = apply(before, command)
        if isinstance(command, FollowChain):
            self.chain_mode = command.mode or self.chain_mode
            for trade in command.settled:
                self.answered(trade)
        elif isinstance(command, BustTrade):
            self.bust(command.trade.id, events)
        trades = tuple(self.match(before, command, events))
        self.outcomes[command.id] = Outcome(events, trades)
        self.done.append((command, events))
        self.forget_cancelled(events)
        self.tell(events)
        return events

    def copied(self) -> OrderDesk:
        """The same desk, which what happens to this one does not change."""
        return replace(
            self,
            matched=dict(self.matched),
            outcomes=dict(self.outcomes),
            updates=list(self.updates),
            origins=dict(self.origins),
            done=list(self.done),
        )

    def follow_from(self, read: int) -> Followed:
        """What somebody reads who has read so many commands already."""
        return Followed(len(self.done), tuple(self.done[read:]), self.state)

    # --- trades -----------------------------------------------------------------------------

    def match(self, before: State, command: Command, events: Sequence[Event]) -> Iterator[str]:
        """Remember the trades of a command as under way; their ids."""
        taken = {
            event.order.id: event.order for event in events if isinstance(event, OrderAccepted)
        }
        for number, event in enumerate(events):
            if not isinstance(event, Filled) or event.fill_type is FillType.LIQUIDATION:
                continue
            sides = (event.maker, event.taker)
            maker, taker = (
                taken.get(side.order_id or "")
                or before.account(side.account).orders.get(side.order_id or "")
                for side in sides
            )
            trade = trade_of(event, maker, taker, id=f"trade-{command.id}-{number}", of=command)
            trade = replace(trade, after=tuple(self.under_way(trade.buyer, trade.seller)))
            self.in_flight = self.in_flight.sent(trade.id, trade.buyer, trade.seller)
            orders = tuple(order for order in (maker, taker) if order is not None)
            self.matched[trade.id] = Matched(trade, orders)
            self.origins[trade.id] = command.id
            yield trade.id

    def under_way(self, *accounts: str) -> Iterator[str]:
        """The trades of these accounts that the chain has not answered."""
        for trade, sides in self.in_flight.trades.items():
            if any(account in sides for account in accounts):
                yield trade

    def answered(self, trade: str) -> None:
        """The chain has settled a trade, or it was busted."""
        self.in_flight = self.in_flight.answered(trade)
        del self.matched[trade]

    def bust(self, trade: str, events: Sequence[Event]) -> None:
        """A trade never happened: whoever asks for the command that matched it is told so."""
        self.answered(trade)
        origin = self.origins[trade]
        outcome = self.outcomes[origin]
        busts = tuple(event for event in events if isinstance(event, TradeBusted))
        self.outcomes[origin] = replace(outcome, busts=(*outcome.busts, *busts))

    def forget_cancelled(self, events: Sequence[Event]) -> None:
        """An order that was cancelled since it traded gets nothing back."""
        gone = {
            event.order.id
            for event in events
            if isinstance(event, OrderCancelled)
            and event.order.id not in self.state.account(event.order.account).orders
        }
        for name, matched in self.matched.items() if gone else ():
            left = tuple(order for order in matched.orders if order.id not in gone)
            self.matched[name] = replace(matched, orders=left)

    # --- what is told ---------------------------------------------------------------------------

    def answer(self, command_id: str) -> tuple[Event, ...] | None:
        """What came of a command, or None while the chain has not answered all of its trades."""
        outcome = self.outcomes[command_id]
        if any(trade in self.matched for trade in outcome.trades):
            return None
        return (*outcome.events, *outcome.busts)

    def tell(self, events: Sequence[Event]) -> None:
        """Number what everybody may know: the events, then the books that they changed."""
        markets: dict[str, bool] = {}
        for event in events:
            if isinstance(event, PUBLIC):
                self.updates.append(Update(len(self.updates) + 1, event))
            if isinstance(event, Filled):
                markets[event.market] = True
            elif isinstance(event, OrderAccepted | OrderCancelled):
                markets[event.order.market] = True
        for market in markets:
            levels = levels_of(self.state, market)
            self.updates.append(Update(len(self.updates) + 1, levels))

    # --- what the chain says --------------------------------------------------------------------

    def bust_of(self, trade: str, *, id: str, at_ms: int) -> BustTrade:
        """The command for a trade that the chain has refused."""
        matched = self.matched[trade]
        return BustTrade(id=id, at_ms=at_ms, trade=matched.trade, orders=matched.orders)

    def resync_of(self, account: str, head: Head, *, id: str, at_ms: int) -> Resync:
        """The command that takes an account over from the chain."""
        told = head.state.account(account)
        balance = Usdc(told.balance_usdc)
        return Resync(
            id=id, at_ms=at_ms, account=account, balance=balance, positions=told.positions
        )

    def clear(self) -> tuple[str, ...]:
        """The accounts in RESYNC of which nothing is under way."""
        return tuple(name for name in self.state.resyncing if self.in_flight.is_clear(name))

    def follow(
        self, head: Head, *, settled: Sequence[str] = (), id: str, at_ms: int, anew: bool
    ) -> FollowChain | None:
        """The command that takes over a head of the chain, or None if that would change nothing.

        The trades that the chain has not answered are applied on top of what it says; one that it
        has in the meantime does nothing there. ``anew`` is the first time of an incarnation.
        """
        trades = [each.trade for name, each in self.matched.items() if name not in settled]
        truth, _ = apply_all(head.state, trades)
        mode = head.state.mode if anew or head.state.mode is not self.chain_mode else None
        accounts = {
            name: replace(told, orders={})
            for name, told in truth.accounts.items()
            if name not in self.state.resyncing and not same(told, self.state.accounts.get(name))
        }
        markets = {
            symbol: told
            for symbol, told in head.state.markets.items()
            if told != replace(self.state.market(symbol), last_trade_usd=told.last_trade_usd)
        }
        if not (anew or settled or accounts or markets or mode):
            return None
        return FollowChain(
            id=id,
            at_ms=at_ms,
            height=head.height,
            accounts=accounts,
            markets=markets,
            usdc_price=head.state.usdc_price,
            mode=mode,
            settled=tuple(settled),
        )


def trade_of(
    fill: Filled, maker: Order | None, taker: Order | None, *, id: str, of: Command
) -> SettleTrade:
    """The command that settles a fill on the chain."""
    sides = (fill.taker, fill.maker) if fill.taker.side is Side.BUY else (fill.maker, fill.taker)
    orders = tuple(order for order in (maker, taker) if order is not None)
    return SettleTrade(
        id=id,
        at_ms=of.at_ms,
        market=fill.market,
        price=fill.price.value,
        size=fill.size,
        buyer=sides[0].account,
        seller=sides[1].account,
        taker_side=fill.taker.side,
        reduce_only=tuple(order.account for order in orders if order.reduce_only),
        maker_profile=maker.profile if maker else TraderProfile.PRO,
        taker_profile=taker.profile if taker else TraderProfile.PRO,
    )


def same(told: Account, mine: Account | None) -> bool:
    """Whether an account has the money and the positions that the chain tells."""
    return mine is not None and told == replace(mine, orders=told.orders)


def levels_of(state: State, market: str) -> Levels:
    """The best levels of a book; orders for retail takers alone are nobody else's business."""
    book = state.books[market]
    sides: list[tuple[tuple[Decimal, Decimal], ...]] = []
    for queue in (book.bids, book.asks):
        sizes: dict[Decimal, Decimal] = {}
        for entry in queue:
            left = state.account(entry.account).orders[entry.order_id].remaining
            sizes[entry.price] = EXACT.add(sizes.get(entry.price, ZERO), left)
        sides.append(tuple(sizes.items())[:LEVELS])
    return Levels(market, *sides)
