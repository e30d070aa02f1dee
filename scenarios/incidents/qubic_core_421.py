"""qubic/core, pull request 421 of May 2025: counters were reset after the snapshot was loaded.

A node that restarted loaded its snapshot and then set the counters of custom mining shares to
zero, as every start does. Nothing is wrong until the end of the epoch, when revenues are paid by
these counters and differ from what the other nodes pay. The repair resets before it loads.
Source: https://github.com/qubic/core/pull/421
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

#: Whatever a start sets to zero, it does so before it loads the snapshot.
BEFORE = "counters_are_reset_before_the_load"
MINERS = ("ada", "bob")
SHARES = ("ada", "bob", "ada", "bob")
#: A snapshot is taken after every so many shares.
SNAPSHOT_EVERY = 2
REVENUE_QU = 1_000
LOADED, PAID = "a node loads a snapshot", "the epoch is paid"


class Node:
    """The shares of one epoch, journalled one by one, and the snapshots of the counters."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.network = world.network()
        self.disk = world.database("disk")

    async def run(self, life: Life) -> None:
        """One incarnation: resets, loads the snapshot, applies the journal since, and counts."""
        counters = dict.fromkeys(MINERS, 0)
        snapshot = await self.disk.get("snapshots", "last")
        last = 0
        if snapshot is not None:
            counters, last = dict(column(snapshot, "counters")), column(snapshot, "last")
            self.world.reach(LOADED)
        if BEFORE not in self.world.guards:
            counters = dict.fromkeys(MINERS, 0)
        for number, row in (await self.disk.scan("journal")).items():
            if number > last:
                counters[column(row, "miner")] += 1
                last = number
        turn = trio.Lock()

        async def share(request: Request) -> None:
            nonlocal last
            async with turn:
                number, miner = request.payload
                if number > last:
                    await self.disk.put("journal", number, {"miner": miner})
                    counters[miner] += 1
                    last = number
                if number % SNAPSHOT_EVERY == 0:
                    taken = {"counters": dict(counters), "last": last}
                    await self.disk.put("snapshots", "last", taken)
            await request.reply()

        async def pay(request: Request) -> None:
            total = sum(counters.values()) or 1
            for miner, shares in counters.items():
                await self.disk.put("paid", miner, {"qu": REVENUE_QU * shares // total})
            await request.reply()
            self.world.reach(PAID)

        await answer(life, self.network, "node", share=share, pay=pay)

    async def epoch(self) -> None:
        """The shares of an epoch, each sent until it is taken, and then the payment."""
        for number, miner in enumerate(SHARES, 1):
            await self.insist("share", (number, miner))
        await self.insist("pay")

    async def insist(self, method: str, payload: object = None) -> None:
        """Ask until there is an answer."""
        while True:
            with suppress(OSError):
                await self.network.call("node", method, payload)
                return
            await trio.sleep(0.1)

    def fair(self) -> bool:
        """Every miner is paid by the shares that he has found."""
        paid = self.disk.table("paid")
        for miner, row in paid.items():
            shares = SHARES.count(miner)
            due = REVENUE_QU * shares // len(SHARES)
            if column(row, "qu") != due:
                raise Broken(
                    f"{miner} found {shares} of {len(SHARES)} shares and is paid {row['qu']} of "
                    f"{REVENUE_QU} QU",
                    resource=f"disk/paid/{miner}",
                    before=f"{due} QU",
                    after=f"{row['qu']} QU",
                    consequence="this node pays otherwise than all others and leaves the consensus",
                    accounts=(miner,),
                )
        return bool(paid)


@scenario(
    name="qubic-core-421",
    faults=[restart("node", kinds=("crash", "failover"))],
    guards=(BEFORE,),
    time_max_s=60.0,
    must_reach=(LOADED, PAID),
)
async def qubic(world: World) -> None:
    """A node loads its snapshot, then resets the counters in it; that shows at the end of an epoch.

    Modelled: the journal, snapshots, a restart at any moment, the payment by the counters.
    Not modelled: the other nodes of the network, mining itself, and the rest of the snapshot.
    """
    node = Node(world)
    world.invariant(name="miners_are_paid_by_their_shares")(node.fair)
    await world.service("node", node.run).ready()
    await world.client("network", node.epoch)


INCIDENT = Incident(
    scenario=qubic,
    system="qubic/core, pull request 421",
    family="reset after the load",
    breaks=("miners_are_paid_by_their_shares",),
    enough=((BEFORE,),),
    budget=150,
    source="https://github.com/qubic/core/pull/421",
)
