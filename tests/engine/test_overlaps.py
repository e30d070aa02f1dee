"""The vacuity guard: which writes a restart overlapped, for every kind of restart.

The ledger writes once in every phase of its life, and so does a client while nobody is there, so
that each count says which phases it saw.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import pytest
import trio

from harness.engine import Run
from harness.schedule.choices import TASK, Option
from harness.world.service import Life
from harness.world.world import World
from tests.engine.worlds import crashes, preferring, run_of, told


async def write(world: World, what: str) -> None:
    """A write that is named by when it happened, as a step of its own."""
    await trio.lowlevel.checkpoint()
    world.simulation.emit("write", what, resource=f"book/{what}")
    await trio.lowlevel.checkpoint()


def ledger(world: World) -> Callable[[Life], Awaitable[None]]:
    """A service that writes in every phase."""

    async def run(life: Life) -> None:
        await write(world, f"boot {life.incarnation}")
        life.enter("hydrate")
        await write(world, f"hydrate {life.incarnation}")
        life.enter("ready")
        await write(world, f"ready {life.incarnation}")
        await life.stop_requested()
        life.enter("drain")
        await write(world, f"drain {life.incarnation}")

    return run


async def restarted(world: World, kind: str) -> None:
    """Boot, restart once, end; somebody else writes before, in the middle and after."""
    service = world.service("ledger", ledger(world))
    await service.ready()
    await write(world, "before")

    async def writes_meanwhile() -> None:
        await trio.sleep(0.05)
        await write(world, "meanwhile")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(writes_meanwhile)
        await service.restart(kind, delay_s=0.1)
    await write(world, "after")


def counted(run: Run) -> int:
    """How many writes were counted, checked against the total."""
    assert run.writes == sum(event.kind == "write" for event in run.history)
    assert run.vacuous is (run.overlapped == 0)
    return run.overlapped


@pytest.mark.parametrize(
    ("kind", "overlapping"),
    [
        ("crash", ["meanwhile", "boot 2", "hydrate 2"]),
        ("stop", ["drain 1", "meanwhile", "boot 2", "hydrate 2"]),
        ("rolling", ["boot 2", "hydrate 2", "ready 2", "drain 1"]),
        ("failover", ["boot 2", "hydrate 2"]),
    ],
)
def test_each_kind_of_restart_overlaps_its_own_writes(kind: str, overlapping: list[str]) -> None:
    async def story(world: World) -> None:
        await restarted(world, kind)

    run = run_of(told(story))
    assert run.restarts == 1 and run.faults == 0
    assert counted(run) == len(overlapping)
    order = [event.operation for event in run.history if event.kind == "write"]
    assert order[:4] == ["boot 1", "hydrate 1", "ready 1", "before"]
    assert [what for what in order if what in overlapping] == overlapping


@pytest.mark.parametrize(
    ("kind", "overlapped"), [("crash", 2), ("stop", 3), ("rolling", 4), ("failover", 2)]
)
def test_a_restart_by_the_nemesis_counts_like_one_by_the_story(kind: str, overlapped: int) -> None:
    async def story(world: World) -> None:
        await world.service("ledger", ledger(world)).ready()
        await trio.sleep(10)

    def when_ready(options: Sequence[Option], step: int) -> int:
        asleep = any(option.label.startswith("clock -> 10000 ms") for option in options)
        idle = not any(option.kind == TASK for option in options)
        return chooser(options, step) if asleep and idle else 0

    chooser = preferring("restart of ledger")
    run = run_of(told(story, crashes("ledger", kind)), when_ready)
    assert run.faults == 1 and run.restarts == 1
    assert counted(run) == overlapped
    unstruck = run_of(told(story, crashes("ledger", kind)))
    assert unstruck.faults == 0 and unstruck.restarts == 0 and unstruck.vacuous


def test_without_a_restart_every_run_is_vacuous() -> None:
    async def calm(world: World) -> None:
        service = world.service("ledger", ledger(world))
        await service.ready()
        await write(world, "before")

    run = run_of(told(calm))
    assert counted(run) == 0
    assert run.writes == 4


def test_a_restart_that_nobody_writes_in_is_vacuous() -> None:
    async def silent(life: Life) -> None:
        life.enter("ready")
        await life.stop_requested()

    async def story(world: World) -> None:
        service = world.service("ledger", silent)
        await service.ready()
        await write(world, "before")
        await service.restart("stop", delay_s=1)
        await write(world, "after")

    run = run_of(told(story))
    assert run.restarts == 1 and run.writes == 2
    assert counted(run) == 0


def test_an_end_is_no_restart() -> None:
    async def story(world: World) -> None:
        service = world.service("ledger", ledger(world))
        await service.ready()
        await service.stop()
        await write(world, "after")

    run = run_of(told(story))
    assert run.restarts == 0
    assert counted(run) == 0


def test_a_service_that_never_says_ready_is_restarted_all_the_same() -> None:
    async def says_nothing(life: Life) -> None:
        await trio.sleep_forever()

    async def story(world: World) -> None:
        service = world.service("ledger", says_nothing)
        await write(world, "before")
        await trio.sleep(1)
        service.crash()
        await write(world, "down")
        service.start()
        await trio.sleep(1)
        await write(world, "after")

    run = run_of(told(story))
    assert run.restarts == 1
    assert counted(run) == 1


@pytest.mark.parametrize("lands", [True, False])
def test_a_write_that_was_on_its_way_when_its_sender_was_cut_off_counts_once(lands: bool) -> None:
    async def story(world: World) -> None:
        database = world.database("db")

        async def writes_once(life: Life) -> None:
            life.enter("ready")
            if life.incarnation == 1:
                await database.put("books", "usdc", {"n": 1})
            await trio.sleep_forever()

        world.service("ledger", writes_once)
        await trio.sleep(5)

    def cut_off(options: Sequence[Option], step: int) -> int:
        labels = [option.label for option in options]
        writing = any("put db/books/usdc" in label for label in labels)
        wanted = "crash restart of ledger" if writing else "no more"
        landing = "orphan put db/books/usdc" if lands else "no more"
        found = (i for i, label in enumerate(labels) if wanted in label or landing in label)
        return next(found, 0)

    run = run_of(told(story, crashes("ledger", "crash")), cut_off)
    assert run.faults == 1 and run.writes == int(lands)
    assert run.overlapped == 1


def test_a_phase_of_its_own_after_it_was_ready_is_no_restart() -> None:
    async def story(world: World) -> None:
        async def works(life: Life) -> None:
            life.enter("ready")
            await write(world, "first")
            life.enter("finished")
            await life.stop_requested()
            life.enter("drain")

        service = world.service("ledger", works)
        await trio.sleep(1)
        assert service.lives[-1].phase == "finished"
        assert (service.restarting, service.restartable) == (False, True)
        await write(world, "after")
        await service.restart("crash")

    run = run_of(told(story))
    assert not run.violated, run.violations
    assert run.restarts == 1 and run.writes == 3
    assert not any("finished" in cell for cell in run.covered), run.covered
