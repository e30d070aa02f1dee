"""Several processes: the same search, whatever becomes of one of them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from harness.campaign import Plan
from harness.doors.endurance import Endurance
from harness.doors.gate import NOT_JUDGED, VIOLATED
from harness.doors.jobs import crew_size
from harness.doors.passage import pass_through
from harness.doors.registry import load_scenarios
from harness.settings import load_settings
from harness.trial import GENERATION
from tests.benchmarks.endurance import torn
from tests.doors.projects import Project
from tests.doors.test_endurance import ORDERS
from tests.doors.test_quarantine import UNSTEADY


@pytest.fixture
def shop(project: Project) -> Project:
    """A project with four clients who arrive in any order."""
    (project.folder / "ledgers.py").write_text(ORDERS, encoding="utf-8")
    return project


def result_of(project: Project, jobs: int, *options: str) -> dict[str, Any]:
    """What so many processes say, without how long it took."""
    for saved in project.findings():
        saved.unlink()
    done = project.type(
        *("changeover", "run", "arrivals", "--seed", "7", "--format", "json"),
        *("--schedules", "120", "--shrink-budget", "12", "--jobs", str(jobs), *options),
    )
    assert done.returncode == 1, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    del result["statistics"]["seconds"]
    for finding in result["findings"]:
        del finding["seconds"], finding["replay_ms"]
    result["files"] = [path.name for path in project.findings()]
    assert isinstance(result, dict)
    return result


@pytest.mark.parametrize("options", [("--keep-going",), ()])
def test_two_or_three_workers_say_what_one_says(shop: Project, options: tuple[str, ...]) -> None:
    one, *others = (result_of(shop, jobs, *options) for jobs in ((1, 2, 3) if options else (1, 3)))
    assert all(other == one for other in others)
    assert len(one["findings"]) == len(one["files"]) == (1 if not options else len(one["files"]))
    assert one["findings"] == sorted(one["findings"], key=lambda each: each["schedule_number"])
    if options:
        assert len(one["findings"]) >= 5
        assert one["statistics"]["schedules"] == 120


@pytest.mark.parametrize(("scenario", "told"), [("dies", "exit code 7"), ("is_killed", "signal 9")])
def test_a_worker_that_is_gone_is_told(project: Project, scenario: str, told: str) -> None:
    (project.folder / "ledgers.py").write_text(UNSTEADY, encoding="utf-8")
    done = project.type("changeover", "run", scenario, "--jobs", "2", "--seed", "7")
    assert done.returncode == 3, done.stdout
    text = " ".join(done.stdout.split())
    assert "CANNOT BE JUDGED" in text
    assert f"ended without a result, {told}" in text
    assert "Traceback" not in done.stderr


def test_a_finding_that_a_worker_died_of_making_smaller_stays_as_it_was(project: Project) -> None:
    (project.folder / "ledgers.py").write_text(UNSTEADY, encoding="utf-8")
    done = project.type("changeover", "run", "dies_small", "--jobs", "2", "--seed", "7")
    assert done.returncode == 1, done.stdout
    assert "RACE  scenario_assertions" in done.stdout
    assert "not shrunk" in done.stdout
    assert len(project.findings()) == 1


def test_a_long_search_goes_on_with_the_workers_that_are_left(project: Project) -> None:
    text = UNSTEADY + ORDERS.partition("\n")[2]
    (project.folder / "ledgers.py").write_text(text, encoding="utf-8")
    scenarios = load_scenarios(load_settings())
    plan = Plan(seed=7, schedules=110, shrink_budget=5)
    endless = replace(plan, schedules=None)  # it ends when one of three took its first ticket
    gates = [
        Endurance(scenarios["one_is_killed"], endless),
        Endurance(scenarios["arrivals"], plan),
    ]
    killed, arrivals = pass_through(gates, jobs=3)
    assert killed.outcome == NOT_JUDGED
    assert "ended without a result, signal 9" in killed.error
    assert arrivals.outcome == VIOLATED
    assert arrivals.statistics.schedules == 110
    assert len(project.findings()) == len(arrivals.findings) >= 5
    assert torn(project.folder) == []


def test_no_process_starts_that_would_find_nothing_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert crew_size(4, schedules=50) == 4
    assert capsys.readouterr().err == ""
    assert crew_size(100_000, schedules=3) == 3
    assert "--jobs 100000: more than 3 would find nothing to do here, so 3 start" in (
        capsys.readouterr().err
    )
    assert crew_size(100_000) == 8
    monkeypatch.setattr("os.cpu_count", lambda: 128)
    assert crew_size(100_000) == GENERATION


#: A target that prints, when it is imported and when it runs.
PRINTS = """
from harness import scenario

print("imported")

@scenario
async def prints(world):
    print("runs")
"""


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_what_a_target_prints_is_no_answer(project: Project, jobs: str) -> None:
    (project.folder / "ledgers.py").write_text(PRINTS)
    done = project.type(
        "changeover", "run", "prints", "--schedules", "4", "--jobs", jobs, "--format", "json"
    )
    assert json.loads(done.stdout)["results"][0]["scenario"] == "prints", done.stdout
    assert {"imported", "runs"} <= set(done.stderr.split())
