"""Knight Capital, 1 August 2012: new code on seven of eight servers, and a flag with two meanings.

The deployment left the old code on one server, and nobody noticed. The flag that switched the new
function on was one that the old code knew: there it woke Power Peg, dead for years, which sent
child orders without counting what was filled. About 460 million USD in 45 minutes.
Source: https://www.financemagnates.com/forex/regulation/a-costly-error-knight-capital-to-pay-12-million-to-sec-as-penalty-for-catastrophic-2012-trading-incident/
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

#: The flag is switched on when every process on every server runs the new code.
COUNTED = "the_flag_waits_for_every_server"
#: The new function has a flag of its own, of which the old code has never heard.
NEW_NAME = "a_new_meaning_has_a_new_name"
SERVERS = ("router1", "router2")
OLD, NEW = 1, 2
#: Parent orders, which the servers take in turn, and how many shares each of them is for.
PARENTS, SHARES = ("parent A", "parent B", "parent C", "parent D"), 100
#: Power Peg goes on for ever; so many child orders of it are enough to see that.
CHILDREN = 3
PRICE_USD = 30
DEPLOYED, ROUTED = "every server runs the new code", "a flagged order is routed"


class Routers:
    """The servers that route orders, what is installed on each, the flag, and the market."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.network = world.network()
        self.disks = world.database("disks")
        self.disks.load("code", {server: {"version": OLD} for server in SERVERS})
        self.config = world.database("config")
        self.config.load("flags", {"rlp": {"on": False}})
        self.market = world.database("market")
        self.runs: dict[str, int] = {}

    async def router(self, life: Life) -> None:
        """One process on one server: it runs the code that is installed when it starts."""
        server = life.service.name
        version = column(await self.disks.get("code", server), "version")
        self.runs[life.name] = version

        async def route(request: Request) -> None:
            parent, flag = request.payload
            children = CHILDREN if version == OLD and flag == "power peg" else 1
            for child in range(children):
                await self.market.put("children", (parent, child), {"shares": SHARES})
            await request.reply()

        await answer(life, self.network, server, route=route)

    async def deploy(self) -> None:
        """Install and restart one server after the other, then switch the new function on."""
        for server in SERVERS:
            await self.disks.put("code", server, {"version": NEW})
            # One that takes too long is left behind, and the script tells nobody.
            with trio.move_on_after(10):
                await self.world.services[server].restart("rolling")
        complete = self.complete()
        self.world.sometimes(DEPLOYED, complete)
        if complete or COUNTED not in self.world.guards:
            await self.config.put("flags", "rlp", {"on": True})

    def complete(self) -> bool:
        """Whether every process that is alive runs the new code, and those to come will."""
        alive = [life for server in SERVERS for life in self.world.services[server].alive]
        code = self.disks.table("code").values()
        return all(self.runs.get(life.name) == NEW for life in alive) and all(
            row["version"] == NEW for row in code
        )

    async def trade(self) -> None:
        """Customers' orders come in when the market opens."""
        flag = "rlp" if NEW_NAME in self.world.guards else "power peg"
        for number, parent in enumerate(PARENTS):
            await trio.sleep(8)
            on = column(await self.config.get("flags", "rlp"), "on")
            self.world.sometimes(ROUTED, on)
            with suppress(OSError):
                server = SERVERS[number % len(SERVERS)]
                await self.network.call(server, "route", (parent, flag if on else ""))

    def filled(self) -> None:
        """The child orders of a parent add up to what the customer ordered, and no more."""
        sent: dict[str, int] = {}
        for (parent, _), row in self.market.table("children").items():
            sent[parent] = sent.get(parent, 0) + column(row, "shares")
        for parent, shares in sent.items():
            if shares > SHARES:
                raise Broken(
                    f"{parent} is for {SHARES} shares, and {shares} were bought for it",
                    resource=f"market/children/{parent}",
                    before=f"{SHARES} shares",
                    after=f"{shares} shares",
                    consequence=f"Knight holds {shares - SHARES} shares for "
                    f"{(shares - SHARES) * PRICE_USD:,}.00 USD that nobody ordered, and more with "
                    "every moment",
                )


@scenario(
    name="knight-2012-08-01",
    faults=[restart(server, kinds=("crash",)) for server in SERVERS],
    guards=(COUNTED, NEW_NAME),
    time_max_s=300.0,
    must_reach=(DEPLOYED, ROUTED),
)
async def knight(world: World) -> None:
    """A flag is switched on before every server runs the code that it means; old code wakes up.

    Modelled: two servers, their deployment one after the other, the flag, Power Peg without count.
    Not modelled: six more servers, 97 warnings by mail, and the attempt to take the new code back.
    """
    routers = Routers(world)
    world.invariant(name="no_more_shares_than_ordered")(routers.filled)
    for server in SERVERS:
        await world.service(server, routers.router).ready()
    lanes = [
        world.start_client("deployment", routers.deploy),
        world.start_client("customers", routers.trade),
    ]
    for lane in lanes:
        await world.finished(lane)


INCIDENT = Incident(
    scenario=knight,
    system="Knight Capital, 1 August 2012",
    family="configuration applied before its consumers",
    breaks=("no_more_shares_than_ordered",),
    enough=((COUNTED,), (NEW_NAME,)),
    budget=200,
    source="https://www.financemagnates.com/forex/regulation/a-costly-error-knight-capital-to-pay-12-million-to-sec-as-penalty-for-catastrophic-2012-trading-incident/",
)
