"""A process that stands still for a while: others go on, and it does not know of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

import pytest
import trio

from harness import shrink as shrinking
from harness.budget import Budget
from harness.campaign import Plan, explore
from harness.candidates import one_fault
from harness.engine import Run, execute, follow
from harness.scenario import Scenario, restart
from harness.schedule.choices import Chooser, Option, Schedule
from harness.world.service import Life
from harness.world.world import World
from tests.engine.worlds import run_of, told

#: For how long the service stands still, and how often it and the others do something.
STILL_S, EVERY_S = 1.0, 0.25
#: For how long a lease is good, and when its next holder takes it.
LEASE_S, NEXT_S = 0.4, 0.5


def ticking(world: World) -> Callable[[Life], Awaitable[None]]:
    """A service that says something four times a second."""

    async def tick(life: Life) -> None:
        life.enter("ready")
        while True:
            await trio.sleep(EVERY_S)
            world.simulation.emit("note", "tick")

    return tick


async def paused(world: World) -> None:
    """A service and somebody else tick; the service stands still from 1 s to 2 s."""
    service = world.service("clockwork", ticking(world))
    await service.ready()

    async def others() -> None:
        for _ in range(12):
            await trio.sleep(EVERY_S)
            world.simulation.emit("note", "tock")

    lane = world.start_client("others", others)
    await trio.sleep(1.05)
    await service.restart("pause", delay_s=STILL_S)
    assert service.lives[-1].phase == "ready"
    assert (service.restarting, service.restartable, service.restarts) == (False, True, 0)
    await world.finished(lane)


def at_ms(run: Run, what: str) -> list[int]:
    """When something was said."""
    return [event.at_ms for event in run.history if event.operation == what]


def test_who_is_paused_stands_still_and_others_do_not() -> None:
    run = run_of(told(paused))
    assert not run.violated, run.violations
    assert at_ms(run, "tock") == [250 * number for number in range(1, 13)]
    assert at_ms(run, "tick") == [250, 500, 750, 1000, 2050, 2300, 2550, 2800]
    stood = [event for event in run.history if event.peer == "clockwork#1"]
    assert [(each.operation, each.before, each.after) for each in stood] == [
        ("pause", "ready", "paused"),
        ("goes on", "paused", "ready"),
    ]


def test_messages_and_answers_wait_for_who_is_paused() -> None:
    async def story(world: World) -> None:
        network = world.network()

        async def serve(life: Life) -> None:
            life.enter("ready")
            async for request in network.listen("echo"):
                world.simulation.emit("note", f"heard {request.payload}")
                await request.reply(request.payload)

        service = world.service("echo", serve)
        await service.ready()
        service.pause(service.lives[-1])
        with trio.move_on_after(5):
            await network.call("echo", "", 1, timeout_s=60)
        service.go_on(service.lives[-1])
        await trio.sleep(1)

    run = run_of(told(story))
    assert not run.violated, run.violations
    assert at_ms(run, "heard 1") == [5000]


def test_a_crash_ends_a_pause_and_nobody_goes_on() -> None:
    async def story(world: World) -> None:
        service = world.service("clockwork", ticking(world))
        await service.ready()
        world.start_client("pauses", partial(service.restart, "pause", delay_s=0.5))
        await trio.sleep(0.05)
        (life,) = service.alive
        assert life.phase == "paused"
        service.crash()
        await trio.sleep(1)
        assert (life.phase, service.alive) == ("down", [])
        await service.restart("crash")
        await trio.sleep(0.6)

    run = run_of(told(story))
    assert not run.violated, run.violations
    assert at_ms(run, "tick") == [1300, 1550]
    assert not at_ms(run, "goes on")


def test_who_never_says_that_it_is_ready_is_paused_once_at_a_time() -> None:
    async def story(world: World) -> None:
        async def hum(life: Life) -> None:
            await trio.sleep(1)

        service = world.service("hum", hum)
        service.pause(service.lives[-1])
        assert (service.restarting, service.restartable) == (True, False)
        service.go_on(service.lives[-1])
        assert (service.restarting, service.restartable) == (False, True)
        await service.gone(service.lives[-1])

    assert not run_of(told(story)).violated


def test_two_who_pause_one_process_leave_it_as_it_was() -> None:
    async def story(world: World) -> None:
        service = world.service("clockwork", ticking(world))
        await service.ready()
        for name, delay_s in (("short", 0.3), ("long", 0.6)):
            world.start_client(name, partial(service.restart, "pause", delay_s=delay_s))
        await trio.sleep(1)
        assert service.lives[-1].phase == "ready"
        assert (service.restarting, service.restartable, service.pauses) == (False, True, 1)

    run = run_of(told(story))
    assert not run.violated, run.violations
    assert len(at_ms(run, "goes on")) == 1


def test_everybody_waits_for_who_is_never_let_go_on() -> None:
    async def story(world: World) -> None:
        service = world.service("clockwork", ticking(world))
        await service.ready()
        service.pause(service.lives[-1])
        await service.gone(service.lives[-1])

    (violation,) = run_of(told(story)).violations
    assert violation.invariant == "never_stuck"
    assert "waits for  its process to go on, which is paused" in violation.message


# --- the bug that a pause is made for -------------------------------------------------------------


def leased(*, fenced: bool) -> Scenario:
    """Who holds a lease looks at it and then writes; the next one takes it when it has run out.

    Kleppmann, *How to do distributed locking* (2016): a client stands still between the two.
    """

    async def story(world: World) -> None:
        database = world.database("db")
        database.load("leases", {"row": {"holder": "first"}})

        async def hold(life: Life) -> None:
            life.enter("ready")
            while trio.current_time() < LEASE_S:
                await trio.lowlevel.checkpoint()  # the lease was good a moment ago
                await (fenced_write if fenced else write)()
                await trio.sleep(0.1)

        async def write() -> None:
            await database.put("leases", "row", {"holder": "first"})

        async def fenced_write() -> None:
            async with database.transaction() as transaction:
                row = await transaction.get_for_update("leases", "row")
                if row == {"holder": "first"}:
                    await transaction.put("leases", "row", {"holder": "first"})

        world.service("holder", hold)
        await trio.sleep(NEXT_S)
        await database.put("leases", "row", {"holder": "second"})
        await trio.sleep(1)
        row = await database.get("leases", "row")

        @world.invariant(at_end=True)
        def the_next_holder_keeps_what_it_wrote() -> None:
            assert row == {"holder": "second"}

    faults = (restart("holder", kinds="pause", delay_s=0.7),)
    return Scenario("leased", story, faults=faults, stall_s=0.05)


def test_a_lease_that_runs_out_in_a_pause_is_one_choice() -> None:
    plan = Plan(seed=1, schedules=60, strategies=("sweep",))
    (finding,) = explore(leased(fenced=False), plan).findings
    assert len(finding.deviations) == 1
    assert finding.deviations[0].taken == "nemesis: pause holder"
    schedule = Schedule.parse(finding.token)
    run = execute(leased(fenced=False), seed=1, choose=follow(schedule))
    assert not run.vacuous
    assert any(cell.startswith("holder | pause | paused | put db") for cell in run.covered), (
        run.covered
    )
    assert not explore(leased(fenced=True), plan).findings


def starving() -> Chooser:
    """First in first out, but who holds the lease gets no turn until the next one has written."""
    written = False

    def choose(options: Sequence[Option], step: int) -> int:
        nonlocal written
        lanes = [option.lane.partition("#")[0] for option in options]
        others = (i for i, lane in enumerate(lanes) if lane not in ("holder", "nemesis"))
        chosen = next(others, 0) if step >= 3 and not written else 0
        written = written or options[chosen].label == "main: put db/leases/row"
        return chosen

    return choose


def test_a_schedule_that_nobody_can_read_becomes_one_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shrinking, "UNREADABLE", 1)
    run = run_of(leased(fenced=False), starving())
    assert run.violated and run.faults == 0 and len(run.deviations) > 1
    small = shrinking._Shrinker(run, Budget(60, 60.0, lambda: False), ())
    assert small.one_fault_instead()
    assert [each.taken for each in small.best.deviations] == ["nemesis: pause holder"]
    assert small.best.violations[0].fingerprint == run.violations[0].fingerprint


def test_a_fault_is_tried_once_between_two_steps_of_whom_it_strikes() -> None:
    plain = execute(leased(fenced=False), seed=1, recorded=True)
    own = [number for number, label in enumerate(plain.taken, 2) if "holder#1: " in label]
    offered = [number for number in own if number <= len(plain.offered)]
    assert 0 < len(list(one_fault(plain))) <= len(offered) < len(plain.taken)


async def asking_twice(world: World) -> None:
    """Somebody asks again after a second, and what was done then is done again."""
    network, done = world.network(), []
    network.allow(drop=["ledger"])

    async def serve(life: Life) -> None:
        life.enter("ready")
        async for request in network.listen("ledger"):
            done.append(request.payload)
            await request.reply("done")

    world.service("ledger", serve)
    await world.services["ledger"].ready()
    for payment in ("rent", "food", "heat"):
        with suppress(TimeoutError):
            await network.call("ledger", "pay", payment, 1.0)
            continue
        await network.call("ledger", "pay", payment)

    @world.invariant(at_end=True)
    def nothing_is_paid_twice() -> None:
        assert len(done) == len(set(done))


def unheard() -> Chooser:
    """First in first out, but the answers of the ledger take longer than anybody waits."""

    def choose(options: Sequence[Option], step: int) -> int:
        others = (i for i, each in enumerate(options) if "answer" not in each.label)
        return next(others, 0)

    return choose


def test_answers_that_come_late_become_one_that_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shrinking, "UNREADABLE", 1)
    run = run_of(Scenario("asking-twice", asking_twice, stall_s=0.05), unheard())
    assert run.violated and run.faults == 0 and len(run.deviations) > 1
    small = shrinking._Shrinker(run, Budget(60, 60.0, lambda: False), ())
    assert small.one_fault_instead()
    assert [each.taken for each in small.best.deviations] == [
        "nemesis: drop ledger#1: answer ledger.pay to main"
    ]


def test_a_message_is_lost_once_on_its_way() -> None:
    plain = execute(Scenario("asking-twice", asking_twice), seed=1, recorded=True)
    offered = sum(label.startswith("nemesis: drop") for labels in plain.offered for label in labels)
    assert len(list(one_fault(plain))) == 6 <= offered
