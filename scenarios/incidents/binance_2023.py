"""Binance, 24 March 2023: back to the last snapshot, 57 minutes of messages to replay.

A trailing stop order met a bug and the matching engine stopped. Snapshots are taken every hour
and the bug struck in minute 57, so recovery took long; deposits and withdrawals were paused
meanwhile, and the exchange reopened with cancellations only after about two and a half hours.
Source: https://www.binance.com/en/blog/from-cz/a-look-behind-the-scenes-at-why-spot-trading-temporarily-stopped-6789340645608890113
"""

from __future__ import annotations

from contextlib import suppress

import trio

from harness.invariants import Broken
from harness.scenario import restart, scenario
from harness.world.messages import Request
from harness.world.service import Life
from harness.world.world import World
from scenarios.incidents.incident import Incident
from scenarios.incidents.services import answer, column
from scenarios.rules.money import usdc

#: Nothing is paid out until everything after the snapshot has been replayed.
PAUSED = "withdrawals_wait_for_the_replay"
SNAPSHOT_USDC = 100
#: What alice trades after the snapshot, and what she tries to withdraw again and again.
TRADES_USDC = (-30, -40)
WITHDRAWAL_USDC, ATTEMPTS = 60, 3
RECOVERED = "an engine replays messages after a restart"


class Spot:
    """The log of all messages, the hourly snapshot, and the engine that lives on both."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.network = world.network()
        self.log = world.database("log")
        self.storage = world.object_store("storage")
        self.storage.load({"snapshot": {"alice": SNAPSHOT_USDC}})

    async def engine(self, life: Life) -> None:
        """One incarnation: takes the log over, loads the snapshot, replays, and serves."""
        last = await self.take_over(life.name)
        messages = range(1, last)
        found = await self.storage.get("snapshot")
        balance: int = column(found[0] if found else None, "alice")
        replayed, turn = trio.Event(), trio.Lock()

        async def replay() -> None:
            nonlocal balance
            for number in messages:
                amount = column(await self.log.get("messages", number), "usdc")
                balance += amount
                self.world.sometimes(RECOVERED, life.incarnation > 1)
            replayed.set()

        async def change(request: Request) -> None:
            nonlocal balance, last
            if request.method == "withdraw" and PAUSED in self.world.guards:
                await replayed.wait()
            async with turn:
                if request.method == "withdraw" and balance + request.payload < 0:
                    await request.reply(False)
                    return
                message = {"usdc": request.payload, "what": request.method}
                if not await self.log.compare_and_put("messages", last + 1, message, None):
                    await request.fail(ConnectionAbortedError("another engine has taken over"))
                    return
                last += 1
                balance += request.payload
            await request.reply(True)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(replay)
            await answer(life, self.network, "engine", trade=change, withdraw=change)

    async def take_over(self, name: str) -> int:
        """Mark the log as ours, so that no message of a dead engine comes after; the number."""
        while True:
            number = max(await self.log.scan("messages"), default=0) + 1
            mark = {"usdc": 0, "what": f"{name} takes over"}
            if await self.log.compare_and_put("messages", number, mark, None):
                return number

    async def alice(self) -> None:
        """Loses some money by trading and then asks for more than is left."""
        for amount in TRADES_USDC:
            with suppress(OSError):
                await self.network.call("engine", "trade", amount)
        for _ in range(ATTEMPTS):
            await trio.sleep(0.1)
            with suppress(OSError):
                await self.network.call("engine", "withdraw", -WITHDRAWAL_USDC)

    def covered(self) -> None:
        """Nobody withdraws more than what all his messages leave him."""
        balance = SNAPSHOT_USDC
        for number, message in sorted(self.log.table("messages").items()):
            before, balance = balance, balance + column(message, "usdc")
            if message["what"] == "withdraw" and balance < 0:
                raise Broken(
                    f"message {number} pays alice {usdc(WITHDRAWAL_USDC)}; she has {usdc(before)}",
                    resource="log/messages",
                    before=usdc(before),
                    after=usdc(balance),
                    consequence="the money is gone, and what she owes the exchange is not there",
                    accounts=("alice",),
                    loss_usdc=-balance,
                )


@scenario(
    name="binance-2023-03-24",
    faults=[restart("engine", kinds=("crash", "failover"), delay_s=0.05)],
    guards=(PAUSED,),
    time_max_s=60.0,
    must_reach=(RECOVERED,),
)
async def binance(world: World) -> None:
    """An engine is back at the last snapshot and pays out before it has replayed what came after.

    Modelled: the log, the snapshot, a restart at any moment, the replay, a trader who withdraws.
    Not modelled: the trailing stop that killed the engine, and cancel-only. The real pause held.
    """
    spot = Spot(world)
    world.invariant(name="withdrawals_are_covered")(spot.covered)
    await world.service("engine", spot.engine).ready()
    await world.client("alice", spot.alice)


INCIDENT = Incident(
    scenario=binance,
    system="Binance, 24 March 2023",
    family="served before it has recovered",
    breaks=("withdrawals_are_covered",),
    enough=((PAUSED,),),
    budget=200,
    source="https://www.binance.com/en/blog/from-cz/a-look-behind-the-scenes-at-why-spot-trading-temporarily-stopped-6789340645608890113",
)
