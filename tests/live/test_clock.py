"""The time of a run of real processes: everybody sees the same, and it moves only by choice."""

from __future__ import annotations

import math
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from harness.live.clock import Alarm, RealClock
from harness.live.lanes import Stream
from harness.live.quiescence import ASLEEP, TIMER, sleep_of
from target_stub.real.clock import HeldClock
from tests.live.deployments import hand, scripted
from tests.live.test_stage import last, run

walls = pytest.mark.usefixtures("walls")


@walls
def test_the_earliest_alarm_rings_first_and_an_hour_is_as_cheap_as_a_second() -> None:
    made = run(scripted({"a": ["alarm:3600", "alarm:3601"], "b": ["alarm:1", "alarm:3600.5"]}))
    assert last(made, "said") == "b1 1; a1 3600; b1 3600.5; a1 3601"
    assert made.ended_at_ms == 3_601_000


@walls
def test_what_can_run_comes_before_any_alarm_and_an_alarm_that_is_overdue_stands_in_line() -> None:
    made = run(scripted({"a": ["alarm:1", hand("a")], "b": ["alarm:2", hand("b")]}), "b#1: clock")
    assert last(made, "said") == "b1 2; a1 2"
    at_first = [each.partition(":")[2] for each in made.offered[0]]
    assert at_first == [" clock -> 1000 ms", " clock -> 2000 ms"]
    assert made.offered[1][:2] == (
        "a#1: clock -> 1000 ms",
        "b#1.0: insert into said (what) values ('b1 2')",
    )


@walls
def test_nobody_stalls_for_longer_than_the_scenario_says() -> None:
    scripts = {"a": ["alarm:1"], "b": ["alarm:6"], "c": ["alarm:4"]}
    made = run(scripted(scripts, stall_s=5))
    assert made.offered[0] == ("a#1: clock -> 1000 ms", "c#1: clock -> 4000 ms")


@walls
def test_the_last_time_that_was_told_is_the_alarm() -> None:
    made = run(scripted({"a": ["alarm:1,7,3"], "b": ["alarm:inf,5"]}))
    assert last(made, "said") == "a1 3; b1 5"


@walls
def test_a_run_ends_with_those_who_end_it() -> None:
    endless = ["alarm:1", "alarm:2", "alarm:3", "alarm:4"]
    made = run(scripted({"a": ["alarm:2.5"], "b": endless}, until=["a"]))
    assert made.ending.kind == "finished" and made.ended_at_ms == 2_500
    assert "b1 3" not in str(last(made, "said"))


@walls
def test_the_alarm_of_a_dead_process_never_rings() -> None:
    made = run(scripted({"a": ["alarm:5"]}, kinds=["crash"]), "nemesis: crash")
    assert last(made, "said") == "a2 5"
    assert [each for each in made.taken if "clock" in each] == ["a#2: clock -> 5000 ms"]


@walls
def test_a_phase_is_told_as_the_service_has_said_it() -> None:
    made = run(scripted({"a": ["phase:hydrate", hand("a"), "phase:ready"]}))
    told = [(event.step, event.after) for event in made.history if event.kind == "phase"]
    assert told == [(0, "boot"), (0, "hydrate"), (1, "ready"), (1, "stopped")]


@walls
def test_who_waits_for_a_program_of_its_own_is_not_at_rest() -> None:
    made = run(scripted({"a": ["child:3000000", hand("a")], "b": [hand("b")]}))
    assert made.offered[0] == (f"a#1.0: {hand('a')}", f"b#1.0: {hand('b')}")


def test_a_timer_of_a_day_is_none() -> None:
    for wait_ms, kind in ((86_400_000, ASLEEP), (86_399_999, TIMER)):
        script = f"import select, sys; print(flush=True); select.poll().poll({wait_ms})"
        command = [sys.executable, "-S", "-c", script]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            while (found := sleep_of(process.pid)).kind not in (ASLEEP, TIMER):
                pass
            process.kill()
            assert found.kind == kind


# --- the two ends ---------------------------------------------------------------------------------


def test_the_clock_never_moves_back_and_others_read_it() -> None:
    clock = RealClock()
    clock.open()
    try:
        clock.advance(5.25)
        clock.advance(3.0)
        assert clock.now == 5.25
        assert struct.unpack("<d", Path(clock.path).read_bytes()) == (5.25,)
    finally:
        clock.close()


def test_a_time_that_comes_in_parts_is_one_time() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        alarm = Alarm("a#1", Stream(ours), 1)
        told = struct.pack("<dd", 1.0, 2.0)
        alarm.take(told[:3])
        assert alarm.due == math.inf
        alarm.take(told[3:11])
        assert alarm.due == 1.0
        alarm.take(told[11:])
        assert alarm.due == 2.0


def test_trio_sleeps_by_the_clock_that_it_is_handed(tmp_path: Path) -> None:
    page = tmp_path / "clock"
    page.write_bytes(struct.pack("<d", 0.0))
    woken: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        clock = HeldClock(page, listener.getsockname()[1])
        alarm, _ = listener.accept()
    alarm.setblocking(False)

    async def hold() -> None:
        """Whoever holds the clock: let the earliest deadline come, two times."""
        for _ in range(2):
            await trio.lowlevel.wait_readable(alarm)
            due = alarm.recv(1024)[-8:]
            page.write_bytes(due) if len(due) == 8 else None
            alarm.send(b"!")

    async def sleep(until: float) -> None:
        await trio.sleep_until(until)
        woken.append(trio.current_time())

    async def main() -> None:
        trio.lowlevel.spawn_system_task(clock.hear)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold)
            nursery.start_soon(sleep, 7200.0)
            nursery.start_soon(sleep, 3600.0)

    with alarm:
        trio.run(main, clock=clock)
    clock.close()
    assert woken == [3600.0, 7200.0]
