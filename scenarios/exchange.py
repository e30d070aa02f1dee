"""The reference exchange, deployed in a world, with everything that its judges look at.

It hands the services their ports, plants the bug if there is one, tells the history what the chain
did and what guards refused, and keeps the records by which the money rules judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from harness.history import Event as HistoryEvent
from harness.world.database import Database
from harness.world.network import Network
from harness.world.objectstore import ObjectStore
from harness.world.service import Life
from harness.world.world import World
from scenarios.deployment import JANUARY, Deployment
from scenarios.people import Population
from scenarios.rules.view import Wronged
from scenarios.shadow import Shadow
from target_stub.bugs import BUGS, NO_BUG, Bug
from target_stub.chain import MARK_AGE_MS_MAX, Block, Chain, ChainNode
from target_stub.cloud.bridge import Bridge
from target_stub.cloud.market_data import EPOCHS, TABLE, MarketData
from target_stub.cloud.matching import Matching
from target_stub.cloud.mode_control import ModeControl
from target_stub.cloud.oracle_feed import OracleFeed, Prices
from target_stub.cloud.publisher import CHECKPOINTS, Publisher
from target_stub.cloud.risk import BELIEVED, Risk
from target_stub.cloud.staged_modes import KEY as MODE_KEY
from target_stub.cloud.staged_modes import TABLE as MODES
from target_stub.cloud.staged_modes import StagedModeControl
from target_stub.cloud.staged_modes import opening_row as opening_mode
from target_stub.cloud.trader import Trader
from target_stub.core import (
    Event,
    ExchangeSpec,
    Filled,
    FillType,
    Liquidated,
    MarketPrice,
    MarketSpec,
    OracleUpdate,
    PublishMarket,
    State,
    apply,
    genesis,
    seeded,
)
from target_stub.core.events import BridgeMoved, Deposited, MarketPublished, ModeChanged, Triggered
from target_stub.core.transfers import NEXT
from target_stub.guards import FRESHNESS, MODE_GATE, Guards, Refusal
from target_stub.outside_chain import OutsideChain, OutsideNode
from target_stub.ports import Row

#: What a run reaches, for whoever counts: wrong values that came so far.
WRONG_COMMITTED, WRONG_PUBLISHED = "wrong value committed", "wrong value published"
#: What has to happen in some run, or nothing was put to the test.
LIQUIDATED = "somebody is liquidated"
MARKETS_TAKEN_OVER = "a new market data commits"
PUBLISHING_TAKEN_OVER = "a new publisher publishes"
MUST_REACH = (LIQUIDATED, MARKETS_TAKEN_OVER, PUBLISHING_TAKEN_OVER)
#: What a refusal's note says it stopped.
WRONG, RIGHT = "wrong", "not wrong"


class Exchange:
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
        self.deployment = deployment
        self.spec = spec
        self.markets = tuple(markets)
        self.people = people
        self.prices = prices
        self.bug = bug or (BUGS[world.bug] if world.bug else NO_BUG)
        self.guards = Guards({*world.guards, *self.bug.guards}, tell=self.observe_refusal)
        self.database: Database = world.database()
        self.network: Network = world.network()
        self.storage: ObjectStore = world.object_store("storage")
        self.market_data: dict[str, MarketData] = {}
        self.traders: list[Trader] = []
        self.outside = OutsideChain()
        self.versions: list[Mapping[str, Row]] = [dict(rows)]
        self.wronged: list[Wronged] = []
        self.liquidated = 0
        self.checks = 0
        self._liquidators: set[str] = set()
        self.block_at_ms: dict[int, int] = {}
        self.matcher: Matching | None = None
        self.load(rows)
        start = opening_state(spec, markets, rows, people)
        self.chain = self.bug.variant(Chain)(
            start,
            mode_gate=MODE_GATE in self.guards or deployment.staged_modes,
            mark_age_ms_max=MARK_AGE_MS_MAX if FRESHNESS in self.guards else None,
            clock_ms=lambda: world.now_ms,
            observer=self.observe_block,
            tell=self.observe_refusal,
        )
        self.shadow = Shadow(self.chain.genesis, rows, prices, fair_width=deployment.fair_width)
        world.watch(f"{self.database.name}/{TABLE}/", self.observe_commit)
        world.watch(f"{self.network.name}/chain.state", self.observe_read)
        world.watch(f"{self.network.name}/chain.submit", self.observe_submission)

    def load(self, rows: Mapping[str, Row]) -> None:
        """Put into the stores what weeks of running would have left there."""
        self.database.load(TABLE, rows)
        self.database.load(EPOCHS, {TABLE: {"incarnation": 1}})
        if self.deployment.staged_modes:
            self.database.load(MODES, {MODE_KEY: opening_mode()})
        self.storage.load({f"{CHECKPOINTS}/{symbol}": row for symbol, row in rows.items()})
        prices = {s: MarketPrice(row["mark_usd"], row["funding_index"]) for s, row in rows.items()}
        self.storage.load({BELIEVED: {s: (p, rows[s]["funding_at_ms"]) for s, p in prices.items()}})

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
        self.matcher = matching(life, network=self.network, tells_books=tells_books)
        await self.matcher.run()

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
        if event.lane.startswith("market_data#") and event.lane != "market_data#1":
            self.world.reach(MARKETS_TAKEN_OVER)
        rows = self.database.table(TABLE)
        self.versions.append(dict(rows))
        symbol = event.resource.rpartition("/")[2]
        if not self.shadow.explains(symbol, rows[symbol]):
            self.world.reach(WRONG_COMMITTED)

    def observe_read(self, event: HistoryEvent) -> None:
        """Count the health checks: every answer the liquidator gets but the one at its boot."""
        if event.kind == "receive" and event.lane.startswith("risk#"):
            self.checks += event.lane in self._liquidators
            self._liquidators.add(event.lane)

    def observe_submission(self, event: HistoryEvent) -> None:
        """Note that a publisher goes on where another one has ended."""
        later = event.lane.startswith("publisher#") and event.lane != "publisher#1"
        if later and event.kind == "send":
            self.world.reach(PUBLISHING_TAKEN_OVER)

    def observe_refusal(self, refusal: Refusal) -> None:
        """Tell the history that a guard refused something, and whether that was wrong.

        A row is wrong if clean values cannot explain it, a liquidation if the shadow would not do
        it.
        """
        now_ms = self.world.now_ms
        wrong = any(not self.shadow.explains(symbol, row) for symbol, row in refusal.rows.items())
        wrong |= any(not self.shadow.would_liquidate(name, now_ms) for name in refusal.accounts)
        self.world.simulation.emit(
            "note",
            f"{refusal.guard} refused",
            resource=f"guards/{refusal.guard}",
            value=refusal.why,
            after=WRONG if wrong else RIGHT,
        )

    def observe_block(self, before: State, block: Block) -> None:
        """Tell the history what the chain did, and let the shadow do it too."""
        self.block_at_ms[block.height] = self.world.now_ms
        if isinstance(block.command, PublishMarket):
            symbol, row = block.command.market, self.shadow.row_of(block.command)
            if not self.shadow.explains(symbol, row):
                self.world.reach(WRONG_PUBLISHED)
        for event in block.events:
            if isinstance(event, Liquidated):
                self.judge_liquidation(event)
            told = told_as(event)
            if told is not None:
                self.world.simulation.emit(
                    "write",
                    told.operation,
                    resource=f"chain/{told.resource}",
                    value=told.value,
                    before=told.before,
                    after=told.after,
                    peer="chain",
                )
        self.shadow.follow(block)

    def judge_liquidation(self, event: Liquidated) -> None:
        """Would the shadow, with clean values, have liquidated this account?"""
        self.liquidated += 1
        self.world.reach(LIQUIDATED)
        simulation = self.world.simulation
        wronged = self.shadow.judge(event, step=simulation.steps, at_ms=simulation.now_ms)
        if wronged is not None:
            self.wronged.append(wronged)


class Told(NamedTuple):
    """How the history tells an event of the chain: a write, and of what."""

    operation: str
    resource: str
    value: object = ""
    before: object = ""
    after: object = ""


def told_as(event: Event) -> Told | None:
    """What of an event of the chain is worth telling, if anything."""
    told = None
    match event:
        case MarketPublished(market=market, index_before=before, index=index):
            mark = f"mark {event.mark}"
            told = Told(f"publish {market}", f"markets/{market}", mark, before, index)
        case Liquidated(account=account):
            cut = f"{event.share * 100:f} % for {event.penalty}"
            told = Told(f"liquidate {account}", f"liquidations/{account}", cut)
        case Deposited():
            told = Told(f"deposit {event.amount}", f"accounts/{event.account}")
        case Filled() if event.fill_type is FillType.FILL:
            told = Told(f"settle {event.size} at {event.price}", f"trades/{event.market}")
        case ModeChanged():
            told = Told(f"mode {event.mode}", "mode", "", event.before, event.mode)
        case Triggered():
            told = Told("trigger", "triggers")
        case BridgeMoved(transfer=transfer):
            said = f"{transfer.direction} of {transfer.amount}".lower()
            told = Told(said, f"bridge/{transfer.id}", "", "", transfer.status)
    return told


def opening_state(
    spec: ExchangeSpec, markets: Sequence[MarketSpec], rows: Mapping[str, Row], people: Population
) -> State:
    """The chain as it is when the story begins: people, positions, and published values."""
    state = seeded(genesis(spec, markets), people.balances, people.positions)
    for market in markets:
        row = rows[market.symbol]
        state, _ = apply(
            state,
            OracleUpdate(
                id=f"opening-oracle-{market.symbol}",
                at_ms=0,
                market=market.symbol,
                spot_usd=row["spot_usd"],
                usdc_price=row["usdc_price"],
                external_rates=row.get("external_rates"),
            ),
        )
        state, _ = apply(
            state,
            PublishMarket(
                id=f"opening-{market.symbol}",
                at_ms=0,
                market=market.symbol,
                mark_price=row["mark_usd"],
                funding_index=row["funding_index"],
                premium=row["premium_usdc"],
                liquidity=row.get("liquidity"),
                own_basis=row.get("own_basis"),
            ),
        )
    return state
