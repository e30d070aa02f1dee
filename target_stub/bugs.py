"""The planted bugs: each a small patch of one place, with the incident it comes from.

A bug is a subclass that replaces one method of one service. The services themselves know nothing
of it, so a bug can never be half on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import trio

from target_stub.cloud.market_data import MarketData
from target_stub.core import Market
from target_stub.core.mark import NO_AVERAGES


def newly_listed(market: Market, at_ms: int) -> Market:
    """A market on its first day: nothing has been paid yet, so its index is 0 and that is right."""
    return replace(
        market,
        funding_index=Decimal(0),
        premium_usdc=Decimal(0),
        rate=Decimal(0),
        funding_at_ms=at_ms,
        averages=NO_AVERAGES,
    )


class PublishesBeforeHydrated(MarketData):
    """Starts to tick at boot, with every market as if newly listed, and hydrates meanwhile.

    Paradex, 19 January 2026: a service restarted during a database upgrade wrote default values
    over market state, persisted and published them; funding indices of some markets became 0.
    """

    async def begin(self, nursery: trio.Nursery) -> None:
        """Tick and hydrate at the same time; hydrating is nearly always first."""
        await self.quoted.wait()
        now_ms = round(trio.current_time() * 1000)
        listed = {
            symbol: newly_listed(market, now_ms) for symbol, market in self.state.markets.items()
        }
        self.state = replace(self.state, markets=listed)
        nursery.start_soon(self.tick_for_ever)
        await self.hydrate()
        self.life.enter("ready")


class TakesMissingPriceForZero(MarketData):
    """Ticks without waiting for a quote, and writes 0 where it has no price.

    Paradex, 19 January 2026, as the press of that day told it: BTC, ETH and SOL at 0.00 dollars.
    """

    def take_over(self, rows: Mapping[str, Mapping[str, object]]) -> None:
        """The prices of the row are old, so they are thrown away; the oracle will bring new ones."""
        super().take_over(rows)
        markets = {
            symbol: replace(market, spot_usd=None, mark_usd=None)
            for symbol, market in self.state.markets.items()
        }
        self.state = replace(self.state, markets=markets)

    async def begin(self, nursery: trio.Nursery) -> None:
        """A quote comes every second and a tick every five, so there will be one in time."""
        await self.hydrate()
        self.life.enter("ready")
        nursery.start_soon(self.tick_for_ever)

    def advance(self, now_ms: int) -> None:
        """Advance what has a price; what has none is worth nothing."""
        if all(market.spot_usd is not None for market in self.state.markets.values()):
            super().advance(now_ms)
            return
        markets = {
            symbol: replace(market, spot_usd=Decimal(0), mark_usd=Decimal(0), funding_at_ms=now_ms)
            for symbol, market in self.state.markets.items()
        }
        self.state = replace(self.state, markets=markets)


#: The variants of market data by the name of their bug; no name is the correct service.
MARKET_DATA: Mapping[str, type[MarketData]] = {
    "": MarketData,
    "index_zero": PublishesBeforeHydrated,
    "price_zero": TakesMissingPriceForZero,
}
#: All planted bugs with what they do, in one line.
BUGS: Mapping[str, str] = {
    "index_zero": "market data ticks before it has hydrated: funding indices become 0",
    "price_zero": "market data takes a missing price for 0: mark prices become 0",
}
