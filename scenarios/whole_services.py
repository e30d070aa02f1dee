"""The exchange with durable matching, and what its judges look at besides.

It remembers the open orders and counts the places that a run must come to.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from harness.history import Event as HistoryEvent
from harness.world.service import Life
from scenarios.exchange import Exchange, newest
from scenarios.records import LIQUIDATED, MARKETS_TAKEN_OVER
from target_stub.chain import Block
from target_stub.cloud.durable_matching import DurableMatching
from target_stub.cloud.journal import TABLE as JOURNAL
from target_stub.cloud.market_data import EPOCHS
from target_stub.cloud.snapshots import Snapshots
from target_stub.core import (
    Command,
    Event,
    Filled,
    Order,
    Reason,
    Rejected,
    SettleTrade,
    State,
)
from target_stub.core.events import OrderCancelled, Triggered
from target_stub.ports import Row

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
    #: After how many commands the journal of matching is shortened; never if nobody says.
    snapshot_every: int | None = None
    #: The orders as they were after the command that was last applied.
    orders: Mapping[str, Order] = MappingProxyType({})

    def load(self, rows: Mapping[str, Row]) -> None:
        """The same stores, and nobody has written to the journal of matching yet."""
        super().load(rows)
        self.database.load(EPOCHS, {JOURNAL: {"incarnation": 0}})

    async def run_matching(self, life: Life) -> None:
        """One incarnation of matching, which tells us what happens to orders."""
        service = self.bug.variant(DurableMatching, life.incarnation)(
            life,
            database=self.database,
            network=self.network,
            exchange=self.spec,
            markets=self.markets,
            guards=self.guards,
            observer=self.observe_orders,
            tells_books=self.deployment.own_book,
            snapshots=self.snapshots(),
        )
        self.matching = newest(self.matching, service)
        await service.run()

    def snapshots(self) -> Snapshots | None:
        """Where matching keeps what is no longer in its journal."""
        if self.snapshot_every is None:
            return None
        return Snapshots(self.storage, every=self.snapshot_every)

    def order_state(self) -> State | None:
        """What the journal of matching says."""
        return self.matching.desk.state if self.matching else None

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
