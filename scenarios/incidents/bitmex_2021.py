"""BitMEX, 13 May 2021: a false alarm of the audit, then liquidations during the maintenance.

Positions had just been valued by several services for the first time. An audit that the value of
all positions is 0 got values at different mark prices and stopped the exchange. On the way back,
one stage of the audit lifted the suspension of the engine while the exchange was still in
maintenance: stops and liquidations ran, and liquidated users were compensated.
Source: https://status.bitmex.com/incidents/fdkqxyr674d3
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

#: The audit asks every service for the value at one and the same mark price.
ONE_MARK = "the_audit_names_the_mark"
#: Whoever liquidates demands, with the liquidation, that the exchange is open.
MODE_GATE = "liquidations_demand_an_open_exchange"
#: Contracts held by the accounts of each service; all of them together are 0.
POSITIONS = {"desk1": 3, "desk2": -3}
MARKS_USD = (50_000, 49_000, 48_000)
#: Below this price the long account has lost its margin.
MARGIN_USD = 48_500
AUDITED, LIQUIDATED = "the audit adds the values up", "somebody is liquidated"


class Exchange:
    """Mark prices, the services that value positions, the audit, the mode and the liquidator."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.network = world.network()
        self.database = world.database("exchange")
        self.database.load("mark", {0: {"usd": MARKS_USD[0]}, "newest": {"number": 0}})
        self.database.load("mode", {"all": {"mode": "open", "engine": "running"}})

    async def desk(self, life: Life) -> None:
        """Values the positions of its accounts at the newest mark that it knows."""
        size, marks = POSITIONS[life.service.name], self.network.subscribe("mark")
        newest = column(await self.database.get("mark", "newest"), "number")
        price_usd = column(await self.database.get("mark", newest), "usd")

        async def follow() -> None:
            nonlocal price_usd
            async for mark in marks:
                price_usd = mark

        async def value(request: Request) -> None:
            if request.payload is None:
                await request.reply(size * price_usd)
            else:
                named = await self.database.get("mark", request.payload)
                await request.reply(size * column(named, "usd"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            await answer(life, self.network, life.service.name, value=value)
            nursery.cancel_scope.cancel()

    async def quote(self) -> None:
        """The mark price falls."""
        for number, price_usd in enumerate(MARKS_USD[1:], 1):
            await trio.sleep(10)
            await self.database.put("mark", number, {"usd": price_usd})
            await self.database.put("mark", "newest", {"number": number})
            await self.network.publish("mark", price_usd)

    async def audit(self) -> bool:
        """Whether the value of all positions is 0; also when somebody could not be asked."""
        mark = None
        if ONE_MARK in self.world.guards:
            mark = column(await self.database.get("mark", "newest"), "number")
        values = []
        with suppress(ConnectionError):
            for desk in POSITIONS:
                values.append(await self.network.call(desk, "value", mark))
        self.world.sometimes(AUDITED, len(values) == len(POSITIONS))
        return sum(values) == 0 or len(values) < len(POSITIONS)

    async def operate(self) -> None:
        """Audit the exchange, stop it when that fails, and take it through a maintenance."""
        await trio.sleep(12)
        if not await self.audit():
            await self.set_mode("stopped by the audit", "suspended")
        await trio.sleep(12)
        await self.set_mode("maintenance", "suspended")
        # The engine resumes at the first stage of the audit on the way back, the mode at the last.
        await self.set_mode("maintenance", "running")
        await trio.sleep(1)
        await self.set_mode("open", "running")

    async def set_mode(self, mode: str, engine: str) -> None:
        """Change the mode of the exchange and of its engine."""
        await self.database.put("mode", "all", {"mode": mode, "engine": engine})

    async def liquidate(self) -> None:
        """Liquidate who has lost his margin, unless the engine is suspended."""
        for _ in range(6):
            await trio.sleep(5)
            async with self.database.transaction() as transaction:
                now = await transaction.get_for_update("mode", "all")
                number = column(await transaction.get("mark", "newest"), "number")
                price_usd = column(await transaction.get("mark", number), "usd")
                gated = MODE_GATE in self.world.guards and column(now, "mode") != "open"
                if column(now, "engine") == "running" and price_usd < MARGIN_USD and not gated:
                    mode = column(now, "mode")
                    liquidation = {"price_usd": price_usd, "mode": mode}
                    await transaction.put("liquidations", "long", liquidation)
                    self.world.reach(LIQUIDATED)
                    break

    def stopped(self) -> bool:
        """The audit stops the exchange only when positions really do not add up."""
        mode = str(self.database.table("mode")["all"]["mode"])
        if mode == "stopped by the audit":
            raise Broken(
                f"the audit stopped the exchange, and positions add up to {sum(POSITIONS.values())}"
                ": they were valued at different mark prices",
                resource="exchange/mode/all",
                before="open",
                after=mode,
                consequence="nobody can trade or add margin while prices move",
            )
        return True

    def liquidated(self) -> bool:
        """Nobody is liquidated during a maintenance, when he cannot defend himself."""
        liquidation = self.database.table("liquidations").get("long")
        if liquidation is not None and liquidation["mode"] != "open":
            raise Broken(
                f"an account was liquidated at {liquidation['price_usd']} USD in mode "
                f"{liquidation['mode']!r}",
                resource="exchange/liquidations/long",
                before="in maintenance",
                after="liquidated",
                consequence=f"it lost {POSITIONS['desk1']} contracts and could neither add margin "
                "nor trade",
                accounts=("long",),
            )
        return liquidation is not None


@scenario(
    name="bitmex-2021-05-13",
    faults=[restart(name, kinds=("crash", "rolling")) for name in POSITIONS],
    guards=(ONE_MARK, MODE_GATE),
    time_max_s=300.0,
    must_reach=(AUDITED, LIQUIDATED),
)
async def bitmex_2021(world: World) -> None:
    """An audit adds up values at different marks; on the way back the engine resumes too early.

    Modelled: two services that value positions, marks on their way, the audit, mode and engine.
    Not modelled: the stages of the audit one by one, stop orders, and the rewritten funding.
    """
    exchange = Exchange(world)
    world.invariant(name="the_audit_stops_for_a_reason")(exchange.stopped)
    world.invariant(name="nobody_is_liquidated_in_maintenance")(exchange.liquidated)
    for name in POSITIONS:
        await world.service(name, exchange.desk).ready()
    lanes = [
        world.start_client("oracle", exchange.quote),
        world.start_client("operator", exchange.operate),
        world.start_client("liquidator", exchange.liquidate),
    ]
    for lane in lanes:
        await world.finished(lane)


INCIDENT = Incident(
    scenario=bitmex_2021,
    system="BitMEX, 13 May 2021",
    family="versions mixed; liquidations during a maintenance",
    breaks=("the_audit_stops_for_a_reason", "nobody_is_liquidated_in_maintenance"),
    enough=((ONE_MARK, MODE_GATE),),
    budget=100,
    source="https://status.bitmex.com/incidents/fdkqxyr674d3",
)
