"""Targets that catch everything: their runs end, and say who swallows Cancelled and where."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from harness.confirmation import finding_of
from harness.engine import Run, campaign, execute
from harness.scenario import Scenario
from harness.world.world import World
from tests.engine.worlds import run_of, told

#: The line on which the service below awaits.
LINE = 1 + Path(__file__).read_text().splitlines().index(" " * 20 + "await awaited(world)")

Awaited = Callable[[World], Awaitable[object]]


async def sleep(world: World) -> None:
    await trio.sleep(0.3)


async def checkpoint(world: World) -> None:
    await trio.lowlevel.checkpoint()
    await trio.sleep(0.3)


async def event(world: World) -> None:
    await trio.Event().wait()


async def query(world: World) -> None:
    await world.database().put("t", "a", {"n": 1})
    await trio.sleep(0.3)


async def call(world: World) -> None:
    with suppress(ConnectionError):
        await world.network().call("nobody", "hello")
    await trio.sleep(0.3)


def retrying(awaited: Awaited) -> Scenario:
    """A service that tries again whatever happens, in a story that ends before it does."""

    async def retries(world: World) -> None:
        async def serve() -> None:
            while True:
                with suppress(BaseException):
                    await awaited(world)

        world.simulation.spawn("service", serve, incarnation=1)
        await trio.sleep(1)

    return told(retries)


@pytest.mark.parametrize("awaited", [sleep, checkpoint, event, query, call])
def test_who_swallows_cancelled_is_named_and_where(awaited: Awaited) -> None:
    run = run_of(retrying(awaited))
    assert run.ending.kind == "finished"
    (violation,) = run.violations
    assert violation.invariant == "finishes_within_limits"
    assert violation.message.startswith(
        f"service#1 swallows Cancelled at tests/engine/test_swallowing.py:{LINE}, "
    )
    assert violation.site == f"tests/engine/test_swallowing.py:{LINE} serve"
    gc.collect()


def test_it_is_a_finding_like_any_other() -> None:
    found = finding_of(run_of(retrying(sleep)))
    assert found.replays == (3, 3)
    assert found.violation.lane == "service#1"


async def shielded(world: World) -> None:
    with trio.CancelScope(shield=True), suppress(BaseException):
        await query(world)


async def sheltered(world: World) -> None:
    with suppress(BaseException):
        await trio.sleep_forever()


@pytest.mark.parametrize("cleaning", [shielded, sheltered])
def test_who_only_cleans_up_is_not_accused(cleaning: Awaited) -> None:
    async def cleans_up(world: World) -> None:
        async def serve() -> None:
            try:
                await trio.sleep_forever()
            finally:
                await cleaning(world)

        world.simulation.spawn("service", serve, incarnation=1)
        await trio.sleep(1)

    assert not run_of(told(cleans_up)).violated


def test_a_shielded_loop_ends_with_the_run_and_is_not_accused() -> None:
    async def polls(world: World) -> None:
        async def serve() -> None:
            with trio.CancelScope(shield=True):
                while True:
                    await shielded(world)

        world.simulation.spawn("service", serve, incarnation=1)
        await trio.sleep(1)

    run = run_of(told(polls))
    assert (run.ending.kind, run.violations) == ("finished", ())


def test_clean_up_that_never_yields_is_struck_down_and_named() -> None:
    async def spins_at_the_end(world: World) -> None:
        def fails() -> None:
            raise ValueError

        async def serve() -> None:
            try:
                await trio.sleep_forever()
            finally:
                while True:
                    with suppress(BaseException):
                        fails()

        world.simulation.spawn("service", serve, incarnation=1)
        await trio.sleep(1)

    run = run_of(told(spins_at_the_end, step_wall_s=0.1))
    assert run.ending.kind == "never yields"
    assert run.ending.detail == "service#1: serve, which was cancelled"


def test_an_interrupt_that_the_target_swallows_strikes_after_the_run() -> None:
    async def swallows_it(world: World) -> None:
        with suppress(BaseException):
            os.kill(os.getpid(), signal.SIGINT)
            await trio.sleep(1)

    scenario = told(swallows_it)
    made: list[Run] = []
    with pytest.raises(KeyboardInterrupt), campaign():
        made += [execute(scenario, seed=1), execute(scenario, seed=1)]
    assert made == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
