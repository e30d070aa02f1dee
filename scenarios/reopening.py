"""The exchange of 2026 after the incident, through an upgrade of its database and back.

What is modelled: the rules of April or June 2026 with shorter times (a tick a second, smoothed
funding, the gap rule, the liquidity weight, the impact premium over venues), staged reopening, the
withdrawal gate and the grace for liquidations after an outage, the bridge with people who pay in
and take out meanwhile, and a maker. What is not: orders of other people, vaults, and an incident;
planted bugs name it as the scenario in which they must be found. With a durable matching engine it
is a scenario of its own.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import TypeVar

import trio

from harness.scenario import restart, scenario
from harness.world.world import World
from scenarios.bridge import PAID_OUT, make_customers
from scenarios.deployment import Deployment
from scenarios.exchange import Exchange
from scenarios.money_rules import rules_in_force
from scenarios.outside import EXTERNAL_RATES, USDC_PRICE, Path, fair_usd, prices
from scenarios.people import Listing, population
from scenarios.records import LIQUIDATED, MARKETS_TAKEN_OVER
from scenarios.rules.orders import matching_agrees_with_chain, updates_are_numbered_once
from scenarios.rules.reopening import reopening_rules
from scenarios.whole_services import WholeExchange
from target_stub.bugs import bugs_of
from target_stub.cloud.market_data import kept_by
from target_stub.cloud.operator import upgrade_in_stages
from target_stub.cloud.quoter import Quoter
from target_stub.core import (
    BTC_USD_PERP,
    JUNE_2026,
    ExchangeSpec,
    Mode,
    Reopening,
)
from target_stub.core.funding import funding_rate, premium
from target_stub.core.mark import Averages, mark_price, median
from target_stub.guards import GUARDS
from target_stub.ports import Row

E = TypeVar("E", bound=Exchange)
NAME = "reopening"
MARKET = BTC_USD_PERP
PATH = Path(
    market=MARKET.symbol, start_usd=Decimal(93000), tick_usd=Decimal("0.1"), has_venues=True
)
#: Bought 0.8 % above the market, so that the two thinnest accounts are due from the start.
LISTING = Listing(
    market=MARKET.symbol,
    entry_price_usdc=Decimal(93800),
    funding_index=Decimal("-2819.53434361"),
    size_step=Decimal("0.001"),
    notional_usdc=40_000,
)
PEOPLE = 8
#: In seconds of virtual time: the upgrade, for how long the database is down, how long everything
#: goes on when trading is open again.
UPGRADE_AT_S, DOWN_S, TAIL_S = 2.7, 1.0, 1.2
#: How often people pay in and take out over the bridge, and how long they wait in between.
ROUNDS, EVERY_S = 2, 1.1
#: What the operator restarts while the database is away, and what the nemesis may restart.
UPGRADED = ("matching", "publisher", "mode")
RESTARTS = {
    "market_data": ("crash", "rolling"),
    "mode": ("crash", "rolling"),
    "bridge": ("crash", "rolling"),
    "outside": ("crash",),
    "publisher": ("crash",),
}
WHOLE_RESTARTS = {**RESTARTS, "matching": ("crash", "rolling"), "risk": ("rolling",)}
#: What has to happen in some run.
OPENED = "trading opens again"


def shortened(spec: ExchangeSpec) -> ExchangeSpec:
    """Rules with the times of a story of twenty seconds, the gate and the grace among them."""
    return replace(
        spec,
        funding_gap_ms_max=4_000,
        reopening=Reopening(cancel_only_ms=1_200, post_only_ms=1_200, fresh_ms=3_000),
        withdrawals_paused_in=(Mode.MAINTENANCE, Mode.CANCEL_ONLY, Mode.POST_ONLY),
        withdrawal_gate_ms=1_000,
        liquidation_grace_ms=1_000,
    )


def opening_row(spec: ExchangeSpec) -> Row:
    """The row of the market as the last tick before the story left it."""
    basis = median(EXTERNAL_RATES)
    rate = funding_rate(basis, MARKET, spec.funding_profile)
    row = {
        "spot_usd": PATH.start_usd,
        "usdc_price": USDC_PRICE,
        "mark_usd": mark_price(PATH.start_usd, basis),
        "funding_index": LISTING.funding_index,
        "premium_usdc": premium(rate, PATH.start_usd, USDC_PRICE),
        "rate": rate,
        "liquidity": Decimal("0.5"),
        "own_basis": basis,
    }
    return {
        **{name: row[name] for name in kept_by(spec)},
        "averages": Averages(bid=basis, ask=basis, last=basis, mid=basis),
        "external_rates": EXTERNAL_RATES,
        "funding_at_ms": 0,
        "written_by": "market_data#0",
    }


def open_exchange(world: World, spec: ExchangeSpec, deployed: type[E]) -> E:
    """The exchange with everything that market data, modes and bridge need."""
    return deployed(
        world,
        spec=spec,
        markets=(MARKET,),
        rows={MARKET.symbol: opening_row(spec)},
        people=population(world.seed, PEOPLE, (LISTING,)),
        prices=prices(world.seed, (PATH,)),
        deployment=Deployment(own_book=True, staged_modes=True, bridge=True),
    )


def make_maker(world: World, exchange: Exchange, account: str, over: list[bool]) -> Quoter:
    """One maker, so that there is a book of our own."""
    return Quoter(
        "maker",
        network=exchange.network,
        account=account,
        market=MARKET,
        size=Decimal("0.05"),
        fair_usd=partial(fair_usd, exchange.prices),
        half_spread=Decimal("0.0002"),
        goes_on=lambda: not any(over),
        does=world.does,
    )


async def reopen(world: World, exchange: Exchange) -> None:
    """Upgrade the database of an exchange, reopen in stages, and go on."""
    people = exchange.people
    world.add_invariants(*rules_in_force(exchange), *reopening_rules(exchange))
    await exchange.start()
    over: list[bool] = []
    maker = make_maker(world, exchange, people.traders[0], over)
    quoting = world.start_client(maker.name, maker.run)
    lanes = [
        world.start_client(each.name, each.run)
        for each in make_customers(world, exchange, people, rounds=ROUNDS, every_s=EVERY_S)
    ]
    lanes.append(world.start_client("operator", upgrade, world, exchange))
    for lane in lanes:
        await world.finished(lane)
    over.append(True)
    await world.finished(quoting)
    await exchange.bridged()
    await exchange.settled()
    await trio.sleep(TAIL_S)
    world.sometimes(PAID_OUT, exchange.outside.payments)


async def upgrade(world: World, exchange: Exchange) -> None:
    """The operator closes, upgrades and opens; mode control walks the stages."""
    await trio.sleep_until(UPGRADE_AT_S)
    await upgrade_in_stages(
        database=exchange.database,
        network=exchange.network,
        services=[world.services[name] for name in UPGRADED],
        down_s=DOWN_S,
    )
    world.reach(OPENED)


@scenario(
    name=NAME,
    faults=[restart(name, kinds=kinds) for name, kinds in RESTARTS.items()],
    guards=tuple(GUARDS),
    guards_default=tuple(GUARDS),
    bugs=bugs_of(NAME),
    time_max_s=120.0,
    stall_s=10.0,
    epoch_s=1_782_000_000.0,
    must_reach=(LIQUIDATED, MARKETS_TAKEN_OVER, OPENED, PAID_OUT),
)
async def reopening(world: World) -> None:
    """Everything closes for an upgrade and comes back, and any service may restart meanwhile."""
    await reopen(world, open_exchange(world, shortened(JUNE_2026), Exchange))


@scenario(
    name="whole-reopening",
    faults=[restart(name, kinds=kinds) for name, kinds in WHOLE_RESTARTS.items()],
    guards=tuple(GUARDS),
    guards_default=tuple(GUARDS),
    time_max_s=120.0,
    stall_s=10.0,
    epoch_s=1_782_000_000.0,
    must_reach=(LIQUIDATED, MARKETS_TAKEN_OVER, OPENED, PAID_OUT),
)
async def whole_reopening(world: World) -> None:
    """The same with a matching engine that is durable, and that may restart as well."""
    exchange = open_exchange(world, shortened(JUNE_2026), WholeExchange)
    world.add_invariants(matching_agrees_with_chain(exchange), updates_are_numbered_once(exchange))
    await reopen(world, exchange)
