"""AWS, 19 October 2025: an old plan was applied after a check that had been true long before.

A planner makes plans for the DNS records of DynamoDB, and redundant enactors apply them. One was
delayed between its check that the plan is new and its writes; another one had applied newer plans
meanwhile and deleted the old ones as garbage. The record of us-east-1 pointed to nothing.
Source: https://urandom.io/blog/2026-02-17-the-race-that-ate-us-east-1
"""

from __future__ import annotations

import trio

from harness.invariants import Broken
from harness.scenario import restart, scenario
from harness.world.service import Life
from harness.world.world import World
from scenarios.incidents.incident import Incident
from scenarios.incidents.services import column

#: Every write of a record demands that the record is older than the plan.
FRESH = "freshness_at_every_write"
ENACTORS = ("enactor_a", "enactor_b")
ENDPOINTS = ("dynamodb.us-east-1", "streams.us-east-1")
#: Plans by their generation; the first one is in force when the story begins.
PLANS = range(2, 4)
APPLIED = "a second generation of plans is applied"


class Dns:
    """The plans, the records that name one each, and the services that change both."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.database = world.database("dns")
        self.database.load("plans", {1: {"addresses": 64}})
        self.database.load("records", {name: {"plan": 1} for name in ENDPOINTS})

    async def plan(self) -> None:
        """Make a new plan now and then."""
        for generation in PLANS:
            await self.database.put("plans", generation, {"addresses": 64 + generation})
            await trio.sleep(10)

    async def enactor(self, life: Life) -> None:
        """Apply the newest plan, and delete those that are garbage now."""
        life.enter("ready")
        for _ in PLANS:
            await trio.sleep(8)
            if life.stopping:
                return
            newest = max(await self.database.scan("plans"))
            applied = column(await self.database.get("records", ENDPOINTS[0]), "plan")
            if newest > applied:
                await self.apply(newest)
                await self.clean_up(newest)

    async def apply(self, plan: int) -> None:
        """Let all records name this plan."""
        for name in ENDPOINTS:
            row = {"plan": plan}
            if FRESH in self.world.guards:
                await self.database.compare_and_put(
                    "records", name, row, lambda found: column(found, "plan") < plan
                )
            else:
                await self.database.put("records", name, row)
        self.world.sometimes(APPLIED, plan > PLANS[0])

    async def clean_up(self, newest: int) -> None:
        """Delete the plans that are older than the one that all records name."""
        for plan in await self.database.scan("plans"):
            if plan < newest:
                await self.database.delete("plans", plan)

    def resolve(self) -> None:
        """Every endpoint has addresses: the plan that its record names is there."""
        plans = self.database.table("plans")
        for name, row in self.database.table("records").items():
            if row["plan"] not in plans:
                raise Broken(
                    f"{name} resolves to no address: its record names plan {row['plan']}, which "
                    f"was deleted; there are {sorted(plans)}",
                    resource=f"dns/records/{name}",
                    before="addresses",
                    after="nothing",
                    consequence="no client finds the database of the region any more",
                )


@scenario(
    name="aws-2025-10-19",
    faults=[restart(name, kinds=("crash", "rolling")) for name in ENACTORS],
    guards=(FRESH,),
    time_max_s=600.0,
    must_reach=(APPLIED,),
)
async def aws(world: World) -> None:
    """An enactor applies an old DNS plan after newer ones, and then it is deleted as garbage.

    Modelled: the planner, two enactors that may be restarted, their check, the clean-up.
    Not modelled: that a few old generations were kept, the third enactor, and the 14 hours after.
    """
    dns = Dns(world)
    world.invariant(name="every_endpoint_has_addresses")(dns.resolve)
    for name in ENACTORS:
        world.service(name, dns.enactor)
    await world.client("planner", dns.plan)
    for service in world.services.values():
        await service.gone(service.lives[0])


INCIDENT = Incident(
    scenario=aws,
    system="AWS DynamoDB, 19 October 2025",
    family="a plan applied after a one-time check",
    breaks=("every_endpoint_has_addresses",),
    enough=((FRESH,),),
    budget=200,
    source="https://urandom.io/blog/2026-02-17-the-race-that-ate-us-east-1",
)
