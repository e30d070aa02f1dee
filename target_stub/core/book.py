"""The order book of one market: who stands at which price, in which order.

Price first, then age. The book is an index over the orders that the accounts own; it knows ids and
prices, not sizes, so there is only one truth about what is left of an order. At rest it is never
crossed. Orders for retail takers alone stand in queues of their own, which may well cross the
others: whoever may not meet them does not see them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from target_stub.core.money import ONE, ZERO, down_to_multiple, exact, round_half_even8
from target_stub.core.orders import Instruction, Order, Side


class Entry(NamedTuple):
    """One place in the queue."""

    rank: Decimal
    """The price, negated on the bid side, so that a smaller rank is always better."""
    sequence: int
    price: Decimal
    order_id: str
    account: str


@dataclass(frozen=True, slots=True)
class Book:
    """Both sides, best first; apart from them those that only retail takers meet."""

    bids: tuple[Entry, ...] = ()
    asks: tuple[Entry, ...] = ()
    retail_bids: tuple[Entry, ...] = ()
    retail_asks: tuple[Entry, ...] = ()

    @property
    def best_bid(self) -> Decimal | None:
        """The highest price anybody pays, None on an empty side."""
        return self.bids[0].price if self.bids else None

    @property
    def best_ask(self) -> Decimal | None:
        """The lowest price anybody asks, None on an empty side."""
        return self.asks[0].price if self.asks else None

    def side(self, side: Side) -> tuple[Entry, ...]:
        """The queue of one side."""
        return self.bids if side is Side.BUY else self.asks

    def retail_side(self, side: Side) -> tuple[Entry, ...]:
        """The queue of one side that only retail takers meet."""
        return self.retail_bids if side is Side.BUY else self.retail_asks

    def first(self, side: Side, *, retail: bool) -> Entry | None:
        """Whom a taker of the other side meets first, None on an empty side.

        A retail taker also meets the orders for retail, and those last at an equal price.
        """
        entry = next(iter(self.side(side)), None)
        improved = next(iter(self.retail_side(side)), None) if retail else None
        if improved is None or (entry is not None and entry.rank <= improved.rank):
            return entry
        return improved

    def entries(self) -> tuple[Entry, ...]:
        """Everybody who stands in the book."""
        return (*self.bids, *self.asks, *self.retail_bids, *self.retail_asks)

    def is_crossed(self) -> bool:
        """Whether a bid meets an ask; never true between two commands."""
        return bool(self.bids and self.asks) and self.bids[0].price >= self.asks[0].price

    def inserted(self, order: Order) -> Book:
        """The book with one more order, behind everybody at the same price."""
        queue = self._queue(order)
        entry = entry_of(order)
        place = bisect_right(queue, entry)
        return self._with(order, (*queue[:place], entry, *queue[place:]))

    def removed(self, order: Order) -> Book:
        """The book without that order; raises if the order does not stand in it."""
        queue = self._queue(order)
        place = bisect_right(queue, entry_of(order)) - 1
        if place < 0 or queue[place].order_id != order.id:
            raise LookupError(f"order {order.id} is not in the book of {order.market}")
        return self._with(order, queue[:place] + queue[place + 1 :])

    def _queue(self, order: Order) -> tuple[Entry, ...]:
        retail = order.instruction is Instruction.RPI
        return self.retail_side(order.side) if retail else self.side(order.side)

    def _with(self, order: Order, queue: tuple[Entry, ...]) -> Book:
        buys = order.side is Side.BUY
        if order.instruction is Instruction.RPI:
            retail = (queue, self.retail_asks) if buys else (self.retail_bids, queue)
            return Book(self.bids, self.asks, *retail)
        public = (queue, self.asks) if buys else (self.bids, queue)
        return Book(*public, self.retail_bids, self.retail_asks)


def entry_of(order: Order) -> Entry:
    """The place of a resting order; a resting order always has a price."""
    if order.price is None:
        raise ValueError(f"order {order.id} has no price and cannot rest")
    rank = order.price.copy_negate() if order.side is Side.BUY else order.price
    return Entry(rank, order.sequence, order.price, order.id, order.account)


def rebuilt(orders: Iterable[Order]) -> Book:
    """The book that a set of working orders implies: what a restarted matcher must arrive at."""
    queues: dict[tuple[Side, bool], list[Entry]] = {}
    for order in orders:
        if not order.waits:
            key = (order.side, order.instruction is Instruction.RPI)
            queues.setdefault(key, []).append(entry_of(order))
    return Book(
        *(
            tuple(sorted(queues.get((side, retail), ())))
            for retail in (False, True)
            for side in (Side.BUY, Side.SELL)
        )
    )


def reaches(side: Side, limit: Decimal | None, price: Decimal) -> bool:
    """Whether an order of that side with that limit would trade at ``price``."""
    if limit is None:
        return True
    return price <= limit if side is Side.BUY else price >= limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """How far an order may go: a limit for each fill, and a cap for the average of all fills."""

    side: Side
    limit: Decimal | None
    average: Decimal | None = None


@exact
def fillable(
    caps: Caps,
    *,
    price: Decimal,
    wanted: Decimal,
    filled: Decimal,
    spent_usd: Decimal,
    increment: Decimal,
) -> Decimal:
    """How much of ``wanted`` may fill at ``price`` after ``filled`` for ``spent_usd``.

    At a price beyond the average cap, as much as keeps the average of all fills within the cap:
    (cap x filled - spent) / (price - cap). Paradex documentation, slippage.
    """
    if not reaches(caps.side, caps.limit, price):
        return ZERO
    if caps.average is None or reaches(caps.side, caps.average, price):
        return wanted
    room_usd = (caps.average * filled - spent_usd) * caps.side.sign
    beyond = (price - caps.average) * caps.side.sign
    steps = room_usd // (beyond * increment)
    return max(ZERO, min(wanted, steps * increment))


def terminal_price(side: Side, *, mark_usd: Decimal, width: Decimal, tick: Decimal) -> Decimal:
    """The last price a market order may reach: the far edge of the price band, on a tick."""
    return band_edge(side, reference_usd=mark_usd, width=width, tick=tick)


@exact
def band_edge(side: Side, *, reference_usd: Decimal, width: Decimal, tick: Decimal) -> Decimal:
    """The most aggressive price allowed: reference x (1 +- width), inwards to a whole tick."""
    edge = reference_usd * (ONE + side.sign * width)
    below = down_to_multiple(edge, tick)
    return below if side is Side.BUY or below == edge else below + tick


@exact
def average_cap(
    side: Side, *, best_usd: Decimal, slippage: Decimal, sell_below_bid: bool
) -> Decimal:
    """The worst average price of a market order in USD, at 8 decimals.

    Best opposite price x (1 + slippage) for buys; for sells x (1 - slippage), or x (1 + slippage)
    as the slippage page writes it.
    """
    sign = -1 if side is Side.SELL and sell_below_bid else 1
    return round_half_even8(best_usd * (ONE + sign * slippage))


def worst_price(
    queue: tuple[Entry, ...], size: Decimal, remaining: Callable[[Entry], Decimal]
) -> Decimal | None:
    """The last price an order of that size would reach in a queue; None on an empty queue."""
    reached: Decimal | None = None
    for entry in queue:
        if size <= 0:
            break
        reached = entry.price
        size -= remaining(entry)
    return reached
