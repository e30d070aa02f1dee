"""One service of the reference exchange as a process of the operating system.

    python -m scenarios.real.services market_data --cast reduced --seed 7

The services are those of the simulation, unchanged; here they are handed ports to PostgreSQL, an
object store and HTTP. Which incarnation it is, and where everything is, the environment says.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import import_module
from random import Random
from typing import TypeVar

import trio

from harness.history import derive_seed
from scenarios.january import (
    AWAY_S,
    BACK_S,
    CHECKED_AT_S,
    DOWN_S,
    END_S,
    FIRST_QUOTE_S,
    JANUARY,
    REDUCED,
    SECOND_QUOTE_S,
    STAGE_S,
    TOP_UP_USDC,
    TRADERS,
    TRADING_UNTIL_S,
    UPGRADE_AT_S,
    instruments,
)
from scenarios.opening import opening_objects, opening_state
from target_stub.chain import BLOCKS, MARK_AGE_MS_MAX, Chain, ChainNode
from target_stub.cloud.market_data import MarketData
from target_stub.cloud.matching import Matching
from target_stub.cloud.mode_control import ModeControl
from target_stub.cloud.operator import upgrade_database
from target_stub.cloud.oracle_feed import TOPIC as ORACLE
from target_stub.cloud.oracle_feed import OracleFeed
from target_stub.cloud.publisher import Publisher
from target_stub.cloud.risk import Risk
from target_stub.cloud.trader import Payment, Trader
from target_stub.core import JANUARY_2026, Liquidated, Usdc
from target_stub.defects.bug import NO_BUG, Bug
from target_stub.guards import FRESHNESS, MODE_GATE, Guards
from target_stub.real.chainlog import ChainLog, LoggedNetwork
from target_stub.real.life import ProcessLife, run
from target_stub.real.network import HttpNetwork
from target_stub.real.objectstore import S3Server, S3Store, objects
from target_stub.real.postgres import Links, PostgresDatabase
from target_stub.real.supervisor import Supervised

CASTS = {"january": JANUARY, "reduced": REDUCED}
T = TypeVar("T")


class Process:
    """What one process is told, and the ports that it hands its service."""

    def __init__(self, told: argparse.Namespace) -> None:
        self.cast = CASTS[told.cast]
        self.seed: int = told.seed
        self.bug = bug_called(told.bug)
        self.guards = Guards({*filter(None, told.guards.split(",")), *self.bug.guards})
        self.links = Links()
        self.network = HttpNetwork(self.links)
        self.storage = S3Store(self.network.clients)
        self.database = PostgresDatabase(self.links)

    def variant(self, correct: type[T], life: ProcessLife) -> type[T]:
        """The class that plays a part, with the bug if there is one."""
        return self.bug.variant(correct, life.incarnation)

    async def chain(self, life: ProcessLife) -> None:
        """The chain's node, and its log."""
        log = ChainLog(self.links)
        cast = self.cast
        chain = self.bug.variant(Chain)(
            opening_state(JANUARY_2026, cast.markets, cast.rows, cast.people(self.seed)),
            mode_gate=MODE_GATE in self.guards,
            mark_age_ms_max=MARK_AGE_MS_MAX if FRESHNESS in self.guards else None,
            clock_ms=now_ms,
            observer=log.observe,
        )
        network = LoggedNetwork(self.links, log)
        await self.variant(ChainNode, life)(life, chain=chain, network=network).run()

    async def storage_server(self, life: ProcessLife) -> None:
        """The object store, which knows what weeks of running have left there."""
        await S3Server(objects(opening_objects(self.cast.rows))).run()

    async def market_data(self, life: ProcessLife) -> None:
        """Market data."""
        await self.variant(MarketData, life)(
            life,
            database=self.database,
            network=self.network,
            exchange=JANUARY_2026,
            markets=self.cast.markets,
            guards=self.guards,
        ).run()

    async def publisher(self, life: ProcessLife) -> None:
        """The publisher."""
        await self.variant(Publisher, life)(
            life,
            network=self.network,
            storage=self.storage,
            markets=self.cast.markets,
            guards=self.guards,
        ).run()

    async def risk(self, life: ProcessLife) -> None:
        """The liquidator."""
        risk = self.variant(Risk, life)
        await risk(life, network=self.network, storage=self.storage, guards=self.guards).run()

    async def mode(self, life: ProcessLife) -> None:
        """Mode control."""
        mode = self.variant(ModeControl, life)
        await mode(life, network=self.network, guards=self.guards).run()

    async def matching(self, life: ProcessLife) -> None:
        """Matching."""
        await self.variant(Matching, life)(life, network=self.network).run()

    async def oracle(self, life: ProcessLife) -> None:
        """The oracle feed."""
        prices = self.cast.prices(self.seed)
        await OracleFeed(life, network=self.network, prices=prices).run()

    async def people(self, life: ProcessLife) -> None:
        """Those who trade, each on connections of his own, and the owner of a thin account."""
        people = self.cast.people(self.seed)
        async with trio.open_nursery() as others:
            others.start_soon(self.top_up, self.trader(TRADERS, (people.late,)))
            async with trio.open_nursery() as nursery:
                for number in range(TRADERS):
                    names = people.traders[2 * number : 2 * number + 2]
                    nursery.start_soon(self.trader(number, names).run)
            others.cancel_scope.cancel()

    def trader(self, number: int, names: Sequence[str]) -> Trader:
        """One trader with accounts of his own."""
        return self.bug.variant(Trader)(
            f"trader{number}",
            network=self.network,
            accounts=names,
            instruments=instruments(self.cast.listed),
            random=Random(derive_seed(self.seed, "trader", number)),
            every_s=1.0,
            until_s=TRADING_UNTIL_S,
        )

    async def top_up(self, owner: Trader) -> None:
        """Pay in as soon as anybody is liquidated; it is a matter of order whether in time."""
        async for block in self.network.subscribe(BLOCKS):
            if any(isinstance(event, Liquidated) for event in block.events):
                await owner.pay(Payment(owner.accounts[0], Usdc(TOP_UP_USDC)))
                return

    async def operator(self, life: ProcessLife) -> None:
        """The upgrade of the database, and a health check after it."""
        await trio.sleep_until(UPGRADE_AT_S)
        await upgrade_database(
            database=self.database,
            network=self.network,
            services=[Supervised(name, self.links) for name in ("market_data", "publisher")],
            down_s=DOWN_S,
            stage_s=STAGE_S,
        )
        await trio.sleep_until(CHECKED_AT_S)

    async def outside(self, life: ProcessLife) -> None:
        """Whoever quotes prices and takes the database away in the reduced story."""
        await self.quote_at(FIRST_QUOTE_S)
        await trio.sleep_until(AWAY_S)
        await self.database.maintain("away")
        await self.quote_at(SECOND_QUOTE_S)
        await trio.sleep_until(BACK_S)
        await self.database.reopen()
        await trio.sleep_until(END_S)

    async def quote_at(self, at_s: float) -> None:
        """Tell the price of the outside world at a time."""
        await trio.sleep_until(at_s)
        await self.network.publish(ORACLE, self.cast.prices(self.seed)(round(at_s * 1000)))


