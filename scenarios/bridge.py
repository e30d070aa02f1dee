"""The bridge alone: two chains, what crosses between them, and restarts on the way.

What is modelled: people who pay in and take out, one of whom the outside cannot pay, the bridge, a
node of either chain, and restarts of bridge and outside node at any step. What is not: forks of
the outside chain, and everything that trades. It tells no incident; planted bugs name it as the
scenario in which they must be found.
"""

from __future__ import annotations

from decimal import Decimal

import trio

from harness.scenario import restart, scenario
from harness.world.world import World
from scenarios.deployment import Deployment
from scenarios.exchange import Exchange
from scenarios.january import MARKETS, opening_row
from scenarios.outside import prices
from scenarios.people import Population
from scenarios.rules.accounts import cash_is_conserved, effects_happen_once
from scenarios.rules.reopening import both_sides_of_the_bridge_agree
from scenarios.view_of_books import BookLedger, Traders
from target_stub.bugs import bugs_of
from target_stub.cloud.bridge import BridgeCustomer
from target_stub.core import JANUARY_2026, TransferStatus, Usdc

NAME = "bridge"
#: How many people use it, how much they move at a time and have to begin with.
CUSTOMERS, MOVED, BALANCE = 2, Usdc(Decimal(750)), Usdc(Decimal(5_000))
#: How often they pay in and take out, how long they wait, and how long everything goes on then.
ROUNDS, EVERY_S, TAIL_S = 2, 0.4, 1.2
#: What has to happen in some run.
PAID_OUT, COME_BACK = "a withdrawal is paid out", "a withdrawal fails and is credited again"


def make_customers(
    world: World, exchange: Exchange, people: Population, *, rounds: int, every_s: float
) -> list[BridgeCustomer]:
    """Rich people who use the bridge; the outside cannot pay the last of them."""
    names = people.traders[1 : 1 + CUSTOMERS]
    exchange.outside.takes = lambda account: account != names[-1]
    return [
        BridgeCustomer(
            f"payer{number}",
            network=exchange.network,
            account=name,
            amount=MOVED,
            rounds=rounds,
            every_s=every_s,
            does=world.does,
        )
        for number, name in enumerate(names)
    ]


async def open_bridge(world: World) -> Exchange:
    """Two chains and the bridge between them, ready."""
    market, path, listing = MARKETS[0]
    names = tuple(f"holder-{number}" for number in range(CUSTOMERS + 1))
    exchange = Exchange(
        world,
        spec=JANUARY_2026,
        markets=(market,),
        rows={market.symbol: opening_row(market, path, listing)},
        people=Population(
            balances=dict.fromkeys(names, BALANCE),
            positions=(),
            traders=names,
            thin="",
            late="",
        ),
        prices=prices(world.seed, (path,)),
        deployment=Deployment(bridge=True),
    )
    world.service("chain", exchange.run_chain)
    world.service("outside", exchange.run_outside)
    world.service("bridge", exchange.run_bridge)
    for service in world.services.values():
        await service.ready()
    return exchange


@scenario(
    name=NAME,
    faults=[
        restart("bridge", kinds=("crash", "rolling")),
        restart("outside", kinds=("crash",)),
    ],
    faults_max=2,
    bugs=bugs_of(NAME),
    time_max_s=120.0,
    stall_s=10.0,
    must_reach=(PAID_OUT, COME_BACK),
)
async def bridge(world: World) -> None:
    """Money crosses between two chains while the bridge and their nodes restart."""
    exchange = await open_bridge(world)
    ledger = BookLedger(exchange)
    world.add_invariants(
        cash_is_conserved(ledger),
        effects_happen_once(ledger, Traders(exchange)),
        both_sides_of_the_bridge_agree(exchange),
    )
    customers = make_customers(world, exchange, exchange.people, rounds=ROUNDS, every_s=EVERY_S)
    for lane in [world.start_client(each.name, each.run) for each in customers]:
        await world.finished(lane)
    await exchange.bridged()
    await trio.sleep(TAIL_S)
    transfers = exchange.chain.state.transfers.values()
    world.sometimes(PAID_OUT, exchange.outside.payments)
    world.sometimes(COME_BACK, any(t.status is TransferStatus.FAILED for t in transfers))
