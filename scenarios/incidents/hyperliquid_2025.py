"""Hyperliquid, 29 July 2025: the API answered with errors, and the orders were executed.

For 37 minutes API servers were overloaded. Orders reached the mempool and were executed, while
their senders were told that they had failed, and could not see or close what they held; users got
1.99 million USD back.
Source: https://btcinsider.pro/market/investor/hyperliquid-reimburses-2m-to-crypto-traders-after-api-outage
"""

from __future__ import annotations

import trio

from harness.invariants import Broken
from harness.scenario import restart, scenario
from harness.world.messages import Request
from harness.world.service import Life
from harness.world.world import World
from scenarios.incidents.incident import Incident
from scenarios.incidents.services import answer, column
from scenarios.rules.money import usdc

#: An order is reported as failed only when it was cancelled where it would be executed.
CANCELLED = "errors_only_for_cancelled_orders"
SIZE_BTC, PRICE_USDC = 2, 118_000
ATTEMPTS = 2
TIMED_OUT = "the API waits too long for the chain"


class Failed(Exception):
    """What the API answers when, as far as it knows, an order was not executed."""


class Venue:
    """The API, the chain that executes orders, and a trader who wants one position."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.network = world.network()
        self.chain = world.database("chain")
        self.failed: list[str] = []

    async def node(self, life: Life) -> None:
        """Takes orders out of the mempool and executes each of them once."""

        async def execute(request: Request) -> None:
            order = {"btc": SIZE_BTC, "usdc": PRICE_USDC}
            done = await self.chain.compare_and_put("orders", request.payload, order, None)
            await request.reply(done or await self.filled(request.payload))

        await answer(life, self.network, "mempool", execute=execute)

    async def api(self, life: Life) -> None:
        """Hands orders on to the mempool, and tells what became of them."""

        async def place(request: Request) -> None:
            try:
                done = await self.network.call("mempool", "execute", request.payload, timeout_s=2)
            except OSError:
                self.world.reach(TIMED_OUT)
                done = CANCELLED in self.world.guards and not await self.cancel(request.payload)
            if done:
                await request.reply()
            else:
                await request.fail(Failed(f"{request.payload} failed"))

        await answer(life, self.network, "api", place=place)

    async def cancel(self, order: str) -> bool:
        """Take the place of an order on the chain; False if it was executed already."""
        cancelled = {"btc": 0, "usdc": 0}
        if await self.chain.compare_and_put("orders", order, cancelled, None):
            return True
        return not await self.filled(order)

    async def filled(self, order: str) -> bool:
        """Whether an order that the chain knows was executed, and not cancelled before."""
        return bool(column(await self.chain.get("orders", order), "btc"))

    async def trade(self) -> None:
        """Buy once: what failed is ordered anew; whoever gets no answer at all asks again."""
        for attempt in range(1, ATTEMPTS + 1):
            order = f"order {attempt}"
            try:
                while not await self.placed(order):
                    await trio.sleep(1)
            except Failed:
                self.failed.append(order)
            else:
                return

    async def placed(self, order: str) -> bool:
        """Place an order; False if nobody knows what became of it."""
        try:
            await self.network.call("api", "place", order)
        except OSError:
            return False
        return True

    def truth(self) -> None:
        """What was reported as failed has no effect, neither before nor after."""
        orders = self.chain.table("orders")
        for order in self.failed:
            if order in orders and orders[order]["btc"]:
                raise Broken(
                    f"{order} was answered with an error, and was executed",
                    resource=f"chain/orders/{order}",
                    before="failed",
                    after=f"{SIZE_BTC} BTC bought",
                    consequence=f"the trader orders again, and does not know that he holds "
                    f"{usdc(SIZE_BTC * PRICE_USDC)} already",
                    accounts=("trader",),
                )


@scenario(
    name="hyperliquid-2025-07-29",
    faults=[restart("api", kinds=("crash", "rolling")), restart("node", kinds=("crash",))],
    guards=(CANCELLED,),
    time_max_s=120.0,
    must_reach=(TIMED_OUT,),
)
async def hyperliquid(world: World) -> None:
    """The API gives up on an order that is in the mempool, says that it failed, and it is executed.

    Modelled: the API and its timeout, the chain, restarts of both, a trader who orders anew.
    Not modelled: the overload itself, the validators, and users who could not close positions.
    """
    venue = Venue(world)
    world.invariant(name="an_error_means_no_effect")(venue.truth)
    await world.service("node", venue.node).ready()
    await world.service("api", venue.api).ready()
    await world.client("trader", venue.trade)
    await trio.sleep(5)


INCIDENT = Incident(
    scenario=hyperliquid,
    system="Hyperliquid, 29 July 2025",
    family="an error is answered, and it is executed",
    breaks=("an_error_means_no_effect",),
    enough=((CANCELLED,),),
    budget=100,
    source="https://btcinsider.pro/market/investor/hyperliquid-reimburses-2m-to-crypto-traders-after-api-outage",
)