SERVICES: Mapping[str, Callable[[Process, ProcessLife], Awaitable[None]]] = {
    "chain": Process.chain,
    "storage": Process.storage_server,
    "market_data": Process.market_data,
    "publisher": Process.publisher,
    "risk": Process.risk,
    "mode": Process.mode,
    "matching": Process.matching,
    "oracle": Process.oracle,
    "people": Process.people,
    "operator": Process.operator,
    "outside": Process.outside,
}


def now_ms() -> int:
    """The time of the run."""
    return round(trio.current_time() * 1000)


def bug_called(name: str) -> Bug:
    """The planted bug of a ``module:name``; only the defects of that module are looked at."""
    module, _, called = name.partition(":")
    if not called:
        return NO_BUG
    found: Bug = import_module(module).BUGS[called]
    return found


def main() -> None:
    """Be one service."""
    parser = argparse.ArgumentParser(description="one service of the reference exchange")
    parser.add_argument("service", choices=sorted(SERVICES))
    parser.add_argument("--cast", choices=sorted(CASTS), default="january")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--guards", default="", help="joined by commas")
    parser.add_argument("--bug", default="", help="module:name")
    told = parser.parse_args()
    process = Process(told)

    async def serve(life: ProcessLife) -> None:
        await SERVICES[told.service](process, life)

    run(told.service, serve, seed=told.seed)


if __name__ == "__main__":
    main()
