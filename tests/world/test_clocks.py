"""Wall clocks that are off: a jump is a fault, durations go on, and other machines are not hit."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
import trio

from harness.campaign import Plan, explore
from harness.engine import Run, execute
from harness.errors import UsageError
from harness.scenario import Scenario, clock_jump
from harness.world.service import Life
from harness.world.world import World

EPOCH_S = 1_700_000_000.0


def run_of(story: object) -> Run:
    """One first-in-first-out run of a story."""
    return execute(Scenario("clocks", story, epoch_s=EPOCH_S), seed=0)  # type: ignore[arg-type]


def test_a_jump_is_seen_by_every_incarnation_of_one_service_and_by_nobody_else() -> None:
    seen: dict[str, list[float]] = {}

    async def story(world: World) -> None:
        async def tell(life: Life) -> None:
            life.enter("ready")
            while True:
                now = datetime.now(UTC).timestamp()
                assert now == time.time()
                seen.setdefault(life.name, []).append(now - EPOCH_S)
                await trio.sleep(1)

        first, _ = world.service("first", tell), world.service("second", tell)
        await trio.sleep(0.5)
        world.jump_clock("first", -36.0)
        await trio.sleep(1)
        await first.restart("crash")
        world.jump_clock("first", 6.0)
        await trio.sleep(1)
        assert time.time() - EPOCH_S == pytest.approx(trio.current_time())

    run = run_of(story)
    assert not run.violated, run.violations
    assert seen["first#1"] == [0.0, 1.0 - 36.0]
    assert seen["first#2"] == [1.5 - 36.0, 2.5 - 30.0]
    assert seen["second#1"] == [0.0, 1.0, 2.0]
    jumps = [event for event in run.history if event.resource == "clock/first"]
    assert [(each.before, each.after) for each in jumps] == [("+0 s", "-36 s"), ("-36 s", "-30 s")]


def test_durations_are_measured_by_a_clock_that_does_not_jump() -> None:
    taken: list[float] = []

    async def story(world: World) -> None:
        async def work(life: Life) -> None:
            life.enter("ready")
            monotonic, began = time.monotonic(), trio.current_time()
            await trio.sleep(2)
            taken.extend((time.monotonic() - monotonic, trio.current_time() - began))

        world.service("work", work)
        await trio.sleep(1)
        world.jump_clock("work", 3600.0)
        await trio.sleep(2)

    run_of(story)
    assert taken == [2.0, 2.0]


def leases(*, monotonic: bool) -> Scenario:
    """Somebody acts for ten seconds, by his own clock, and must not act afterwards."""

    async def story(world: World) -> None:
        now = trio.current_time if monotonic else time.time

        async def hold(life: Life) -> None:
            life.enter("ready")
            began, until = trio.current_time(), now() + 10
            while now() < until:
                assert trio.current_time() - began < 10, "acts after its lease"
                await trio.sleep(1)

        world.service("holder", hold)
        await trio.sleep(20)

    return Scenario("leases", story, faults=(clock_jump("holder", by_s=(-5.0, 5.0)),))


def test_the_search_finds_where_a_clock_that_jumps_back_hurts() -> None:
    (finding,) = explore(leases(monotonic=False), Plan(seed=1, schedules=50)).findings
    assert "acts after its lease" in finding.violation.message
    assert [each.taken for each in finding.deviations] == ["nemesis: clock jump of holder by -5 s"]


def test_a_run_in_which_a_clock_jumped_has_proved_something() -> None:
    campaign = explore(leases(monotonic=True), Plan(seed=1, schedules=50))
    assert not campaign.findings
    assert not campaign.vacuous and campaign.statistics.faults > 10


def test_the_same_schedule_tells_the_same_time_again() -> None:
    scenario = leases(monotonic=False)
    (finding,) = explore(scenario, Plan(seed=2, schedules=50)).findings
    assert finding.replays == (3, 3)


@pytest.mark.parametrize("by_s", [(), (0.0,), (float("nan"),), (float("inf"), 1.0)])
def test_a_jump_that_is_none_is_refused(by_s: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="not 0"):
        clock_jump("ledger", by_s=by_s)


def test_a_jump_of_an_unknown_service_names_the_closest() -> None:
    async def story(world: World) -> None:
        world.service("ledger", lambda life: trio.sleep(1))
        world.jump_clock("ledgr", 1.0)

    with pytest.raises(UsageError, match=r"unknown service 'ledgr'; did you mean 'ledger'\?"):
        run_of(story)
