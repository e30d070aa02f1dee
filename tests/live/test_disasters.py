"""Power cuts of real servers, promotions of standbys: what was acknowledged must be there."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from harness.campaign import Plan, explore
from harness.engine import Run, execute
from harness.errors import UsageError
from harness.live import clusters, postgres, quiescence
from harness.live.disasters import DURABLE
from harness.live.scenario import database_fault, live_restart, live_scenario
from harness.live.world import LiveWorld
from harness.scenario import Scenario
from tests.live.deployments import BOOKS, ROOT, hand, python
from tests.live.test_safety import is_gone, until
from tests.live.test_stage import in_order

pytestmark = pytest.mark.usefixtures("walls")
POWER, PROMOTION = "nemesis: power cut of", "nemesis: promotion of"


def struck(
    kind: str,
    scripts: Mapping[str, Sequence[str]],
    *,
    overlap: str = "",
    **settings: str,
) -> Scenario:
    """Services that do what they are told, and a server that is struck."""
    faults = [live_restart(overlap, kinds=["overlap"])] if overlap else []

    @live_scenario(
        name="live-struck",
        faults=[database_fault(kinds=[kind]), *faults],
        faults_max=1 + len(faults),
    )
    def deployed(world: LiveWorld) -> None:
        world.database(BOOKS, settings=settings)
        for name, script in scripts.items():
            world.service(name, **python("script", *script, ME=name))
        world.observe("hands", "select hands from books where name = 'ann'")

    return deployed


def run(scenario: Scenario, *starts: str) -> Run:
    """One run, which must be the same when it is made again."""
    made = [execute(scenario, seed=0, clocked=in_order(*starts), recorded=True) for _ in range(2)]
    assert made[0].digest == made[1].digest
    return made[0]


def broken(made: Run) -> list[str]:
    return [each.invariant for each in made.violations]


def test_a_search_finds_the_loss_and_nothing_is_left_behind() -> None:
    scenario = struck("power cut", {"a": [hand("a"), hand("b")]}, synchronous_commit="off")
    result = explore(scenario, Plan(seed=1, schedules=8, shrink_budget=4))
    assert [each.violation.invariant for each in result.findings] == [DURABLE]
    assert result.findings[0].replays == (3, 3)
    clusters.stop()
    left = Path(tempfile.gettempdir()).glob(f"changeover-live-{os.getpid()}-*/primary")
    assert list(left) == []


def test_what_was_acknowledged_without_a_sync_is_lost() -> None:
    order = ("a#1.0: update", POWER)
    scripts = {"a": [hand("a"), hand("b")]}
    lost = run(struck("power cut", scripts, synchronous_commit="off"), *order)
    assert broken(lost) == [DURABLE] and lost.overlapped
    assert lost.violations[0].message == (
        "Before the power cut of the database hands was a, after it nothing."
    )
    kept = run(struck("power cut", scripts), *order)
    assert not broken(kept) and kept.taken[-1].startswith(POWER)


def test_whoever_connects_after_a_power_cut_finds_the_server_again() -> None:
    text = (
        "from tests.live.services.wire_client import ask, connect\n"
        f"link = connect(); ask(link, {hand('a')!r})\n"
        f"try: ask(link, {hand('b')!r})\n"
        f"except (OSError, SystemExit): ask(connect(), {hand('c')!r})"
    )

    @live_scenario(name="live-comes-back", faults=[database_fault()])
    def deployed(world: LiveWorld) -> None:
        world.database(BOOKS)
        world.service("a", [sys.executable, "-S", "-c", text], environment={"PYTHONPATH": ROOT})
        world.observe("hands", "select hands from books where name = 'ann'")

    made = run(deployed, "a#1.0: update", POWER, "a#1.1: update")
    assert not broken(made)
    assert [event.after for event in made.history if event.resource == "hands"] == ["a", "ac"]


def test_who_waits_for_a_lock_at_a_power_cut_never_gets_it() -> None:
    scripts = {"a": ["begin", hand("a"), "commit"], "b": [hand("b"), hand("c")]}
    made = run(struck("power cut", scripts), "a#1.0: update", "b#1.0: update", POWER)
    assert not broken(made)
    assert not [event for event in made.history if event.resource == "hands"]


def test_after_a_promotion_two_primaries_take_writes_and_what_the_old_one_takes_is_lost() -> None:
    scenario = struck("promotion", {"a": [hand("a"), "begin", hand("b"), "commit"]}, overlap="a")
    order = ("a#1.0: update", PROMOTION, "nemesis: overlap restart of a", "a#2.0: update")
    made = run(scenario, *order, "a#1.0: update", "a#1.0: commit", "a#2.0: update")
    assert [event.after for event in made.history if event.resource == "hands"] == [
        *("a", "aa", "aab")
    ]
    assert broken(made) == [DURABLE]
    assert "a#1.0 was told COMMIT by the old primary" in made.violations[0].message


_HOLDS = """
import time
from harness.live import clusters, postgres, quiescence
cluster = clusters.prepared({}, standby=False)
cluster.databases.take("")
print(cluster.primary.folder, cluster.primary.process.pid, flush=True)
time.sleep(600)
"""


def test_nothing_is_left_of_a_harness_that_is_killed_while_background_writers_are_stopped() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDS], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as harness:
        assert harness.stdout is not None
        folder, server = harness.stdout.readline().split()
        pids = [int(server), *quiescence.children_of(int(server))]
        assert len(pids) >= 5 and Path(folder).is_dir()
        harness.kill()
    until(lambda: all(map(is_gone, pids)))
    postgres.clear_up()
    assert not Path(folder).parent.exists()


def test_settings_of_a_server_that_runs_share_are_refused() -> None:
    @live_scenario(name="live-shared")
    def deployed(world: LiveWorld) -> None:
        world.database("", settings={"synchronous_commit": "off"})

    with pytest.raises(UsageError, match="add database_fault"):
        execute(deployed, seed=0)


def test_what_can_strike_a_database_is_known() -> None:
    with pytest.raises(UsageError, match="power cut"):
        database_fault(kinds=["power cuts"])
