"""Classic programs and restart races: shrunk, explained, and found again after an edit.

What is edited: every thread has got two steps before its first one, and the program has got a task
that does nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import wraps

import pytest
import trio

from harness.confirmation import finding_of
from harness.engine import Misfit, Run, campaign, execute, follow
from harness.findings.finding import Finding
from harness.replay import STILL_FAILS, replay
from harness.scenario import Scenario
from harness.schedule.strategies.portfolio import PORTFOLIO, Rotation
from harness.schedule.strategies.protocol import Seen
from harness.shrink import Shrunk, shrink
from harness.world.world import World
from tests.benchmarks.classics.catalogue import program_of
from tests.benchmarks.classics.programs import buffers, counters, lockfree, sorting
from tests.benchmarks.classics.threads import start

#: Those of which a run that breaks is found at once.
QUICK = (
    "account",
    "bluetooth_driver",
    "circular_buffer",
    "deadlock01",
    "dining_3",
    "queue",
    "reorder_3",
    "reorder_4",
    "stack",
    "stringbuffer",
    "token_ring",
    "twostage",
    "wronglock_3",
    "ack_before_fsync",
    "ack_before_write",
    "default_before_hydrate",
    "four_windows",
    "half_a_pair",
    "total_over_rolling",
)


@pytest.fixture(autouse=True)
def one_campaign() -> Iterator[None]:
    """Many runs in a row."""
    with campaign():
        yield


def failing(scenario: Scenario) -> Run:
    """The first run in which the default portfolio breaks a rule."""
    rotation, seen = Rotation(PORTFOLIO, seed=1), Seen()
    for number in range(1, 2000):
        turn = rotation.next(seen)
        assert turn is not None
        run = execute(scenario, seed=1, choose=turn[1], profiled=turn[0] == "fifo")
        seen = seen.after([run.lesson(number, turn[0])])
        if run.violated:
            return run
    raise AssertionError(f"{scenario.name} was not broken")


def edited(scenario: Scenario, patch: pytest.MonkeyPatch) -> Scenario:
    """The program with two more steps in every thread, and with one task more."""

    async def starts(
        nursery: trio.Nursery, function: Callable[..., Awaitable[object]], *arguments: object
    ) -> None:
        inner = getattr(function, "func", function)

        @wraps(inner)
        async def later(*given: object) -> None:
            await steps()
            await function(*given)

        await start(nursery, later, *arguments)

    for module in (buffers, counters, lockfree, sorting):
        patch.setattr(module, "start", starts)

    async def story(world: World) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(steps)
            await scenario.story(world)

    return replace(scenario, story=story)


async def steps() -> None:
    """Two steps that do nothing."""
    for _ in range(2):
        await trio.lowlevel.checkpoint()


def is_one_minimal(run: Run, small: Shrunk) -> bool:
    """Whether no choice can be left out."""
    for deviation in small.run.deviations:
        kept = {each.step: each.choice for each in small.run.deviations if each is not deviation}
        try:
            left = execute(
                run.scenario, seed=1, choose=follow(small.run.schedule.with_choices(kept))
            )
        except Misfit:
            continue
        if left.violated and left.violations[0].fingerprint == run.violations[0].fingerprint:
            return False
    return True


@pytest.mark.parametrize("name", QUICK)
def test_it_is_one_minimal_and_explained_and_comes_back_after_an_edit(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = program_of(name).scenario()
    run = failing(scenario)
    small = shrink(run, wall_s=1e9)
    assert small.shrinking.ended_by == "one-minimal" and is_one_minimal(run, small)
    constraints = small.explanation.constraints
    assert 1 <= len(constraints) <= 3
    assert all(each.checked for each in constraints)
    finding: Finding = replace(finding_of(small.run), constraints=constraints)
    done = replay(finding, times=2, scenario=edited(scenario, monkeypatch))
    assert done.outcome == STILL_FAILS and done.same_bug and done.repeatable
    assert done.run is not None and done.run.digest != finding.digest
