"""The recovery drill: the way back is put through the same chaos as the way in.

What happened: on 19 January 2026 Paradex restricted access, cancelled open orders except TP/SL,
rolled its chain back to block 1604710, compensated 200 accounts from the Liquidator Vault and
reopened in stages. What is modelled: all of that as one procedure, with projections, a bridge whose
money does not roll back, and forks; the index of 0 is the premise. What is not: the separate cloud
matching engine (orders rest on the chain here) and the hours that it took.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import trio

from harness.scenario import restart, scenario
from harness.world.world import World
from scenarios.recovery_premise import BTC, PRICES, VAULT
from scenarios.recovery_world import RecoveringExchange
from scenarios.rules.recovery import recovery_rules
from target_stub.bugs import bugs_of
from target_stub.chain import ADDRESS
from target_stub.cloud import payouts
from target_stub.cloud.fork_customer import Intent
from target_stub.cloud.oracle_feed import sleep_until_multiple
from target_stub.core import (
    CancelOrder,
    Command,
    PlaceOrder,
    RequestWithdrawal,
    Side,
    TriggerCheck,
    Usdc,
    VaultDeposit,
)
from target_stub.core.transfers import Direction, Transfer, TransferStatus
from target_stub.forks import OnFork, Standing

#: How often triggers are checked.
TRIGGERS_EVERY_MS = 500
#: For how long a paused bridge stands still: longer than the drill takes.
STILL_S = 1.0
#: How long the exchange runs on after the last customer is done.
TAIL_S = 0.5
REOPENED, PAID = "the exchange is open again", "the vault pays somebody"
MUST_REACH = (REOPENED, PAID)


@scenario(
    name="recovery-drill",
    faults=[
        restart("operator", kinds=("crash", "stop")),
        restart("chain", kinds=("crash",)),
        restart("projections", kinds=("crash",)),
        restart("publisher", kinds=("crash",)),
    ],
    faults_max=3,
    bugs=bugs_of("recovery-drill"),
    time_max_s=120.0,
    stall_s=10.0,
    epoch_s=1_768_798_800.0,
    must_reach=MUST_REACH,
)
async def recovery_drill(world: World) -> None:
    """An operator brings the exchange back while it, and everything it talks to, may crash."""
    await drill(RecoveringExchange(world))


@scenario(
    name="recovery-latecomers",
    faults=[
        restart("bridge", kinds=("pause",), delay_s=STILL_S),
        restart("operator", kinds=("crash",)),
    ],
    faults_max=2,
    bugs=bugs_of("recovery-latecomers"),
    time_max_s=120.0,
    stall_s=10.0,
    epoch_s=1_768_798_800.0,
    must_reach=MUST_REACH,
)
async def recovery_latecomers(world: World) -> None:
    """The same with a bridge that stands still meanwhile, and with answers that get lost."""
    exchange = RecoveringExchange(world)
    exchange.network.allow(drop=(ADDRESS,))
    await drill(exchange)


async def drill(exchange: RecoveringExchange) -> None:
    """What both of them tell."""
    world = exchange.world
    world.add_invariants(*recovery_rules(exchange))
    await exchange.start()
    lanes = [
        world.start_client(name, exchange.customer(name, intents).run)
        for name, intents in _intents(exchange).items()
    ]
    lanes.append(world.start_client("payer", _pay_in, exchange))
    world.start_client("triggers", _check_triggers, exchange)
    for lane in lanes:
        await world.finished(lane)
    await exchange.recovered()
    await trio.sleep(TAIL_S)
    world.sometimes(REOPENED, exchange.reopening is not None)
    world.sometimes(PAID, any("settle" in step.block.command.id for step in exchange.steps))


def _intents(exchange: RecoveringExchange) -> dict[str, list[Intent]]:
    """What the customers do: before the drill, into the middle of it, and after it."""
    traders = exchange.people.traders
    price = PRICES[BTC]
    return {
        "maker": [
            Intent(make=_order(traders[1], Side.SELL, price + 20), at_s=0.02),
            Intent(make=_order(traders[1], Side.BUY, price - 400), at_s=0.06),
            Intent(make=_cancel(traders[1], "maker-1"), at_s=0.13),
            Intent(make=_order(traders[1], Side.SELL, price + 30), at_s=0.3),
            Intent(make=_order(traders[1], Side.SELL, price + 10)),
        ],
        "taker": [
            Intent(make=_order(traders[2], Side.BUY, price + 20), at_s=0.04),
            Intent(make=_withdraw(traders[6], 700), at_s=0.1),
            Intent(make=_order(traders[2], Side.BUY, price + 40), at_s=0.35),
            Intent(make=_order(traders[2], Side.BUY, price + 40)),
        ],
        "holder": [
            Intent(make=_share(traders[5], 600), at_s=0.05),
            Intent(make=_withdraw(traders[3], 900), at_s=0.17),
            Intent(make=_share(traders[5], 300)),
        ],
    }


async def _pay_in(exchange: RecoveringExchange) -> None:
    """Two deposits arrive outside: one before the drill, one in the middle of it."""
    for number, at_s in enumerate((0.08, 0.45)):
        await trio.sleep_until(at_s)
        if exchange.world.does("payer"):
            amount = Usdc(Decimal(800 + number))
            arrived = Transfer(
                f"outside-payer-{number}",
                exchange.people.traders[7],
                Direction.DEPOSIT,
                amount,
                TransferStatus.COMPLETED,
            )
            row = payouts.outside_row(arrived)
            await exchange.database.put_all(payouts.OUTSIDE, {arrived.id: row})


async def _check_triggers(exchange: RecoveringExchange) -> None:
    """Ask the chain again and again to fire what is due; its modes decide."""
    count = 0
    while True:
        await sleep_until_multiple(TRIGGERS_EVERY_MS)
        count += 1
        try:
            standing: Standing = await exchange.network.call("chain", "standing", None)
            check = TriggerCheck(id=f"triggers-{count}", at_ms=exchange.world.now_ms)
            message = OnFork(fork=standing.fork, command=check)
            await exchange.network.call("chain", "submit", message)
        except ConnectionError:
            continue  # the next check is soon


Make = Callable[[str, int], Command]


def _order(account: str, side: Side, price: Decimal) -> Make:
    return lambda name, now_ms: PlaceOrder(
        id=name,
        at_ms=now_ms,
        account=account,
        market=BTC,
        side=side,
        size=Decimal("0.1"),
        price=price,
    )


def _cancel(account: str, order_id: str) -> Make:
    return lambda name, now_ms: CancelOrder(
        id=name, at_ms=now_ms, account=account, order_id=order_id
    )


def _withdraw(account: str, amount: int) -> Make:
    return lambda name, now_ms: RequestWithdrawal(
        id=name, at_ms=now_ms, account=account, amount=Usdc(Decimal(amount))
    )


def _share(account: str, amount: int) -> Make:
    return lambda name, now_ms: VaultDeposit(
        id=name, at_ms=now_ms, vault=VAULT, account=account, amount=Usdc(Decimal(amount))
    )
