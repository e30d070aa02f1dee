"""The exchange of the recovery drill, deployed in a world, with what its judges look at.

A smaller exchange than that of the incident: orders rest on the chain itself, so that a rollback
takes them along, and the cloud shows projections of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from harness.history import Event as HistoryEvent
from harness.history import Told
from harness.world.service import Life
from harness.world.world import World
from scenarios.opening import opening_state
from scenarios.outside import USDC_PRICE, Path, prices
from scenarios.people import Listing, Population, population
from scenarios.records import of_chain, told_as
from scenarios.recovery_premise import BTC, ETH, INDICES, PRICES, Premise, play
from target_stub.bugs import BUGS, NO_BUG
from target_stub.chain import Block
from target_stub.cloud import feed, payouts, projections, recovery, runbook
from target_stub.cloud.feed import Feed
from target_stub.cloud.fork_customer import ForkCustomer, Intent
from target_stub.cloud.payouts import Payouts
from target_stub.cloud.projections import Projections
from target_stub.cloud.recovery import Recovery
from target_stub.cloud.risk import Risk
from target_stub.core import (
    BTC_USD_PERP,
    ETH_USD_PERP,
    JANUARY_2026,
    Event,
    Mode,
    Reopening,
    State,
)
from target_stub.core.events import ModeChanged
from target_stub.core.fund_events import BridgeMoved, Transferred
from target_stub.forks import ForkingChain, ForkingNode, OnFork, OnLastRead
from target_stub.ports import Row

#: The rules of that January with stages of reopening and a health check every second.
SPEC = replace(
    JANUARY_2026,
    health_check_seconds=1,
    reopening=Reopening(cancel_only_ms=300, post_only_ms=300, fresh_ms=600_000),
)
MARKETS = (BTC_USD_PERP, ETH_USD_PERP)
PEOPLE = 16
#: The chain keeps a snapshot at every fourth height.
SNAPSHOT_EVERY = 4
#: When the operator begins, and how long he waits for what is under way, in seconds.
BEGINS_AT_S, QUIET_S = 0.2, 0.2
LISTINGS = (
    Listing(
        market=BTC,
        entry_price_usdc=Decimal(93_040),
        funding_index=INDICES[BTC],
        size_step=Decimal("0.001"),
        notional_usdc=40_000,
    ),
    Listing(
        market=ETH,
        entry_price_usdc=Decimal(3_211),
        funding_index=INDICES[ETH],
        size_step=Decimal("0.01"),
        notional_usdc=20_000,
    ),
)
_PATHS = (
    Path(
        market=BTC,
        start_usd=PRICES[BTC],
        tick_usd=Decimal("0.1"),
        fall=Decimal("0.004"),
        falls_at_ms=100,
    ),
    Path(market=ETH, start_usd=PRICES[ETH], tick_usd=Decimal("0.01")),
)


@dataclass(frozen=True, slots=True)
class Step:
    """One block as the judges keep it, rolled back or not: its fork and the state before it."""

    fork: int
    before: State
    block: Block


class RecoveringExchange:
    """All services of one drill, and the records by which they are judged."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.bug = BUGS[world.bug] if world.bug else NO_BUG
        self.people: Population = population(world.seed, PEOPLE, LISTINGS)
        self.prices = prices(world.seed, _PATHS)
        self.database = world.database()
        self.network = world.network()
        self.storage = world.object_store("storage")
        self.chain = opening_chain(self.bug.variant(ForkingChain), self.people)
        self.premise: Premise = play(self.chain, self.people)
        self.steps = self.told_before()
        self.chain.observer = self.observe_block
        self.named: dict[str, set[int]] = {}
        self.audited_before: list[bool] = []
        self.load()
        world.watch(f"{self.network.name}/chain.submit", self.observe_message)

    def told_before(self) -> list[Step]:
        """The blocks of the premise, which nobody has watched."""
        states = [self.chain.genesis, *(block.state for block in self.chain.blocks)]
        return [
            Step(0, state, block) for state, block in zip(states, self.chain.blocks, strict=False)
        ]

    def load(self) -> None:
        """Put into the stores what the morning, and the fault, have left there."""
        rows = {
            symbol: {"funding_index": INDICES[symbol], "premium_usdc": Decimal(0)}
            for symbol in INDICES
        }
        rows[BTC] = {**rows[BTC], "funding_index": Decimal(0)}
        self.database.load(feed.TABLE, rows)
        self.database.load(
            payouts.OUTSIDE, {t.id: payouts.outside_row(t) for t in self.premise.outside}
        )
        self.database.load(payouts.GATES, {payouts.GATE: payouts.gate(opened=True, fork=0)})
        self.database.load(projections.TABLE, projections.opening_rows(self.chain.journal))
        self.database.load(runbook.TABLE, runbook.opening_rows(*recovery.DECISIONS))

    # --- services ---------------------------------------------------------------------------

    async def start(self) -> None:
        """Start everything, and let it boot; the operator waits for his time."""
        for name, run in (
            ("chain", self.run_chain),
            ("publisher", self.run_feed),
            ("projections", self.run_projections),
            ("bridge", self.run_payouts),
            ("risk", self.run_risk),
            ("operator", self.run_operator),
        ):
            self.world.service(name, run)
        for service in self.world.services.values():
            await service.ready()

    async def run_chain(self, life: Life) -> None:
        """One incarnation of the chain's node."""
        node = self.bug.variant(ForkingNode, life.incarnation)
        await node(life, chain=self.chain, network=self.network).run()

    async def run_feed(self, life: Life) -> None:
        """One incarnation of the publisher of market values."""
        publisher = self.bug.variant(Feed, life.incarnation)
        await publisher(
            life, network=self.network, database=self.database, prices=self.prices
        ).run()

    async def run_projections(self, life: Life) -> None:
        """One incarnation of the projections."""
        service = self.bug.variant(Projections, life.incarnation)
        await service(life, network=self.network, database=self.database).run()

    async def run_payouts(self, life: Life) -> None:
        """One incarnation of the bridge."""
        bridge = self.bug.variant(Payouts, life.incarnation)
        await bridge(life, network=self.network, database=self.database).run()

    async def run_risk(self, life: Life) -> None:
        """One incarnation of the liquidator, which knows nothing of forks."""
        await Risk(life, network=OnLastRead(self.network), storage=self.storage).run()

    async def run_operator(self, life: Life) -> None:
        """One incarnation of the operator who runs the drill."""
        operator = self.bug.variant(Recovery, life.incarnation)
        await operator(
            life,
            network=self.network,
            database=self.database,
            storage=self.storage,
            snapshot_every=SNAPSHOT_EVERY,
            begins_at_s=BEGINS_AT_S,
            quiet_s=QUIET_S,
        ).run()

    async def recovered(self) -> None:
        """Wait until the drill is done, as its own record says."""
        await self.world.simulation.operate(
            "wait for the end of the drill",
            lambda: None,
            enabled=lambda: self.done == len(recovery.STEPS),
            describe_wait=lambda: f"{self.done} of {len(recovery.STEPS)} steps are done",
        )

    @property
    def done(self) -> int:
        """How many steps of the drill are known to be done."""
        progress = self.database.table(runbook.TABLE)["progress"]["done"]
        return progress if isinstance(progress, int) else 0

    def customer(self, name: str, intents: Sequence[Intent]) -> ForkCustomer:
        """A customer of this exchange."""
        return ForkCustomer(name, network=self.network, intents=intents, does=self.world.does)

    # --- records ----------------------------------------------------------------------------

    def observe_message(self, event: HistoryEvent) -> None:
        """Remember the forks that messages named, by command."""
        if event.kind == "receive" and isinstance(event.value, OnFork):
            message = event.value
            self.named.setdefault(message.command.id, set()).add(message.fork)

    def observe_block(self, before: State, block: Block) -> None:
        """Keep every block, also of a fork that will be left, and tell the history."""
        fork = self.chain.fork
        self.steps.append(Step(fork, before, block))
        for event in block.events:
            if fork and isinstance(event, ModeChanged) and event.mode is Mode.CANCEL_ONLY:
                self.audited_before.append(recovery.AUDIT in self.storage.objects())
            told = _told(event)
            if told is not None:
                self.world.simulation.emit(**of_chain(told)._asdict())

    @property
    def reopening(self) -> Step | None:
        """The block with which the exchange began to open on the new fork, if it did."""
        for step in self.steps:
            for event in step.block.events:
                opens = isinstance(event, ModeChanged) and event.mode is not Mode.MAINTENANCE
                if step.fork and opens:
                    return step
        return None


def opening_chain(kind: type[ForkingChain], people: Population) -> ForkingChain:
    """The chain with its people, their positions and the values of the last clean tick."""
    start = opening_state(SPEC, MARKETS, _opening_rows(), people)
    return kind(start, mode_gate=True)


def _told(event: Event) -> Told | None:
    """What of an event of the chain is worth telling."""
    if isinstance(event, Transferred):
        return Told(f"pay {event.amount} to {event.to}", f"payments/{event.account}")
    if isinstance(event, BridgeMoved):
        return Told(event.transfer.describe(), f"transfers/{event.transfer.id}")
    return told_as(event)


def _opening_rows() -> dict[str, Row]:
    return {
        symbol: {
            "spot_usd": PRICES[symbol],
            "usdc_price": USDC_PRICE,
            "mark_usd": PRICES[symbol],
            "funding_index": INDICES[symbol],
            "premium_usdc": Decimal(0),
        }
        for symbol in INDICES
    }
