"""The life of a service through every kind of restart, by the story and by the nemesis."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import pytest
import trio

from harness.engine import Run
from harness.errors import UsageError
from harness.schedule.choices import Option
from harness.world.service import Life, Service
from harness.world.world import World
from tests.engine.worlds import run_of, told

KINDS = ("crash", "stop", "rolling", "failover")


async def ledger(life: Life) -> None:
    """One incarnation with all the phases; says when its clean-up code runs."""
    try:
        await trio.lowlevel.checkpoint()
        life.enter("hydrate")
        await trio.lowlevel.checkpoint()
        life.enter("ready")
        await life.stop_requested()
        life.enter("drain")
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
    finally:
        life.service.simulation.emit("note", f"finally {life.incarnation}")


def phases(run: Run) -> list[str]:
    """What the incarnations went through, in its order; their clean-up code, too."""
    lived = []
    for event in run.history:
        if event.kind == "phase":
            lived.append(f"{event.resource.partition('#')[2]} {event.after}")
        elif event.operation == "crash":
            lived.append(f"{event.resource.partition('#')[2]} down")
        elif event.operation.startswith("finally"):
            lived.append(event.operation)
    return lived


def story_of(kind: str, seen: list[str] | None = None) -> Callable[[World], Awaitable[None]]:
    """A story that restarts a service once and notes how many are alive at every step."""

    async def story(world: World) -> None:
        service = world.service("ledger", ledger)

        @world.invariant
        def count() -> None:
            if seen is not None:
                alive = " ".join(str(life.incarnation) for life in service.alive)
                if not seen or seen[-1] != alive:
                    seen.append(alive)

        await service.ready()
        await service.restart(kind, delay_s=0.5)
        assert [life.incarnation for life in service.alive] == [2]
        assert service.alive[0].phase == "ready"

    return story


BOOT = ["1 boot", "1 hydrate", "1 ready"]
NEXT = ["2 boot", "2 hydrate", "2 ready"]
DRAIN = ["1 drain", "finally 1", "1 stopped"]


@pytest.mark.parametrize(
    ("kind", "lived", "alive", "down_ms"),
    [
        ("crash", [*BOOT, "1 down", *NEXT], ["1", "", "2"], 500),
        ("stop", [*BOOT, *DRAIN, *NEXT], ["1", "", "2"], 500),
        ("rolling", [*BOOT, *NEXT, *DRAIN], ["1", "1 2", "2"], 0),
        ("failover", [*BOOT, "2 boot", "1 down", "2 hydrate", "2 ready"], ["1", "2"], 0),
    ],
)
def test_a_restart_goes_through_its_phases(
    kind: str, lived: list[str], alive: list[str], down_ms: int
) -> None:
    seen: list[str] = []
    run = run_of(told(story_of(kind, seen)))
    assert not run.violated, run.violations
    assert phases(run) == lived
    assert seen == alive
    assert run.restarts == 1
    assert run.ended_at_ms == down_ms


@pytest.mark.parametrize("kind", ["crash", "failover"])
def test_a_power_cut_runs_no_clean_up(kind: str) -> None:
    assert "finally 1" not in phases(run_of(told(story_of(kind))))


def test_draining_is_steps_that_others_run_between() -> None:
    async def story(world: World) -> None:
        service = world.service("ledger", ledger)
        await service.ready()
        world.start_client("trader", trades, world)
        await service.stop()

    async def trades(world: World) -> None:
        for _ in range(9):
            await trio.lowlevel.checkpoint()
            world.simulation.emit("note", "trade")

    run = run_of(told(story))
    order = [event.operation for event in run.history]
    between = order[order.index("drain") : order.index("stopped")]
    assert between.count("trade") >= 2


# --- flags --------------------------------------------------------------------------------------


def flags(service: Service) -> tuple[bool, bool]:
    """Whether a restart goes on, and whether one may begin."""
    return service.restarting, service.restartable


def test_the_flags_follow_the_life() -> None:
    async def story(world: World) -> None:
        service = world.service("ledger", ledger, start=False)
        assert flags(service) == (False, False)
        life = service.start()
        assert flags(service) == (False, True), "the first boot is no restart"
        await service.ready()
        assert (life.phase, *flags(service)) == ("ready", False, True)
        service.crash()
        assert (life.phase, *flags(service)) == ("down", True, False)
        second = service.start()
        assert flags(service) == (True, False)
        await service.ready()
        assert flags(service) == (False, True)
        third = service.start()
        await service.ready()
        assert service.alive == [second, third]
        assert flags(service) == (True, False), "two incarnations at once"
        await service.stop()
        assert service.alive == [third]
        assert flags(service) == (False, True)
        assert service.restarts == 2

    run = run_of(told(story))
    assert not run.violated, run.violations


def test_draining_for_the_first_time_is_a_restart_that_goes_on() -> None:
    async def story(world: World) -> None:
        service = world.service("ledger", ledger)
        await service.ready()
        seen = []

        @world.invariant(on=("ledger#1",))
        def remember() -> None:
            seen.append((service.lives[0].phase, *flags(service)))

        await service.stop()
        assert ("drain", True, False) in seen

    run = run_of(told(story))
    assert not run.violated, run.violations


def test_an_end_by_itself_is_no_restart() -> None:
    async def short(life: Life) -> None:
        life.enter("ready")
        await trio.lowlevel.checkpoint()

    async def story(world: World) -> None:
        service = world.service("ledger", short)
        await service.gone(service.lives[0])
        assert service.lives[0].phase == "stopped"
        assert flags(service) == (False, False)

    run = run_of(told(story))
    assert not run.violated, run.violations


def test_phases_are_told_of_the_lane_that_is_in_them() -> None:
    async def story(world: World) -> None:
        service = world.service("ledger", ledger)
        await service.ready()
        assert world.phase_of("ledger#1") == "ready"
        service.crash()
        service.start()
        assert [world.phase_of(x) for x in ("ledger#1", "ledger#2", "main")] == ["down", "boot", ""]

    run = run_of(told(story))
    assert not run.violated, run.violations


# --- waiting ------------------------------------------------------------------------------------


async def never_ready(life: Life) -> None:
    """It boots for ever."""
    await trio.sleep_forever()


async def fails_to_boot(life: Life) -> None:
    """It dies of an error of its own."""
    await trio.lowlevel.checkpoint()
    raise RuntimeError("no snapshot")


@pytest.mark.parametrize("wait", ["ready", "gone"])
def test_waiting_ends_when_the_incarnation_dies(wait: str) -> None:
    async def story(world: World) -> None:
        service = world.service("ledger", never_ready)
        life = service.lives[0]

        async def cut() -> None:
            await trio.sleep(1)
            service.crash()

        world.start_client("cutter", cut)
        await (service.ready() if wait == "ready" else service.gone(life))
        assert not life.alive and world.now_ms == 1000

    run = run_of(told(story))
    assert not run.violated, run.violations


def test_waiting_ends_when_the_incarnation_fails() -> None:
    async def story(world: World) -> None:
        service = world.service("ledger", fails_to_boot)
        await service.ready()
        await service.gone(service.lives[0])
        assert service.alive == []

    run = run_of(told(story))
    (violation,) = run.violations
    assert violation.message.startswith("ledger#1 failed at tests/engine/test_service.py:")
    assert violation.message.endswith(": RuntimeError: no snapshot")


def test_who_waits_for_ever_is_told_for_what() -> None:
    async def story(world: World) -> None:
        await world.service("ledger", never_ready).ready()

    (violation,) = run_of(told(story)).violations
    assert violation.invariant == "never_stuck"
    assert "wait until ledger#1 is ready, ledger#1 is in phase boot" in violation.message


def test_a_waiter_that_dies_leaves_nothing_behind() -> None:
    offered: list[str] = []

    async def story(world: World) -> None:
        first = world.service("first", never_ready)

        async def waits(life: Life) -> None:
            await first.ready()

        second = world.service("second", waits)
        await trio.sleep(1)
        second.crash()
        first.crash()
        await trio.sleep(1)

    def look(options: Sequence[Option], step: int) -> int:
        offered.extend(option.label for option in options)
        return 0

    run_of(told(story), look)
    assert not [label for label in offered if "orphan" in label]


# --- what is down, and what is misused ----------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_down_is_started(kind: str) -> None:
    async def story(world: World) -> None:
        service = world.service("ledger", ledger)
        await service.ready()
        service.crash()
        await service.restart(kind, delay_s=0.5)
        assert [life.incarnation for life in service.alive] == [2]
        assert flags(service) == (False, True)

    run = run_of(told(story))
    assert not run.violated, run.violations


def test_a_rolling_restart_that_fails_keeps_the_old_incarnation() -> None:
    async def only_the_first_boots(life: Life) -> None:
        if life.incarnation == 1:
            await ledger(life)

    async def story(world: World) -> None:
        service = world.service("ledger", only_the_first_boots)
        await service.ready()
        await service.restart("rolling")
        assert [life.incarnation for life in service.alive] == [1]
        assert flags(service) == (False, True)

    run = run_of(told(story))
    assert not run.violated, run.violations


@pytest.mark.parametrize(
    ("misuse", "told_so"),
    [
        (lambda world, service: service.restart("crsh"), "did you mean 'crash'"),
        (lambda world, service: world.service("ledger", ledger), "exists already"),
        (lambda world, service: world.service("x", ledger, start=False).crash(), "is not running"),
        (lambda world, service: world.service("x", ledger, start=False).ready(), "never started"),
    ],
)
def test_misuse_is_refused_in_words(
    misuse: Callable[[World, Service], object], told_so: str
) -> None:
    async def story(world: World) -> None:
        service = world.service("ledger", ledger)

        async def misused() -> None:
            result = misuse(world, service)
            if isinstance(result, Awaitable):
                await result

        with pytest.raises(UsageError, match=told_so):
            await misused()

    run = run_of(told(story))
    assert not run.violated, run.violations
