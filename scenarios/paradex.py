"""Paradex, 19 January 2026: the restart that zeroed funding indices.

What happened: services were restarted during a database upgrade; a race saved default values to
cloud storage and published them, funding indices of some markets became 0, accounts were
liquidated that should not have been, the chain was rolled back and 650,000 USDC were refunded to
200 accounts. What is modelled: the exchange of that day with its published market parameters, the
upgrade, the overlapping restart, and everything that followed from one wrong tick. What is not:
the rollback itself, the second wave in post-only mode, and the other 447 markets.
"""

from __future__ import annotations

from decimal import Decimal
from random import Random

import trio

from harness.history import derive_seed
from harness.scenario import restart, scenario
from harness.world.world import World
from scenarios.blast_radius import blast_radius
from scenarios.exchange import MUST_REACH, Exchange
from scenarios.money_rules import rules_in_force
from scenarios.outside import EXTERNAL_RATES, USDC_PRICE, Path, prices
from scenarios.people import Listing, population
from target_stub.bugs import bugs_of
from target_stub.chain import BLOCKS
from target_stub.cloud.operator import upgrade_database
from target_stub.cloud.trader import Instrument, Payment, Trader
from target_stub.core import (
    BTC_USD_PERP,
    ETH_USD_PERP,
    JANUARY_2026,
    PAXG_USD_PERP,
    Liquidated,
    MarketSpec,
    Usdc,
)
from target_stub.core.funding import funding_rate, premium
from target_stub.core.mark import Averages, fair_basis, mark_price
from target_stub.guards import GUARDS
from target_stub.ports import Row

PEOPLE = 240
TRADERS = 4
#: The upgrade begins, in seconds of virtual time; the real one was planned for half an hour.
UPGRADE_AT_S, DOWN_S, STAGE_S = 8.0, 1.4, 2.0
#: What the nemesis may restart at any moment, and how; the operator restarts two of them himself.
RESTARTS = {"market_data": ("crash", "rolling"), "publisher": ("crash",), "risk": ("rolling",)}
#: What the owner of a thin account pays in when he sees the first liquidation.
TOP_UP_USDC = Decimal(5_000)
#: Trading goes on until here, and the exchange runs on through another tick and health check.
TRADING_UNTIL_S, TAIL_S = 15.5, 0.7
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


def open_exchange(world: World) -> Exchange:
    """The exchange of that day, with its people, ready to be started."""
    listings = tuple(listing for _, _, listing in MARKETS)
    paths = tuple(path for _, path, _ in MARKETS)
    return Exchange(
        world,
        spec=JANUARY_2026,
        markets=tuple(market for market, _, _ in MARKETS),
        rows={market.symbol: opening_row(market, path, held) for market, path, held in MARKETS},
        people=population(world.seed, PEOPLE, listings),
        prices=prices(world.seed, paths),
    )


def make_trader(world: World, exchange: Exchange, number: int, names: tuple[str, ...]) -> Trader:
    """One trader with two accounts of its own."""
    instruments = tuple(
        Instrument(
            market=market.symbol,
            price_usd=(path.start_usd * (1 - path.fall)).quantize(path.tick_usd),
            tick_usd=path.tick_usd * 100,
            size=listing.size_step * 20,
        )
        for market, path, listing in MARKETS
    )
    trader = exchange.bug.variant(Trader)(
        f"trader{number}",
        network=exchange.network,
        accounts=names,
        instruments=instruments,
        random=Random(derive_seed(world.seed, "trader", number)),
        every_s=1.0,
        until_s=TRADING_UNTIL_S,
        does=world.does,
    )
    exchange.traders.append(trader)
    return trader


@scenario(
    name="paradex-2026-01-19",
    faults=[restart(name, kinds=kinds) for name, kinds in RESTARTS.items()],
    guards=tuple(GUARDS),
    guards_default=(),
    bugs=bugs_of("paradex-2026-01-19"),
    bug_default="index_zero",
    time_max_s=120.0,
    stall_s=10.0,
    epoch_s=1_768_796_874.0,
    must_reach=MUST_REACH,
)
async def paradex(world: World) -> None:
    """Services restart during a database upgrade; one may write before it knows what is true."""
    exchange = open_exchange(world)
    world.add_invariants(*rules_in_force(exchange))
    world.note("conservation", lambda: conservation_note(world, exchange))
    world.measure(lambda: blast_radius(exchange))
    await exchange.start()
    people = population(world.seed, PEOPLE, tuple(held for _, _, held in MARKETS))
    traders = [
        make_trader(world, exchange, number, people.traders[2 * number : 2 * number + 2])
        for number in range(TRADERS)
    ]
    lanes = [world.start_client(trader.name, trader.run) for trader in traders]
    owner = make_trader(world, exchange, TRADERS, (people.late,))

    world.start_client("owner", top_up, exchange, owner)

    async def operate() -> None:
        await trio.sleep_until(UPGRADE_AT_S)
        await upgrade_database(
            database=exchange.database,
            network=exchange.network,
            services=(world.services["market_data"], world.services["publisher"]),
            down_s=DOWN_S,
            stage_s=STAGE_S,
        )

    lanes.append(world.start_client("operator", operate))
    for lane in lanes:
        await world.finished(lane)
    await exchange.settled()
    await trio.sleep(TAIL_S)


async def top_up(exchange: Exchange, owner: Trader) -> None:
    """Pay in as soon as anybody is liquidated; it is a matter of order whether that is in time."""
    async for block in exchange.network.subscribe(BLOCKS):
        if any(isinstance(event, Liquidated) for event in block.events):
            await owner.pay(Payment(owner.accounts[0], Usdc(TOP_UP_USDC)))
            return


def conservation_note(world: World, exchange: Exchange) -> str:
    """What the usual audit says of a run in which an index was wrong."""
    broken = {violation.invariant for violation in world.judge.violations}
    if "funding_index_step_is_bounded" not in broken and "liquidations_are_justified" not in broken:
        return ""
    if broken & {"positions_sum_to_zero", "cash_is_conserved"}:
        return ""
    return (
        f"Conservation held: positions sum to 0 and cash adds up to the last digit in all "
        f"{exchange.chain.height} blocks. Balance checks cannot see this bug."
    )
