"""Paradex, 19 January 2026: the restart that zeroed funding indices.

What happened: services were restarted during a database upgrade; a race saved default values to
cloud storage and published them, funding indices of some markets became 0, accounts were
liquidated that should not have been, the chain was rolled back and 650,000 USDC were refunded to
200 accounts. What is modelled: the exchange of that day with its published market parameters, the
upgrade, the overlapping restart, and everything that followed from one wrong tick. What is not:
the rollback itself, the second wave in post-only mode, and the other 447 markets.
"""

from __future__ import annotations

from random import Random

import trio

from harness.history import derive_seed
from harness.invariants import Judge
from harness.scenario import restart, scenario
from harness.world.world import World
from scenarios.blast_radius import blast_radius
from scenarios.exchange import Exchange
from scenarios.january import (
    DOWN_S,
    JANUARY,
    MARKETS,
    STAGE_S,
    TAIL_S,
    TOP_UP_USDC,
    TRADERS,
    TRADING_UNTIL_S,
    UPGRADE_AT_S,
    instruments,
)
from scenarios.money_rules import rules_in_force
from scenarios.records import MUST_REACH, Records
from target_stub.bugs import bugs_of
from target_stub.chain import BLOCKS
from target_stub.cloud.operator import upgrade_database
from target_stub.cloud.trader import Payment, Trader
from target_stub.core import (
    JANUARY_2026,
    Liquidated,
    Usdc,
)
from target_stub.guards import GUARDS

#: What the nemesis may restart at any moment, and how; the operator restarts two of them himself.
RESTARTS = {"market_data": ("crash", "rolling"), "publisher": ("crash",), "risk": ("rolling",)}


def open_exchange(world: World) -> Exchange:
    """The exchange of that day, with its people, ready to be started."""
    return Exchange(
        world,
        spec=JANUARY_2026,
        markets=JANUARY.markets,
        rows=JANUARY.rows,
        people=JANUARY.people(world.seed),
        prices=JANUARY.prices(world.seed),
    )


def make_trader(world: World, exchange: Exchange, number: int, names: tuple[str, ...]) -> Trader:
    """One trader with two accounts of its own."""
    trader = exchange.bug.variant(Trader)(
        f"trader{number}",
        network=exchange.network,
        accounts=names,
        instruments=instruments(MARKETS),
        random=Random(derive_seed(world.seed, "trader", number)),
        every_s=1.0,
        until_s=TRADING_UNTIL_S,
        does=world.does,
    )
    exchange.traders.append(trader)
    return trader


@scenario(
    name="paradex-2026-01-19",
    faults=[restart(name, kinds=kinds) for name, kinds in RESTARTS.items()],
    guards=tuple(GUARDS),
    guards_default=(),
    bugs=bugs_of("paradex-2026-01-19"),
    bug_default="index_zero",
    time_max_s=120.0,
    stall_s=10.0,
    epoch_s=1_768_796_874.0,
    must_reach=MUST_REACH,
)
async def paradex(world: World) -> None:
    """Services restart during a database upgrade; one may write before it knows what is true."""
    exchange = open_exchange(world)
    world.add_invariants(*rules_in_force(exchange))
    world.note("conservation", lambda: conservation_note(world.judge, exchange))
    world.measure(lambda: blast_radius(exchange))
    await exchange.start()
    people = JANUARY.people(world.seed)
    traders = [
        make_trader(world, exchange, number, people.traders[2 * number : 2 * number + 2])
        for number in range(TRADERS)
    ]
    lanes = [world.start_client(trader.name, trader.run) for trader in traders]
    owner = make_trader(world, exchange, TRADERS, (people.late,))

    world.start_client("owner", top_up, exchange, owner)

    async def operate() -> None:
        await trio.sleep_until(UPGRADE_AT_S)
        await upgrade_database(
            database=exchange.database,
            network=exchange.network,
            services=(world.services["market_data"], world.services["publisher"]),
            down_s=DOWN_S,
            stage_s=STAGE_S,
        )

    lanes.append(world.start_client("operator", operate))
    for lane in lanes:
        await world.finished(lane)
    await exchange.settled()
    await trio.sleep(TAIL_S)


async def top_up(exchange: Exchange, owner: Trader) -> None:
    """Pay in as soon as anybody is liquidated; it is a matter of order whether that is in time."""
    async for block in exchange.network.subscribe(BLOCKS):
        if any(isinstance(event, Liquidated) for event in block.events):
            await owner.pay(Payment(owner.accounts[0], Usdc(TOP_UP_USDC)))
            return


def conservation_note(judge: Judge, exchange: Records) -> str:
    """What the usual audit says of a run in which an index was wrong."""
    broken = {violation.invariant for violation in judge.violations}
    if "funding_index_step_is_bounded" not in broken and "liquidations_are_justified" not in broken:
        return ""
    if broken & {"positions_sum_to_zero", "cash_is_conserved"}:
        return ""
    return (
        f"Conservation held: positions sum to 0 and cash adds up to the last digit in all "
        f"{exchange.chain.height} blocks. Balance checks cannot see this bug."
    )
