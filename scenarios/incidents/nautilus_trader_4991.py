"""nautilus_trader, review of pull request 4991, 2026: a replayed fill is counted a second time.

After a reconnection an adapter asks the venue for reports of what it may have missed, while live
events arrive again. A fill of 0.6 that had been seen was recognised and not booked twice, but the
code that guards the bracket counted it again, took the order for filled, and cancelled its sibling.
Source: https://github.com/nautechsystems/nautilus_trader/pull/4991
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

#: Only a fill that is booked is counted for the bracket.
BOOKED = "brackets_count_only_what_is_booked"
#: The position, its take-profit order for all of it, and the fills of that, in tenths of a coin.
POSITION, FILLS = 10, {"fill 1": 3, "fill 2": 3}
REPLAYED = "a fill comes live and in a report"


class Trading:
    """The venue with a position and two orders that close it, and the adapter that follows."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.network = world.network()
        self.venue_books = world.database("venue")
        self.venue_books.load("orders", {"stop loss": {"state": "open"}})
        self.journal = world.database("journal")

    async def venue(self, life: Life) -> None:
        """Fills the take-profit order bit by bit, tells that live, and reports it on request."""

        async def report(request: Request) -> None:
            fills = await self.venue_books.scan("fills")
            await request.reply({fill: column(row, "size") for fill, row in fills.items()})

        async def cancel(request: Request) -> None:
            await self.venue_books.put("orders", request.payload, {"state": "cancelled"})
            await request.reply()

        await answer(life, self.network, "venue", report=report, cancel=cancel)

    async def trade(self) -> None:
        """The market comes to the take-profit order, twice."""
        for fill, size in FILLS.items():
            await trio.sleep(2)
            await self.venue_books.put("fills", fill, {"size": size})
            await self.network.publish("live", (fill, size))

    async def adapter(self, life: Life) -> None:
        """Listens to live events, asks for what was missed, and processes both in the same way."""
        live = self.network.subscribe("live")
        booked = {fill: column(row, "size") for fill, row in (await self.known()).items()}
        counted = sum(booked.values())
        life.enter("ready")

        async def process(fill: str, size: int) -> None:
            nonlocal counted
            new = fill not in booked
            self.world.sometimes(REPLAYED, not new)
            if new:
                booked[fill] = size
                await self.journal.put("fills", fill, {"size": size})
            if new or BOOKED not in self.world.guards:
                counted += size
                if counted >= POSITION:
                    await self.network.call("venue", "cancel", "stop loss")

        async def recover() -> None:
            with suppress(OSError):
                for fill, size in (await self.network.call("venue", "report")).items():
                    await process(fill, size)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(recover)

            async def follow() -> None:
                async for fill, size in live:
                    await process(fill, size)

            nursery.start_soon(follow)
            await life.stop_requested()
            nursery.cancel_scope.cancel()

    async def known(self) -> dict[str, dict[str, object]]:
        """The fills that an earlier incarnation has booked."""
        return {fill: dict(row) for fill, row in (await self.journal.scan("fills")).items()}

    def protected(self) -> None:
        """What is left of a position has its stop loss."""
        filled = sum(column(row, "size") for row in self.venue_books.table("fills").values())
        state = self.venue_books.table("orders")["stop loss"]["state"]
        if state == "cancelled" and filled < POSITION:
            left = f"{(POSITION - filled) / 10:.1f} of {POSITION / 10:.1f} BTC"
            raise Broken(
                f"the stop loss was cancelled, and {left} are still held",
                resource="venue/orders/stop loss",
                before="open",
                after="cancelled",
                consequence="whatever the price does, nothing closes the rest of the position",
                accounts=("trader",),
            )


@scenario(
    name="nautilus-trader-4991",
    faults=[restart("adapter", kinds=("crash", "stop", "rolling"))],
    guards=(BOOKED,),
    time_max_s=60.0,
    must_reach=(REPLAYED,),
)
async def nautilus(world: World) -> None:
    """A fill comes live and in the report after a restart; the bracket counts it twice.

    Modelled: a venue, live events, the report, an adapter that restarts, a bracket of two orders.
    Not modelled: the other three gaps of that review, modifications, and what was merged since.
    """
    trading = Trading(world)
    world.invariant(name="what_is_held_has_a_stop_loss")(trading.protected)
    await world.service("venue", trading.venue).ready()
    await world.service("adapter", trading.adapter).ready()
    await world.client("market", trading.trade)
    for _ in range(2):
        await trio.sleep(2)


INCIDENT = Incident(
    scenario=nautilus,
    system="nautilus_trader, pull request 4991",
    family="executed twice on redelivery",
    breaks=("what_is_held_has_a_stop_loss",),
    enough=((BOOKED,),),
    budget=150,
    source="https://github.com/nautechsystems/nautilus_trader/pull/4991",
)
