"""GitHub, 21 October 2018: a failover without a fence, and writes on both sides.

The network between two sites was cut for 43 seconds. Orchestrator promoted the database of the
other site; the first one had acknowledged writes that were not replicated yet, the second one
took new ones, and neither could be thrown away: 24 hours and 11 minutes until both were one.
Source: https://www.postmortems.app/postmortem/4da4ac8a-fb93-426e-9ae7-eb088f115959
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

#: Orchestrator may not promote a database of another region: what GitHub changed.
REGIONAL = "no_promotion_across_regions"
#: A push is acknowledged when both sites have it, and a promoted site takes no replication.
BOTH_SITES = "acknowledged_by_both_sites"
SUSPECTED = "the primary does not answer"
PUSHES = {"laptop": (1, 2), "robot": (11, 12)}


class Sites:
    """The databases of two sites, the one that is the primary, and who may change that."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.network = world.network()
        self.network.allow(partition=[("primary", "west")])
        self.databases = {"east": world.database("east"), "west": world.database("west")}
        self.topology = world.database("topology")
        self.topology.load("primary", {"cluster": {"site": "east"}})
        self.acknowledged: dict[int, str] = {}

    async def primary(self, life: Life) -> None:
        """The primary of the site that the topology names; what it commits goes to the other."""
        site = column(await self.topology.get("primary", "cluster"), "site")
        send, committed = trio.open_memory_channel[int](len(PUSHES) * 2)
        both = BOTH_SITES in self.world.guards

        async def ping(request: Request) -> None:
            await request.reply()

        async def push(request: Request) -> None:
            await self.databases[site].put("pushes", request.payload, {"by": request.sender})
            if site == "east" and both:
                await self.network.call("west", "replicate", request.payload)
            await request.reply()
            if site == "east" and not both:
                await send.send(request.payload)

        async def replicate() -> None:
            async for number in committed:
                with suppress(ConnectionError):
                    await self.network.call("west", "replicate", number)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(replicate)
            await answer(life, self.network, f"mysql.{site}", ping=ping, push=push)
            send.close()

    async def west(self, life: Life) -> None:
        """The site in the west: a replica of the east, and Orchestrator, which watches the east."""

        async def replicate(request: Request) -> None:
            if column(await self.topology.get("primary", "cluster"), "site") == "west":
                await request.fail(ConnectionRefusedError("west is no replica any more"))
                return
            await self.databases["west"].put("pushes", request.payload, {"by": "replication"})
            await request.reply()

        async def orchestrate() -> None:
            for _ in range(3):
                await trio.sleep(5)
                try:
                    await self.network.call("mysql.east", "ping", timeout_s=10)
                except OSError:
                    self.world.reach(SUSPECTED)
                    if REGIONAL not in self.world.guards:
                        await self.promote()
                    return

        async with trio.open_nursery() as nursery:
            nursery.start_soon(orchestrate)
            await answer(life, self.network, "west", replicate=replicate)
            nursery.cancel_scope.cancel()

    async def promote(self) -> None:
        """Make the west the primary, whatever the east is doing."""
        await self.topology.put("primary", "cluster", {"site": "west"})
        self.world.services["primary"].start()

    async def push(self, *numbers: int) -> None:
        """Push to whoever is the primary, and note what it acknowledged."""
        for number in numbers:
            await trio.sleep(4)
            site = column(await self.topology.get("primary", "cluster"), "site")
            with suppress(OSError):
                await self.network.call(f"mysql.{site}", "push", number, timeout_s=60)
                self.acknowledged[number] = site

    def complete(self) -> None:
        """One site has every push that any site has acknowledged; the other can be thrown away."""
        missing = {
            site: [push for push in self.acknowledged if push not in database.table("pushes")]
            for site, database in self.databases.items()
        }
        if all(missing.values()):
            primary = str(self.topology.table("primary")["cluster"]["site"])
            raise Broken(
                f"pushes {missing['west']} were acknowledged and are not in the west, pushes "
                f"{missing['east']} were acknowledged and are not in the east; the primary is in "
                f"the {primary}",
                before="one history",
                after="two histories",
                consequence="neither site can be thrown away, and both have to be merged by hand",
            )


@scenario(
    name="github-2018-10-21",
    faults=[restart("west", kinds=("crash",))],
    guards=(REGIONAL, BOTH_SITES),
    time_max_s=600.0,
    must_reach=(SUSPECTED,),
)
async def github(world: World) -> None:
    """Orchestrator promotes the other site while the old primary still takes writes.

    Modelled: two sites, replication, Orchestrator, a network that may be cut, two clients.
    Not modelled: the Raft group of Orchestrator, reads from replicas, and the day of merging.
    """
    sites = Sites(world)
    world.invariant(name="one_site_has_every_acknowledged_push", at_end=True)(sites.complete)
    await world.service("primary", sites.primary).ready()
    await world.service("west", sites.west).ready()
    lanes = [world.start_client(who, sites.push, *numbers) for who, numbers in PUSHES.items()]
    for lane in lanes:
        await world.finished(lane)


INCIDENT = Incident(
    scenario=github,
    system="GitHub, 21 October 2018",
    family="failover without a fence",
    breaks=("one_site_has_every_acknowledged_push",),
    enough=((REGIONAL,), (BOTH_SITES,)),
    budget=300,
    source="https://www.postmortems.app/postmortem/4da4ac8a-fb93-426e-9ae7-eb088f115959",
)
