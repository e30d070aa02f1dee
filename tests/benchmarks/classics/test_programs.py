"""Every program has its bug, and its twin has none."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from trio.testing import MockClock

from harness.engine import campaign, execute
from harness.errors import UsageError
from tests.benchmarks.classics.catalogue import CLASSIC, PROGRAMS, Program, program_of
from tests.benchmarks.classics.measure import PORTFOLIO, search
from tests.benchmarks.classics.shares import hunters
from tests.benchmarks.classics.threads import Condition, Mutex, start

EXPECTED = [program for program in PROGRAMS.values() if not program.challenge]
CLASSICS = [program for program in PROGRAMS.values() if program.kind == CLASSIC]
RESTARTS = [program for program in PROGRAMS.values() if program.kind != CLASSIC]
TWIN_SCHEDULES = 150
#: Steps of a first-in-first-out run of a restart race at most.
SMALL = 100


def name_of(program: Program) -> str:
    return program.name


def test_there_are_as_many_programs_as_were_promised() -> None:
    assert len(CLASSICS) >= 27
    assert len(RESTARTS) == 10
    assert [program.name for program in PROGRAMS.values() if program.challenge] == ["SafeStack"]


def test_an_unknown_program_names_the_closest_one() -> None:
    with pytest.raises(UsageError, match="reorder_10"):
        program_of("reorder_11")


@pytest.mark.parametrize("program", EXPECTED, ids=name_of)
def test_some_strategy_finds_the_bug(program: Program) -> None:
    scenario = program.scenario()
    with campaign():
        assert any(
            search(scenario, strategy, seed=1, schedules=schedules).found
            for strategy, schedules in hunters()
        )


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=name_of)
def test_the_repaired_twin_is_never_accused(program: Program) -> None:
    twin = program.scenario(repaired=True)
    with campaign():
        done = search(twin, PORTFOLIO, seed=3, schedules=TWIN_SCHEDULES)
    assert not done.found
    assert done.schedules == TWIN_SCHEDULES


@pytest.mark.parametrize("program", CLASSICS, ids=name_of)
def test_a_classic_is_an_ordinary_trio_program(program: Program) -> None:
    async def ends_or_shows_its_bug() -> None:
        with trio.move_on_after(60):
            await program.text(repaired=False)

    trio.run(partial(program.text, repaired=True))
    shown: BaseException | None = None
    try:
        trio.run(ends_or_shows_its_bug, clock=MockClock(autojump_threshold=0))
    except (AssertionError, BaseExceptionGroup) as error:
        shown = error
    if isinstance(shown, BaseExceptionGroup):
        assert shown.split(AssertionError)[1] is None


@pytest.mark.parametrize("program", RESTARTS, ids=name_of)
def test_a_restart_program_is_small_and_fine_without_faults(program: Program) -> None:
    for repaired in (False, True):
        run = execute(program.scenario(repaired=repaired), seed=0)
        assert not run.violated
        assert run.steps < SMALL


def test_every_step_of_a_classic_that_touches_anything_says_so() -> None:
    run = execute(PROGRAMS["account"].scenario(), seed=0, profiled=True)
    assert run.profile is not None
    touched = {actor: dict(counts) for actor, counts in run.profile.touches.items()}
    # Taking and giving back, and the turn that comes after waiting.
    assert touched["main: check"] == {"memory/main/m": 2}
    assert touched["main: story"] == {"memory/main/threads": 3}
    for name in ("deposit", "withdraw"):
        assert 2 <= touched[f"main: {name}"]["memory/main/m"] <= 3


async def signal_and_broadcast(events: list[str]) -> None:
    mutex = Mutex("m")
    changed = Condition("changed", mutex)

    async def sleeper(name: str) -> None:
        async with mutex:
            events.append(f"{name} sleeps")
            await changed.wait()
            events.append(f"{name} wakes")

    async with trio.open_nursery() as nursery:
        for name in ("first", "second", "third"):
            await start(nursery, sleeper, name)
            await trio.testing.wait_all_tasks_blocked()
        async with mutex:
            await changed.signal()
        await trio.testing.wait_all_tasks_blocked()
        events.append("one signal")
        async with mutex:
            await changed.broadcast()


def test_a_signal_wakes_the_one_that_sleeps_longest_and_a_broadcast_all() -> None:
    events: list[str] = []
    trio.run(signal_and_broadcast, events)
    slept, woken = ["first sleeps", "second sleeps", "third sleeps"], ["first wakes", "one signal"]
    assert events[:5] == [*slept, *woken]
    # Those whom a broadcast wakes take the mutex in whatever order trio runs them.
    assert sorted(events[5:]) == ["second wakes", "third wakes"]


def test_a_mutex_is_passed_on_in_the_order_of_waiting() -> None:
    order: list[int] = []

    async def story() -> None:
        mutex = Mutex("m")

        async def take(number: int) -> None:
            async with mutex:
                order.append(number)

        async with trio.open_nursery() as nursery, mutex:
            for number in range(3):
                nursery.start_soon(take, number)
                await trio.testing.wait_all_tasks_blocked()
            assert order == []

    trio.run(story)
    assert order == [0, 1, 2]
