"""Cancellation as a fault: a timeout strikes at an await, and the rest must stay intact."""

from __future__ import annotations

import pytest
import trio

from harness.campaign import Plan, explore
from harness.engine import execute
from harness.scenario import Scenario
from harness.world.world import World


def store_of(*, careful: bool) -> Scenario:
    """Two workers take items from a pool and give them back; one may be cut short."""

    async def story(world: World) -> None:
        pool = ["item"]
        there = trio.Condition()

        async def use() -> None:
            async with there:
                while not pool:
                    await there.wait()
                item = pool.pop()
            try:
                await trio.lowlevel.checkpoint()
            except trio.Cancelled:
                if not careful:
                    raise
                pool.append(item)
                raise
            pool.append(item)
            with trio.CancelScope(shield=True):
                async with there:
                    there.notify()

        async def hurried() -> None:
            with world.timeout("the hurried worker"):
                await use()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hurried)
        assert pool == ["item"], "an item is lost"

    return Scenario("pool", story)


def test_a_timeout_strikes_where_no_task_cancels() -> None:
    done = explore(store_of(careful=False), Plan(seed=1, schedules=100, shrink_budget=50))
    finding = done.findings[0]
    assert finding.violation.message.startswith("an item is lost")
    assert [each.taken for each in finding.deviations] == ["nemesis: timeout of the hurried worker"]


def test_careful_work_survives_a_timeout_at_every_await() -> None:
    done = explore(
        store_of(careful=True), Plan(seed=1, schedules=100, strategies=("fifo", "sweep"))
    )
    assert not done.findings
    assert done.statistics.faults > 2
    assert not done.vacuous, "a run that a timeout cut short has proved something"


@pytest.mark.parametrize("faults_max", [0, 1])
def test_the_nemesis_keeps_to_its_budget_and_to_the_scope(faults_max: int) -> None:
    struck: list[bool] = []

    async def story(world: World) -> None:
        with world.timeout("work") as scope:
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()
        struck.append(scope.cancelled_caught)
        await trio.lowlevel.checkpoint()

    run = execute(
        Scenario("work", story, faults_max=faults_max),
        seed=0,
        choose=lambda options, step: len(options) - 1,
    )
    assert struck == [bool(faults_max)]
    assert run.faults == faults_max
    assert not run.violations
