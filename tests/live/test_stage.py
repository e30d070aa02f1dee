"""Runs of real processes: what is held, what waits, what dies, and that it comes back the same."""

from __future__ import annotations

import contextlib
import select
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.engine import Run, execute
from harness.errors import UsageError
from harness.live import locks
from harness.live.client import Client
from harness.live.processes import Process
from harness.live.scenario import live_scenario
from harness.live.settle import Settler
from harness.live.world import LiveWorld
from harness.scenario import Scenario
from harness.schedule.choices import Chooser, Option
from tests.live import postgres_bytes
from tests.live.deployments import BOOKS, ROOT, hand, scripted

pytestmark = pytest.mark.usefixtures("walls")


def in_order(*starts: str) -> Callable[[Callable[[], int]], Chooser]:
    """Take options by the beginnings of their labels, then first in, first out."""
    left = list(starts)

    def choose(options: Sequence[Option], step: int) -> int:
        if not left:
            return 0
        found = [at for at, each in enumerate(options) if each.label.startswith(left[0])]
        assert found, f"{left[0]!r} cannot run: {[each.label for each in options]}"
        left.pop(0)
        return found[0]

    return lambda now_ms: choose


def run(scenario: Scenario, *starts: str) -> Run:
    """One run, which must be the same when it is made again."""
    made = [execute(scenario, seed=0, clocked=in_order(*starts), recorded=True) for _ in range(2)]
    assert made[0].taken == made[1].taken and made[0].offered == made[1].offered
    assert made[0].digest == made[1].digest, _difference(*made)
    return made[0]


def _difference(one: Run, other: Run) -> str:
    for mine, theirs in zip(one.history, other.history, strict=False):
        if mine.canonical() != theirs.canonical():
            return f"{mine.canonical()} is not {theirs.canonical()}"
    return f"{len(one.history)} and {len(other.history)} events"


def last(made: Run, resource: str) -> object:
    """The last value of something that was observed."""
    return [event.after for event in made.history if event.resource == resource][-1]


def test_a_service_is_started_in_its_folder(tmp_path: Path) -> None:
    text = (
        "import os; from tests.live.services.wire_client import ask, connect; "
        "ask(connect(), f\"insert into said (what) values ('{os.getcwd()}')\")"
    )

    @live_scenario(name="live-in-a-folder")
    def deployed(world: LiveWorld) -> None:
        world.database(BOOKS)
        command = [sys.executable, "-S", "-c", text]
        world.service("where", command, environment={"PYTHONPATH": ROOT}, directory=str(tmp_path))
        world.observe("said", "select what from said")

    assert last(run(deployed), "said") == str(tmp_path)


def test_what_is_observed_is_not_called_like_a_service() -> None:
    for service_first in (True, False):
        world = LiveWorld(seed=0, guards=frozenset(), bug="")
        says = [
            lambda world=world: world.service("funding", ["true"]),
            lambda world=world: world.observe("fund", "select 1"),
        ]
        says[not service_first]()
        with pytest.raises(UsageError, match="cannot be called 'fund'"):
            says[service_first]()


def test_every_request_is_held_until_it_is_chosen() -> None:
    scenario = scripted({"a": [hand("a")], "b": [hand("b")]})
    made = run(scenario, "b#1.0: update")
    assert [len(each) for each in made.offered] == [2, 1]
    assert last(made, "hands") == "ba,"
    assert last(run(scenario, "a#1.0: update"), "hands") == "ab,"


def test_who_waits_for_a_lock_is_no_option_and_goes_on_when_it_is_released() -> None:
    holder = ["begin", hand("h"), "commit"]
    made = run(scripted({"h": holder, "w": [hand("w")]}), "h#1.0: update", "w#1.0: update")
    assert made.offered[2] == ("h#1.0: commit",)
    assert [event.lane for event in made.history if event.operation == "waits for a lock"] == [
        "w#1"
    ]
    assert last(made, "hands") == "hw,"


