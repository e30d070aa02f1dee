"""Crash equivalence: whatever is restarted when, the exchange ends where it would have ended.

What is modelled: the exchange with all its guards and a service that counts volumes for the fees,
and customers who deposit, trade and withdraw in rounds; every service may be crashed, stopped or
replaced at every step, and crashed again while it comes back. What is not: several faults far
apart, which is the business of the other scenarios. It tells no incident; the bugs that name it are
those that recover an equal state and go wrong later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any

import trio

from harness.equivalence import Equivalence
from harness.history import derive_seed
from harness.scenario import restart, scenario
from harness.world.service import Life
from harness.world.world import World
from scenarios.january import MARKETS, opening_row
from scenarios.money_rules import rules_in_force
from scenarios.outside import prices
from scenarios.people import population
from scenarios.rounds import Rounds
from scenarios.twins.chain import ChainTwin
from scenarios.twins.market_data import MarketDataTwin
from scenarios.twins.matching import DeskTwin, FollowerTwin
from scenarios.twins.risk import HealthCheckTwin
from scenarios.twins.volumes import VolumesTwin
from scenarios.whole_services import WholeExchange
from target_stub.bugs import bugs_of
from target_stub.chain import Block
from target_stub.cloud.trader import Instrument
from target_stub.cloud.volumes import KEY, Volumes
from target_stub.cloud.volumes import TABLE as VOLUMES
from target_stub.cloud.volumes import opening_row as opening_volumes
from target_stub.core import JANUARY_2026, Filled, FillType, State
from target_stub.core.events import MarketPublished, Withdrawn
from target_stub.core.fees import FEES_APRIL_2026
from target_stub.guards import GUARDS
from target_stub.ports import Row

NAME = "crash-equivalence"
TICK, TRADE, CHECK, WITHDRAWAL, BOUNDARY = MILESTONES = (
    "funding tick",
    "trade",
    "health check",
    "withdrawal",
    "period boundary",
)
LISTED = MARKETS[:2]
PEOPLE, DESKS = 6, 1
#: Health is checked every two seconds, so that a run need not go on for long to see a whole check.
SPEC = replace(JANUARY_2026, fees=FEES_APRIL_2026, health_check_seconds=2)
#: The period after which volumes count for the fees; a day on the real exchange.
PERIOD_MS = 4_000
#: How long the customers work before the run may end, in seconds.
WORK_S = 5.0
FAULTS_MAX = 2
#: How long a restart takes where the order is fair: down, until the first quote, and two retries.
RESTART_S = 0.1 + 1.0 + 2 * 0.5
#: How long everything takes from then on that must come after the last restart: the restarts that
#: go on, one in the wake of the other, and the funding tick, which has the longest period. Whoever
#: runs on for longer will do so for ever; the limit of a run is that and what unfair orders may
#: take, which is half of it (harness.engine.UNFAIR_SHARE).
FAIR_S = FAULTS_MAX * RESTART_S + SPEC.funding_tick_ms / 1000
#: What the nemesis may do to each service; the last two serve for ever, nobody asks them to stop.
RESTARTS = {
    **dict.fromkeys(
        ("market_data", "publisher", "risk", "matching", "volumes"), ("crash", "stop", "rolling")
    ),
    **dict.fromkeys(("chain", "oracle"), ("crash",)),
}


class TwinnedExchange(WholeExchange):
    """All services of one run with the count of volumes, and a twin beside each of them.

    The journal of matching is shortened a few times in a run, so that it crashes in between.
    """

    snapshot_every = 6

    def __init__(self, world: World, **details: Any) -> None:
        super().__init__(world, **details)
        self.equivalence = Equivalence(world, milestones=MILESTONES)
        markets = MarketDataTwin(self, self.equivalence)
        volumes = VolumesTwin(self, self.equivalence, period_ms=PERIOD_MS, boundary=BOUNDARY)
        chain = ChainTwin(self, self.equivalence, markets=markets, volumes=volumes)
        HealthCheckTwin(self, self.equivalence, milestone=CHECK)
        DeskTwin(self, self.equivalence)
        FollowerTwin(self, self.equivalence, chain=chain, resting=self.resting)

    def load(self, rows: Mapping[str, Row]) -> None:
        """The same stores, and nobody has counted yet."""
        super().load(rows)
        self.database.load(VOLUMES, {KEY: opening_volumes()})

    async def start(self) -> None:
        """Start all services; the count last, because it needs the chain."""
        await super().start()
        await self.world.service("volumes", self.run_volumes).ready()

    async def run_volumes(self, life: Life) -> None:
        """One incarnation of the count of volumes."""
        volumes = self.bug.variant(Volumes, life.incarnation)
        await volumes(life, database=self.database, network=self.network, period_ms=PERIOD_MS).run()

    def resting(self) -> bool:
        """Whether no customer waits for anything."""
        return all(desk.resting for desk in self.traders if isinstance(desk, Rounds))

    def observe_block(self, before: State, block: Block) -> None:
        """Tell the history what the chain did, and which milestones that is."""
        super().observe_block(before, block)
        for event in block.events:
            if isinstance(event, Filled) and event.fill_type is FillType.FILL:
                self.equivalence.passed(TRADE)
            elif isinstance(event, Withdrawn):
                self.equivalence.passed(WITHDRAWAL)
            elif isinstance(event, MarketPublished):
                self.equivalence.passed(TICK)


def open_exchange(world: World) -> TwinnedExchange:
    """The exchange and its twins, with a few people, ready to be started."""
    listings = tuple(listing for _, _, listing in LISTED)
    paths = tuple(path for _, path, _ in LISTED)
    return TwinnedExchange(
        world,
        spec=SPEC,
        markets=tuple(market for market, _, _ in LISTED),
        rows={market.symbol: opening_row(market, path, held) for market, path, held in LISTED},
        people=population(world.seed, PEOPLE, listings),
        prices=prices(world.seed, paths),
    )


def make_desk(world: World, exchange: TwinnedExchange, number: int) -> Rounds:
    """A customer with two accounts who trades with himself in one market."""
    market, path, _ = LISTED[number % len(LISTED)]
    names = population(world.seed, PEOPLE, tuple(held for _, _, held in LISTED)).traders
    desk = Rounds(
        f"desk{number}",
        network=exchange.network,
        accounts=names[2 * number : 2 * number + 2],
        instruments=(
            Instrument(
                market=market.symbol,
                price_usd=(path.start_usd * (1 - path.fall)).quantize(path.tick_usd),
                tick_usd=path.tick_usd * 100,
                size=market.order_size_increment * 100_000,
            ),
        ),
        random=Random(derive_seed(world.seed, "desk", number)),
        every_s=1.3,
        until_s=float("inf"),
        does=world.does,
    )
    exchange.traders.append(desk)
    return desk


@scenario(
    name=NAME,
    faults=[restart(name, kinds=kinds, in_recovery=True) for name, kinds in RESTARTS.items()],
    faults_max=FAULTS_MAX,
    guards=tuple(GUARDS),
    guards_default=tuple(GUARDS),
    bugs=bugs_of(NAME),
    time_max_s=120.0,
    stall_s=10.0,
    must_reach=[f"{milestone} after a restart" for milestone in MILESTONES],
)
async def crash_equivalence(world: World) -> None:
    """Customers deposit, trade and withdraw; then all of it happens once more after any restart."""
    exchange = open_exchange(world)
    world.add_invariants(*rules_in_force(exchange))
    await exchange.start()
    for number in range(DESKS):
        desk = make_desk(world, exchange, number)
        world.start_client(desk.name, desk.run)
    await trio.sleep(WORK_S)
    await exchange.equivalence.run_on()
