"""Eurex, 26 August 2013: the clock of the trading system jumped back.

At the start of trading the time synchronisation of the new system failed: by a third party's
analysis, time servers behind GPS receivers set the clocks back by about 36 seconds. Orders got
wrong time stamps, and with them the wrong priority; Eurex halted from 06:20 to 07:30 GMT.
Source: https://yodaiken.com/2014/09/24/what-happens-when-you-do-not-use-enterprise-quality-technology
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

#: The stamps of the matching engine never go back, whatever the time servers say.
MONOTONE = "stamps_never_go_back"
#: The difference between the time of the satellites and that of the exchange, in seconds.
DIFFERENCE_S = 36
#: A receiver knows it when it has received the whole almanac, which takes minutes.
PAGES = range(1, 4)
TRADERS = ("anna", "bert", "carl")
SYNCHRONISED = "the clock is set while orders come"


class Market:
    """The time server, the matching engine that asks it, and the orders in its queue."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.network = world.network()
        self.almanac = world.database("almanac")
        self.almanac.load("pages", {page: {"difference_s": DIFFERENCE_S} for page in PAGES})
        self.book = world.database("book")
        self.ahead_s = DIFFERENCE_S
        self.last_s = 0.0
        #: Who was in the queue, with which stamp, when an order was sent.
        self.before: dict[str, dict[str, float]] = {}
        self.acknowledged: dict[str, float] = {}

    async def time_server(self, life: Life) -> None:
        """Tells the time; the difference comes from the almanac, page by page."""
        difference_s = DIFFERENCE_S if life.incarnation == 1 else 0

        async def receive() -> None:
            nonlocal difference_s
            pages = [await self.almanac.get("pages", page) for page in PAGES]
            difference_s = column(pages[-1], "difference_s")

        async def tell(request: Request) -> None:
            await request.reply(trio.current_time() + difference_s)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await answer(life, self.network, "time", tell=tell)

    async def engine(self, life: Life) -> None:
        """Stamps orders by its clock, which it sets by the time server now and then."""

        async def order(request: Request) -> None:
            stamp_s = self.stamp_s()
            await self.book.put("orders", request.payload, {"stamp_s": stamp_s})
            await request.reply(stamp_s)

        async def synchronise() -> None:
            for _ in TRADERS:
                await trio.sleep(10)
                with suppress(OSError):
                    asked_s = trio.current_time()
                    told_s = await self.network.call("time", "tell")
                    # An answer that was long on its way is of no use.
                    if trio.current_time() == asked_s:
                        self.ahead_s = told_s - asked_s
                        self.world.sometimes(SYNCHRONISED, 0 < len(self.before) < len(TRADERS))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(synchronise)
            await answer(life, self.network, "engine", order=order)
            nursery.cancel_scope.cancel()

    def stamp_s(self) -> float:
        """The time of the exchange, which decides who is first in the queue."""
        stamp_s = trio.current_time() + self.ahead_s
        if MONOTONE in self.world.guards:
            stamp_s = max(stamp_s, self.last_s + 0.001)
        self.last_s = stamp_s
        return stamp_s

    async def trade(self) -> None:
        """Traders come one after the other, and each joins the end of the queue."""
        for who in TRADERS:
            await trio.sleep(8)
            self.before[who] = dict(self.acknowledged)
            self.acknowledged[who] = await self.network.call("engine", "order", who)

    def queued(self) -> None:
        """Who came first is first: stamps are in the order in which orders came."""
        stamps = {who: column(row, "stamp_s") for who, row in self.book.table("orders").items()}
        for who, before in self.before.items():
            for earlier, stamp_s in before.items():
                if who in stamps and stamps[who] <= stamp_s:
                    raise Broken(
                        f"{who}'s order came after {earlier}'s and stands before it in the queue",
                        resource="book/orders",
                        before=f"{stamp_s:.3f} s ({earlier})",
                        after=f"{stamps[who]:.3f} s ({who})",
                        consequence=f"the next trade is {who}'s; it was {earlier}'s",
                        accounts=(earlier,),
                    )


@scenario(
    name="eurex-2013-08-26",
    faults=[restart("time", kinds=("crash", "rolling", "stop"))],
    guards=(MONOTONE,),
    time_max_s=300.0,
    must_reach=(SYNCHRONISED,),
)
async def eurex(world: World) -> None:
    """A restarted time server sets the clock of the matching engine back by 36 seconds.

    Modelled: a time server that answers before it knows the difference, stamps, the queue.
    Not modelled: clocks that differ (all processes share one), protocols of time, and the halt.
    """
    market = Market(world)
    world.invariant(name="first_come_first_served")(market.queued)
    await world.service("time", market.time_server).ready()
    await world.service("engine", market.engine).ready()
    await world.client("traders", market.trade)


INCIDENT = Incident(
    scenario=eurex,
    system="Eurex, 26 August 2013",
    family="a clock that goes back",
    breaks=("first_come_first_served",),
    enough=((MONOTONE,),),
    budget=200,
    source="https://yodaiken.com/2014/09/24/what-happens-when-you-do-not-use-enterprise-quality-technology",
)
