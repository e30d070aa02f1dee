"""A quicksort with a pool of threads.

Origin: qsort_mt of Diomidis Spinellis as in SCTBench's ``inspect_benchmarks``, with its arguments
there: 32 elements, no thread for fewer than 5, two threads.
"""

from __future__ import annotations

import trio

from harness.schedule.memory import Shared
from tests.benchmarks.classics.threads import Condition, Mutex, start

ELEMENTS, FORK_ABOVE, INSERTION_BELOW, THREADS = 32, 4, 7, 2
IDLE, WORK, END = "idle", "work", "end"


class Worker:
    """One thread of the pool: what it is told to do, and how it is told."""

    def __init__(self, number: int) -> None:
        self.state = Shared(f"state {number}", IDLE)
        self.start, self.count = Shared(f"start {number}", 0), Shared(f"count {number}", 0)
        self.mutex = Mutex(f"mutex {number}")
        self.told = Condition(f"told {number}", self.mutex)


class Pool:
    """The threads, the numbers they sort, and how many threads have nothing to do."""

    def __init__(self, *, repaired: bool) -> None:
        self.repaired = repaired
        self.numbers = [(number * 13 + 7) % ELEMENTS for number in range(ELEMENTS)]
        self.workers = [Worker(number) for number in range(THREADS)]
        self.allocation = Mutex("allocation")
        self.idle = THREADS

    async def allocate(self) -> Worker | None:
        """An idle worker, its mutex taken; the bug is that it reads its state before that."""
        async with self.allocation:
            for worker in self.workers:
                if await worker.state.get() == IDLE:
                    self.idle -= 1
                    if self.repaired:
                        await worker.mutex.acquire()
                        await worker.state.set(WORK)
                    else:
                        await worker.state.set(WORK)
                        await worker.mutex.acquire()
                    return worker
        return None

    def partition(self, start: int, count: int) -> tuple[int, int]:
        """Put the smaller numbers first, the larger last; how many of each."""
        part = self.numbers[start : start + count]
        pivot = part[count // 2]
        smaller = [number for number in part if number < pivot]
        larger = [number for number in part if number > pivot]
        self.numbers[start : start + count] = [*smaller, pivot, *larger]
        return len(smaller), len(larger)

    async def sort(self, start: int, count: int) -> None:
        """Sort a part, giving some of it to others."""
        while count >= INSERTION_BELOW:
            smaller, larger = self.partition(start, count)
            helper = None
            if min(smaller, larger) > FORK_ABOVE:
                helper = await self.allocate()
            if helper is None:
                await self.sort(start, smaller)
            else:
                await helper.start.set(start)
                await helper.count.set(smaller)
                await helper.told.signal()
                await helper.mutex.release()
            start, count = start + count - larger, larger
        self.numbers[start : start + count] = sorted(self.numbers[start : start + count])

    async def run(self, worker: Worker) -> None:
        """The life of a worker; the last one who has nothing to do ends all."""
        while True:
            async with worker.mutex:
                while await worker.state.get() == IDLE:
                    await worker.told.wait()
            if await worker.state.get() == END:
                return
            await self.sort(await worker.start.get(), await worker.count.get())
            async with self.allocation:
                await worker.state.set(IDLE)
                self.idle += 1
                if self.idle == THREADS:
                    await self.end_others(worker)
                    return

    async def end_others(self, worker: Worker) -> None:
        """Tell everybody else that all is done."""
        for other in self.workers:
            if other is not worker:
                async with other.mutex:
                    await other.state.set(END)
                    await other.told.signal()


async def qsort_mt(*, repaired: bool) -> None:
    """A worker sees that there is work before it is told which."""
    pool = Pool(repaired=repaired)
    async with trio.open_nursery() as nursery:
        for worker in pool.workers:
            await start(nursery, pool.run, worker)
        first = pool.workers[0]
        async with first.mutex:
            await first.start.set(0)
            await first.count.set(ELEMENTS)
            await first.state.set(WORK)
            pool.idle -= 1
            await first.told.signal()
    assert pool.numbers == sorted(pool.numbers), pool.numbers
