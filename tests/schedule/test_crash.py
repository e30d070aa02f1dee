"""A crash is a power cut: nothing of the dead lane runs again, only what it had sent lives on."""

from __future__ import annotations

import pytest
import trio

from harness.schedule.choices import Option
from harness.schedule.simulation import Simulation
from tests.schedule.runs import step_through, take


def steps_of(simulation: Simulation, lane: str) -> list[str]:
    return [option.label for option in simulation.applied if option.lane == lane]


def settle(simulation: Simulation) -> None:
    """Let everything run that needs no timer and no fault."""
    while ready := [option for option in simulation.options() if option.kind == "task"]:
        simulation.apply(ready[0])


async def careful(log: list[str], wait: trio.Event) -> None:
    try:
        log.append("started")
        await wait.wait()
        log.append("woken")
    except BaseException:
        log.append("except")
        raise
    finally:
        log.append("finally")


def test_no_handler_of_the_dead_lane_runs_before_the_verdict() -> None:
    log: list[str] = []
    simulation = Simulation()
    lane = simulation.spawn("service", careful, log, trio.Event(), incarnation=1)
    with simulation:
        settle(simulation)
        simulation.crash(lane)
        settle(simulation)
        assert log == ["started"]
        assert simulation.options() == ()
    assert log == ["started", "except", "finally"]


def test_a_wake_of_a_dead_task_is_ignored() -> None:
    log: list[str] = []
    event = trio.Event()

    async def waker() -> None:
        await trio.sleep(1)
        event.set()

    simulation = Simulation()
    lane = simulation.spawn("service", careful, log, event, incarnation=1)
    simulation.spawn("client", waker)
    with simulation:
        settle(simulation)
        simulation.crash(lane)
        while options := simulation.options():
            simulation.apply(options[0])
        assert log == ["started"]
        assert simulation.ending is not None
        assert simulation.ending.kind == "finished"


def test_a_ready_task_and_a_pending_timer_of_a_dead_lane_are_gone() -> None:
    async def service() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 5)
            await trio.lowlevel.checkpoint()

    simulation = Simulation()
    lane = simulation.spawn("service", service, incarnation=1)
    with simulation:
        choose = take(": sleep")
        for _ in range(2):
            options = simulation.options()
            simulation.apply(options[choose(options)])
        assert simulation.timers.pending
        assert simulation.ready
        before = len(steps_of(simulation, "service#1"))
        simulation.crash(lane)
        simulation.crash(lane)
        assert simulation.options() == ()
        assert not simulation.timers.pending
        assert len(steps_of(simulation, "service#1")) == before


def send_and_crash(on_crash: str, taken: list[str]) -> list[Option]:
    """A service sends one write and dies; what it leaves behind, before all of that happens."""
    simulation = Simulation()

    async def service() -> None:
        await simulation.operate("write", lambda: taken.append("write"), on_crash=on_crash)
        taken.append("done")

    lane = simulation.spawn("service", service, incarnation=1)
    simulation.spawn("client", trio.sleep, 1)
    with simulation:
        settle(simulation)
        simulation.crash(lane)
        left = [option for option in simulation.options() if option.lane == lane.name]
        while options := simulation.options():
            simulation.apply(options[-1])
    return left


@pytest.mark.parametrize(
    ("on_crash", "labels", "effects"),
    [
        ("orphan", ["service#1: orphan write"], ["write"]),
        ("continue", ["service#1: write"], ["write"]),
        ("drop", [], []),
    ],
)
def test_what_was_sent_before_the_crash(
    on_crash: str, labels: list[str], effects: list[str]
) -> None:
    taken: list[str] = []
    left = send_and_crash(on_crash, taken)
    assert [option.label for option in left] == labels
    assert taken == effects


def test_an_orphan_is_optional_and_other_operations_are_not() -> None:
    assert [option.optional for option in send_and_crash("orphan", [])] == [True]
    assert [option.optional for option in send_and_crash("continue", [])] == [False]


def test_a_run_with_only_orphans_left_is_over() -> None:
    simulation = Simulation()
    lane = simulation.spawn("service", simulation.operate, "write", lambda: None, incarnation=1)
    with simulation:
        settle(simulation)
        simulation.crash(lane)
        assert [option.label for option in simulation.orphans] == ["service#1: orphan write"]
        assert simulation.options() == ()


def test_what_a_cancelled_sender_had_sent_goes_on() -> None:
    taken: list[str] = []
    simulation = Simulation()

    async def service() -> None:
        with trio.move_on_after(1):
            await simulation.operate("write", lambda: taken.append("write"))
        taken.append("gave up")

    simulation.spawn("service", service)
    with simulation:
        settle(simulation)
        simulation.apply(simulation.options()[-1])
        settle(simulation)
        while options := simulation.options():
            simulation.apply(options[0])
    assert taken == ["gave up", "write"]


def test_an_effect_that_fails_is_raised_in_the_sender() -> None:
    simulation = Simulation()

    def reject() -> None:
        raise ConnectionError("no route")

    async def client() -> str:
        try:
            await simulation.operate("call", reject)
        except ConnectionError as error:
            return str(error)
        raise AssertionError

    lane = simulation.spawn("client", client, main=True)
    step_through(simulation)
    assert lane.result == "no route"


def test_a_disabled_operation_waits_and_is_told_when_stuck() -> None:
    simulation = Simulation()

    async def client() -> None:
        await simulation.operate(
            "lock row 7",
            lambda: None,
            enabled=lambda: False,
            describe_wait=lambda: "row 7 is locked by transaction 12",
        )

    simulation.spawn("client", client)
    step_through(simulation)
    assert simulation.ending is not None
    assert simulation.ending.kind == "stuck"
    assert "lock row 7, row 7 is locked by transaction 12" in simulation.ending.detail


def test_faults_come_last_and_are_bounded() -> None:
    struck: list[str] = []
    simulation = Simulation()
    simulation.faults_left = 1
    lane = simulation.spawn("service", trio.sleep, 1, incarnation=1)

    def strike() -> None:
        struck.append("crash")
        simulation.crash(lane)

    simulation.offer_fault("crash service", strike, available=lambda: lane.alive)
    with simulation:
        settle_options = [option.label for option in simulation.options()]
        simulation.apply(simulation.options()[-1])
        assert settle_options == ["service#1: sleep", "nemesis: crash service"]
        assert simulation.options() == ()
    assert struck == ["crash"]
