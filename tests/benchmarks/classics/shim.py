"""A little of trio over asyncio, so that the very same program texts run under other tools.

Only what the programs use: nurseries, events and checkpoints. For a tool that wants all tasks
beforehand, :class:`Cast` plays a program with a fixed number of parts, which wait by asking again.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import trio

from tests.benchmarks.classics.catalogue import Program

PACKAGE = "tests.benchmarks.classics"
#: What has to be executed once more to run over asyncio, and nothing else.
TEXTS = ("harness.schedule.memory", f"{PACKAGE}.threads", f"{PACKAGE}.catalogue")


class Event:
    """Something that happens once."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """It happened."""
        self._event.set()

    def is_set(self) -> bool:
        """Whether it happened."""
        return self._event.is_set()

    async def wait(self) -> None:
        """Return when it happens."""
        if Cast.current is None:
            await self._event.wait()
        while not self._event.is_set():
            await asyncio.sleep(0)


class Nursery:
    """Tasks that end before the block does."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group

    def start_soon(self, function: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        """Start a task."""
        if Cast.current is None:
            self._group.create_task(function(*args))
        else:
            Cast.current.parts.append(function(*args))


@asynccontextmanager
async def open_nursery() -> AsyncIterator[Nursery]:
    """A block that ends when all its tasks have ended."""
    cast = Cast.current
    async with asyncio.TaskGroup() as group:
        yield Nursery(group)
    while cast is not None and cast.played < len(cast.parts) - 1:
        await asyncio.sleep(0)


async def checkpoint() -> None:
    """A scheduling point."""
    await asyncio.sleep(0)


class Cast:
    """A program whose tasks are parts, each played by somebody who was there before."""

    current: ClassVar[Cast | None] = None

    def __init__(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.parts = [main()]
        self.played = 0
        Cast.leave()
        Cast.current = self

    @classmethod
    def leave(cls) -> None:
        """No cast plays any more; parts that were never played are forgotten."""
        for part in cls.current.parts if cls.current else ():
            part.close()
        cls.current = None

    async def play(self, number: int) -> None:
        """Play one part, from the moment at which there is one."""
        while number >= len(self.parts):
            await asyncio.sleep(0)
        await self.parts[number]
        self.played += 1


@contextmanager
def spinning() -> Iterator[None]:
    """Programs are played by casts for a while."""
    try:
        yield
    finally:
        Cast.leave()


async def count_tasks(main: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """How many parts a program has; it is played once for that."""
    cast = Cast(main)
    async with asyncio.TaskGroup() as group:
        group.create_task(cast.play(0))
        number = 1
        while cast.played < len(cast.parts):
            while number < len(cast.parts):
                group.create_task(cast.play(number))
                number += 1
            await asyncio.sleep(0)
    return number


def programs_over_asyncio() -> Mapping[str, Program]:
    """The classic programs, their texts executed with this module in the place of trio."""
    double = ModuleType("trio")
    double.__dict__.update(
        Event=Event,
        Nursery=Nursery,
        open_nursery=open_nursery,
        lowlevel=SimpleNamespace(checkpoint=checkpoint),
    )
    fresh = [
        name for name in sys.modules if name in TEXTS or name.startswith(f"{PACKAGE}.programs")
    ]
    kept = {name: sys.modules.pop(name) for name in fresh} | {"trio": trio}
    sys.modules["trio"] = double
    try:
        programs: Mapping[str, Program] = importlib.import_module(f"{PACKAGE}.catalogue").PROGRAMS
    finally:
        sys.modules.update(kept)
        for name, module in kept.items():
            parent, _, child = name.rpartition(".")
            if parent:
                setattr(sys.modules[parent], child, module)
    return {name: program for name, program in programs.items() if program.threads}
