"""Programs in which threads disagree about a few variables; the bug is a failed assertion.

Origin of all of them: SCTBench (Thomson, Donaldson and Betts, PPoPP 2014), directory
``concurrent-software-benchmarks``, most of them from the ESBMC benchmarks; thread counts are those
of its list of bugs. The larger reorder and twostage programs are split as in Fray's artifact, all
threads but one on the writing side. SURW's artifact does not say how it splits reorder_50,
twostage_20 and twostage_50; its figures of them ask for several readers, so ours are harder.
"""

from __future__ import annotations

from contextlib import nullcontext

import trio

from harness.schedule.memory import Shared
from tests.benchmarks.classics.threads import Mutex, start


async def account(*, repaired: bool) -> None:
    """Deposit, withdrawal and a check whose formula is wrong, seen only when both are done."""
    mutex = Mutex("m")
    initial, deposited, withdrawn = 1, 2, 4
    balance = initial
    done: list[str] = []

    async def deposit() -> None:
        nonlocal balance
        async with mutex:
            balance += deposited
            done.append("deposit")

    async def withdraw() -> None:
        nonlocal balance
        async with mutex:
            balance -= withdrawn
            done.append("withdraw")

    async def check() -> None:
        async with mutex:
            if len(done) == 2:
                sign = 1 if repaired else -1
                assert balance == initial + sign * deposited - withdrawn

    async with trio.open_nursery() as nursery:
        await start(nursery, check)
        await start(nursery, deposit)
        await start(nursery, withdraw)


async def bluetooth_driver(*, repaired: bool) -> None:
    """The driver is stopped between its check that it runs and the count of its requests."""
    atomic = Mutex("atomic")
    stopping, event, stopped = (Shared(name, False) for name in ("stopping", "event", "stopped"))
    pending = 1

    async def decrement() -> None:
        nonlocal pending
        async with atomic:
            pending -= 1
            left = pending
        if left == 0:
            await event.set(True)

    async def increment() -> bool:
        nonlocal pending
        if not repaired and await stopping.get():
            return False
        async with atomic:
            pending += 1
        if repaired and await stopping.get():
            await decrement()
            return False
        return True

    async def stop() -> None:
        await stopping.set(True)
        await decrement()
        if await event.get():
            await stopped.set(True)

    async with trio.open_nursery() as nursery:
        await start(nursery, stop)
        admitted = await increment()
        if admitted:
            assert not await stopped.get()
        if admitted or not repaired:
            await decrement()


async def lazy01(*, repaired: bool) -> None:
    """Two threads add up to 3, and the third does not expect to see both."""
    mutex = Mutex("mutex")
    data = 0

    async def add(amount: int) -> None:
        nonlocal data
        async with mutex:
            data += amount

    async def check() -> None:
        async with mutex:
            assert data <= 3 if repaired else data < 3

    async with trio.open_nursery() as nursery:
        await start(nursery, add, 1)
        await start(nursery, add, 2)
        await start(nursery, check)


async def token_ring(*, repaired: bool) -> None:
    """A token travels a ring of three; the check holds only if it went in order."""
    atomic = Mutex("atomic")
    values = {1: 1, 2: 2, 3: 1}
    passed = {number: trio.Event() for number in (0, 1, 2, 3)}
    passed[0].set()

    async def pass_token(number: int, source: int, step: int) -> None:
        if repaired:
            await passed[number - 1].wait()
        async with atomic:
            values[number] = (values[source] + step) % 4
            passed[number].set()

    async def check() -> None:
        async with atomic:
            if all(event.is_set() for event in passed.values()):
                assert values[1] == values[2] == values[3]

    async with trio.open_nursery() as nursery:
        await start(nursery, pass_token, 1, 3, 1)
        await start(nursery, pass_token, 2, 1, 0)
        await start(nursery, pass_token, 3, 2, 0)
        await start(nursery, check)


async def twostage(threads: int, *, repaired: bool) -> None:
    """Two variables are set under two locks, one after the other; one thread reads between them."""
    first_lock, second_lock = Mutex("lock 1"), Mutex("lock 2")
    first, second = Shared("data 1", 0), 0

    async def second_stage() -> None:
        nonlocal second
        async with second_lock:
            second = await first.get() + 1

    async def write() -> None:
        async with first_lock:
            await first.set(1)
            if repaired:
                await second_stage()
        if not repaired:
            await second_stage()

    async def read() -> None:
        async with first_lock:
            if await first.get() == 0:
                return
            seen = await first.get()
        async with second_lock:
            also_seen = second
        assert also_seen == seen + 1

    async with trio.open_nursery() as nursery:
        for _ in range(threads - 1):
            await start(nursery, write)
        await start(nursery, read)


async def reorder(setters: int, checkers: int, *, repaired: bool) -> None:
    """Setters write one variable, then another; a checker sees the first before any second."""
    mutex = Mutex("m")
    a, b = Shared("a", 0), Shared("b", 0)

    alone = mutex if repaired else nullcontext()

    async def write() -> None:
        async with alone:
            await a.set(1)
            await b.set(-1)

    async def check() -> None:
        async with alone:
            untouched = await a.get() == 0 and await b.get() == 0
            assert untouched or (await a.get() == 1 and await b.get() == -1)

    async with trio.open_nursery() as nursery:
        for _ in range(setters):
            await start(nursery, write)
        for _ in range(checkers):
            await start(nursery, check)


async def wronglock(others: int, *, repaired: bool) -> None:
    """One thread increments under one lock, all others under another."""
    data_lock, this_lock = Mutex("data lock"), Mutex("this lock")
    data = Shared("data", 0)

    async def increment_and_check() -> None:
        async with data_lock:
            before = await data.get()
            await data.set(await data.get() + 1)
            assert await data.get() == before + 1

    async def increment() -> None:
        async with data_lock if repaired else this_lock:
            await data.set(await data.get() + 1)

    async with trio.open_nursery() as nursery:
        await start(nursery, increment_and_check)
        for _ in range(others):
            await start(nursery, increment)
