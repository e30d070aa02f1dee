"""A small exchange of one market, whose chain restarts.

Defects of clients and of the node show here soonest: prices stand still, and all else stays up.
"""

from __future__ import annotations

from harness.history import Event
from harness.world.world import World
from scenarios.exchange import Exchange
from scenarios.january import MARKETS, opening_row
from scenarios.money_rules import rules_in_force
from scenarios.outside import prices
from scenarios.people import population
from target_stub.core import JANUARY_2026

#: The market, where its price goes and how people hold it.
MARKET, PATH, LISTING = MARKETS[1]
#: What has to happen in some run, or nothing was put to the test.
CHAIN_TAKEN_OVER = "a new node serves the chain"


def open_exchange(world: World, *, traders: int) -> Exchange:
    """The exchange with the accounts of so many traders, judged by the money rules, not started."""
    exchange = Exchange(
        world,
        spec=JANUARY_2026,
        markets=(MARKET,),
        rows={MARKET.symbol: opening_row(MARKET, PATH, LISTING)},
        people=population(world.seed, traders, (LISTING,)),
        prices=prices(world.seed, (PATH,)),
    )
    world.add_invariants(*rules_in_force(exchange))

    def observe_phase(event: Event) -> None:
        if event.after == "ready" and event.lane != "chain#1":
            world.reach(CHAIN_TAKEN_OVER)

    world.watch("chain#", observe_phase)
    return exchange
