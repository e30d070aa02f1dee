"""Synchronous and asyncio programs as lanes: they block, and others take steps meanwhile."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio

from harness.engine import Run, execute
from harness.errors import UsageError
from harness.scenario import Scenario
from harness.world import blocking
from harness.world.blocking import run_asyncio, run_blocking, wait
from harness.world.network import Network
from harness.world.service import Life
from harness.world.world import World
from tests.scenarios.searches import runs

pytest.importorskip("greenlet", reason="greenlet is not installed: pip install greenlet")


async def serve_doubles(network: Network, life: Life) -> None:
    """Answers every number with twice that number."""
    life.enter("ready")
    async for request in network.listen("doubles"):
        await request.reply(request.payload * 2)


def story(main: Callable[[Network], Any], told: list[object], *, times: int = 1) -> Scenario:
    """Clients that run an async lane each, beside a service that doubles numbers."""

    async def tell(world: World) -> None:
        network = world.network()
        await world.service("doubles", lambda life: serve_doubles(network, life)).ready()
        lanes = [world.start_client(f"client{n}", main, network) for n in range(times)]
        for lane in lanes:
            told.append(await world.finished(lane))

    return Scenario("a program that blocks", tell)


def held(scenario: Scenario) -> Run:
    """A run that broke no rule."""
    run = execute(scenario, seed=1)
    assert not run.violations, run.violations
    return run


def test_a_blocking_call_takes_steps_and_others_take_theirs_meanwhile() -> None:
    told: list[object] = []

    def add_up(network: Network) -> int:
        return sum(wait(network.call, "doubles", "", number) for number in range(4))

    scenario = story(lambda network: run_blocking(add_up, network), told, times=2)
    run = held(scenario)
    assert told == [12, 12]
    lanes = [event.lane for event in run.history if event.lane.startswith("client")]
    assert lanes != sorted(lanes), "one client was served after the other"
    assert execute(scenario, seed=1).digest == run.digest


def test_the_schedule_decides_between_two_programs_that_block() -> None:
    orders = set()
    told: list[object] = []

    def note(network: Network) -> None:
        told.append(wait(network.call, "doubles", "", 1))
        told.append(wait(trio.sleep, 0.0))

    scenario = story(lambda network: run_blocking(note, network), told, times=2)
    for run in runs(seed=1, schedules=12, variant={}, scenario=scenario):
        assert not run.violations, run.violations
        orders.add(tuple(event.lane for event in run.history if event.kind == "receive"))
    assert len(orders) > 1


def test_errors_pass_in_both_directions() -> None:
    told: list[object] = []

    def ask(network: Network) -> str:
        try:
            wait(network.call, "nobody", "")
        except ConnectionRefusedError as error:
            told.append(str(error))
        raise ValueError("the program's own")

    run = execute(story(lambda network: run_blocking(ask, network), told), seed=1)
    assert told == ["nobody listens at nobody"]
    assert "the program's own" in run.violations[0].message


def test_an_asyncio_program_lives_in_virtual_time() -> None:
    told: list[object] = []

    async def numbers() -> AsyncIterator[int]:
        for number in range(2):
            yield number
            await asyncio.sleep(0)

    async def program(network: Network) -> tuple[float, list[int]]:
        loop = asyncio.get_running_loop()
        sleeper = asyncio.create_task(asyncio.sleep(3_600, "late"))
        doubled = [wait(network.call, "doubles", "", number) async for number in numbers()]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), timeout=60)
        assert loop.time() == pytest.approx(60)
        assert await sleeper == "late"
        return loop.time(), doubled

    held(story(lambda network: run_asyncio(program, network), told, times=2))
    assert told == [(3_600, [0, 2])] * 2


def test_an_asyncio_program_hears_what_a_trio_task_of_its_lane_says() -> None:
    told: list[object] = []

    async def program(network: Network, nursery: trio.Nursery) -> list[int]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, blocking.AsyncioLoop)
        heard: asyncio.Queue[int] = asyncio.Queue()

        async def ask() -> None:
            for number in range(3):
                loop.call_soon_from_trio(
                    heard.put_nowait, await network.call("doubles", "", number)
                )

        nursery.start_soon(ask)
        return [await heard.get() for _ in range(3)]

    async def lane(network: Network) -> list[int]:
        async with trio.open_nursery() as nursery:
            return await run_asyncio(program, network, nursery)

    held(story(lane, told))
    assert told == [[0, 2, 4]]


def test_a_crash_ends_a_program_that_blocks_and_its_clean_up_is_not_run() -> None:
    done: list[str] = []

    def work(life: Life) -> None:
        life.enter("ready")
        try:
            for step in range(3):
                wait(trio.sleep, 1)
                done.append(f"{life.name} {step}")
        finally:
            done.append(f"{life.name} ended")

    at_the_verdict: list[str] = []

    async def tell(world: World) -> None:
        service = world.service("worker", lambda life: run_blocking(work, life))
        await service.ready()
        await trio.sleep(1.5)
        await service.restart("crash")
        await trio.sleep(5)
        at_the_verdict.extend(done)

    held(Scenario("a worker crashes", tell))
    assert at_the_verdict == [
        "worker#1 0",
        *(f"worker#2 {step}" for step in range(3)),
        "worker#2 ended",
    ]


def test_outside_of_a_blocking_program_nobody_can_wait() -> None:
    with pytest.raises(RuntimeError, match="outside of run_blocking"):
        wait(trio.sleep, 1)


def test_without_greenlet_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "greenlet", None)
    with pytest.raises(UsageError, match="pip install greenlet"):
        wait(trio.sleep, 1)


def test_tasks_that_an_asyncio_program_leaves_behind_are_cancelled() -> None:
    told: list[object] = []

    async def linger() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1)
            told.append("cleaned up")

    async def program(_: Network) -> str:
        told.append(asyncio.create_task(linger()).get_name() != "")
        await asyncio.sleep(0)
        return "done"

    held(story(lambda network: run_asyncio(program, network), told))
    assert told == [True, "cleaned up", "done"]


def test_who_speaks_after_the_program_has_ended_is_not_heard() -> None:
    told: list[object] = []

    async def late(loop: blocking.AsyncioLoop) -> None:
        await trio.sleep(1)
        loop.call_soon_from_trio(told.append, "late")
        told.append("too late")

    async def program(nursery: trio.Nursery) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, blocking.AsyncioLoop)
        nursery.start_soon(late, loop)

    async def lane(_: Network) -> str:
        async with trio.open_nursery() as nursery:
            await run_asyncio(program, nursery)
        return "ended"

    held(story(lane, told))
    assert told == ["too late", "ended"]
