"""What the shrinker and the explainer promise of a bug, looked at from outside.

A bug is shrunk, its reason checked, and the target edited: every thread, service and client has
got two steps before its first one, and there is a task that does nothing. There it is replayed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial, wraps
from typing import Any
from unittest.mock import patch

import trio

from harness.confirmation import finding_of
from harness.engine import Misfit, Run, execute, follow
from harness.findings.finding import Finding
from harness.replay import STILL_FAILS, replay
from harness.scenario import Scenario
from harness.schedule.fragments import by_labels
from harness.schedule.strategies.portfolio import PORTFOLIO, Rotation
from harness.schedule.strategies.protocol import Seen
from harness.shrink import Shrunk, shrink
from harness.world.world import World
from tests.benchmarks.classics.programs import buffers, counters, deadlocks, lockfree, sorting
from tests.benchmarks.classics.threads import start

SCHEDULES_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Explained:
    """What became of one bug: how small it is, why it breaks, and whether an edit hides it."""

    name: str
    before: int
    small: Shrunk
    minimal: bool
    after_edit: bool

    @property
    def checked(self) -> int:
        """How many of its constraints are checked."""
        return sum(each.checked for each in self.small.explanation.constraints)

    @property
    def good(self) -> bool:
        """Whether all is as promised."""
        constraints = self.small.explanation.constraints
        return self.minimal and self.after_edit and 0 < len(constraints) == self.checked

    def __str__(self) -> str:
        choices = f"{self.before} -> {len(self.small.run.deviations)}"
        minimal, edited = ("yes" if each else "no" for each in (self.minimal, self.after_edit))
        count = len(self.small.explanation.constraints)
        line = f"{self.name:<26}{choices:>11}  {minimal:<9}{count:<13}{self.checked:<9}{edited:<8}"
        return f"{line}{self.small.shrinking.runs} runs"


def failing(scenario: Scenario) -> Run:
    """The first run in which the default portfolio breaks a rule."""
    rotation, seen = Rotation(PORTFOLIO, seed=1), Seen()
    for number in range(1, SCHEDULES_MAX):
        turn = rotation.next(seen)
        assert turn is not None
        run = execute(scenario, seed=1, choose=turn[1], profiled=turn[0] == "fifo")
        seen = seen.after([run.lesson(number, turn[0])])
        if run.violated:
            return run
    raise AssertionError(f"{scenario.name} was not broken")


def is_one_minimal(run: Run, small: Shrunk) -> bool:
    """Whether no choice can be left out, whether the others stay at their steps or move.

    Faults count before choices: a run with a fault more is none that does with less.
    """
    schedule = small.run.schedule
    again = partial(execute, run.scenario, seed=schedule.seed, variant=schedule.variant)

    def shown(left: Run) -> bool:
        same = left.violated and left.violations[0].fingerprint == run.violations[0].fingerprint
        return same and left.faults <= small.run.faults

    for deviation in small.run.deviations:
        others = [each for each in small.run.deviations if each is not deviation]
        if shown(again(clocked=by_labels(others))):
            return False
        kept = schedule.with_choices({each.step: each.choice for each in others})
        try:
            if shown(again(choose=follow(kept))):
                return False
        except Misfit:
            continue
    return True


# --- an edit --------------------------------------------------------------------------------------


async def steps() -> None:
    """Two steps that do nothing."""
    for _ in range(2):
        await trio.lowlevel.checkpoint()


def later(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The function with two steps before its first one."""

    @wraps(getattr(function, "func", function))
    async def edited_function(*given: object) -> Any:
        await steps()
        return await function(*given)

    return edited_function


@contextmanager
def edited(scenario: Scenario) -> Iterator[Scenario]:
    """The scenario with two more steps in every thread, service and client, and one task more."""

    async def starts(
        nursery: trio.Nursery, function: Callable[..., Awaitable[object]], *arguments: object
    ) -> None:
        await start(nursery, later(function), *arguments)

    @wraps(scenario.story)  # the main task is called what it was called before
    async def story(world: World) -> None:
        service, start_client = world.service, world.start_client
        world.service = lambda name, run, **how: service(name, later(run), **how)  # type: ignore[method-assign]
        world.start_client = (  # type: ignore[method-assign]
            lambda name, run, *given: start_client(name, later(run), *given)
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(steps)
            await scenario.story(world)

    with ExitStack() as patches:
        for module in (buffers, counters, deadlocks, lockfree, sorting):
            patches.enter_context(patch.object(module, "start", starts))
        yield replace(scenario, story=story)


def explained(name: str, run: Run, *, budget: int) -> Explained:
    """One bug, shrunk within a budget of runs, explained, and replayed after an edit."""
    small = shrink(run, budget_runs=budget, wall_s=1e9)
    constraints = small.explanation.constraints
    finding: Finding = replace(finding_of(small.run), constraints=constraints)
    with edited(run.scenario) as scenario:
        done = replay(finding, times=2, scenario=scenario)
    after_edit = done.outcome == STILL_FAILS and done.same_bug and done.repeatable
    moved = done.run is not None and done.run.digest != finding.digest
    minimal = is_one_minimal(run, small)
    return Explained(name, len(run.deviations), small, minimal, after_edit and moved)
