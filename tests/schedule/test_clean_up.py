"""After the verdict everything is unwound: no warning, no leftover, and the kernel serves again."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import pytest
import trio

from harness.schedule import simulation as simulation_module
from harness.schedule.simulation import Limits, Simulation
from tests.schedule.runs import Program, result_of, run, step_through


@pytest.fixture(autouse=True, scope="module")
def only_what_is_new() -> Iterator[None]:
    """Let the garbage collector look at nothing but the objects of these tests."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def no_kernel_to_spare() -> Iterator[None]:
    """Start from a fresh kernel, and drop it while warnings are still errors of this test."""
    drop_spare_kernels()
    yield
    drop_spare_kernels()
    gc.collect()


def drop_spare_kernels() -> None:
    while simulation_module._spare:
        simulation_module._spare.pop().dispose()


async def leave_tasks_behind() -> None:
    async def child() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(trio.sleep, 5)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(child)


async def refuse_to_stop() -> None:
    async with trio.open_nursery() as nursery:
        with trio.CancelScope(shield=True):
            nursery.start_soon(trio.sleep_forever)
            await trio.sleep_forever()


async def swallow_every_cancellation() -> None:
    while True:
        with suppress(trio.Cancelled):
            await trio.sleep_forever()


async def clean_up_slowly() -> None:
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            for _ in range(10):
                await trio.lowlevel.checkpoint()


async def clean_up_with_sleep() -> None:
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(3)


async def fail_while_cleaning_up() -> None:
    try:
        await trio.sleep_forever()
    finally:
        raise ValueError("cannot even die properly")


async def ticks() -> AsyncIterator[int]:
    try:
        while True:
            yield 1
            await trio.sleep(1)
    finally:
        await trio.lowlevel.cancel_shielded_checkpoint()


async def hold_a_generator() -> None:
    async for _ in ticks():
        await trio.sleep_forever()


PROGRAMS: list[Program] = [
    leave_tasks_behind,
    refuse_to_stop,
    swallow_every_cancellation,
    clean_up_slowly,
    clean_up_with_sleep,
    fail_while_cleaning_up,
    hold_a_generator,
]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("steps", [1, 2, 3, 8, 100])
def test_a_run_that_is_left_anywhere_ends_quietly(program: Program, steps: int) -> None:
    run(program, limits=Limits(steps=steps, time_s=1000))
    gc.collect()
    assert result_of(trio.sleep, 1) is None
    gc.collect()


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_crashed_lane_ends_quietly(program: Program) -> None:
    simulation = Simulation()
    lane = simulation.spawn("service", program, incarnation=1)
    with simulation:
        for _ in range(6):
            if options := simulation.options():
                simulation.apply(options[0])
        simulation.crash(lane)
        assert simulation.options() == ()
    gc.collect()


def test_a_lane_that_clean_up_code_starts_is_cancelled_at_once() -> None:
    simulation = Simulation()

    async def start_another_one() -> None:
        try:
            await trio.sleep_forever()
        finally:
            simulation.spawn("late", leave_tasks_behind)

    simulation.spawn("service", start_another_one)
    with simulation:
        simulation.apply(simulation.options()[0])
    assert simulation_module._spare == [simulation.kernel]


def test_a_simulation_that_is_never_entered_ends_quietly() -> None:
    simulation = Simulation()
    simulation.spawn("main", leave_tasks_behind, main=True)
    alive = weakref.ref(simulation)
    del simulation
    gc.collect()
    assert alive() is None


def test_a_kernel_that_ended_cleanly_is_kept_for_the_next_run() -> None:
    kernel = run(trio.sleep, 1).kernel
    assert simulation_module._spare == [kernel]
    assert Simulation().kernel is kernel
    assert simulation_module._spare == []


@pytest.mark.parametrize("program", [leave_tasks_behind, clean_up_slowly, hold_a_generator])
def test_a_kernel_whose_tasks_could_be_cancelled_is_kept(program: Program) -> None:
    kernel = run(program, limits=Limits(steps=9)).kernel
    assert simulation_module._spare == [kernel]


@pytest.mark.parametrize("program", [refuse_to_stop, swallow_every_cancellation])
def test_a_kernel_with_tasks_that_refuse_to_stop_is_dropped(program: Program) -> None:
    run(program, limits=Limits(steps=9))
    assert simulation_module._spare == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_nothing_keeps_a_run_alive(program: Program) -> None:
    simulation = run(program, limits=Limits(steps=9))
    alive = weakref.ref(simulation), weakref.ref(simulation.kernel)
    drop_spare_kernels()
    del simulation
    gc.collect()
    assert [reference() for reference in alive] == [None, None]


def test_a_run_of_tasks_alone_leaves_the_garbage_collector_nothing_to_do() -> None:
    async def two_tasks() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.lowlevel.checkpoint)
            nursery.start_soon(trio.sleep, 1)

    alive = weakref.ref(run(two_tasks))
    gc.disable()
    try:
        # The kernel holds the last run until it serves another one.
        run(two_tasks)
        assert alive() is None
    finally:
        gc.enable()


def test_clean_up_code_cannot_change_the_history_or_act_on_the_world() -> None:
    simulation = Simulation()
    written: list[str] = []

    async def service() -> None:
        try:
            await trio.sleep(math.inf)
        finally:
            simulation.emit("note", "too late")
            with trio.CancelScope(shield=True):
                await simulation.operate("write", lambda: written.append("too late"))

    simulation.spawn("service", service)
    step_through(simulation)
    before = simulation.digest()
    assert [event.operation for event in simulation.history] == []
    assert written == []
    assert simulation.digest() == before


def test_trio_can_still_call_back_after_a_generator_was_left_behind() -> None:
    run(hold_a_generator, limits=Limits(steps=9))

    async def call_back() -> bool:
        called = trio.Event()
        trio.lowlevel.current_trio_token().run_sync_soon(called.set)
        await called.wait()
        return True

    assert result_of(call_back) is True
