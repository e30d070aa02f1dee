"""A client that quotes both sides of one market: a maker near the fair price, or one far from it.

It quotes when the mode allows it, and again whenever the book that matching tells no longer shows
its price, so a book that was emptied by a restart fills up again.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import trio

from target_stub.cloud.mode_control import TOPIC as MODE
from target_stub.cloud.mode_control import ModeTold, as_told
from target_stub.cloud.oracle_feed import sleep_until_multiple
from target_stub.cloud.own_book import NOTHING_TOLD
from target_stub.cloud.own_book import TOPIC as OWN_BOOK
from target_stub.cloud.retry import retrying
from target_stub.cloud.trader import TIMEOUT_S
from target_stub.core import Instruction, MarketSpec, Mode, OwnBook, PlaceOrder, Side
from target_stub.core.book import reaches
from target_stub.core.events import OrderAccepted
from target_stub.core.money import down_to_multiple
from target_stub.ports import Network

#: How often it looks at mode and book.
EVERY_MS = 500


class Quoter:
    """One client with one account.

    ``fair_usd`` gives what it believes the market to be worth at a time; it bids and asks that
    times one plus ``away``, less and plus ``half_spread`` (fractions). ``acts_in`` are the modes in
    which it quotes: post-only orders outside ``ok``, orders that may take in ``ok``. It looks
    twice a second, ``offset_ms`` after the multiple.
    """

    def __init__(
        self,
        name: str,
        *,
        network: Network,
        account: str,
        market: MarketSpec,
        size: Decimal,
        fair_usd: Callable[[int], Decimal],
        half_spread: Decimal,
        away: Decimal = Decimal(0),
        acts_in: tuple[Mode, ...] = (Mode.POST_ONLY, Mode.OK),
        sides: tuple[Side, ...] = (Side.BUY, Side.SELL),
        offset_ms: int = 0,
        goes_on: Callable[[], bool],
        does: Callable[[str], bool] = lambda name: True,
    ) -> None:
        self.name = name
        self.network = network
        self.account = account
        self.market = market
        self.size = size
        self.fair_usd = fair_usd
        self.half_spread = half_spread
        self.away = away
        self.acts_in = acts_in
        self.sides = sides
        self.offset_ms = offset_ms
        self.goes_on = goes_on
        self.does = does
        self.told = ModeTold(Mode.OK, 0)
        self.books = NOTHING_TOLD
        self._count = 0
        self._accepted_at_ms: dict[Side, int] = {}

    async def run(self) -> None:
        """Look at mode and book at intervals for as long as it goes on."""
        modes, books = self.network.subscribe(MODE), self.network.subscribe(OWN_BOOK)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.follow_modes, modes)
            nursery.start_soon(self.follow_books, books)
            while self.goes_on():
                await sleep_until_multiple(EVERY_MS, offset_ms=self.offset_ms)
                for side in self.sides:
                    await self.quote(side)
            nursery.cancel_scope.cancel()

    async def follow_modes(self, modes: Any) -> None:
        """Believe what mode control says."""
        async for message in modes:
            self.told = self.told.newer(as_told(message))

    async def follow_books(self, told: Any) -> None:
        """Remember what matching says of its books."""
        async for books in told:
            self.books = self.books.newer(books)

    async def quote(self, side: Side) -> None:
        """Stand at the own price, unless the book shows that somebody does, or better."""
        now_ms = round(trio.current_time() * 1000)
        price = self.price(side, now_ms)
        if self.told.mode not in self.acts_in or self.is_shown(side, price):
            return
        if not self.does(self.name):
            return
        self._count += 1
        command = PlaceOrder(
            id=f"{self.name}-quote-{self._count}",
            at_ms=now_ms,
            account=self.account,
            market=self.market.symbol,
            side=side,
            size=self.size,
            price=price,
            instruction=Instruction.GTC if self.told.mode is Mode.OK else Instruction.POST_ONLY,
        )
        async for attempt in retrying():
            with attempt:
                events = await self.network.call("matching", "order", command, timeout_s=TIMEOUT_S)
        if any(isinstance(event, OrderAccepted) for event in events):
            self._accepted_at_ms[side] = round(trio.current_time() * 1000)

    def price(self, side: Side, now_ms: int) -> Decimal:
        """Where it stands on one side now, in ticks of the market."""
        share = 1 + self.away - side.sign * self.half_spread
        return down_to_multiple(self.fair_usd(now_ms) * share, self.market.price_tick)

    def is_shown(self, side: Side, price: Decimal) -> bool:
        """Whether the own order is newer than the book that was told, or that shows its price."""
        if self._accepted_at_ms.get(side, -1) >= self.books.at_ms:
            return True
        book: OwnBook | None = self.books.books.get(self.market.symbol)
        best_usd = None if book is None else book.bid_usd if side is Side.BUY else book.ask_usd
        near = self.market.price_tick * 10 * side.sign
        return best_usd is not None and reaches(side.opposite, price - near, best_usd)
