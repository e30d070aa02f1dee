"""Timeouts that may strike early: neighbours that are taken for independent do trade places."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio

from harness.proof.bounds import Bound
from harness.proof.errands import Subject
from harness.proof.proving import HELD, Budget, prove
from harness.scenario import Scenario
from harness.schedule.choices import writes
from harness.world.service import Life
from harness.world.world import World
from tests.proof.enumeration import enumerated, explored
from tests.proof.needed import noted, together

Story = Callable[[World], Awaitable[object]]


async def one_put(world: World) -> None:
    """What was sent in vain is on its way while its sender goes on."""
    database = world.database()
    database.load("t", {})

    async def put_both() -> None:
        with trio.move_on_after(1):
            await database.put("t", "a", {"v": 1})
        await database.put("t", "b", {"v": 1})

    await together(world, a=put_both)


async def two_puts(world: World) -> None:
    """Two deadlines at the same time: who comes first moves the clock for both."""
    database = world.database()
    database.load("t", {})

    async def put(key: str) -> None:
        with trio.move_on_after(1):
            await database.put("t", key, {"v": 1})

    await together(world, a=lambda: put("a"), b=lambda: put("b"))


async def a_far_timer_and_a_fault(world: World) -> None:
    """Nothing can move until somebody far ahead does, or the nemesis lets the other one go on."""
    seen, simulation = noted(world), world.simulation
    opened: list[str] = []

    def open_for(name: str) -> None:
        simulation.touches("gate")
        opened.append(name)

    async def go_through() -> None:
        await simulation.operate(
            "go through", lambda: None, footprint=writes("gate"), enabled=lambda: bool(opened)
        )
        seen["opened"] = tuple(opened)

    async def sleep_long() -> None:
        await trio.sleep(100)
        open_for("sleeper")

    simulation.offer_fault("open", lambda: open_for("nemesis"), footprint=writes("gate"))
    await together(world, a=go_through, b=sleep_long)


ANY_TIME = Bound("any", restarts=0)


@pytest.mark.parametrize(
    ("story", "bound"),
    [
        (one_put, ANY_TIME),
        (one_put, Bound(stalls=1, restarts=0)),
        (two_puts, ANY_TIME),
        (two_puts, Bound(stalls=1, restarts=0)),
        (a_far_timer_and_a_fault, Bound("any", restarts=1)),
    ],
)
def test_a_target_with_timeouts_is_proved_and_not_accused(story: Story, bound: Bound) -> None:
    subject = Subject(Scenario(name=story.__name__, story=story, stall_s=5.0), bound=bound)
    proof = prove(subject, Budget())
    assert proof.verdict == HELD
    assert proof.traded


def test_time_passes_for_others_while_the_service_that_would_be_next_is_paused() -> None:
    async def story(world: World) -> None:
        seen = noted(world)

        async def books(life: Life) -> None:
            life.enter("ready")
            with trio.move_on_after(1):
                await life.stop_requested()

        async def sleep() -> None:
            await trio.sleep(2)
            seen["slept"] = [life.phase for life in world.services["books"].alive]

        world.allow_restart("books", ("pause",), delay_s=3.0)
        world.service("books", books)
        await together(world, a=sleep)

    subject = Subject(Scenario(name="paused", story=story), bound=Bound(restarts=1))
    truth = enumerated(subject, runs_max=300)
    assert truth.whole
    assert not truth.asleep  # no run ends where time stands still
    assert len(truth.finals) == 2
    assert explored(subject)[0].finals == truth.finals