@pytest.mark.parametrize("order", ["xyz", "zyx"])
def test_several_who_wait_for_one_row_get_it_in_the_order_in_which_they_came(order: str) -> None:
    waiters = {letter: [hand(letter)] for letter in "xyz"}
    scenario = scripted({"h": ["begin", hand("h"), "commit"], **waiters})
    made = run(scenario, "h#1.0: update", *(f"{letter}#1.0: update" for letter in order))
    assert last(made, "hands") == f"h{order},"


@pytest.mark.parametrize(("closer", "other"), [("a", "b"), ("b", "a")])
def test_the_victim_of_a_deadlock_is_who_closed_the_circle(closer: str, other: str) -> None:
    crossing = {
        "a": ["begin", hand("a"), hand("a", name="bob"), "commit"],
        "b": ["begin", hand("b", name="bob"), hand("b"), "commit"],
    }
    firsts = ("a#1.0: update", "b#1.0: update")
    made = run(scripted(crossing), *firsts, f"{other}#1.0: update", f"{closer}#1.0: update")
    assert last(made, "said") == f"{closer}1 40P01"
    assert last(made, "hands") == f"{other},{other}"


def test_a_circle_of_three_has_one_victim() -> None:
    rows = "create table more as select 'cat' as name; insert into books values ('cat', 0, '')"
    circle = {
        "a": ["begin", hand("a"), hand("a", name="bob"), "commit"],
        "b": ["begin", hand("b", name="bob"), hand("b", name="cat"), "commit"],
        "c": ["begin", hand("c", name="cat"), hand("c"), "commit"],
    }
    scenario = scripted({"s": [rows], **circle})
    firsts = [f"{name}#1.0: update" for name in "abc"]
    made = run(scenario, "s#1.0", *firsts, *firsts)
    assert last(made, "said") == "c1 40P01"


def test_a_statement_that_waits_commits_after_its_client_was_killed() -> None:
    scenario = scripted({"h": ["begin", hand("h"), "commit"], "w": [hand("w")]}, kinds=["crash"])
    made = run(scenario, "h#1.0: update", "w#1.0: update", "nemesis: crash", "h#1.0: commit")
    stopped = next(e for e in made.history if (e.lane, e.operation) == ("w#1", "stopped"))
    written = next(e for e in made.history if e.lane == "w#1" and e.kind == "write")
    assert stopped.step < written.step
    assert "hw," in [event.after for event in made.history if event.resource == "hands"]


def test_what_a_killed_client_had_sent_may_be_lost_or_may_take_effect() -> None:
    scenario = scripted({"k": ["begin", hand("k"), "commit"]}, kinds=["crash"])
    crash = ("k#1.0: update", "nemesis: crash")
    orphan = run(scenario, *crash, "k#1.0: orphan commit", "nemesis: start k#2")
    assert "k#1.0: the connection closes" in orphan.offered[2]
    assert last(orphan, "hands") == "kk,"
    lost = run(scenario, *crash, "k#1.0: the connection closes", "nemesis: start k#2")
    assert last(lost, "hands") == "k,"


def test_a_connection_that_closes_gives_up_its_locks_when_that_is_chosen() -> None:
    scenario = scripted({"w": [hand("w")], "k": ["begin", hand("k"), "commit"]}, kinds=["crash"])
    made = run(scenario, "k#1.0: update", "w#1.0: update", "nemesis: crash", "k#1.0: the conn")
    step = next(event.step for event in made.history if event.operation == hand("w")[:72])
    assert made.taken[step - 1] == "k#1.0: the connection closes"


