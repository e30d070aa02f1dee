"""Threads, locks and conditions as POSIX has them, with a declared footprint for every step.

Starting, taking, releasing, waiting and signalling is one scheduling point each, before it
happens, as a controlled scheduler for threads has it; a ``trio.Lock`` has its point after it is
taken, and tasks of a nursery all start at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType

import trio

from harness.schedule.memory import declare, touch


async def start(
    nursery: trio.Nursery, function: Callable[..., Awaitable[object]], *arguments: object
) -> None:
    """Start a task, and let others run before that."""
    await touch("threads")
    nursery.start_soon(function, *arguments)


class Mutex:
    """A lock that is passed on to the one who waits longest."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.held = False
        self.queue: list[trio.Event] = []

    async def acquire(self) -> None:
        """Take it, or wait until it is passed on to us."""
        await touch(self.name)
        await self.take()

    async def release(self) -> None:
        """Give it back."""
        await touch(self.name)
        self.pass_on()

    async def take(self) -> None:
        """Take it without a scheduling point of its own."""
        if self.held:
            turn = trio.Event()
            self.queue.append(turn)
            declare(self.name)
            await turn.wait()
        self.held = True

    def pass_on(self) -> None:
        """Give it to the next, if there is one."""
        if self.queue:
            self.queue.pop(0).set()
        else:
            self.held = False

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                await touch(self.name)
        finally:
            self.pass_on()


class Condition:
    """A condition variable of a mutex; who waits holds the mutex before and after."""

    def __init__(self, name: str, mutex: Mutex) -> None:
        self.name = name
        self.mutex = mutex
        self.sleepers: list[trio.Event] = []

    async def wait(self) -> None:
        """Release the mutex, sleep until signalled, and take it again."""
        declare(self.name, self.mutex.name)
        await trio.lowlevel.checkpoint()
        wake = trio.Event()
        self.sleepers.append(wake)
        self.mutex.pass_on()
        declare(self.mutex.name)
        await wake.wait()
        await self.mutex.take()

    async def signal(self) -> None:
        """Wake the one that sleeps longest, if there is one."""
        await touch(self.name)
        if self.sleepers:
            self.sleepers.pop(0).set()

    async def broadcast(self) -> None:
        """Wake everybody who sleeps."""
        await touch(self.name)
        while self.sleepers:
            self.sleepers.pop(0).set()
