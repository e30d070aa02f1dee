"""Who never rests is named, and nothing is left behind: no process, no port, no folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.engine import check_trustworthy, execute
from harness.errors import RefusedError, UsageError
from harness.live import postgres, servers
from harness.live.places import LOOPBACK
from harness.live.scenario import live_restart, live_scenario
from harness.live.stage import LiveStage
from harness.live.world import LiveWorld
from tests.live.deployments import hand, scripted

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("script", "named"),
    [
        (["spin:"], "never quiet: a#1"),
        (["fork:", "pause:"], "forks: a#1"),
        (["flood:"], "a#1 floods its output"),
        (["poll:60000"], "uncontrolled timer: a#1"),
        (["unread:select repeat('x', 9999999)"], "never reads: a#1"),
        (["select pg_sleep(60)"], "server busy: a#1.0"),
        (["mute:"], ""),
    ],
)
@pytest.mark.usefixtures("walls")
def test_who_cannot_be_judged_is_named(script: list[str], named: str) -> None:
    made = execute(scripted({"a": script}, step_wall_s=2), seed=0)
    if not named:
        assert made.ending.kind == "finished"  # it never says who it is, and nobody waits for it
        return
    assert made.ending.kind == "refused" and named in made.ending.detail
    with pytest.raises(RefusedError, match="changeover replay"):
        check_trustworthy(made)


@pytest.mark.usefixtures("walls")
def test_a_service_that_ignores_sigterm_is_a_violation() -> None:
    scenario = scripted({"a": ["deaf:", hand("1"), hand("2"), "pause:"]}, kinds=["rolling"])
    made = execute(
        scenario,
        seed=0,
        choose=lambda options, step: next(
            (at for at, each in enumerate(options) if each.lane == "nemesis"), 0
        ),
    )
    assert [each.invariant for each in made.violations] == ["stops_when_told"]
    assert "a#1 ignores SIGTERM" in made.violations[0].message


@pytest.mark.usefixtures("walls")
def test_whose_request_was_held_until_the_end_is_not_said_to_ignore_sigterm() -> None:
    scripts = {"b": [hand("b")], "a": ["deaf:", hand("1"), "pause:"]}
    made = execute(
        scripted(scripts, kinds=["rolling"], until=["b"]),
        seed=0,
        choose=lambda options, step: max(
            range(len(options)), key=lambda at: (options[at].lane == "nemesis", options[at].lane[0])
        ),
        recorded=True,
    )
    assert made.ending.kind == "finished" and "nemesis: SIGTERM to a#1" in made.taken
    assert not made.violations


@pytest.mark.usefixtures("walls")
def test_a_service_that_fails_is_a_violation_with_its_last_words() -> None:
    made = execute(scripted({"a": [hand("a"), "exit:3"]}), seed=0)
    (violation,) = made.violations
    assert violation.invariant == "no_lane_fails"
    assert violation.message == "a#1 exited with 3: a bad day"


@pytest.mark.usefixtures("walls")
def test_nothing_of_a_run_is_left() -> None:
    scenario = scripted({"a": [hand("a"), "pause:"], "b": ["begin", hand("b"), "pause:"]})
    stage = scenario.stage(scenario, seed=0, variant={}) if scenario.stage else None
    assert isinstance(stage, LiveStage)
    before = os.listdir("/proc/self/fd")
    with stage:
        options = stage.options()
        stage.apply(options[0])
        pids = [process.pid for process in stage.gate.processes]
        ports = [each.getsockname() for each in stage.gate._listeners.values()]
        assert {host for host, _ in ports} == {LOOPBACK}
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    for address in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
    # The connection to its database is kept for the next run.
    assert len(os.listdir("/proc/self/fd")) <= len(before) + 1
    latest = servers.shared().databases.latest
    assert latest is not None
    waiting = [(str(pid),) for pid in latest.greeted.processes()]  # for the next run
    idle = servers.shared().control.query(
        "select pid from pg_stat_activity where backend_type = 'client backend' "
        "and application_name <> 'changeover'"
    )
    assert sorted(idle) == sorted(waiting)


def test_the_server_listens_on_no_network() -> None:
    place = servers.shared().place
    listening = Path("/proc/net/unix").read_text()
    assert str(place) in listening
    (addresses,) = servers.shared().control.query("show listen_addresses")
    assert addresses == ("",)


# --- when we are interrupted, or killed ---------------------------------------------------------

_HOLDS = """
import sys, time
from harness.engine import campaign
from harness.live import servers
from tests.live.deployments import hand, scripted
scenario = scripted({"h": ["begin", hand("h"), "commit"], "w": [hand("w")], "p": ["pause:"]})
with campaign(), scenario.stage(scenario, seed=0, variant={}) as stage:
    stage.apply(stage.options()[0])
    stage.apply(next(each for each in stage.options() if each.lane == "w#1.0"))
    pids = [process.pid for process in stage.gate.processes]
    frozen = [lane.talk.backend_pid for lane in stage.gate.lanes if lane.frozen]
    print(servers.shared().folder, servers.shared().process.pid, *pids, *frozen, flush=True)
    while True:
        time.sleep(1)
"""


def until(true: Callable[[], bool]) -> None:
    """Wait for what must come."""
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    """Whether a process has ended; as a zombie it is only waiting for its parent to look."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] in "ZX"
    except OSError:
        return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupt", "kill"])
def test_nothing_is_left_of_a_harness_that_ends_early(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDS],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as harness:
        assert harness.stdout is not None
        words = harness.stdout.readline().split()
        folder, pids = Path(words[0]), list(map(int, words[1:]))
        assert len(pids) == 5 and folder.is_dir()  # a server, three services, who waits for a lock
        harness.send_signal(number)
        harness.wait()
    until(lambda: all(map(is_gone, pids)))
    if number == signal.SIGKILL:
        postgres.clear_up()
    assert not folder.exists()


def test_the_folders_of_the_living_are_not_cleared_up() -> None:
    mine = servers.shared().folder
    postgres.clear_up()
    assert mine.is_dir()
    assert mine.parent == Path(tempfile.gettempdir())


# --- what is said wrongly -------------------------------------------------------------------------


def test_a_command_that_does_not_exist_is_told() -> None:
    @live_scenario(name="live-nothing")
    def deployed(world: LiveWorld) -> None:
        world.service("a", ["/no/such/program"])

    with pytest.raises(UsageError, match="a#1 cannot be started"):
        execute(deployed, seed=0)


def test_a_kind_of_restart_that_only_the_simulation_has_is_told() -> None:
    with pytest.raises(UsageError, match="did you mean"):
        live_restart("a", kinds=["overlapp"])


def test_a_schema_that_postgresql_refuses_is_told() -> None:
    @live_scenario(name="live-broken-schema")
    def deployed(world: LiveWorld) -> None:
        world.database("create table (")

    with pytest.raises(UsageError, match="42601"):
        execute(deployed, seed=0)
