"""The same programs under other tools: detangle, simloom and frontrun, where they are installed.

The program texts are the same ones, executed over asyncio. What is compared of speed are schedules
a second of a repaired program in random order, because the same program has the same steps whoever
runs it: one for each choice of who goes on. (detangle counts up to a fifth more, the callbacks by
which asyncio tells a group that a task has ended.) frontrun wants to know all tasks beforehand and
cannot see them wait, so there a task waits by asking again and again, and a deadlock never shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from time import process_time
from typing import Any

from tests.benchmarks.classics import shim
from tests.benchmarks.classics.measure import Search

Main = Callable[[], Coroutine[Any, Any, None]]
#: A search of a peer: the program, the seed, the schedules at most; how many it took, whether it
#: found anything, and how many steps that was (0 if it does not say).
Explore = Callable[[Main, int, int], tuple[int, bool, int]]
#: More steps than any of the programs has, even if most of them are spent on waiting.
FRONTRUN_STEPS = 20_000


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to search of one other tool, named as the tool names it.

    A slow one is given fewer cold starts and schedules; ``speed_schedules`` are what its speed is
    measured on.
    """

    package: str
    strategy: str
    explore: Explore
    seeds_max: int = 5
    schedules_max: int = 100
    speed_schedules: int = 20

    @property
    def name(self) -> str:
        """Package and strategy."""
        return f"{self.package} {self.strategy}"

    @property
    def version(self) -> str:
        """The version that is installed; empty if none is."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return ""

    def search(self, program: Callable[..., Any], *, seed: int, schedules: int) -> Search:
        """One cold start of it in a program over asyncio."""

        async def main() -> None:
            await program()

        started = process_time()
        spent, found, steps = self.explore(main, seed, schedules)
        return Search(seed, spent, found, steps, process_time() - started)


def _detangle(strategy: str) -> Explore:
    def explore(main: Main, seed: int, schedules: int) -> tuple[int, bool, int]:
        detangle = import_module("detangle")
        try:
            done = detangle.explore(
                main, runs=schedules, strategy=strategy, seed=seed, shrink=False, database=False
            )
        except detangle.BugFound as bug:
            return bug.report.runs, True, 0
        return schedules, False, done.total_steps

    return explore


def _simloom(main: Main, seed: int, schedules: int) -> tuple[int, bool, int]:
    simloom = import_module("simloom")
    done = simloom.explore(main, runs=schedules, start_seed=seed * schedules)
    return done.runs, bool(done.failures), 0


def _frontrun(main: Main, seed: int, schedules: int) -> tuple[int, bool, int]:
    frontrun = import_module("frontrun")
    with shim.spinning():
        tasks = asyncio.run(shim.count_tasks(main))
        done = asyncio.run(
            frontrun.explore_async_random(
                setup=lambda: shim.Cast(main),
                tasks=[lambda cast, number=number: cast.play(number) for number in range(tasks)],
                invariant=lambda cast: True,
                max_attempts=schedules,
                max_ops=FRONTRUN_STEPS,
                seed=seed,
            )
        )
    return done.num_explored, done.property_holds is False, 0


PEERS = (
    Peer("detangle", "random", _detangle("random"), 20, 2000, 300),
    Peer("detangle", "auto", _detangle("auto"), 20, 2000, 300),
    Peer("simloom", "random", _simloom),
    Peer("frontrun", "random", _frontrun),
)
