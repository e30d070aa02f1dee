"""The outside world's prices: what the oracle feed and every judge may rely on.

A quiet market with one fall early on, so that exactly one account is liquidated rightly; the path
is a pure function of the data seed and the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache

from harness.history import derive_seed
from target_stub.cloud.oracle_feed import Prices, Quote
from target_stub.core import Venue, VenueQuote
from target_stub.core.mark import external_fair_price
from target_stub.core.money import down_to_multiple

#: USD per USDC on a calm day.
USDC_PRICE = Decimal("0.9998")
#: How far the perpetual trades above spot on the other venues.
EXTERNAL_RATES = (Decimal("0.0007"), Decimal("0.0008"), Decimal("0.0009"))
#: How long a venue stays silent or thin.
VENUE_MOOD_MS = 3_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """One market's price: where it starts, its tick, and how far it falls at ``falls_at_ms``."""

    market: str
    start_usd: Decimal
    tick_usd: Decimal
    fall: Decimal = Decimal(0)
    falls_at_ms: int = 4_000
    has_venues: bool = False
    """Whether the impact prices of other venues are quoted, as the June 2026 funding needs them."""


def prices(seed: int, paths: tuple[Path, ...]) -> Prices:
    """The quotes of all markets at a time, for the oracle feed."""

    def at(now_ms: int) -> tuple[Quote, ...]:
        return _quotes(seed, paths, now_ms)

    return at


def fair_usd(prices: Prices, now_ms: int) -> Decimal:
    """What the only market is worth by the prices outside at this time."""
    (quote,) = prices(now_ms)
    return external_fair_price(quote.spot_usd, quote.external_rates)


@lru_cache(maxsize=4096)
def _quotes(seed: int, paths: tuple[Path, ...], now_ms: int) -> tuple[Quote, ...]:
    return tuple(
        Quote(
            market=path.market,
            at_ms=now_ms,
            spot_usd=spot(seed, path, now_ms),
            usdc_price=USDC_PRICE,
            external_rates=EXTERNAL_RATES,
            venue_quotes=venue_quotes(seed, path, now_ms) if path.has_venues else None,
        )
        for path in paths
    )


def venue_quotes(seed: int, path: Path, now_ms: int) -> tuple[VenueQuote, ...]:
    """The impact prices of the other venues: 4 to 9 basis points above spot, 1 apart.

    For some seconds one in ten is silent, and one side of every fifth is too thin.
    """
    spot_usd = spot(seed, path, now_ms)
    quotes = []
    for venue in Venue:
        draw = derive_seed(seed, path.market, venue.value, now_ms // VENUE_MOOD_MS) % 60
        mood, basis = divmod(draw, 6)
        if venue is Venue.PARADEX or mood == 0:
            continue
        bid, ask = (
            down_to_multiple(spot_usd * (1 + Decimal(points) / 10_000), path.tick_usd)
            for points in (4 + basis, 5 + basis)
        )
        quotes.append(VenueQuote(venue, None if mood == 1 else bid, None if mood == 2 else ask))
    return tuple(quotes)


def spot(seed: int, path: Path, now_ms: int) -> Decimal:
    """The spot price: the start, less the fall once it happened, with a noise of a few ticks."""
    level = path.start_usd * (1 - path.fall) if now_ms >= path.falls_at_ms else path.start_usd
    noise = derive_seed(seed, path.market, now_ms) % 7 - 3
    return level.quantize(path.tick_usd, rounding=ROUND_HALF_EVEN) + noise * path.tick_usd
