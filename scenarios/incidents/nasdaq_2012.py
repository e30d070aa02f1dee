"""Nasdaq, 18 May 2012: the Facebook cross, computed again and again, then on a stale backup.

A cancellation that arrived while the opening cross was computed made it invalid, and it was
computed again, for 20 minutes. Engineers took out the validation and failed over; the backup knew
the orders of 11:11, so cancelled orders were executed and Nasdaq was short of 3 million shares.
Source: https://postmortems.info/t/when-your-postmortem-involves-the-sec-excerpts-below-from-the-very-readable-sec-report/330
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

#: A cancellation that comes while the cross is computed waits until it is done.
CUT_OFF = "cancellations_wait_for_the_cross"
#: The backup reads the orders again before it computes anything.
CATCH_UP = "the_backup_catches_up"
ORDERS = {1: 100, 2: 200, 3: 400, 4: 800}
CANCELLED = (2, 3, 4)
PRICE_USD = 42
#: So often a cross may be computed; who needs more does not come to an end under load.
ATTEMPTS_MAX = 2
FAILED_OVER, CROSSED = "the backup takes over", "the cross is published"


class Auction:
    """The orders of one stock, the system that crosses them, and its backup."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.network = world.network()
        self.book = world.database("book")
        self.book.load("orders", {number: {"shares": size} for number, size in ORDERS.items()})
        self.book.load("state", {"FB": {"version": 0, "crossed": ()}})
        self.cancelled: list[int] = []
        self.attempts = 0

    async def primary(self, life: Life) -> None:
        """Takes cancellations, and computes the cross until one is valid."""

        async def cancel(request: Request) -> None:
            async with self.book.transaction() as transaction:
                state = await transaction.get_for_update("state", "FB")
                too_late = bool(column(state, "crossed"))
                if not too_late:
                    await transaction.delete("orders", request.payload)
                    version = column(state, "version") + 1
                    await transaction.put("state", "FB", {"version": version, "crossed": ()})
            await request.reply(not too_late)
            if not too_late:
                await self.network.publish("cancelled", request.payload)

        async def cross() -> None:
            await trio.sleep(0.005)
            self.attempts = 0
            while not await (self.lock_and_cross() if self.cuts_off else self.compute_and_check()):
                pass
            self.world.reach(CROSSED)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(cross)
            await answer(life, self.network, "primary", cancel=cancel)
            nursery.cancel_scope.cancel()

    @property
    def cuts_off(self) -> bool:
        """Whether cancellations wait for the cross."""
        return CUT_OFF in self.world.guards

    async def compute_and_check(self) -> bool:
        """Compute the cross, which takes a while, and publish it if nothing has changed since."""
        self.attempts += 1
        version = column(await self.book.get("state", "FB"), "version")
        orders = tuple(await self.book.scan("orders"))
        await trio.sleep(0.002)
        async with self.book.transaction() as transaction:
            state = await transaction.get_for_update("state", "FB")
            if not column(state, "crossed"):
                if column(state, "version") != version:
                    return False
                await transaction.put("state", "FB", {"version": version, "crossed": orders})
        return True

    async def lock_and_cross(self, orders: tuple[int, ...] | None = None) -> bool:
        """Publish the cross of these orders, or of the book, while nobody can change that."""
        self.attempts += 1
        async with self.book.transaction() as transaction:
            state = await transaction.get_for_update("state", "FB")
            if not column(state, "crossed"):
                if orders is None:
                    orders = tuple(await transaction.scan("orders"))
                await trio.sleep(0.002)
                await transaction.put("state", "FB", {"version": 0, "crossed": orders})
        return True

    async def backup(self, life: Life) -> None:
        """Follows what the primary publishes, and crosses what it knows when it is told to."""
        published = self.network.subscribe("cancelled")
        known = dict.fromkeys(await self.book.scan("orders"))

        async def follow() -> None:
            async for number in published:
                known.pop(number, None)

        async def cross(request: Request) -> None:
            await self.lock_and_cross(None if CATCH_UP in self.world.guards else tuple(known))
            await request.reply()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            await answer(life, self.network, "backup", cross=cross)
            nursery.cancel_scope.cancel()

    async def fail_over(self) -> None:
        """The operator: if there is no cross in time, the backup makes one without validation."""
        await trio.sleep(0.012)
        if not column(await self.book.get("state", "FB"), "crossed"):
            self.world.reach(FAILED_OVER)
            for life in self.world.services["primary"].alive:
                self.world.services["primary"].crash(life)
            await self.network.call("backup", "cross")

    async def cancel(self) -> None:
        """Somebody changes his mind about several orders, one after the other."""
        for number in CANCELLED:
            await trio.sleep(0.002)
            with suppress(OSError):
                if await self.network.call("primary", "cancel", number):
                    self.cancelled.append(number)

    def executed(self) -> None:
        """An order whose cancellation was acknowledged is not executed."""
        crossed = column(self.book.table("state")["FB"], "crossed")
        wrong = [number for number in self.cancelled if number in crossed]
        if wrong:
            shares = sum(ORDERS[number] for number in wrong)
            raise Broken(
                f"the cross executed the orders {wrong}, whose cancellation was acknowledged",
                resource="book/state/FB",
                before=f"orders without {wrong}",
                after=f"orders {list(crossed)}",
                consequence=f"Nasdaq owes {shares} shares that nobody sells, "
                f"{shares * PRICE_USD:,}.00 USD at the price of the cross",
            )

    def computed(self) -> None:
        """The cross comes to an end, however many cancellations arrive."""
        if self.attempts > ATTEMPTS_MAX:
            raise Broken(
                f"the cross is computed for the {self.attempts}. time: whenever it is done, "
                "somebody has cancelled an order meanwhile",
                resource="book/state/FB",
                consequence="nobody knows whether his order was executed; it took 20 minutes",
            )


@scenario(
    name="nasdaq-2012-05-18",
    faults=[restart("primary", kinds=("crash",), delay_s=0.001)],
    guards=(CUT_OFF, CATCH_UP),
    time_max_s=10.0,
    must_reach=(CROSSED, FAILED_OVER),
)
async def nasdaq(world: World) -> None:
    """Cancellations make the opening cross start again, until a stale backup crosses unchecked.

    Modelled: the book, the computation, its validation, three cancellations, the failover.
    Not modelled: 19 minutes of it, the price of the cross, and the orders that came too late.
    """
    auction = Auction(world)
    world.invariant(name="cancelled_orders_are_not_executed")(auction.executed)
    world.invariant(name="the_cross_comes_to_an_end")(auction.computed)
    await world.service("primary", auction.primary).ready()
    await world.service("backup", auction.backup).ready()
    lanes = [
        world.start_client("investor", auction.cancel),
        world.start_client("operator", auction.fail_over),
    ]
    for lane in lanes:
        await world.finished(lane)


INCIDENT = Incident(
    scenario=nasdaq,
    system="Nasdaq, 18 May 2012",
    family="recomputed without a bound, then a stale backup",
    breaks=("cancelled_orders_are_not_executed", "the_cross_comes_to_an_end"),
    enough=((CUT_OFF, CATCH_UP),),
    budget=200,
    source="https://postmortems.info/t/when-your-postmortem-involves-the-sec-excerpts-below-from-the-very-readable-sec-report/330",
)
