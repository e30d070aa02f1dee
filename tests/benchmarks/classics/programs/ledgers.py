"""What the restart races share: a service that answers requests, and clients that insist."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import trio

from harness.world.messages import Request
from harness.world.network import Network
from harness.world.service import Life
from harness.world.world import World

LEDGER = "ledger"
#: What is deposited, in this order; no two sums of some of them are the same.
AMOUNTS = (10, 20, 40)
Handler = Callable[[Request], Awaitable[None]]


def figure(row: object, column: str) -> int:
    """A number in a row, which is there."""
    assert isinstance(row, Mapping)
    return int(row[column])


async def serve(
    life: Life,
    network: Network,
    recover: Callable[[], Awaitable[None]] | None = None,
    **handlers: Handler,
) -> None:
    """Be ready, and answer each request in turn until somebody asks to stop.

    With ``recover`` it says that it is ready before it has recovered, as many health checks do.
    """
    async with trio.open_nursery() as nursery:

        async def answer() -> None:
            requests = network.listen(LEDGER)
            life.enter("ready")
            if recover is not None:
                await recover()
            async for request in requests:
                await handlers[request.method](request)

        nursery.start_soon(answer)
        await life.stop_requested()
        nursery.cancel_scope.cancel()


async def deposit_once(network: Network, amount: int, acknowledged: list[int]) -> None:
    """Deposit and note whether that was acknowledged; if the ledger dies, nobody knows."""
    with suppress(OSError):
        await network.call(LEDGER, "deposit", amount)
        acknowledged.append(amount)


async def insist(world: World, network: Network, method: str, payload: object = None) -> Any:
    """Ask until there is an answer, whenever there is somebody to ask."""
    service = world.services[LEDGER]
    while True:
        await world.simulation.operate(
            "wait for a ledger",
            lambda: None,
            enabled=lambda: any(life.phase == "ready" for life in service.alive),
            on_crash="drop",
        )
        with suppress(OSError):
            return await network.call(LEDGER, method, payload)


async def deposits_survive(
    world: World, network: Network, ledger: Callable[[Life], Awaitable[None]]
) -> None:
    """Deposit, ask for the total, and demand that it has all that was acknowledged."""
    acknowledged: list[int] = []
    totals: list[int] = []

    @world.invariant(at_end=True)
    def every_acknowledged_deposit_survives() -> None:
        assert all(total >= sum(acknowledged) for total in totals), (acknowledged, totals)

    await world.service(LEDGER, ledger).ready()
    for amount in AMOUNTS:
        await deposit_once(network, amount, acknowledged)
    totals.append(await insist(world, network, "total"))
