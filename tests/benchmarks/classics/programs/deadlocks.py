"""Programs that can come to a standstill.

Origin: deadlock01 and carter01 are SCTBench's (``concurrent-software-benchmarks``), the
philosophers Dijkstra's (1965) as SCTBench's ``inspect_examples/Dining`` has them: one fork each,
left before right.
"""

from __future__ import annotations

import trio

from tests.benchmarks.classics.threads import Mutex, start


async def deadlock01(*, repaired: bool) -> None:
    """Two locks, taken in opposite orders."""
    a, b = Mutex("a"), Mutex("b")
    counter = 1

    async def count(first: Mutex, second: Mutex, step: int) -> None:
        nonlocal counter
        async with first, second:
            counter += step

    async with trio.open_nursery() as nursery:
        await start(nursery, count, a, b, 1)
        await start(nursery, count, *((a, b) if repaired else (b, a)), -1)


async def carter01(*, repaired: bool) -> None:
    """The first of a class takes the room while it holds the lock that the other class needs."""
    mutex, room = Mutex("m"), Mutex("l")
    present = {"A": 0, "B": 0}

    async def use(kind: str) -> None:
        async with mutex:
            present[kind] += 1
            first = present[kind] == 1
            if first and not repaired:
                await room.acquire()
        if first and repaired:
            await room.acquire()
        async with mutex:
            present[kind] -= 1
            if present[kind] == 0:
                await room.release()

    async def idle() -> None:
        pass

    async with trio.open_nursery() as nursery:
        await start(nursery, use, "A")
        await start(nursery, use, "B")
        await start(nursery, idle)
        await start(nursery, idle)


async def philosophers(count: int, *, repaired: bool) -> None:
    """Everybody takes the left fork and waits for the right one."""
    forks = [Mutex(f"fork {number}") for number in range(count)]

    async def dine(number: int) -> None:
        left, right = forks[number], forks[(number + 1) % count]
        if repaired and number == count - 1:
            left, right = right, left
        async with left, right:
            pass

    async with trio.open_nursery() as nursery:
        for number in range(count):
            await start(nursery, dine, number)
