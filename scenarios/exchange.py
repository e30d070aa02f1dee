"""The reference exchange, deployed in a world, with everything that its judges look at.

It hands the services their ports, tells the history what the chain did, and keeps a shadow: the
same chain fed the same commands, except for market values that nothing can explain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from harness.history import Event as HistoryEvent
from harness.world.database import Database
from harness.world.network import Network
from harness.world.objectstore import ObjectStore
from harness.world.service import Life
from harness.world.world import World
from scenarios.people import Population
from target_stub.bugs import MARKET_DATA
from target_stub.chain import Block, Chain, ChainNode
from target_stub.cloud.market_data import EPOCHS, TABLE, Implausible, MarketData, check_plausible
from target_stub.cloud.matching import Matching
from target_stub.cloud.mode_control import ModeControl
from target_stub.cloud.oracle_feed import OracleFeed, Prices
from target_stub.cloud.publisher import CHECKPOINTS, Publisher
from target_stub.cloud.risk import Risk
from target_stub.core import (
    ExchangeSpec,
    Filled,
    FillType,
    Liquidate,
    Liquidated,
    MarketSpec,
    OracleUpdate,
    PublishMarket,
    Rejected,
    State,
    apply,
    genesis,
    seeded,
)
from target_stub.core.events import Deposited, MarketPublished, ModeChanged, Triggered
from target_stub.core.margin import account_value
from target_stub.guards import MODE_GATE
from target_stub.ports import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Wronged:
    """One liquidation that clean values do not justify, and what it took from the account."""

    account: str
    loss_usdc: Decimal
    step: int
    at_ms: int


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
    ) -> None:
        self.world = world
        self.spec = spec
        self.markets = tuple(markets)
        self.prices = prices
        self.database: Database = world.database()
        self.network: Network = world.network()
        self.storage: ObjectStore = world.object_store("storage")
        self.market_data: dict[str, MarketData] = {}
        self.versions: list[Mapping[str, Row]] = [dict(rows)]
        self.wronged: list[Wronged] = []
        self.liquidated = 0
        self.database.load(TABLE, rows)
        self.database.load(EPOCHS, {TABLE: {"incarnation": 1}})
        self.storage.load({f"{CHECKPOINTS}/{symbol}": row for symbol, row in rows.items()})
        start = opening_state(spec, markets, rows, people)
        gate = MODE_GATE in world.guards
        self.chain = Chain(start, mode_gate=gate, observer=self.observe_block)
        self.shadow = self.chain.genesis
        self.shadow_rows: dict[str, Row] = dict(rows)
        world.watch(f"{self.database.name}/{TABLE}/", self.observe_commit)

    # --- services ---------------------------------------------------------------------------

    async def start(self) -> None:
        """Start all services, in the order in which they depend on each other, and let them boot."""
        world, network, guards = self.world, self.network, self.world.guards
        world.service("chain", lambda life: ChainNode(life, chain=self.chain, network=network).run())
        world.service("mode", lambda life: ModeControl(life, network=network, guards=guards).run())
        world.service("publisher", self.run_publisher)
        world.service("market_data", self.run_market_data)
        world.service("risk", lambda life: Risk(life, network=network, guards=guards).run())
        world.service("matching", lambda life: Matching(life, network=network).run())
        world.service(
            "oracle", lambda life: OracleFeed(life, network=network, prices=self.prices).run()
        )
        for service in world.services.values():
            await service.ready()

    async def run_market_data(self, life: Life) -> None:
        """One incarnation of market data, with the planted bug if there is one.

        The first incarnation has been running for weeks when the story begins; a bug of booting
        is behind it, so it is always the correct service.
        """
        variant = MARKET_DATA[self.world.bug if life.incarnation > 1 else ""]
        service = variant(
            life,
            database=self.database,
            network=self.network,
            exchange=self.spec,
            markets=self.markets,
            guards=self.world.guards,
        )
        self.market_data[life.name] = service
        await service.run()

    async def run_publisher(self, life: Life) -> None:
        """One incarnation of the publisher."""
        await Publisher(
            life,
            network=self.network,
            storage=self.storage,
            markets=self.markets,
            guards=self.world.guards,
        ).run()

    # --- records ----------------------------------------------------------------------------

    def observe_commit(self, event: HistoryEvent) -> None:
        """Remember every committed version of the market rows."""
        if event.kind == "write":
            self.versions.append(dict(self.database.table(TABLE)))

    def observe_block(self, before: State, block: Block) -> None:
        """Tell the history what the chain did, and let the shadow do it too."""
        emit = self.world.simulation.emit
        for event in block.events:
            match event:
                case MarketPublished():
                    emit(
                        "write",
                        f"publish {event.market}",
                        resource=f"chain/markets/{event.market}",
                        value=f"mark {event.mark}",
                        before=event.index_before,
                        after=event.index,
                        peer="chain",
                    )
                case Liquidated():
                    self.judge_liquidation(event)
                    emit(
                        "write",
                        f"liquidate {event.account}",
                        resource=f"chain/liquidations/{event.account}",
                        value=f"{event.share * 100:f} % for {event.penalty}",
                        peer="chain",
                    )
                case Deposited():
                    emit(
                        "write",
                        f"deposit {event.amount}",
                        resource=f"chain/accounts/{event.account}",
                        peer="chain",
                    )
                case Filled() if event.fill_type is FillType.FILL:
                    emit(
                        "write",
                        f"settle {event.size} at {event.price}",
                        resource=f"chain/trades/{event.market}",
                        peer="chain",
                    )
                case ModeChanged():
                    emit(
                        "write",
                        f"mode {event.mode}",
                        resource="chain/mode",
                        before=event.before,
                        after=event.mode,
                        peer="chain",
                    )
                case Triggered():
                    emit("write", "trigger", resource="chain/triggers", peer="chain")
        self.follow_in_shadow(block)

    def follow_in_shadow(self, block: Block) -> None:
        """Apply a block to the shadow, unless clean values forbid it."""
        command = block.command
        if any(isinstance(event, Rejected) for event in block.events):
            return
        if isinstance(command, PublishMarket) and not self.is_clean(command):
            return
        if not isinstance(command, Liquidate):
            self.shadow, _ = apply(self.shadow, command)

    def is_clean(self, command: PublishMarket) -> bool:
        """Whether published values can follow the last clean ones of that market."""
        symbol = command.market
        quote = next(q for q in self.prices(command.at_ms) if q.market == symbol)
        row = {
            "spot_usd": quote.spot_usd,
            "usdc_price": quote.usdc_price,
            "mark_usd": command.mark_price,
            "funding_index": command.funding_index,
            "funding_at_ms": command.at_ms,
        }
        before = self.shadow_rows[symbol]
        tick_ms = self.spec.funding_tick_ms
        earlier = min(before["funding_at_ms"], command.at_ms - tick_ms)
        try:
            spec = self.shadow.markets[symbol].spec
            check_plausible(spec, {**before, "funding_at_ms": earlier}, row)
        except Implausible:
            return False
        self.shadow_rows[symbol] = row
        return True

    def judge_liquidation(self, event: Liquidated) -> None:
        """Would the shadow, with clean values, have liquidated this account?"""
        self.liquidated += 1
        simulation = self.world.simulation
        command = Liquidate(
            id=f"judge-{self.liquidated}-{event.account}",
            at_ms=simulation.now_ms,
            account=event.account,
        )
        value_before = self.shadow_value(self.shadow, event.account)
        shadow, events = apply(self.shadow, command)
        if not any(isinstance(each, Rejected) for each in events):
            self.shadow = shadow
            return
        loss = value_before - self.real_value_after(event)
        self.wronged.append(
            Wronged(
                account=event.account,
                loss_usdc=loss,
                step=simulation.steps,
                at_ms=simulation.now_ms,
            )
        )

    def shadow_value(self, state: State, account: str) -> Decimal:
        """What an account is worth in USDC at the shadow's own clean values."""
        usdc_price = state.known_usdc_price()
        value = account_value(state.accounts[account], state.known_prices(), usdc_price)
        return value.value / usdc_price

    def real_value_after(self, event: Liquidated) -> Decimal:
        """What the chain's own, possibly wrong values leave of an account, in USDC, at least 0."""
        usdc_price = self.shadow.known_usdc_price()
        return max(Decimal(0), event.account_value.value / usdc_price - event.penalty.value)


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
            ),
        )
    return state


