"""Paradex, 19 January 2026, the second wave: quotes far from the market on an empty book.

What happened: the exchange came back post-only, without its resting orders; before the makers were
there, aggressive quotes inside the band of 20 % skewed the prices of thin markets, and more
accounts were liquidated, most of them in PAXG. Since February 2026 no order may be more than 5
basis points too aggressive against an external fair price while the exchange reopens. What is
modelled: PAXG with its published parameters, a mark price made from the own book, makers and one
client who quotes 12 % below them, both back as soon as they hear the mode. What is not: who that
was and why, and the other markets.
Source: https://www.cryptopolitan.com/paradex-refunds-users-after-maintenance/
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import partial

import trio

from harness.scenario import restart, scenario
from harness.world.world import World
from scenarios.deployment import Deployment
from scenarios.exchange import Exchange
from scenarios.money_rules import rules_in_force
from scenarios.outside import EXTERNAL_RATES, USDC_PRICE, Path, fair_usd, prices
from scenarios.people import Listing, Population, population
from scenarios.records import LIQUIDATED, MARKETS_TAKEN_OVER
from target_stub.cloud.operator import upgrade_database
from target_stub.cloud.quoter import Quoter
from target_stub.core import JANUARY_2026, PAXG_USD_PERP, ExchangeSpec, Mode, Side
from target_stub.core.funding import funding_rate, premium
from target_stub.core.mark import Averages, mark_price, median
from target_stub.guards import GUARDS, POST_ONLY_BAND, REOPENING_GUARDS
from target_stub.ports import Row

MARKET = PAXG_USD_PERP
PATH = Path(market=MARKET.symbol, start_usd=Decimal(4670), tick_usd=Decimal("0.01"))
#: Bought 0.8 % above the market, so that the two thinnest accounts are due from the start.
LISTING = Listing(
    market=MARKET.symbol,
    entry_price_usdc=Decimal(4710),
    funding_index=Decimal("-141.60277719"),
    size_step=Decimal("0.001"),
    notional_usdc=15_000,
)
PEOPLE = 60
#: The band of February 2026: 5 basis points round the external fair price.
BAND = Decimal("0.0005")
#: A clean mark price is no further from the external fair price than this.
FAIR_WIDTH = Decimal("0.002")
#: Makers quote 2 basis points from the fair price; the stranger 12 % below it, in the band of 20 %.
HALF_SPREAD, AWAY = Decimal("0.0002"), Decimal("-0.12")
#: How much later than the makers the stranger looks at the mode.
LATER_MS = 50
QUOTED_SIZE = Decimal("0.5")
#: In seconds of virtual time: the upgrade, how long the database is down, each stage takes and
#: people quote once trading is open, and the end after one more health check.
UPGRADE_AT_S, DOWN_S, STAGE_S, OPEN_S, TAIL_S = 5.2, 1.0, 2.2, 2.0, 0.7
#: What the nemesis may restart; matching is restarted by the operator, and loses its books then.
RESTARTS = {"market_data": ("crash", "rolling"), "publisher": ("crash",), "risk": ("rolling",)}


def rules_of(world: World) -> ExchangeSpec:
    """The rules of January; with the band, that one of February."""
    band = BAND if POST_ONLY_BAND in world.guards else None
    return replace(JANUARY_2026, post_only_band=band)


def opening_row() -> Row:
    """The row of the market as the last tick before the story left it, with averages of a day."""
    basis = median(EXTERNAL_RATES)
    rate = funding_rate(basis, MARKET, JANUARY_2026.funding_profile)
    return {
        "spot_usd": PATH.start_usd,
        "usdc_price": USDC_PRICE,
        "mark_usd": mark_price(PATH.start_usd, basis),
        "funding_index": LISTING.funding_index,
        "premium_usdc": premium(rate, PATH.start_usd, USDC_PRICE),
        "rate": rate,
        "averages": Averages(bid=basis, ask=basis, last=basis, mid=basis),
        "external_rates": EXTERNAL_RATES,
        "funding_at_ms": 0,
        "written_by": "market_data#0",
    }


def open_exchange(world: World, people: Population) -> Exchange:
    """The exchange with one thin market."""
    return Exchange(
        world,
        spec=rules_of(world),
        markets=(MARKET,),
        rows={MARKET.symbol: opening_row()},
        people=people,
        prices=prices(world.seed, (PATH,)),
        deployment=Deployment(own_book=True, fair_width=FAIR_WIDTH),
    )


def quoters(
    world: World, exchange: Exchange, people: Population, goes_on: Callable[[], bool]
) -> list[Quoter]:
    """Two makers, who are there first, and the stranger, who comes when the book is empty."""

    def quoter(name: str, account: str, **behaviour: object) -> Quoter:
        return Quoter(
            name,
            network=exchange.network,
            account=account,
            market=MARKET,
            size=QUOTED_SIZE,
            fair_usd=partial(fair_usd, exchange.prices),
            half_spread=HALF_SPREAD,
            goes_on=goes_on,
            does=world.does,
            **behaviour,  # type: ignore[arg-type]
        )

    first, second, other, *_ = people.traders
    return [
        quoter("maker0", first),
        quoter("maker1", second),
        quoter(
            "stranger",
            other,
            away=AWAY,
            offset_ms=LATER_MS,
            acts_in=(Mode.POST_ONLY,),
            sides=(Side.SELL, Side.BUY),
        ),
    ]


@scenario(
    name="paradex-second-wave",
    faults=[restart(name, kinds=kinds) for name, kinds in RESTARTS.items()],
    guards=(*GUARDS, *REOPENING_GUARDS),
    guards_default=(),
    time_max_s=120.0,
    stall_s=10.0,
    epoch_s=1_768_824_000.0,
    must_reach=(LIQUIDATED, MARKETS_TAKEN_OVER),
)
async def second_wave(world: World) -> None:
    """The exchange reopens on empty books, and who quotes first makes the mark price.

    Modelled: one thin market, the mark from the own book, staged reopening, makers and a stranger.
    Not modelled: the zeroed index of the same day, and the refunds.
    """
    people = population(world.seed, PEOPLE, (LISTING,))
    exchange = open_exchange(world, people)
    world.add_invariants(*rules_in_force(exchange))
    await exchange.start()
    over = [False]
    clients = quoters(world, exchange, people, goes_on=lambda: not over[0])
    lanes = [world.start_client(client.name, client.run) for client in clients]
    await world.client("operator", upgrade, world, exchange)
    over[0] = True
    for lane in lanes:
        await world.finished(lane)
    await exchange.settled()
    await trio.sleep(TAIL_S)


async def upgrade(world: World, exchange: Exchange) -> None:
    """Upgrade the database, reopen in stages, and look on for a while."""
    await trio.sleep_until(UPGRADE_AT_S)
    await upgrade_database(
        database=exchange.database,
        network=exchange.network,
        services=[world.services[name] for name in ("matching", "market_data", "publisher")],
        down_s=DOWN_S,
        stage_s=STAGE_S,
    )
    await trio.sleep(OPEN_S)
