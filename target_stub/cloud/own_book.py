"""What matching tells of its own books: best prices, last trade and impact prices, once a second.

The mark price and the funding premium are made from them. Whoever listens hears nothing while
matching is down, and an empty book once it is back, so a message says when it was true and which
incarnation of matching said it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import trio

from target_stub.cloud.oracle_feed import sleep_until_multiple
from target_stub.core import OwnBook, State
from target_stub.core.market_data import own_book
from target_stub.ports import Life, Network

TOPIC = "own_book"
EVERY_MS = 1_000
#: Half an interval after the oracle's quotes, so that a tick finds both.
OFFSET_MS = 500
#: A book that was not told for so long may be gone; nobody makes a price from it.
FRESH_MS = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BooksTold:
    """All books at one time, as one incarnation of matching had them."""

    incarnation: int = 0
    at_ms: int = 0
    books: Mapping[str, OwnBook] = field(default_factory=dict)

    def newer(self, told: BooksTold) -> BooksTold:
        """The later of two: a later incarnation counts, whatever its predecessor still says."""
        mine, other = (self.incarnation, self.at_ms), (told.incarnation, told.at_ms)
        return told if other >= mine else self

    def fresh(self, symbol: str, now_ms: int) -> OwnBook | None:
        """One market's book, or nothing if it was not told lately."""
        return self.books.get(symbol) if now_ms - self.at_ms <= FRESH_MS else None

    def two_sided(self, now_ms: int) -> bool:
        """Whether every market has a bid and an ask, as was told lately."""
        books = [self.fresh(symbol, now_ms) for symbol in self.books]
        return bool(books) and all(b and b.bid_usd and b.ask_usd for b in books)


NOTHING_TOLD = BooksTold()


async def tell_books(life: Life, network: Network, state: Callable[[], State | None]) -> None:
    """Tell the books of a state once a second, for ever; nothing while there is no state."""
    while True:
        await sleep_until_multiple(EVERY_MS, offset_ms=OFFSET_MS)
        known = state()
        if known is None:
            continue
        books = {symbol: own_book(known, symbol) for symbol in known.markets}
        at_ms = round(trio.current_time() * 1000)
        told = BooksTold(incarnation=life.incarnation, at_ms=at_ms, books=books)
        await network.publish(TOPIC, told)
