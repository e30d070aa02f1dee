"""One run: what is recorded, how it goes on after a violation, and how it may end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from harness.engine import UNFAIR_SHARE, Run, execute
from harness.invariants import Broken
from harness.schedule.choices import Option
from harness.world.world import World
from tests.engine.worlds import preferring, rerun_of, run_of, told

HERE = "tests/engine/test_runs.py"


def line_of(text: str) -> int:
    """The line of this file that holds a text."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.strip() == text)


def last(options: Sequence[Option], step: int) -> int:
    """The opposite of first-in-first-out."""
    return len(options) - 1


async def turns(world: World) -> None:
    """Two clients of four steps each, and a rule about who may lead."""
    taken: dict[str, int] = {"one": 0, "two": 0}

    async def client(name: str) -> None:
        for _ in range(4):
            await trio.lowlevel.checkpoint()
            taken[name] += 1
            world.simulation.emit("note", "turn", resource=f"turns/{name}", after=taken[name])

    @world.invariant(on=("turns",))
    def nobody_is_two_ahead() -> None:
        if abs(taken["one"] - taken["two"]) >= 2:
            raise Broken("one is far ahead")

    lanes = [world.start_client(name, client, name) for name in taken]
    for lane in lanes:
        await world.finished(lane)


TURNS = told(turns)


# --- after a violation --------------------------------------------------------------------------


def test_after_the_first_violation_a_run_is_first_in_first_out() -> None:
    run = run_of(TURNS, last)
    assert run.violated
    broken_at = run.violations[0].step
    assert run.ending.kind == "finished"
    assert run.steps > broken_at
    assert all(deviation.step <= broken_at for deviation in run.deviations)
    assert run.history[-1].step > broken_at


def test_a_history_knows_from_when_on_the_order_was_fair() -> None:
    async def story(world: World) -> None:
        lanes = [world.start_client(f"{s} s", trio.sleep, s) for s in (1, 3, 4)]
        for lane in lanes:
            await world.finished(lane)

    def late(options: Sequence[Option], step: int) -> int:
        clock = [place for place, option in enumerate(options) if "-> 3000 ms" in option.label]
        return clock[0] if clock else 0

    assert run_of(told(story)).history.fair_from_ms == 0
    run = run_of(told(story), late)
    assert [deviation.at_ms for deviation in run.deviations] == [0]
    assert run.history.fair_from_ms == 3_000


def test_a_run_can_end_at_its_first_violation() -> None:
    run = execute(TURNS, seed=1, choose=last, until_violation=True, digested=True)
    assert run.steps == run.violations[0].step
    assert run.digest
    held = execute(TURNS, seed=1, until_violation=True, digested=True)
    assert held.ending.kind == "finished" and not held.violated and held.digest == ""


def test_what_follows_is_judged_too() -> None:
    async def twice(world: World) -> None:
        @world.invariant(on=("a",))
        def first_rule() -> None:
            raise Broken("first")

        @world.invariant(on=("b",))
        def second_rule() -> None:
            raise Broken("second")

        for resource in "ab":
            await trio.lowlevel.checkpoint()
            world.simulation.emit("note", "touch", resource=resource)

    messages = [violation.message for violation in run_of(told(twice)).violations]
    assert messages == ["first", "second"]


# --- what is recorded ---------------------------------------------------------------------------


def test_deviations_say_step_choice_and_what_ran_before_what() -> None:
    run = execute(TURNS, seed=1, choose=preferring("two: client"), recorded=True)
    (deviation,) = run.deviations
    assert deviation.choice == 1 and deviation.kind == "task" and deviation.lane == "two"
    assert deviation.taken == "two: client" == run.taken[deviation.step - 1]
    assert run.offered[deviation.step - 1][:2] == (deviation.first, deviation.taken)
    assert run.schedule.choices == {deviation.step: 1}
    assert run.token == f"turns@1:{deviation.step}=1"
    assert len(run.taken) == len(run.offered) == run.steps


def test_first_in_first_out_has_no_deviations_and_calls_are_lazy() -> None:
    run = run_of(TURNS)
    assert run.deviations == () and run.token == "turns@1"
    assert run.taken == () and run.offered == () and run.profile is None


def test_choices_repeat_a_run_and_other_choices_make_another() -> None:
    digests = {}
    for wanted in ("one: client", "two: client", "main: turns"):
        run = run_of(TURNS, preferring(wanted, wanted, wanted))
        assert rerun_of(run).digest == run.digest
        assert rerun_of(run).token == run.token
        digests[run.token] = run.digest
    assert len(digests) == 3
    assert len(set(digests.values())) == len(digests)


