"""When the nemesis strikes a service, how often, and what is left when it is done."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio

from harness.engine import execute
from harness.schedule.choices import FAULT, Option
from harness.world.world import World
from tests.engine.test_service import KINDS, ledger
from tests.engine.worlds import crashes, run_of, told


async def long_story(world: World) -> None:
    """A service and a while in which it may be struck."""
    service = world.service("ledger", ledger)
    await service.ready()
    for _ in range(40):
        await trio.sleep(0.05)


def strike_always(options: Sequence[Option], step: int) -> int:
    """Take every fault as soon as it is offered."""
    return next((i for i, option in enumerate(options) if option.kind == FAULT), 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("faults_max", [0, 1, 3])
def test_the_nemesis_strikes_as_often_as_it_may(kind: str, faults_max: int) -> None:
    scenario = told(long_story, crashes("ledger", kind), faults_max=faults_max)
    run = run_of(scenario, strike_always)
    assert not run.violated, run.violations
    assert run.faults == faults_max
    struck = [deviation.taken for deviation in run.deviations]
    assert struck == [f"nemesis: {kind} restart of ledger"] * faults_max
    assert run.restarts == faults_max


@pytest.mark.parametrize("kind", KINDS)
def test_the_nemesis_never_strikes_while_a_restart_goes_on(kind: str) -> None:
    """Whatever it does and whenever, one incarnation is left, and it is ready."""
    flagged: list[str] = []

    async def story(world: World) -> None:
        await long_story(world)
        service = world.services["ledger"]
        alive = [life.phase for life in service.alive]
        assert alive == ["ready"], alive

    def strike(options: Sequence[Option], step: int) -> int:
        faults = [i for i, option in enumerate(options) if option.kind == FAULT]
        flagged.extend(options[index].label for index in faults)
        return faults[step % len(faults)] if faults and step > 6 else 0

    kinds = dict.fromkeys((kind, "crash", "rolling"))
    for seed in range(3):
        run = run_of(told(story, crashes("ledger", *kinds), faults_max=4), strike, seed=seed)
        assert not run.violated, run.violations
        assert run.faults == 4
    assert flagged


def test_there_is_nothing_to_strike_before_the_service_exists_or_after_it_ended() -> None:
    offered: list[int] = []

    async def story(world: World) -> None:
        await trio.sleep(1)
        service = world.service("ledger", ledger)
        await service.ready()
        await service.stop()
        await trio.sleep(1)

    def look(options: Sequence[Option], step: int) -> int:
        offered.extend(step for option in options if option.kind == FAULT)
        return 0

    run = run_of(told(story, crashes()), look)
    born = next(event.step for event in run.history if event.after == "boot")
    stopped = next(event.step for event in run.history if event.after == "stopped")
    assert offered and min(offered) > born and max(offered) < stopped


def test_each_strike_has_a_lane_of_its_own_and_a_label_that_says_what_it_does() -> None:
    run = execute(
        told(long_story, crashes("ledger", "rolling"), faults_max=2),
        seed=1,
        choose=strike_always,
        recorded=True,
    )
    assert [label for label in run.taken if label == "nemesis: rolling restart of ledger"]
    assert [label for label in run.taken if label.startswith("nemesis.2: rolling restart of")]


def test_two_nemeses_do_not_start_one_service_twice() -> None:
    """The story stops it, and while it drains the power is cut: one of them starts it again."""

    async def story(world: World) -> None:
        service = world.service("ledger", ledger)
        await service.ready()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: service.restart("stop", delay_s=0.1))
            nursery.start_soon(lambda: service.restart("crash", delay_s=0.2))
        assert [life.phase for life in service.alive] == ["ready"]

    run = run_of(told(story))
    assert not run.violated, run.violations
