"""Payday: everybody pays in and out while the node of the chain restarts.

What is modelled: a few couples with common accounts, one of whom pays in while the other one pays
out, each waiting for an answer before the next payment and sending again what was not answered.
What is not: prices, which stand still. It tells no incident; planted bugs name it as the scenario
in which they must be found.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import trio

from harness.history import Event, derive_seed
from harness.scenario import restart, scenario
from harness.world.world import World
from scenarios.exchange import Exchange
from scenarios.january import MARKETS, opening_row
from scenarios.money_rules import rules_in_force
from scenarios.outside import prices
from scenarios.people import population
from target_stub.bugs import bugs_of
from target_stub.cloud.customer import Customer
from target_stub.cloud.trader import Trader
from target_stub.core import JANUARY_2026
from target_stub.guards import GUARDS

NAME = "payday"
#: One market is enough for people who do not trade.
LISTED = MARKETS[1:2]
PAIRS, COUPLES = 2, 3
#: In seconds of virtual time: customers act about so often, until then; then everything settles.
EVERY_S, UNTIL_S, TAIL_S = 0.5, 4.0, 2.0
#: What has to happen in some run, or nothing was put to the test.
CHAIN_TAKEN_OVER = "a new node serves the chain"


def couple(exchange: Exchange, number: int, names: tuple[str, ...]) -> Iterator[Customer]:
    """Two customers with common accounts: one pays in, the other one pays out."""
    for form in (Trader.deposit, Customer.take_out):
        customer = exchange.bug.variant(Customer)(
            f"{form.__name__}{number}",
            network=exchange.network,
            accounts=names,
            instruments=(),
            random=Random(derive_seed(exchange.world.seed, form.__name__, number)),
            every_s=EVERY_S,
            until_s=UNTIL_S,
            does=exchange.world.does,
        )
        customer.forms = (form,)
        exchange.traders.append(customer)
        yield customer


@scenario(
    name=NAME,
    faults=[restart("chain", kinds="crash")],
    guards=tuple(GUARDS),
    guards_default=tuple(GUARDS),
    bugs=bugs_of(NAME),
    time_max_s=60.0,
    stall_s=10.0,
    epoch_s=1_768_796_874.0,
    must_reach=(CHAIN_TAKEN_OVER,),
)
async def payday(world: World) -> None:
    """Everybody pays in and out while the node of the chain restarts."""
    listings = tuple(listing for _, _, listing in LISTED)
    people = population(world.seed, 2 * PAIRS, listings)
    exchange = Exchange(
        world,
        spec=JANUARY_2026,
        markets=tuple(market for market, _, _ in LISTED),
        rows={market.symbol: opening_row(market, path, held) for market, path, held in LISTED},
        people=people,
        prices=prices(world.seed, tuple(path for _, path, _ in LISTED)),
    )
    world.add_invariants(*rules_in_force(exchange))

    def observe_phase(event: Event) -> None:
        if event.after == "ready" and event.lane != "chain#1":
            world.reach(CHAIN_TAKEN_OVER)

    world.watch("chain#", observe_phase)
    await exchange.start()
    lanes = [
        world.start_client(customer.name, customer.run)
        for number in range(COUPLES)
        for customer in couple(exchange, number, people.traders[2 * number : 2 * number + 2])
    ]
    for lane in lanes:
        await world.finished(lane)
    await trio.sleep(TAIL_S)