def test_the_seed_reaches_the_data_but_not_the_order() -> None:
    async def draws(world: World) -> None:
        world.simulation.emit("note", "draw", value=world.random("amounts").randrange(10**9))

    scenario = told(draws)
    assert run_of(scenario, seed=1).digest == run_of(scenario, seed=1).digest
    assert run_of(scenario, seed=1).digest != run_of(scenario, seed=2).digest
    renamed = told(draws, name="other")
    assert run_of(scenario, seed=1).digest != run_of(renamed, seed=1).digest


def test_notes_and_marks_come_along() -> None:
    async def remarkable(world: World) -> None:
        world.note("said", lambda: "worth saying")
        world.note("unsaid", lambda: "")
        for _ in range(3):
            world.reach("the middle")

    run = run_of(told(remarkable))
    assert run.notes == ("worth saying",)
    assert run.reached == {"the middle": 3}


# --- limits and dead ends -----------------------------------------------------------------------


def only(run: Run) -> tuple[str, str]:
    """The one rule that was broken, and its message."""
    (violation,) = run.violations
    return violation.invariant, violation.message


def test_nobody_can_run() -> None:
    async def waits(world: World) -> None:
        await trio.Event().wait()

    invariant, message = only(run_of(told(waits)))
    assert invariant == "never_stuck"
    assert "main/waits" in message and "Event.wait" in message
    assert f"{HERE}:{line_of('await trio.Event().wait()')}" in message


def test_too_many_steps() -> None:
    async def goes_on(world: World) -> None:
        while True:
            await trio.lowlevel.checkpoint()

    run = run_of(told(goes_on, steps_max=50))
    assert run.steps == 50
    assert only(run) == (
        "finishes_within_limits",
        "50 steps without finishing; the last 6 steps: " + "; ".join(["main: goes_on"] * 6),
    )


def test_too_much_virtual_time() -> None:
    async def dreams(world: World) -> None:
        while True:
            await trio.sleep(3600)

    run = run_of(told(dreams, time_max_s=10_000.0))
    invariant, message = only(run)
    assert invariant == "finishes_within_limits"
    assert message.startswith("10,000 virtual seconds have passed; the last 6 steps: ")
    assert "clock -> 7200000 ms for main: dreams" in message


async def patient(world: World) -> None:
    """Main waits for a client; somebody else can always run before it."""
    done = trio.Event()

    async def works() -> None:
        for _ in range(5):
            await trio.lowlevel.checkpoint()
        done.set()

    async def spins() -> None:
        while not done.is_set():
            await trio.lowlevel.checkpoint()

    world.start_client("spinner", spins)
    await world.client("worker", works)


def spin(options: Sequence[Option], step: int) -> int:
    """Let only the spinner run."""
    labels = [option.label for option in options]
    return labels.index("spinner: spins") if "spinner: spins" in labels else 0


def test_an_unfair_order_alone_is_not_accused() -> None:
    scenario = told(patient, steps_max=200)
    run = run_of(scenario, spin)
    assert run.ending.kind == "finished" and not run.violated
    assert max(deviation.step for deviation in run.deviations) <= 200 * UNFAIR_SHARE
    assert run.steps > 200 * UNFAIR_SHARE
    assert rerun_of(run).digest == run.digest


def test_neither_is_an_order_that_lets_only_time_pass() -> None:
    async def ticks(world: World) -> None:
        async def clock() -> None:
            while True:
                await trio.sleep(100)

        world.start_client("ticker", clock)
        for _ in range(9):
            await trio.lowlevel.checkpoint()

    def let_time_pass(options: Sequence[Option], step: int) -> int:
        ahead = (i for i, option in enumerate(options) if "ticker" in option.label)
        return next(ahead, 0)

    run = run_of(told(ticks, time_max_s=5_000.0), let_time_pass)
    assert run.ending.kind == "finished" and not run.violated
    assert 2_500_000 <= run.ended_at_ms < 5_000_000


# --- lanes that die -----------------------------------------------------------------------------


async def dies(amount: int) -> None:
    await trio.lowlevel.checkpoint()
    await trio.lowlevel.checkpoint()
    raise ValueError(f"no {amount} here")


async def dies_as_a_client(world: World) -> None:
    await world.client("trader", dies, 7)


