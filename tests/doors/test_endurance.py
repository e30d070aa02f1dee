"""A search that is killed at any moment has lost nothing that it said it had."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from harness import cli
from harness.campaign import Campaign, Crew, Plan, Search
from harness.doors import endurance
from harness.doors.endurance import Endurance
from harness.doors.gate import Result
from harness.doors.passage import pass_through
from harness.findings import store
from harness.scenario import Scenario
from harness.trial import Trial
from tests.benchmarks.endurance import announced, broken_promises, torn
from tests.doors.projects import Project
from tests.engine.test_campaign import CALM, lossy

ORDERS = (Path(__file__).parent / "orders.txt").read_text(encoding="utf-8")


def _fuzz(folder: Path, log: Path) -> None:
    """The life of a search, in a process of its own."""
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    with log.open("a", encoding="utf-8") as told:
        os.dup2(told.fileno(), 2)
        os.dup2(told.fileno(), 1)
        sys.stdout = sys.stderr = told
        sys.exit(cli.main(["fuzz", "arrivals", "--seed", "7", "--shrink-budget", "30"]))


@pytest.fixture
def shop(project: Project) -> Project:
    """A project with four clients who arrive in any order."""
    (project.folder / "ledgers.py").write_text(ORDERS, encoding="utf-8")
    return project


def test_twenty_kills_lose_nothing(shop: Project) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["harness.doors.searches", "tests.doors.test_endurance"])
    moments = Random(20260119)
    log = shop.folder / "told.txt"
    log.touch()
    for kill in range(20):
        victim = context.Process(target=_fuzz, args=(shop.folder, log))
        victim.start()
        # So far that there is something to lose, however busy the machine is; then at any moment.
        while len(announced(log.read_text())) <= kill // 2 and victim.exitcode is None:
            victim.join(0.001)
        victim.join(moments.uniform(0, 0.5))
        assert victim.pid is not None and victim.exitcode is None, log.read_text()
        os.kill(victim.pid, signal.SIGKILL)
        victim.join()
        assert broken_promises(log.read_text(), shop.folder) == [], f"after kill {kill + 1}"
    assert len(announced(log.read_text())) >= 10
    done = shop.changeover("fuzz", "arrivals", "--seed", "7", "--time-limit", "1s")
    assert done.returncode == 1, done.stderr
    assert torn(shop.folder) == []
    assert broken_promises(log.read_text() + done.stderr, shop.folder) == []
    found = store.list_findings(shop.folder / ".changeover").findings
    fingerprints = [finding.violation.fingerprint for finding in found]
    assert len(fingerprints) == len(set(fingerprints)) >= 10


def test_what_a_dead_writer_left_is_swept_and_what_a_living_one_writes_is_not(
    shop: Project,
) -> None:
    folder = shop.folder / ".changeover" / "findings"
    folder.mkdir(parents=True)
    dead = multiprocessing.get_context("forkserver").Process(target=int)
    dead.start()
    dead.join()
    left = folder / f".a.json.{dead.pid}-0123abcd.tmp"
    alive = folder / f".b.json.{os.getppid()}-0123abcd.tmp"
    other = folder / ".c.json.tmp"
    for path in (left, alive, other):
        path.write_text("{")
    done = shop.changeover("fuzz", "arrivals", "--time-limit", "0s")
    assert "1 half-written file of a search that was killed was removed" in done.stderr
    assert [left.exists(), alive.exists(), other.exists()] == [False, True, True]


def test_an_unshrunk_finding_is_removed_if_its_smaller_one_was_saved_before_the_kill(
    project: Project,
) -> None:
    fuzz = ("fuzz", "lossy", "--seed", "7", "--time-limit")
    project.changeover(*fuzz, "500ms", "--shrink-budget", "0")
    unshrunk = {path: path.read_bytes() for path in project.findings()}
    while not (replaced := unshrunk.keys() - set(project.findings())):
        project.changeover(*fuzz, "1s")
    kept = project.findings()
    for path in replaced:
        path.write_bytes(unshrunk[path])
    done = project.changeover(*fuzz, "0s")
    assert project.findings() == kept
    for path in replaced:
        assert f"smaller; it replaces {path.relative_to(project.folder)}\n" in done.stderr


def test_files_that_cannot_be_read_are_set_aside_and_named(project: Project) -> None:
    first = project.changeover("fuzz", "lossy", "--seed", "7", "--time-limit", "2s")
    root = project.folder / ".changeover"
    (state,) = (root / "state").glob("*.json")
    damaged = [state, min((root / "corpus" / "lossy").glob("*.json")), *project.findings()]
    assert first.returncode == 1 and len(damaged) >= 3, first.stdout
    for path in damaged:
        path.write_bytes(path.read_bytes()[:20])
    done = project.changeover("fuzz", "lossy", "--seed", "7", "--time-limit", "2s")
    assert done.returncode == 1, done.stderr
    told = " ".join(done.stdout.split())
    for path in damaged:
        aside = path.with_name(path.name + ".unreadable")
        assert aside.exists()
        assert str(aside.relative_to(project.folder)) in told


def test_where_it_stood_is_where_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endurance, "REMEMBER_S", 0)
    monkeypatch.setattr(endurance, "REMEMBER_SHARE", 0)

    def searched(scenario: Scenario, schedules: int, seed: int = 7) -> tuple[Result, list[int]]:
        numbers: list[int] = []
        gate = Endurance(scenario, Plan(seed=seed, schedules=schedules), root=tmp_path)
        enter = gate.enter

        def entered(crew: Crew, on_trial: Callable[[Trial, Campaign], None]) -> Search:
            return enter(crew, lambda trial, result: numbers.append(trial.number))

        monkeypatch.setattr(gate, "enter", entered)
        (result,) = pass_through([gate])
        return result, [number for number in numbers if number > 0]

    first, numbers = searched(lossy(), 70)
    assert numbers == list(range(1, 71))
    assert not any("went on after" in remark for remark in first.remarks)
    again, numbers = searched(lossy(), 120)
    assert "went on after schedule 70 of this seed" in again.remarks
    assert numbers == list(range(71, 121))
    other, numbers = searched(lossy(), 20, seed=8)
    assert numbers[0] == 1
    assert not any("went on after" in remark for remark in other.remarks)
    changed, numbers = searched(replace(lossy(), story=CALM.story), 20)
    assert numbers[0] == 1
    assert "the code has changed: the search begins again" in changed.remarks


def test_a_folder_that_cannot_be_written_loses_nothing_but_the_files(project: Project) -> None:
    (project.folder / ".changeover").write_text("in the way")
    done = project.changeover("fuzz", "lossy", "--seed", "7", "--time-limit", "2s")
    assert done.returncode == 1
    assert "WARNING  the finding could not be saved" in done.stderr
    assert "keep it: lossy@7:" in done.stderr
    assert done.stderr.count("could not be added to the corpus") == 1
    assert done.stderr.count("where the search stands could not be written") <= 1
    assert "RACE  balance_never_falls" in done.stdout
