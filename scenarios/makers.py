"""Makers: two of them want the same price in every round while the node of the chain restarts.

What is modelled: post-only quotes from both sides at one price, a moment apart, so that the second
one is refused; both take back what rests and change sides. What is not: prices, which stand still,
and anybody who takes. It tells no incident; planted bugs name it as the scenario in which they must
be found.
"""

from __future__ import annotations

from random import Random

import trio

from harness.history import derive_seed
from harness.scenario import restart, scenario
from harness.world.world import World
from scenarios.exchange import Exchange
from scenarios.one_market import CHAIN_TAKEN_OVER, LISTING, MARKET, PATH, open_exchange
from target_stub.bugs import bugs_of
from target_stub.cloud.maker import Maker
from target_stub.cloud.trader import Instrument
from target_stub.core import Side
from target_stub.guards import GUARDS

NAME = "makers"
#: In seconds of virtual time: a round, how much later the second one comes, and the ends.
EVERY_S, LATER_S, UNTIL_S, TAIL_S = 0.5, 0.03, 4.0, 1.0
#: What has to happen in some run, or nothing was put to the test.
REFUSED = "a quote is refused"


def two_makers(exchange: Exchange, names: tuple[str, ...]) -> list[Maker]:
    """One who begins as a buyer, and one who comes a moment later and begins as a seller."""
    instrument = Instrument(
        market=MARKET.symbol,
        price_usd=PATH.start_usd,
        tick_usd=PATH.tick_usd,
        size=LISTING.size_step * 10,
    )
    made = []
    for number, side in enumerate((Side.BUY, Side.SELL)):
        maker = exchange.bug.variant(Maker)(
            f"maker{number}",
            network=exchange.network,
            accounts=names[number : number + 1],
            instruments=(instrument,),
            random=Random(derive_seed(exchange.world.seed, "maker", number)),
            every_s=EVERY_S,
            until_s=UNTIL_S,
            does=exchange.world.does,
        )
        maker.begins_with, maker.offset_s = side, LATER_S * number
        exchange.traders.append(maker)
        made.append(maker)
    return made


@scenario(
    name=NAME,
    faults=[restart("chain", kinds="crash")],
    guards=tuple(GUARDS),
    guards_default=tuple(GUARDS),
    bugs=bugs_of(NAME),
    time_max_s=60.0,
    stall_s=10.0,
    epoch_s=1_768_796_874.0,
    must_reach=(CHAIN_TAKEN_OVER, REFUSED),
)
async def makers(world: World) -> None:
    """Two makers want the same price in every round while the node of the chain restarts."""
    exchange = open_exchange(world, traders=2)
    await exchange.start()
    clients = two_makers(exchange, exchange.people.traders)
    lanes = [world.start_client(client.name, client.run) for client in clients]
    for lane in lanes:
        await world.finished(lane)
    if any(client.refused for client in clients):
        world.reach(REFUSED)
    await trio.sleep(TAIL_S)
