"""dYdX, 10 October 2025: the chain resumed before its oracles did.

A failsafe had halted the chain for eight hours. When validators came back, the sidecars that
bring them prices were restarted late, so that orders were matched and accounts liquidated at the
prices of before the halt: up to 462,097.79 USD of compensation for 27 claims.
Source: https://www.dydx.xyz/blog/october-2025-dydx-chain-incident-review-community-update
"""

from __future__ import annotations

import trio

from harness.invariants import Broken
from harness.scenario import restart, scenario
from harness.world.service import Life
from harness.world.world import World
from scenarios.incidents.incident import Incident
from scenarios.incidents.services import column
from scenarios.rules.money import usdc

#: Nobody is liquidated at a price from before the start of the validator.
FRESH = "prices_are_newer_than_the_start"
#: The price outside, in USDC, from these seconds on: it crashes, and recovers during the halt.
OUTSIDE = ((0.0, 95), (4.0, 80), (10.0, 100))
#: When the failsafe halts the chain and when it resumes.
HALT_S, RESUME_S = 5.0, 15.0
#: How often each life looks at prices, and how many blocks the story goes on after the halt.
ROUNDS, BLOCKS = range(5), range(2)
#: Long accounts with their size and the price below which they have lost their margin.
ACCOUNTS = {"alice": (40, 85), "bert": (25, 90)}
RESUMED, CHECKED = "a validator that was restarted has a new price", "margins are checked"


def outside_usdc(at_s: float) -> int:
    """The price outside at a time."""
    return [price for since_s, price in OUTSIDE if since_s <= at_s][-1]


class Chain:
    """The state of the chain, its validator, and the sidecar that brings prices to it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.state = world.database("state")
        self.state.load("prices", {"BTC": {"usdc": outside_usdc(0.0), "at_s": 0.0}})

    async def sidecar(self, life: Life) -> None:
        """Brings the price of the outside world to the chain."""
        life.enter("ready")
        for _ in ROUNDS:
            if life.stopping:
                return
            at_s = trio.current_time()
            await self.state.put("prices", "BTC", {"usdc": outside_usdc(at_s), "at_s": at_s})
            await trio.sleep(1.5)
        await life.stop_requested()

    async def validator(self, life: Life) -> None:
        """Checks all margins at the price of the state, block after block."""
        started_s = trio.current_time()
        life.enter("ready")
        for _ in ROUNDS:
            if life.stopping:
                return
            await trio.sleep(2)
            price = await self.state.get("prices", "BTC")
            at_s, price_usdc = column(price, "at_s"), column(price, "usdc")
            self.world.sometimes(RESUMED, at_s >= started_s >= HALT_S)
            if FRESH in self.world.guards and at_s < started_s:
                continue
            for account, (_, margin_usdc) in ACCOUNTS.items():
                self.world.reach(CHECKED)
                if price_usdc < margin_usdc:
                    row = {"usdc": price_usdc, "at_s": at_s, "started_s": started_s}
                    await self.state.compare_and_put("liquidations", account, row, None)
        await life.stop_requested()

    def justified(self) -> bool:
        """Nobody with enough margin is liquidated at a price from before the restart."""
        now_usdc = outside_usdc(self.world.now_ms / 1000)
        for account, row in self.state.table("liquidations").items():
            price_usdc, (size, margin_usdc) = column(row, "usdc"), ACCOUNTS[account]
            stale = column(row, "at_s") < column(row, "started_s")
            if stale and now_usdc >= margin_usdc:
                loss_usdc = size * (now_usdc - price_usdc)
                raise Broken(
                    f"{account} was liquidated at {usdc(price_usdc)}, a price from before "
                    f"the restart; it is {usdc(now_usdc)} now, and the margin of "
                    f"{account} lasts to {usdc(margin_usdc)}",
                    resource=f"state/liquidations/{account}",
                    before=f"{size} BTC long",
                    after="liquidated",
                    consequence=f"{account} loses {usdc(loss_usdc)}, which has to be repaid",
                    accounts=(account,),
                    loss_usdc=loss_usdc,
                )
        return bool(self.world.reached.get(CHECKED))


@scenario(
    name="dydx-2025-10-10",
    faults=[restart("validator", kinds=("crash",)), restart("sidecar", kinds=("crash",))],
    guards=(FRESH,),
    time_max_s=120.0,
    must_reach=(RESUMED, CHECKED),
)
async def dydx(world: World) -> None:
    """After a halt the validator is back before its oracle and liquidates at the price of before.

    Modelled: the halt, validator and sidecar stopped and started side by side, margins, a crash.
    Not modelled: what halted the chain (collateral moved before the insurance fund paid), orders.
    """
    chain = Chain(world)
    world.invariant(name="liquidations_use_a_new_price")(chain.justified)
    services = [
        world.service("sidecar", chain.sidecar),
        world.service("validator", chain.validator),
    ]
    await trio.sleep(HALT_S)
    for service in services:
        await service.stop()
    await trio.sleep_until(RESUME_S)
    async with trio.open_nursery() as nursery:
        for service in services:
            nursery.start_soon(service.restart, "stop")
    for _ in BLOCKS:
        await trio.sleep(2)


INCIDENT = Incident(
    scenario=dydx,
    system="dYdX, 10 October 2025",
    family="a value from before the restart",
    breaks=("liquidations_use_a_new_price",),
    enough=((FRESH,),),
    budget=150,
    source="https://www.dydx.xyz/blog/october-2025-dydx-chain-incident-review-community-update",
)
