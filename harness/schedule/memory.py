"""Memory that tasks of one process share: who touches what, told before it happens.

Of an ordinary step nobody knows beforehand which variables it will touch, so all steps of a lane
count as if they touched all of its memory. A target that wants to be searched and proved more
finely says so where it matters: what follows :func:`touch`, up to the next ``await`` that yields,
touches these resources and no other shared memory. Outside a simulation this is a checkpoint of
trio and nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Generic, TypeVar

import trio

from harness.schedule import kernel
from harness.schedule.choices import Footprint
from harness.schedule.sandbox import active

T = TypeVar("T")


def declare(*resources: str, how: str = "write") -> None:
    """What the step does that follows the next ``await`` that yields: this and no more.

    ``how`` is ``'read'`` or ``'write'``; nothing at all outside a simulation.
    """
    simulation = active()
    if simulation is not None and (running := simulation.running_task) is not None:
        running.footprint = _footprint(running.lane, resources, how)


@lru_cache(maxsize=4096)
def _footprint(lane: str, resources: tuple[str, ...], how: str) -> Footprint:
    """Some of the memory of a lane; a program says the same again and again."""
    return Footprint([(f"memory/{lane}/{resource}", how) for resource in resources])


async def touch(resource: str, how: str = "write") -> None:
    """A scheduling point; the step that follows it does this to this variable and no more.

    ``how`` is ``'read'`` or ``'write'``. The promise is the target's own: a step that touches
    other memory as well can hide a race from a proof, though not from a search.
    """
    await _access(resource, how)


def _access(resource: str, how: str) -> Awaitable[None]:
    """What :func:`touch` waits for."""
    simulation = active()
    if simulation is None or (running := simulation.running_task) is None:
        return trio.lowlevel.checkpoint()
    running.footprint = _footprint(running.lane, (resource,), how)
    return kernel.checkpoint()


class Shared(Generic[T]):
    """A variable that tasks of one process share; every access is a scheduling point of its own.

    ``value`` is what it holds now, for rules and other onlookers, without a scheduling point.
    """

    __slots__ = ("name", "value")

    def __init__(self, name: str, value: T) -> None:
        self.name = name
        self.value = value

    async def get(self) -> T:
        """Read it."""
        await _access(self.name, "read")
        return self.value

    async def set(self, value: T) -> None:
        """Write it."""
        await _access(self.name, "write")
        self.value = value

    async def update(self, function: Callable[[T], T]) -> T:
        """Read, compute and write it in one step that nobody can come between; the new value."""
        await _access(self.name, "write")
        self.value = function(self.value)
        return self.value

    async def compare_and_set(self, expected: T, value: T) -> bool:
        """Write it in one step if it is what was expected; whether it was."""
        await _access(self.name, "write")
        if self.value != expected:
            return False
        self.value = value
        return True
