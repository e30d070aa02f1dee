"""The whole exchange: every service, every form of order, and any service may restart at any time.

What is modelled: a quiet quarter of a minute with one fall of the price, seeded customers who use
all that the exchange offers, a short maintenance, and somebody who withdraws while he buys, so that
the chain refuses a trade that was matched. What is not: anything that a customer could not do. It
tells no incident; planted bugs name it as the scenario in which they must be found.
"""

from __future__ import annotations

import trio

from harness.scenario import restart, scenario
from harness.world.world import World
from scenarios.blast_radius import blast_radius
from scenarios.january import opening_row
from scenarios.money_rules import rules_in_force
from scenarios.outside import prices
from scenarios.rules.orders import matching_agrees_with_chain, updates_are_numbered_once
from scenarios.whole_people import (
    LISTED,
    ROLES,
    be_careful,
    make_customers,
    make_roles,
    people_of,
    spend_twice,
)
from scenarios.whole_services import MUST_REACH, WholeExchange
from target_stub.bugs import bugs_of
from target_stub.cloud.operator import set_mode
from target_stub.core import (
    JANUARY_2026,
    Mode,
)
from target_stub.guards import GUARDS

NAME = "whole-exchange"
#: The maintenance: when it begins and how long each of its stages lasts, in virtual seconds.
MAINTENANCE_AT_S, STAGE_S = 8.2, 0.3
#: How long everything goes on once everybody is done and a health check is over.
TAIL_S = 2.0
#: What the nemesis may do to each service.
KINDS = ("crash", "stop", "rolling", "failover")
RESTARTS = {
    "matching": KINDS,
    "market_data": KINDS,
    "publisher": KINDS,
    "risk": KINDS,
    # These keep nothing of their own and serve until they are cut off.
    "chain": ("crash", "failover"),
    "mode": ("crash", "failover"),
    "oracle": ("crash", "failover"),
}


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
    world.add_invariants(
        *rules_in_force(exchange),
        matching_agrees_with_chain(exchange),
        updates_are_numbered_once(exchange),
    )
    world.measure(lambda: blast_radius(exchange))
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
