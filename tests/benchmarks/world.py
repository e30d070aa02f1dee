"""The price of operations on the world, from the call to the answer, history included."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import trio

from harness.schedule.simulation import Limits, Simulation
from harness.world.world import World
from tests.benchmarks.table import Row, median, ratio, seconds, side_by_side

Operations = Callable[[World, int], Awaitable[None]]


async def checkpoints(world: World, times: int) -> None:
    """Nothing but steps."""
    for _ in range(times):
        await trio.lowlevel.checkpoint()


async def database_gets(world: World, times: int) -> None:
    """Read one row."""
    database = world.database()
    await database.put("accounts", "trader", {"balance": 1})
    for _ in range(times):
        await database.get("accounts", "trader")


async def database_puts(world: World, times: int) -> None:
    """Write one row in a statement that commits by itself."""
    database = world.database()
    for number in range(times):
        await database.put("accounts", "trader", {"balance": number})


async def transactions(world: World, times: int) -> None:
    """Read a row, write it, and commit."""
    database = world.database()
    for number in range(times):
        async with database.transaction() as transaction:
            await transaction.get("accounts", "trader")
            await transaction.put("accounts", "trader", {"balance": number})


async def network_calls(world: World, times: int) -> None:
    """Ask another lane and wait for its answer."""
    network = world.network()

    async def echo() -> None:
        async with network.listen("echo") as requests:
            async for request in requests:
                await request.reply(request.payload)

    world.start_client("echo", echo)
    await trio.lowlevel.checkpoint()
    for number in range(times):
        await network.call("echo", "say", number)


async def object_puts(world: World, times: int) -> None:
    """Write one object."""
    store = world.object_store()
    for number in range(times):
        await store.put("snapshot", str(number))


OPERATIONS: dict[str, Operations] = {
    "a checkpoint": checkpoints,
    "database get": database_gets,
    "database put": database_puts,
    "transaction: get, put, commit": transactions,
    "network call and answer": network_calls,
    "object put": object_puts,
}


def rows(*, quick: bool) -> Iterator[Row]:
    """Microseconds for each operation, and in bare checkpoints."""
    times = 50 if quick else 300
    spent = side_by_side(
        {name: partial(_us, operations, times) for name, operations in OPERATIONS.items()},
        2 if quick else 15,
    )
    for name, figures in spent.items():
        checkpoint = ratio(figures, spent["a checkpoint"])
        yield Row(name, f"{median(figures):.1f} us", f"{checkpoint:.1f} steps")


def _us(operations: Operations, times: int) -> float:
    def work() -> None:
        simulation = Simulation(limits=Limits(steps=100_000))
        world = World(simulation)
        with simulation:
            simulation.spawn("main", operations, world, times, main=True)
            while options := simulation.options():
                simulation.apply(options[0])
        lane = simulation.lanes["main"]
        assert lane.finished and lane.error is None, lane.error

    return seconds(work) * 1_000_000 / times
