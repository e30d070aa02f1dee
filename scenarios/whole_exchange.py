"""The whole exchange: every service, every form of order, and any service may restart at any time.

What is modelled: a quiet quarter of a minute with one fall of the price, seeded customers who use
all that the exchange offers, a short maintenance, and somebody who withdraws while he buys, so that
the chain refuses a trade that was matched. What is not: anything that a customer could not do. It
tells no incident; planted bugs name it as the scenario in which they must be found.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import trio

from harness.history import Event as HistoryEvent
from harness.scenario import restart, scenario
from harness.world.service import Life
from harness.world.world import World
from scenarios.exchange import LIQUIDATED, MARKETS_TAKEN_OVER, Exchange
from scenarios.money_rules import rules_in_force
from scenarios.outside import prices
from scenarios.paradex import opening_row
from scenarios.whole_people import (
    LISTED,
    ROLES,
    be_careful,
    make_customers,
    make_roles,
    people_of,
    spend_twice,
)
from target_stub.bugs import bugs_of
from target_stub.chain import Block
from target_stub.cloud.durable_matching import DurableMatching
from target_stub.cloud.journal import TABLE as JOURNAL
from target_stub.cloud.market_data import EPOCHS
from target_stub.cloud.operator import set_mode
from target_stub.core import (
    JANUARY_2026,
    Command,
    Event,
    Filled,
    Mode,
    Order,
    Reason,
    Rejected,
    SettleTrade,
    State,
)
from target_stub.core.events import OrderCancelled, Triggered
from target_stub.guards import GUARDS
from target_stub.ports import Row

NAME = "whole-exchange"
#: The maintenance: when it begins and how long each of its stages lasts, in virtual seconds.
MAINTENANCE_AT_S, STAGE_S = 8.2, 0.3
#: How long everything goes on once everybody is done and a health check is over.
TAIL_S = 2.0
#: What the nemesis may do to each service.
KINDS = ("crash", "stop", "rolling")
RESTARTS = {
    "matching": KINDS,
    "market_data": KINDS,
    "publisher": KINDS,
    "risk": KINDS,
    # These keep nothing of their own and serve until they are cut off.
    "chain": ("crash",),
    "mode": ("crash",),
    "oracle": ("crash",),
}
#: What has to happen in some run, or nothing was put to the test.
TRIGGERED = "a stop or TP/SL order fires"
RESIZED = "a TP/SL order follows the size of its position"
SIBLING_GONE = "one half of a TP/SL pair ends the other"
PARTLY_FILLED = "an order is filled in part"
BUSTED = "the chain refuses a trade that was matched"
MATCHING_TAKEN_OVER = "a new matching is ready while orders are open"
MUST_REACH = (
    LIQUIDATED,
    MARKETS_TAKEN_OVER,
    TRIGGERED,
    RESIZED,
    SIBLING_GONE,
    PARTLY_FILLED,
    BUSTED,
    MATCHING_TAKEN_OVER,
)


class WholeExchange(Exchange):
    """The exchange whose matching is looked at as well."""

    matching: DurableMatching | None = None
    #: The orders as they were after the command that was last applied.
    orders: Mapping[str, Order] = MappingProxyType({})

    def load(self, rows: Mapping[str, Row]) -> None:
        """The same stores, and nobody has written to the journal of matching yet."""
        super().load(rows)
        self.database.load(EPOCHS, {JOURNAL: {"incarnation": 0}})

    async def run_matching(self, life: Life) -> None:
        """One incarnation of matching, which tells us what happens to orders."""
        self.matching = self.bug.variant(DurableMatching, life.incarnation)(
            life,
            database=self.database,
            network=self.network,
            exchange=self.spec,
            markets=self.markets,
            guards=self.guards,
            observer=self.observe_orders,
        )
        await self.matching.run()

    def observe_orders(self, command: Command, events: tuple[Event, ...]) -> None:
        """Count the places that a run must come to."""
        if self.matching is not None:
            before, self.orders = self.orders, orders_of(self.matching.desk.state)
            if any(
                order.protects and order.remaining != before.get(name, order).remaining
                for name, order in self.orders.items()
            ):
                self.world.reach(RESIZED)
        for event in events:
            if isinstance(event, Triggered):
                self.world.reach(TRIGGERED)
            elif isinstance(event, OrderCancelled) and event.reason is Reason.SIBLING:
                self.world.reach(SIBLING_GONE)
            elif isinstance(event, Filled):
                self.observe_fill(event)

    def observe_fill(self, event: Filled) -> None:
        """An order that is still there after a fill was filled in part."""
        if event.maker.order_id in self.orders:
            self.world.reach(PARTLY_FILLED)

    def observe_block(self, before: State, block: Block) -> None:
        """A trade that the chain refuses is a bust."""
        super().observe_block(before, block)
        refused = any(isinstance(event, Rejected) for event in block.events)
        if isinstance(block.command, SettleTrade) and refused:
            self.world.reach(BUSTED)

    def observe_phase(self, event: HistoryEvent) -> None:
        """Matching goes on with what the incarnation before it left."""
        if event.after == "ready" and event.lane != "matching#1" and self.orders:
            self.world.reach(MATCHING_TAKEN_OVER)


def orders_of(state: State) -> Mapping[str, Order]:
    """All open orders of everybody, by their ids."""
    accounts = state.accounts.values()
    return {name: order for account in accounts for name, order in account.orders.items()}


def open_exchange(world: World) -> WholeExchange:
    """All services of the exchange with its people, ready to be started."""
    return WholeExchange(
        world,
        spec=JANUARY_2026,
        markets=tuple(market for market, _, _ in LISTED),
        rows={market.symbol: opening_row(market, path, held) for market, path, held in LISTED},
        people=people_of(world.seed),
        prices=prices(world.seed, tuple(path for _, path, _ in LISTED)),
    )


async def maintain(exchange: WholeExchange) -> None:
    """A maintenance without an upgrade: the mode goes round once."""
    await trio.sleep_until(MAINTENANCE_AT_S)
    for mode in (Mode.MAINTENANCE, Mode.CANCEL_ONLY, Mode.POST_ONLY):
        await set_mode(exchange.network, mode)
        await trio.sleep(STAGE_S)
    await set_mode(exchange.network, Mode.OK)


@scenario(
    name=NAME,
    faults=[restart(name, kinds=kinds) for name, kinds in RESTARTS.items()],
    guards=tuple(GUARDS),
    guards_default=tuple(GUARDS),
    bugs=bugs_of(NAME),
    time_max_s=120.0,
    stall_s=10.0,
    epoch_s=1_768_796_874.0,
    must_reach=MUST_REACH,
)
async def whole_exchange(world: World) -> None:
    """Customers use every form of order while any service may restart."""
    exchange = open_exchange(world)
    world.add_invariants(*rules_in_force(exchange))
    world.watch("matching#", exchange.observe_phase)
    await exchange.start()
    lanes = [world.start_client(each.name, each.run) for each in make_customers(exchange)]
    roles = make_roles(exchange)
    careful, bidder, spendthrift, offerer = (roles[role] for role in ROLES)
    lanes.append(world.start_client("careful", be_careful, careful, bidder))
    lanes.append(world.start_client("spendthrift", spend_twice, spendthrift, offerer, exchange))
    lanes.append(world.start_client("operator", maintain, exchange))
    for lane in lanes:
        await world.finished(lane)
    await exchange.settled()
    await trio.sleep(TAIL_S)
