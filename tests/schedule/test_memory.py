"""What follows a declared access is a checkpoint of trio in everything but its price."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio

from harness.schedule.memory import touch
from harness.schedule.simulation import Simulation
from tests.schedule.runs import every_run, result_of, take

Checkpoint = Callable[[], Awaitable[None]]
POINTS: dict[str, Checkpoint] = {
    "touch": partial(touch, "value"),
    "trio": trio.lowlevel.checkpoint,
}


async def cancelled_somewhere(point: Checkpoint) -> str:
    """One task passes three points, one of them shielded, while another one cancels it."""
    log: list[str] = []

    async def passing(scope: trio.CancelScope) -> None:
        with scope:
            try:
                await point()
                log.append("first")
                with trio.CancelScope(shield=True):
                    await point()
                log.append("second")
                await point()
                log.append("third")
            except trio.Cancelled as cancelled:
                log.append(str(cancelled).partition(" at 0x")[0])
                raise
        await point()
        log.append("after" if scope.cancelled_caught else "whole")

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        nursery.start_soon(passing, scope)
        await trio.lowlevel.checkpoint()
        scope.cancel()
        log.append("cancel")
    return ", ".join(log)


def outcomes(point: Checkpoint) -> dict[tuple[str, ...], object]:
    """What came of every order, by the steps that were taken."""

    def build() -> Simulation:
        simulation = Simulation()
        simulation.spawn("main", cancelled_somewhere, point, main=True)
        return simulation

    return {
        tuple(option.label for option in each.applied): each.lanes["main"].result
        for each in every_run(build)
    }


def test_a_touch_is_cancelled_where_a_checkpoint_is() -> None:
    ours = outcomes(POINTS["touch"])
    assert ours == outcomes(POINTS["trio"])
    assert any("after" in str(result) for result in ours.values())
    assert any("whole" in str(result) for result in ours.values())


async def counted(point: Checkpoint) -> tuple[int, int]:
    """How many points of each kind trio has counted for this task after two of them."""
    await point()
    await point()
    task = trio.lowlevel.current_task()
    return task._schedule_points, task._cancel_points


def test_trio_counts_a_touch_as_it_counts_a_checkpoint() -> None:
    points = [result_of(counted, point) for point in POINTS.values()]
    assert points == [trio.run(counted, trio.lowlevel.checkpoint)] * 2


async def noted(point: Checkpoint) -> object:
    """What a task finds in its own notes after a point, which trio wipes there."""
    trio.lowlevel.current_task().custom_sleep_data = "mine"
    await point()
    return trio.lowlevel.current_task().custom_sleep_data


@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS)
def test_what_a_task_noted_about_its_sleep_is_wiped_when_it_goes_on(point: Checkpoint) -> None:
    assert result_of(noted, point) is None


def test_a_touch_outside_a_simulation_is_a_checkpoint() -> None:
    async def overtaken() -> list[str]:
        log: list[str] = []

        async def one(name: str) -> None:
            for number in range(2):
                log.append(f"{name}{number}")
                await touch("value")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one, "a")
            nursery.start_soon(one, "b")
        return sorted(log[:2])

    assert trio.run(overtaken) == ["a0", "b0"]


def test_a_step_touches_what_was_declared_before_it_and_nothing_else() -> None:
    async def reads_then_writes() -> None:
        await touch("value", "read")
        await touch("value")

    simulation = Simulation()
    simulation.spawn("main", reads_then_writes, main=True)
    footprints = []
    with simulation:
        while options := simulation.options():
            footprints.append(tuple(options[0].footprint))
            simulation.apply(options[0])
    assert footprints == [(), (("memory/main/value", "read"),), (("memory/main/value", "write"),)]


def test_the_same_name_in_two_lanes_is_two_variables() -> None:
    simulation = Simulation()
    for lane in ("one", "two"):
        simulation.spawn(lane, touch, "value")
    with simulation:
        for label in ("one: touch", "two: touch"):
            options = simulation.options()
            simulation.apply(options[take(label)(options)])
        touched = [option.footprint[0][0] for option in simulation.options()]
    assert touched == ["memory/one/value", "memory/two/value"]
