"""The exchange of 19 January 2026 as data: its markets, their rows, its people and its hours.

Nothing here runs anything, so that whoever plays it, in a simulation or for real, plays the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from scenarios.outside import EXTERNAL_RATES, USDC_PRICE, Path, prices
from scenarios.people import Listing, Population, population
from target_stub.cloud.oracle_feed import Prices
from target_stub.cloud.trader import Instrument
from target_stub.core import (
    BTC_USD_PERP,
    ETH_USD_PERP,
    JANUARY_2026,
    PAXG_USD_PERP,
    MarketSpec,
)
from target_stub.core.funding import funding_rate, premium
from target_stub.core.mark import Averages, fair_basis, mark_price
from target_stub.ports import Row

PEOPLE = 240
TRADERS = 4
#: The upgrade begins, in seconds of virtual time; the real one was planned for half an hour.
UPGRADE_AT_S, DOWN_S, STAGE_S = 8.0, 1.4, 2.0
#: What the owner of a thin account pays in when he sees the first liquidation.
TOP_UP_USDC = Decimal(5_000)
#: Trading goes on until here, and the exchange runs on through another tick and health check.
TRADING_UNTIL_S, TAIL_S = 15.5, 0.7
#: When the next health check after trading is over, where nobody waits for it.
CHECKED_AT_S = 17.5 + TAIL_S
#: Price in USD, funding index and how the population holds it. The BTC index is the example of
#: the public API, the other two have the same proportion to their price.
MARKETS: tuple[tuple[MarketSpec, Path, Listing], ...] = (
    (
        BTC_USD_PERP,
        Path(
            market="BTC-USD-PERP",
            start_usd=Decimal(93000),
            tick_usd=Decimal("0.1"),
            fall=Decimal("0.012"),
        ),
        Listing(
            market="BTC-USD-PERP",
            entry_price_usdc=Decimal(93040),
            funding_index=Decimal("-2819.53434361"),
            size_step=Decimal("0.001"),
            notional_usdc=40_000,
        ),
    ),
    (
        ETH_USD_PERP,
        Path(market="ETH-USD-PERP", start_usd=Decimal(3210), tick_usd=Decimal("0.01")),
        Listing(
            market="ETH-USD-PERP",
            entry_price_usdc=Decimal(3211),
            funding_index=Decimal("-97.31851203"),
            size_step=Decimal("0.01"),
            notional_usdc=20_000,
        ),
    ),
    (
        PAXG_USD_PERP,
        Path(market="PAXG-USD-PERP", start_usd=Decimal(4670), tick_usd=Decimal("0.01")),
        Listing(
            market="PAXG-USD-PERP",
            entry_price_usdc=Decimal(4672),
            funding_index=Decimal("-141.60277719"),
            size_step=Decimal("0.001"),
            notional_usdc=15_000,
        ),
    ),
)


def opening_row(market: MarketSpec, path: Path, listing: Listing) -> Row:
    """The row of a market as the last tick before the story left it."""
    averages = Averages()
    basis = fair_basis(averages, EXTERNAL_RATES, market.symbol)
    rate = funding_rate(basis, market, JANUARY_2026.funding_profile)
    return {
        "spot_usd": path.start_usd,
        "usdc_price": USDC_PRICE,
        "mark_usd": mark_price(path.start_usd, basis),
        "funding_index": listing.funding_index,
        "premium_usdc": premium(rate, path.start_usd, USDC_PRICE),
        "rate": rate,
        "averages": averages,
        "funding_at_ms": 0,
        "written_by": "market_data#0",
    }


def instruments(listed: Iterable[tuple[MarketSpec, Path, Listing]]) -> tuple[Instrument, ...]:
    """What traders trade: every market round the price after its fall."""
    return tuple(
        Instrument(
            market=market.symbol,
            price_usd=(path.start_usd * (1 - path.fall)).quantize(path.tick_usd),
            tick_usd=path.tick_usd * 100,
            size=listing.size_step * 20,
        )
        for market, path, listing in listed
    )


@dataclass(frozen=True, slots=True)
class Cast:
    """Who and what takes part: markets with their prices and what people hold, and the people."""

    listed: tuple[tuple[MarketSpec, Path, Listing], ...]
    people: Callable[[int], Population]

    @property
    def markets(self) -> tuple[MarketSpec, ...]:
        """All markets."""
        return tuple(market for market, _, _ in self.listed)

    @property
    def rows(self) -> Mapping[str, Row]:
        """The rows of the markets as the story finds them."""
        return {
            market.symbol: opening_row(market, path, held) for market, path, held in self.listed
        }

    def prices(self, seed: int) -> Prices:
        """The prices of the outside world."""
        return prices(seed, tuple(path for _, path, _ in self.listed))


def everybody(seed: int) -> Population:
    """All people of that day."""
    return population(seed, PEOPLE, tuple(held for _, _, held in MARKETS))


def four_people(seed: int) -> Population:
    """The thin long, the one after him in the alphabet, and their shorts."""
    everybody = population(seed, 0, (MARKETS[0][2],))
    return Population(
        balances={
            name: balance
            for name, balance in everybody.balances.items()
            if name not in everybody.traders
        },
        positions=everybody.positions,
        traders=(),
        thin=everybody.thin,
        late=everybody.late,
    )


JANUARY = Cast(MARKETS, everybody)
#: What the incident needs, and no more: a quiet market, because what is wrong here is the index,
#: not the price.
QUIET = Path(market="BTC-USD-PERP", start_usd=Decimal(93000), tick_usd=Decimal("0.1"))
REDUCED = Cast(((BTC_USD_PERP, QUIET, MARKETS[0][2]),), four_people)
#: In seconds of the reduced story: the first quote, the second one while the database is already
#: away, the return of the database just after the funding tick, and the end.
FIRST_QUOTE_S, AWAY_S, SECOND_QUOTE_S, BACK_S, END_S = 0.1, 4.7, 4.8, 5.02, 7.6
