"""The incident of 19 January 2026 reduced to what it needs, small enough to be proved.

One market, four accounts, no trading. Market data commits the funding index, the publisher brings
it to the chain, the liquidator looks at the accounts; while the database is away for a moment
round a funding tick, one of them may be restarted. Who restarts in time for the tick and has not
read its row yet writes a default of 0, if nothing stops it. Main is the operator and the outside
world: it quotes the price and takes the database away.
"""

from __future__ import annotations

from decimal import Decimal

import trio

from harness.scenario import restart, scenario
from harness.world.world import World
from scenarios.exchange import Exchange
from scenarios.money_rules import rules_in_force
from scenarios.outside import Path, prices
from scenarios.paradex import MARKETS, opening_row
from scenarios.people import Population, population
from target_stub.bugs import BUGS
from target_stub.cloud.oracle_feed import TOPIC as ORACLE
from target_stub.core import JANUARY_2026
from target_stub.guards import GUARDS

MARKET, _, LISTING = MARKETS[0]
#: A quiet market: what is wrong here is the index, not the price.
PATH = Path(market=MARKET.symbol, start_usd=Decimal(93000), tick_usd=Decimal("0.1"))
#: In seconds of virtual time: the first quote, the second one while the database is already away,
#: the return of the database just after the funding tick, and the end.
FIRST_QUOTE_S, AWAY_S, SECOND_QUOTE_S, BACK_S, END_S = 0.1, 4.7, 4.8, 5.02, 7.6


def four_people(seed: int) -> Population:
    """The thin long, the one after him in the alphabet, and their shorts."""
    everybody = population(seed, 0, (LISTING,))
    return Population(
        balances={
            name: balance
            for name, balance in everybody.balances.items()
            if name not in everybody.traders
        },
        positions=everybody.positions,
        traders=(),
        thin=everybody.thin,
        late=everybody.late,
    )


def open_exchange(world: World) -> Exchange:
    """The exchange with one market and four accounts."""
    return Exchange(
        world,
        spec=JANUARY_2026,
        markets=(MARKET,),
        rows={MARKET.symbol: opening_row(MARKET, PATH, LISTING)},
        people=four_people(world.seed),
        prices=prices(world.seed, (PATH,)),
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
    world.add_invariants(*rules_in_force(exchange))
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
