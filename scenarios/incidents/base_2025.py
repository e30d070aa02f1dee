"""Base, 5 August 2025: leadership went to a sequencer that was still being provisioned.

The active sequencer fell behind, and its conductor handed over to another member of the group.
That one was not ready yet: it could not make blocks, and its own conductor did not run, so that
nobody could hand over again. No blocks for 33 minutes; the repair concerns the joining of members.
Source: https://base-l2.statuspage.io/incidents/kdq3t8s13gfs
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

#: A member can be elected when it has caught up and its conductor runs, and not before.
COMPLETE = "members_join_when_they_are_complete"
OTHER = {"sequencer1": "sequencer2", "sequencer2": "sequencer1"}
BLOCKS = range(1, 4)
HANDED_OVER = "leadership is handed over"


class Group:
    """The members of the group, who leads it, and the chain that the leader makes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.network = world.network()
        self.chain = world.database("chain")
        self.group = world.database("raft")
        self.group.load("leader", {"base": {"life": "sequencer1#1"}})
        self.chain.load("blocks", {0: {"made_by": "genesis"}})
        self.synced: set[str] = set()

    async def sequencer(self, life: Life) -> None:
        """One member: joins the group, catches up, and leads when it is told to."""
        name, synced, chosen = life.service.name, trio.Event(), trio.Event()
        if life.name == "sequencer1#1":
            chosen.set()

        async def catch_up() -> None:
            for _ in range(2):
                await self.chain.scan("blocks")
                await trio.sleep(1)
            self.synced.add(life.name)
            synced.set()

        async def lead(request: Request) -> None:
            await self.group.put("leader", "base", {"life": life.name})
            chosen.set()
            await request.reply()

        async def conduct() -> None:
            # A conductor, and with it the handing over, runs once its sequencer is complete.
            await synced.wait()
            await chosen.wait()
            await self.make_blocks(life.name, OTHER[name])
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(catch_up)
            nursery.start_soon(conduct)
            if COMPLETE in self.world.guards:
                await synced.wait()
            await answer(life, self.network, name, lead=lead)
            nursery.cancel_scope.cancel()

    async def make_blocks(self, life: str, other: str) -> None:
        """Make blocks while this one leads; hand over when one takes too long."""
        for number in BLOCKS:
            await trio.sleep(2)
            if column(await self.group.get("leader", "base"), "life") != life:
                return
            with trio.move_on_after(4) as block:
                await self.chain.compare_and_put("blocks", number, {"made_by": life}, None)
            if block.cancelled_caught:
                with suppress(OSError):
                    await self.network.call(other, "lead")
                    self.world.reach(HANDED_OVER)

    def led(self) -> None:
        """Whoever leads has caught up with the chain and can make the next block."""
        leader = str(self.group.table("leader")["base"]["life"])
        if leader not in self.synced and leader != "sequencer1#1":
            raise Broken(
                f"{leader} leads and is still being provisioned",
                resource="raft/leader/base",
                before="a leader that makes blocks",
                after=leader,
                consequence="no block is made after block "
                f"{max(self.chain.table('blocks'))}, and its conductor, which could hand over "
                "again, does not run",
            )


@scenario(
    name="base-2025-08-05",
    faults=[restart("sequencer2", kinds=("crash", "rolling"))],
    guards=(COMPLETE,),
    time_max_s=120.0,
    must_reach=(HANDED_OVER,),
)
async def base(world: World) -> None:
    """A slow sequencer hands over to a member of its group that is still being provisioned.

    Modelled: two sequencers with their conductors, slow blocks, a restart of the second one.
    Not modelled: Raft itself, why the first one is slow, how people moved leadership by hand.
    """
    group = Group(world)
    world.invariant(name="the_leader_has_synced")(group.led)
    first, _ = [world.service(name, group.sequencer) for name in OTHER]
    await first.gone(first.lives[0])


INCIDENT = Incident(
    scenario=base,
    system="Base, 5 August 2025",
    family="failover to an unready node",
    breaks=("the_leader_has_synced",),
    enough=((COMPLETE,),),
    budget=100,
    source="https://base-l2.statuspage.io/incidents/kdq3t8s13gfs",
)
