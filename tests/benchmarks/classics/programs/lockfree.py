"""Structures that are fast because they lock little, and wrong because of it.

Origin: WorkStealQueue is CHESS's, SafeStack is Dmitry Vyukov's challenge of 2010 to all tools of
this kind; both as in SCTBench.
"""

from __future__ import annotations

import trio

from harness.schedule.memory import Shared, touch
from tests.benchmarks.classics.threads import Mutex, start

ITEMS, STEALERS, STEALS = 4, 2, 2
STACK_SIZE, THREADS, ROUNDS = 3, 3, 2


class WorkQueue:
    """Its owner pushes and pops at the tail, others steal at the head (Cilk's THE protocol)."""

    def __init__(self, size: int, *, repaired: bool) -> None:
        self.mask = size - 1
        #: How many slots have to stay free: a thief announces itself before it takes.
        self.slack = 0 if repaired else 1
        self.slots = [-1] * size
        self.head, self.tail = Shared("head", 0), Shared("tail", 0)
        self.lock = Mutex("lock")

    async def read(self, position: int) -> int:
        """The item at a position."""
        await touch(f"slot {position & self.mask}", "read")
        return self.slots[position & self.mask]

    async def write(self, position: int, item: int) -> None:
        """Put an item at a position."""
        await touch(f"slot {position & self.mask}")
        self.slots[position & self.mask] = item

    async def steal(self) -> int:
        """Take the oldest item, -1 if there is none."""
        async with self.lock:
            head = await self.head.get()
            await self.head.set(head + 1)
            if head < await self.tail.get():
                return await self.read(head)
            await self.head.set(head)
            return -1

    async def pop(self) -> int:
        """Take the newest item, -1 if there is none; only the owner does."""
        tail = await self.tail.get() - 1
        await self.tail.set(tail)
        if await self.head.get() <= tail:
            return await self.read(tail)
        await self.tail.set(tail + 1)
        return await self.pop_locked()

    async def pop_locked(self) -> int:
        """Nobody steals meanwhile."""
        async with self.lock:
            item = -1
            tail = await self.tail.get() - 1
            await self.tail.set(tail)
            if await self.head.get() <= tail:
                item = await self.read(tail)
            else:
                await self.tail.set(tail + 1)
            if await self.head.get() > tail:
                await self.head.set(0)
                await self.tail.set(0)
                item = -1
            return item

    async def push(self, item: int) -> None:
        """Add an item; only the owner does."""
        tail = await self.tail.get()
        if tail < await self.head.get() + self.mask + self.slack:
            await self.write(tail, item)
            await self.tail.set(tail + 1)
        else:
            await self.push_locked(item)

    async def push_locked(self, item: int) -> None:
        """Make room if there is none; nobody steals meanwhile."""
        async with self.lock:
            head = await self.head.get()
            count = await self.tail.get() - head
            head &= self.mask
            await self.head.set(head)
            await self.tail.set(head + count)
            if count >= self.mask:
                grown = [-1] * (2 * (self.mask + 1))
                for number in range(count):
                    grown[number] = await self.read(head + number)
                self.slots, self.mask = grown, len(grown) - 1
                await self.head.set(0)
                await self.tail.set(count)
            tail = await self.tail.get()
            await self.write(tail, item)
            await self.tail.set(tail + 1)


async def work_steal_queue(*, repaired: bool) -> None:
    """A push takes the slot from which a thief is about to read."""
    queue = WorkQueue(2, repaired=repaired)
    done = [0] * ITEMS

    def work(item: int) -> None:
        if item >= 0:
            done[item] += 1

    async def steal() -> None:
        for _ in range(STEALS):
            work(await queue.steal())

    async with trio.open_nursery() as nursery:
        for _ in range(STEALERS):
            await start(nursery, steal)
        for first in range(0, ITEMS, 2):
            await queue.push(first)
            await queue.push(first + 1)
            work(await queue.pop())
        for _ in range(ITEMS // 2):
            work(await queue.pop())
    assert done == [1] * ITEMS, done


async def exchange(variable: Shared[int], value: int) -> int:
    """Write it and return what it held before, in one step."""
    await touch(variable.name)
    before, variable.value = variable.value, value
    return before


async def compare_exchange(variable: Shared[int], expected: int, value: int) -> int:
    """Write it if it holds what is expected; return what it held before, in one step."""
    await touch(variable.name)
    before = variable.value
    if before == expected:
        variable.value = value
    return before


class SafeStack:
    """A stack of numbers that are taken and put back without a lock."""

    def __init__(self) -> None:
        self.head, self.count = Shared("head", 0), Shared("count", STACK_SIZE)
        links = [*range(1, STACK_SIZE), -1]
        self.links = [Shared(f"next {number}", link) for number, link in enumerate(links)]

    async def pop(self) -> int:
        """The number at the top; -1 if there is but one left."""
        while await self.count.get() > 1:
            top = await self.head.get()
            below = await exchange(self.links[top], -1)
            if below < 0:
                continue
            if await compare_exchange(self.head, top, below) == top:
                await self.count.update(lambda count: count - 1)
                return top
            await exchange(self.links[top], below)
        return -1

    async def push(self, number: int) -> None:
        """Put a number back."""
        top = await self.head.get()
        while True:
            await self.links[number].set(top)
            seen = await compare_exchange(self.head, top, number)
            if seen == top:
                break
            top = seen
        await self.count.update(lambda count: count + 1)


async def safestack(*, repaired: bool) -> None:
    """Two threads take the same number; it takes five preemptions and the same head thrice."""
    stack, mutex = SafeStack(), Mutex("m")
    owners = [Shared(f"owner {number}", -1) for number in range(STACK_SIZE)]

    async def pop() -> int:
        if not repaired:
            return await stack.pop()
        async with mutex:
            return await stack.pop()

    async def push(number: int) -> None:
        if not repaired:
            return await stack.push(number)
        async with mutex:
            return await stack.push(number)

    async def use(thread: int) -> None:
        for _ in range(ROUNDS):
            while (number := await pop()) < 0:
                pass
            await owners[number].set(thread)
            assert await owners[number].get() == thread
            await push(number)

    async with trio.open_nursery() as nursery:
        for thread in range(THREADS):
            await start(nursery, use, thread)