def test_locks_are_asked_again_when_their_holder_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder of a lock may be gone just after the table of locks was read."""
    ask, begin = locks.waiting, Settler.__init__
    settlers: list[Settler] = []

    def ask_and_be_late(control: Client) -> dict[int, tuple[int, ...]]:
        graph = ask(control)
        for lane in settlers[-1].gate.lanes:
            if graph and lane.server is None and lane.backend is not None:
                select.select([lane.backend], [], [])
        return graph

    def known(self: Settler, *arguments: Any, **options: Any) -> None:
        begin(self, *arguments, **options)
        settlers.append(self)

    monkeypatch.setattr(Settler, "__init__", known)
    monkeypatch.setattr(locks, "waiting", ask_and_be_late)
    test_a_connection_that_closes_gives_up_its_locks_when_that_is_chosen()


def test_the_next_incarnation_starts_when_the_one_told_to_stop_is_gone() -> None:
    scenario = scripted({"k": [hand("1"), hand("2")]}, kinds=["stop"])
    made = run(scenario, "k#1.0: update", "nemesis: stop")
    assert "nemesis: start k#2" in made.offered[2]
    assert made.restarts == 1 and not made.violations


def test_a_rolling_restart_starts_the_next_one_and_tells_the_old_one_to_stop() -> None:
    scenario = scripted({"k": [hand("1"), hand("2")]}, kinds=["rolling"])
    made = run(scenario, "k#1.0: update", "nemesis: rolling")
    assert {"k#1.0: " + hand("2")[:72], "k#2.0: " + hand("1")[:72], "nemesis: SIGTERM to k#1"} == {
        *made.offered[2]
    }
    assert made.overlapped


def test_sleeping_is_a_choice_of_its_own() -> None:
    scenario = scripted({"a": ["sleep:3600", hand("a")], "b": [hand("b")]})
    first = run(scenario, "nemesis: a#1 has slept", "a#1.0: update")
    assert last(first, "hands") == "ab,"
    assert last(run(scenario, "b#1.0: update"), "hands") == "ba,"


def test_who_listens_is_told_in_the_step_that_notifies() -> None:
    listener = ["listen ticks", "hear:", hand("l")]
    scenario = scripted({"l": listener, "n": ["notify ticks", hand("n")]})
    made = run(scenario, "l#1.0: listen", "n#1.0: notify")
    assert set(made.offered[2]) == {"l#1.0: " + hand("l")[:72], "n#1.0: " + hand("n")[:72]}


def test_a_cancel_is_a_choice_and_strikes_who_waits_for_a_lock() -> None:
    holder = ["begin", hand("h"), "commit"]
    scenario = scripted({"h": holder, "w": ["cancel:" + hand("w")]})
    made = run(scenario, "h#1.0: update", "w#1.0: update", "w#1.1: cancel")
    assert last(made, "said") == "57014" and last(made, "hands") == "h,"
    # Who waits is stopped; the cancel strikes all the same, before the lock is released.
    assert {each[:13] for each in made.offered[3]} == {"h#1.0: commit", "w#1.0: insert"}
    waits = run(scenario, "h#1.0: update", "w#1.0: update", "h#1.0: commit", "w#1.1: cancel")
    assert last(waits, "hands") == "hw,"


def test_what_arrives_while_we_look_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Right after a process was found asleep, something comes from it after all."""
    scenario = scripted({"a": [hand("a"), "pause:"]})
    assert scenario.stage is not None
    real, late = Settler._is_quiet, list[socket.socket]()

    def look(settler: Settler, process: Process) -> bool:
        quiet = real(settler, process)
        if late:
            with contextlib.suppress(BlockingIOError):
                late[0].recv(10_000, socket.MSG_DONTWAIT)
        elif quiet:
            (listener,) = settler.gate._listeners.values()
            late.append(socket.create_connection(listener.getsockname()))
            late[0].sendall(postgres_bytes.STARTUP + postgres_bytes.query("select 1"))
        return quiet

    monkeypatch.setattr(Settler, "_is_quiet", look)
    with scenario.stage(scenario, seed=0, variant={}) as stage:
        found = [option.label for option in stage.options()]
        late[0].close()
    assert "a#1.1: select 1" in found


def test_nobody_can_move_is_a_violation_that_says_who_waits_for_what() -> None:
    scenario = scripted({"h": ["begin", hand("h"), "pause:"], "w": [hand("w")]})
    made = run(scenario, "h#1.0: update", "w#1.0: update")
    (violation,) = made.violations
    assert violation.invariant == "never_stuck" and "w#1.0 waits for a lock" in violation.message


def test_a_run_that_goes_on_for_ever_is_ended() -> None:
    made = execute(scripted({"a": [hand("a")] * 9}, steps_max=4), seed=0)
    assert [each.invariant for each in made.violations] == ["finishes_within_limits"]
