"""Time passing is a choice, nothing goes on for ever, and who hangs is named."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio

from harness.errors import StepNeverYieldsError
from harness.schedule.choices import Moves
from harness.schedule.simulation import Limits, Simulation
from tests.schedule.runs import every_run, run, step_through, take

BRIEF = Limits(step_wall_s=0.1)


def ending(simulation: Simulation) -> tuple[str, str]:
    assert simulation.ending is not None
    return simulation.ending.kind, simulation.ending.detail


async def sleep_and_note(log: list[str], name: str, seconds: float) -> None:
    await trio.sleep(seconds)
    log.append(name)


def two_sleepers(log: list[str], first_s: float, second_s: float) -> Simulation:
    simulation = Simulation()
    simulation.spawn("one", sleep_and_note, log, "one", first_s)
    simulation.spawn("two", sleep_and_note, log, "two", second_s)
    return simulation


def test_two_timers_due_at_the_same_instant_are_two_options() -> None:
    simulation = two_sleepers([], 5, 5)
    with simulation:
        while simulation.ready:
            simulation.apply(simulation.options()[0])
        labels = [option.label for option in simulation.options()]
        assert labels == [
            "clock -> 5000 ms for one: sleep_and_note",
            "clock -> 5000 ms for two: sleep_and_note",
        ]
        simulation.apply(simulation.options()[1])
        assert {option.label for option in simulation.options()} == {
            "clock -> 5000 ms for one: sleep_and_note",
            "two: sleep_and_note",
        }


@pytest.mark.parametrize(("first_s", "second_s"), [(5, 5), (5, 6), (6, 5)])
def test_timers_close_together_strike_in_either_order(first_s: float, second_s: float) -> None:
    logs: list[list[str]] = []

    def build() -> Simulation:
        logs.append([])
        return two_sleepers(logs[-1], first_s, second_s)

    for _ in every_run(build):
        pass
    assert {tuple(log) for log in logs} == {("one", "two"), ("two", "one")}


def test_options_are_called_moves_only_while_no_timer_is_among_them() -> None:
    simulation, kinds = two_sleepers([], 5, 5), []
    with simulation:
        while options := simulation.options():
            kinds.append((type(options) is Moves, {option.kind for option in options}))
            simulation.apply(options[0])
    assert (True, {"task"}) in kinds
    # The other timer is due by then: it stands in line behind the task that the first one woke.
    assert (False, {"timer", "task"}) in kinds
    assert all("timer" not in offered for moves, offered in kinds if moves)


def test_a_timer_beyond_the_longest_stall_has_to_wait() -> None:
    simulation = two_sleepers([], 5, 61)
    with simulation:
        while simulation.ready:
            simulation.apply(simulation.options()[0])
        assert [option.lane for option in simulation.options()] == ["one"]
        simulation.apply(simulation.options()[0])
        assert [option.lane for option in simulation.options()] == ["one", "two"]


async def answer_in_time(log: list[str]) -> None:
    answered = trio.Event()

    async def answer() -> None:
        for _ in range(3):
            await trio.lowlevel.checkpoint()
        answered.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        try:
            with trio.fail_after(30):
                await answered.wait()
            log.append("answered")
        except trio.TooSlowError:
            log.append("too slow")


def test_a_timeout_can_strike_while_the_answer_is_runnable() -> None:
    patient: list[str] = []
    run(answer_in_time, patient)
    hasty: list[str] = []
    simulation = run(answer_in_time, hasty, choose=take("for main: answer_in_time"))
    assert (patient, hasty) == (["answered"], ["too slow"])
    assert simulation.now_ms == 30_000


def test_the_clock_never_goes_back() -> None:
    seen: list[float] = []

    async def sleeper(seconds: float) -> None:
        await trio.sleep(seconds)
        seen.append(trio.current_time())

    simulation = Simulation()
    simulation.spawn("early", sleeper, 5)
    simulation.spawn("late", sleeper, 9)
    step_through(simulation, take("for late: sleeper"))
    assert seen == [9.0, 9.0]


def test_a_deadlock_is_stuck_and_says_who_holds_what() -> None:
    async def transfer(mine: trio.Lock, yours: trio.Lock) -> None:
        async with mine:
            await trio.lowlevel.checkpoint()
            async with yours:
                raise AssertionError

    left, right = trio.Lock(), trio.Lock()
    simulation = Simulation()
    simulation.spawn("alice", transfer, left, right)
    simulation.spawn("bob", transfer, right, left)
    kind, detail = ending(step_through(simulation))
    assert kind == "stuck"
    alice, bob = detail.splitlines()
    assert alice.startswith("alice/transfer")
    assert "Lock.acquire, held by bob: transfer" in alice
    assert "test_time.py:" in alice
    assert "Lock.acquire, held by alice: transfer" in bob


def test_stuck_names_a_lane_that_is_down_and_a_bare_wait() -> None:
    event = trio.Event()
    simulation = Simulation()
    simulation.spawn("client", event.wait)
    server = simulation.spawn("server", trio.sleep_forever, incarnation=1)
    with simulation:
        simulation.crash(server)
        while options := simulation.options():
            simulation.apply(options[0])
    kind, detail = ending(simulation)
    assert kind == "stuck"
    assert "waits for  Event.wait" in detail
    assert "server#1" in detail
    assert "is down" in detail


def test_too_many_steps_end_the_run() -> None:
    async def spin() -> None:
        while True:
            await trio.lowlevel.checkpoint()

    simulation = run(spin, limits=Limits(steps=50))
    assert ending(simulation) == ("step limit", "50 steps without finishing")
    assert simulation.steps == 50


def test_too_much_virtual_time_ends_the_run() -> None:
    simulation = run(trio.sleep, 3600, limits=Limits(time_s=60))
    assert ending(simulation) == ("time limit", "60 virtual seconds have passed")


async def spin_for_ever() -> None:
    while True:
        pass


async def spin_and_catch_errors() -> None:
    while True:
        try:
            while True:
                pass
        except Exception:
            continue


async def spin_in_a_nursery() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(spin_for_ever)


async def spin_and_carry_on() -> None:
    with suppress(BaseException):
        await spin_for_ever()


@pytest.mark.parametrize(
    "program", [spin_for_ever, spin_and_catch_errors, spin_in_a_nursery, spin_and_carry_on]
)
def test_a_step_that_never_yields_is_struck_down_and_named(program: object) -> None:
    simulation = run(program, limits=BRIEF)  # type: ignore[arg-type]
    kind, detail = ending(simulation)
    assert kind == "never yields"
    assert detail.startswith("main: spin_")


def test_the_watchdog_leaves_the_next_run_alone() -> None:
    run(spin_for_ever, limits=BRIEF)
    simulation = run(trio.sleep, 1, limits=BRIEF)
    assert ending(simulation) == ("finished", "")


def test_an_exception_handler_of_the_target_cannot_swallow_the_watchdog() -> None:
    assert not issubclass(StepNeverYieldsError, Exception)
