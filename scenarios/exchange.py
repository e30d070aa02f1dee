"""The reference exchange, deployed in a world, with everything that its judges look at.

It hands the services their ports, plants the bug if there is one, tells the history what the chain
did and what guards refused, and keeps the records by which the money rules judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from harness.history import Event as HistoryEvent
from harness.history import Told
from harness.world.database import Database
from harness.world.network import Network
from harness.world.objectstore import ObjectStore
from harness.world.service import Life
from harness.world.world import World
from scenarios.deployment import JANUARY, Deployment
from scenarios.opening import opening_objects
from scenarios.people import Population
from scenarios.records import Records
from target_stub.bugs import BUGS, NO_BUG, Bug
from target_stub.chain import ChainNode
from target_stub.cloud.bridge import Bridge
from target_stub.cloud.durable_matching import DurableMatching
from target_stub.cloud.market_data import EPOCHS, TABLE, MarketData
from target_stub.cloud.matching import Matching
from target_stub.cloud.mode_control import ModeControl
from target_stub.cloud.oracle_feed import OracleFeed, Prices
from target_stub.cloud.publisher import Publisher
from target_stub.cloud.risk import Risk
from target_stub.cloud.staged_modes import KEY as MODE_KEY
from target_stub.cloud.staged_modes import TABLE as MODES
from target_stub.cloud.staged_modes import StagedModeControl
from target_stub.cloud.staged_modes import opening_row as opening_mode
from target_stub.core import (
    ExchangeSpec,
    MarketSpec,
    State,
)
from target_stub.core.transfers import NEXT
from target_stub.outside_chain import OutsideChain, OutsideNode
from target_stub.ports import Row

M = TypeVar("M", Matching, DurableMatching)


class Exchange(Records):
    """All services of one run, and the records by which they are judged."""

    def __init__(
        self,
        world: World,
        *,
        spec: ExchangeSpec,
        markets: Sequence[MarketSpec],
        rows: Mapping[str, Row],
        people: Population,
        prices: Prices,
        deployment: Deployment = JANUARY,
        bug: Bug | None = None,
    ) -> None:
        self.world = world
        self.database: Database = world.database()
        self.network: Network = world.network()
        self.storage: ObjectStore = world.object_store("storage")
        super().__init__(
            spec=spec,
            markets=markets,
            rows=rows,
            people=people,
            prices=prices,
            deployment=deployment,
            bug=bug or (BUGS[world.bug] if world.bug else NO_BUG),
            guards=world.guards,
        )
        self.outside = OutsideChain()
        self.checks = 0
        self._liquidators: set[str] = set()
        self.matcher: Matching | None = None
        self.load(rows)
        world.watch(f"{self.database.name}/{TABLE}/", self.observe_commit)
        world.watch(f"{self.network.name}/chain.state", self.observe_read)
        world.watch(f"{self.network.name}/chain.submit", self.observe_sending)

    def load(self, rows: Mapping[str, Row]) -> None:
        """Put into the stores what weeks of running would have left there."""
        self.database.load(TABLE, rows)
        self.database.load(EPOCHS, {TABLE: {"incarnation": 1}})
        if self.deployment.staged_modes:
            self.database.load(MODES, {MODE_KEY: opening_mode()})
        self.storage.load(opening_objects(rows))

    # --- services ---------------------------------------------------------------------------

    async def start(self) -> None:
        """Start all services, in the order in which they need each other, and let them boot."""
        beyond = (("outside", self.run_outside), ("bridge", self.run_bridge))
        for name, run in (
            ("chain", self.run_chain),
            ("mode", self.run_mode),
            ("publisher", self.run_publisher),
            ("market_data", self.run_market_data),
            ("risk", self.run_risk),
            ("matching", self.run_matching),
            ("oracle", self.run_oracle),
            *(beyond if self.deployment.bridge else ()),
        ):
            self.world.service(name, run)
        for service in self.world.services.values():
            await service.ready()

    async def run_chain(self, life: Life) -> None:
        """One incarnation of the chain's node."""
        node = self.bug.variant(ChainNode, life.incarnation)
        await node(life, chain=self.chain, network=self.network).run()

    async def run_mode(self, life: Life) -> None:
        """One incarnation of mode control."""
        if self.deployment.staged_modes:
            staged = self.bug.variant(StagedModeControl, life.incarnation)
            await staged(life, database=self.database, network=self.network).run()
            return
        mode = self.bug.variant(ModeControl, life.incarnation)
        await mode(life, network=self.network, guards=self.guards).run()

    async def run_market_data(self, life: Life) -> None:
        """One incarnation of market data."""
        service = self.bug.variant(MarketData, life.incarnation)(
            life,
            database=self.database,
            network=self.network,
            exchange=self.spec,
            markets=self.markets,
            guards=self.guards,
            follows_books=self.deployment.own_book,
            follows_modes=self.deployment.staged_modes,
        )
        self.market_data[life.name] = service
        await service.run()

    async def run_publisher(self, life: Life) -> None:
        """One incarnation of the publisher."""
        await self.bug.variant(Publisher, life.incarnation)(
            life,
            network=self.network,
            storage=self.storage,
            markets=self.markets,
            guards=self.guards,
        ).run()

    async def run_risk(self, life: Life) -> None:
        """One incarnation of the liquidator."""
        risk = self.bug.variant(Risk, life.incarnation)
        await risk(life, network=self.network, storage=self.storage, guards=self.guards).run()

    async def run_matching(self, life: Life) -> None:
        """One incarnation of matching."""
        matching = self.bug.variant(Matching, life.incarnation)
        tells_books = self.deployment.own_book
        service = matching(life, network=self.network, tells_books=tells_books)
        self.matcher = newest(self.matcher, service)
        await service.run()

    async def run_oracle(self, life: Life) -> None:
        """One incarnation of the oracle feed."""
        on_chain = self.deployment.own_book
        await OracleFeed(life, network=self.network, prices=self.prices, on_chain=on_chain).run()

    async def run_outside(self, life: Life) -> None:
        """One incarnation of a node of the outside chain."""
        await OutsideNode(life, chain=self.outside, network=self.network).run()

    async def run_bridge(self, life: Life) -> None:
        """One incarnation of the bridge."""
        bridge = self.bug.variant(Bridge, life.incarnation)
        await bridge(life, network=self.network).run()

    async def settled(self) -> None:
        """Wait for a whole health check from now on, so that nobody who is due is left out."""
        checks = self.checks
        await self.world.simulation.operate(
            "wait for a health check",
            lambda: None,
            enabled=lambda: self.checks > checks,
            describe_wait=lambda: "nobody has checked the health of the accounts",
        )

    async def bridged(self) -> None:
        """Wait until nothing is on its way over the bridge any more."""

        def is_done() -> bool:
            transfers = self.chain.state.transfers
            arrived = all(name in transfers for name in self.outside.deposits)
            return arrived and not any(NEXT[each.status] for each in transfers.values())

        await self.world.simulation.operate(
            "wait for the bridge",
            lambda: None,
            enabled=is_done,
            describe_wait=lambda: "something is still on its way over the bridge",
        )

    # --- records ----------------------------------------------------------------------------

    def order_state(self) -> State | None:
        """What matching knows of orders and books; None before it does."""
        return self.matcher.state if self.matcher else None

    def observe_commit(self, event: HistoryEvent) -> None:
        """Remember every committed version of the market rows."""
        if event.kind != "write":
            return
        symbol = event.resource.rpartition("/")[2]
        self.observe_rows(symbol, self.database.table(TABLE), event.lane)

    def observe_sending(self, event: HistoryEvent) -> None:
        """A command was sent to the chain."""
        if event.kind == "send":
            self.observe_submission(event)

    def observe_read(self, event: HistoryEvent) -> None:
        """Count the health checks: every answer the liquidator gets but the one at its boot."""
        if event.kind == "receive" and event.lane.startswith("risk#"):
            self.checks += event.lane in self._liquidators
            self._liquidators.add(event.lane)

    # --- as the keeper of records ---------------------------------------------------------------

    @property
    def now_ms(self) -> int:
        """Virtual time."""
        return self.world.now_ms

    @property
    def steps(self) -> int:
        """Of the simulation."""
        return self.world.simulation.steps

    def reach(self, mark: str) -> None:
        """Told to the world."""
        self.world.reach(mark)

    def phase_of(self, lane: str) -> str:
        """As the world knows it."""
        return self.world.phase_of(lane)

    def tell(self, told: Told) -> None:
        """Emitted as an event."""
        self.world.simulation.emit(**told._asdict())


def newest(known: M | None, started: M) -> M:
    """The later of two incarnations: one that is slow may come to run after its successor."""
    if known is not None and known.life.incarnation > started.life.incarnation:
        return known
    return started
