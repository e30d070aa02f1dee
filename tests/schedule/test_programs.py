"""Any trio program runs unmodified: what works under ``trio.run`` works in a simulation."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
import sniffio
import tenacity
import trio
import trio.testing

from harness.schedule.simulation import Simulation
from tests.schedule.runs import Program, result_of, run, step_through


async def nurseries() -> list[int]:
    seen: list[int] = []

    async def child(number: int) -> None:
        await trio.lowlevel.checkpoint()
        seen.append(number)

    async def starter(*, task_status: trio.TaskStatus[int]) -> None:
        await trio.lowlevel.checkpoint()
        task_status.started(9)

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(child, number)
        seen.append(await nursery.start(starter))
    return sorted(seen)


async def cancel_scopes() -> list[object]:
    seen: list[object] = []
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(1)
                seen.append("cleaned up")
    return [*seen, scope.cancelled_caught]


async def locks() -> list[str]:
    seen: list[str] = []
    lock, limiter = trio.Lock(), trio.CapacityLimiter(1)
    condition = trio.Condition(lock)

    async def holder(name: str) -> None:
        async with lock, limiter:
            seen.append(f"{name} in")
            await trio.lowlevel.checkpoint()
            seen.append(f"{name} out")
            condition.notify_all()

    async with trio.open_nursery() as nursery, lock:
        nursery.start_soon(holder, "a")
        nursery.start_soon(holder, "b")
        while len(seen) < 4:
            await condition.wait()
    return seen


async def channels() -> list[int]:
    send, receive = trio.open_memory_channel[int](0)

    async def produce() -> None:
        async with send:
            for number in range(3):
                await send.send(number)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce)
        return [number async for number in receive]


async def async_generators() -> list[object]:
    closed: list[object] = []

    async def count() -> AsyncIterator[int]:
        try:
            for number in range(10):
                await trio.sleep(1)
                yield number
        finally:
            await trio.lowlevel.cancel_shielded_checkpoint()
            closed.append("closed")

    async with aclosing(count()) as numbers:  # type: ignore[type-var]
        async for number in numbers:
            if number == 2:
                closed.append(number)
                break
    return closed


async def timeouts() -> tuple[float, bool, str]:
    started = trio.current_time()
    with trio.move_on_after(3) as scope:
        await trio.sleep(math.inf)
    try:
        with trio.fail_after(2):
            await trio.sleep_until(started + 3600)
    except trio.TooSlowError:
        return trio.current_time() - started, scope.cancelled_caught, "too slow"
    raise AssertionError


async def all_blocked() -> list[str]:
    seen: list[str] = []
    event = trio.Event()

    async def waiter(name: str) -> None:
        await trio.sleep(0)
        seen.append(name)
        await event.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiter, "a")
        nursery.start_soon(waiter, "b")
        await trio.testing.wait_all_tasks_blocked()
        seen.append("all blocked")
        event.set()
    return sorted(seen[:2]) + seen[2:]


async def low_level() -> tuple[int, str, str]:
    statistics = trio.lowlevel.current_statistics()
    called = trio.Event()
    trio.lowlevel.current_trio_token().run_sync_soon(called.set)
    await called.wait()
    return statistics.tasks_runnable, sniffio.current_async_library(), type(statistics).__name__


async def retries() -> tuple[int, float]:
    attempts = 0
    async for attempt in tenacity.AsyncRetrying(
        wait=tenacity.wait_fixed(20), stop=tenacity.stop_after_attempt(4)
    ):
        with attempt:
            attempts += 1
            if attempts < 4:
                raise ConnectionError
    return attempts, trio.current_time()


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (nurseries, [0, 1, 2, 9]),
        (cancel_scopes, ["cleaned up", True]),
        (locks, ["a in", "a out", "b in", "b out"]),
        (channels, [0, 1, 2]),
        (async_generators, [2, "closed"]),
        (timeouts, (5.0, True, "too slow")),
        (all_blocked, ["a", "b", "all blocked"]),
        (low_level, (0, "trio", "RunStatistics")),
        (retries, (4, 60.0)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_runs_unmodified(program: Program, expected: object) -> None:
    assert result_of(program) == expected


def test_a_failed_lane_ends_the_run_with_its_error() -> None:
    async def program() -> None:
        async with trio.open_nursery():
            raise KeyError("missing")

    simulation = run(program)
    assert isinstance(simulation.lanes["main"].error, ExceptionGroup)
    assert [event.operation[:6] for event in simulation.history] == ["failed"]


def test_the_run_ends_with_its_main_lane() -> None:
    simulation = Simulation()
    simulation.spawn("server", trio.sleep_forever)
    simulation.spawn("main", trio.sleep, 1, main=True)
    step_through(simulation)
    assert simulation.ending is not None
    assert simulation.ending.kind == "finished"
    assert not simulation.lanes["server"].finished
