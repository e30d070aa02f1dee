"""The incident of 19 January 2026 reduced to what it needs, small enough to be proved.

One market, four accounts, no trading. Market data commits the funding index, the publisher brings
it to the chain, the liquidator looks at the accounts; while the database is away for a moment
round a funding tick, one of them may be restarted. Who restarts in time for the tick and has not
read its row yet writes a default of 0, if nothing stops it. Main is the operator and the outside
world: it quotes the price and takes the database away.
"""

from __future__ import annotations

import trio

from harness.scenario import restart, scenario
from harness.world.world import World
from scenarios.exchange import Exchange
from scenarios.january import AWAY_S, BACK_S, END_S, FIRST_QUOTE_S, REDUCED, SECOND_QUOTE_S
from scenarios.money_rules import rules_in_force
from target_stub.bugs import BUGS
from target_stub.cloud.oracle_feed import TOPIC as ORACLE
from target_stub.core import JANUARY_2026
from target_stub.guards import GUARDS

#: Rules that read the whole history: to them no two orders of any events are the same, so a proof
#: would make every one. Nobody trades here, and the whole incident is judged by them.
TOO_WIDE = ("answers_are_true", "recovery_completes")


def open_exchange(world: World) -> Exchange:
    """The exchange with one market and four accounts."""
    return Exchange(
        world,
        spec=JANUARY_2026,
        markets=REDUCED.markets,
        rows=REDUCED.rows,
        people=REDUCED.people(world.seed),
        prices=REDUCED.prices(world.seed),
    )


@scenario(
    name="paradex-reduced",
    faults=[restart("market_data", kinds=("crash",), delay_s=0.01)],
    guards=tuple(GUARDS),
    guards_default=(),
    bugs={"index_zero": BUGS["index_zero"].text},
    bug_default="index_zero",
    time_max_s=60.0,
    epoch_s=1_768_796_874.0,
)
async def paradex_reduced(world: World) -> None:
    """One funding tick of one market while the database is away and market data restarts."""
    exchange = open_exchange(world)
    world.add_invariants(*(each for each in rules_in_force(exchange) if each.name not in TOO_WIDE))
    world.service("chain", exchange.run_chain)
    world.service("publisher", exchange.run_publisher)
    world.service("market_data", exchange.run_market_data)
    world.service("risk", exchange.run_risk)
    await quote_at(exchange, FIRST_QUOTE_S)
    await trio.sleep_until(AWAY_S)
    await exchange.database.maintain("away")
    await quote_at(exchange, SECOND_QUOTE_S)
    await trio.sleep_until(BACK_S)
    await exchange.database.reopen()
    await trio.sleep_until(END_S)


async def quote_at(exchange: Exchange, at_s: float) -> None:
    """Tell the price of the outside world at a time."""
    await trio.sleep_until(at_s)
    await exchange.network.publish(ORACLE, exchange.prices(round(at_s * 1000)))
