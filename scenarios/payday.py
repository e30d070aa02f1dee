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

from harness.history import derive_seed
from harness.scenario import restart, scenario
from harness.world.world import World
from scenarios.exchange import Exchange
from scenarios.one_market import CHAIN_TAKEN_OVER, open_exchange
from target_stub.bugs import bugs_of
from target_stub.cloud.customer import Customer
from target_stub.cloud.trader import Trader
from target_stub.guards import GUARDS

NAME = "payday"
PAIRS, COUPLES = 2, 3
#: In seconds of virtual time: customers act about so often, until then; then everything settles.
EVERY_S, UNTIL_S, TAIL_S = 0.5, 4.0, 2.0


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
    exchange = open_exchange(world, traders=2 * PAIRS)
    await exchange.start()
    names = exchange.people.traders
    lanes = [
        world.start_client(customer.name, customer.run)
        for number in range(COUPLES)
        for customer in couple(exchange, number, names[2 * number : 2 * number + 2])
    ]
    for lane in lanes:
        await world.finished(lane)
    await trio.sleep(TAIL_S)