async def dies_unwatched(world: World) -> None:
    world.start_client("trader", dies, 7)
    for _ in range(9):
        await trio.lowlevel.checkpoint()


async def dies_in_a_nursery(world: World) -> None:
    async def trader() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(dies, 7)
            await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.client, "trader", trader)


@pytest.mark.parametrize("story", [dies_as_a_client, dies_unwatched, dies_in_a_nursery])
def test_a_lane_that_dies_is_told_once_with_its_place(story: object) -> None:
    run = run_of(told(story))  # type: ignore[arg-type]
    (violation,) = run.violations
    assert violation.invariant == "no_lane_fails"
    line = line_of('raise ValueError(f"no {amount} here")')
    place = f"{HERE}:{line}"
    assert violation.message == f"trader failed at {place}: ValueError: no 7 here"
    assert violation.lane == "trader"
    assert violation.site == f"{place} dies"
    assert violation.stack[-1] == f'{place} dies\nraise ValueError(f"no {{amount}} here")'
    died = next(event for event in run.history if event.operation.startswith("failed"))
    assert violation.step == died.step < run.steps


def test_what_the_world_raises_is_placed_where_it_was_called() -> None:
    async def calls_nobody(world: World) -> None:
        await world.network().call("bank", "pay")

    (violation,) = run_of(told(calls_nobody)).violations
    line = line_of('await world.network().call("bank", "pay")')
    assert violation.message == (
        f"main failed at {HERE}:{line}: ConnectionRefusedError: nobody listens at bank"
    )
    assert violation.site == f"{HERE}:{line} calls_nobody"


def test_every_error_of_a_group_is_told() -> None:
    async def both(world: World) -> None:
        async def one() -> None:
            raise ValueError("left")

        async def other() -> None:
            raise KeyError("right")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one)
            nursery.start_soon(other)

    messages = {violation.message for violation in run_of(told(both)).violations}
    left, right = line_of('raise ValueError("left")'), line_of('raise KeyError("right")')
    assert messages == {
        f"main failed at {HERE}:{left}: ValueError: left",
        f"main failed at {HERE}:{right}: KeyError: 'right'",
    }


@pytest.mark.parametrize("in_a_nursery", [False, True])
def test_an_assertion_of_the_story_is_no_failure_of_a_lane(*, in_a_nursery: bool) -> None:
    async def expects(world: World) -> None:
        async def check() -> None:
            await trio.lowlevel.checkpoint()
            raise AssertionError("the till is empty")

        if not in_a_nursery:
            await check()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(check)

    run = run_of(told(expects))
    line = line_of('raise AssertionError("the till is empty")')
    assert only(run) == ("scenario_assertions", f"the till is empty (at {HERE}:{line})")
    assert run.violations[0].site.endswith(" check")


def test_a_dead_end_comes_after_the_lane_whose_death_made_it() -> None:
    async def waits_for_the_dead(world: World) -> None:
        answer = trio.Event()

        async def answers() -> None:
            if world.now_ms == 0:
                raise RuntimeError
            answer.set()

        world.start_client("clerk", answers)
        await answer.wait()

    run = run_of(told(waits_for_the_dead))
    assert [violation.invariant for violation in run.violations] == ["no_lane_fails", "never_stuck"]
    line = line_of("raise RuntimeError")
    assert run.violations[0].message == f"clerk failed at {HERE}:{line}: RuntimeError"


def test_who_brought_asyncio_is_told_that_it_is_not_supported() -> None:
    async def sleeps(world: World) -> None:
        await asyncio.sleep(1)

    (violation,) = run_of(told(sleeps)).violations
    line = line_of("await asyncio.sleep(1)")
    assert violation.message == f"main failed at {HERE}:{line}: RuntimeError: no running event loop"
    assert violation.consequence.startswith("asyncio is not supported")


def test_of_an_endless_recursion_both_ends_of_the_stack_are_told() -> None:
    def deeper(level: int) -> int:
        return deeper(level + 1)

    async def falls(world: World) -> None:
        deeper(0)

    (violation,) = run_of(told(falls)).violations
    line = line_of("return deeper(level + 1)")
    assert violation.stack[-1] == f"{HERE}:{line} deeper\nreturn deeper(level + 1)"
    assert violation.stack[0].endswith("falls\ndeeper(0)")
    assert len(violation.stack) < 12
    assert "frames more" in " ".join(violation.stack)


def test_ctrl_c_is_no_finding() -> None:
    async def interrupted(world: World) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_of(told(interrupted))
