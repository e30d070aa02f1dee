"""What was kept is run first by every door, and is never forgotten silently."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.doors.projects import Project

SAFE = ('build(world, "hydrate" in world.guards)', "build(world, True)")


@pytest.fixture
def kept(project: Project) -> Path:
    """A project with a committed regression; returns its file."""
    assert project.changeover("run", "lossy", "--seed", "7").returncode == 1
    done = project.changeover("keep", "last", "--name", "deposit", "--reason", "money must stay")
    assert done.returncode == 0
    for saved in project.findings():
        saved.unlink()
    return project.folder / "tests" / "regressions" / "deposit.json"


def change(project: Project, old: str, new: str) -> None:
    """Edit the ledgers; they are imported again by another process only."""
    text = (project.folder / "ledgers.py").read_text(encoding="utf-8")
    assert old in text
    (project.folder / "ledgers.py").write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize("verb", ["run", "fuzz"])
def test_a_regression_that_fails_again_is_back(project: Project, kept: Path, verb: str) -> None:
    before = kept.read_bytes()
    limit = ("--schedules", "30") if verb == "run" else ("--time-limit", "300ms")
    done = project.changeover(verb, "lossy", "--seed", "99", "--strategy", "fifo", *limit)
    assert done.returncode == 1, done.stderr
    assert "regression deposit is back: money must stay" in done.stdout
    assert "RACE  balance_never_falls" in done.stdout
    assert "  regressions 1 is back" in done.stdout
    assert "kept because: money must stay" in " ".join(done.stdout.split())
    schedules = 0 if verb == "run" else 1
    assert f"lossy: violated; {schedules} schedule" in done.stdout.replace(
        "no schedule", "0 schedule"
    )
    assert kept.read_bytes() == before


def test_with_keep_going_the_search_goes_on_and_the_bug_is_told_once(
    project: Project, kept: Path
) -> None:
    done = project.changeover("run", "lossy", "--seed", "7", "--keep-going", "--format", "json")
    (result,) = json.loads(done.stdout)["results"]
    assert done.returncode == 1
    assert result["regressions"] == {"deposit": "is back"}
    assert result["statistics"]["schedules"] == 50
    assert [each["reason"] for each in result["findings"]] == ["money must stay"]
    assert not project.findings()


def test_one_that_holds_is_counted_and_the_search_goes_on(project: Project, kept: Path) -> None:
    change(project, *SAFE)
    done = project.type("changeover", "run", "lossy", "--seed", "7", "--schedules", "20")
    assert done.returncode in (0, 3), done.stderr
    assert "lossy: held; 20 schedules" in done.stdout
    assert "  regressions 1 holds" in done.stdout or "no longer fits" in done.stdout


def test_one_that_no_longer_fits_is_a_warning_with_a_remedy(project: Project, kept: Path) -> None:
    data = json.loads(kept.read_text(encoding="utf-8"))
    (step,) = [each["step"] for each in data["deviations"]]
    data["deviations"][0]["taken"] = "nemesis: crash restart of nobody"
    data.pop("constraints", None)
    kept.write_text(json.dumps(data), encoding="utf-8")
    arguments = ("run", "lossy", "--guards", "none", "--seed", "7", "--schedules", "3")
    done = project.changeover(*arguments, "--strategy", "fifo")
    assert done.returncode == 0, done.stdout
    told = " ".join(done.stdout.split())
    assert "WARNING regression deposit no longer fits the code and guards nothing now" in told
    assert f"step {step} should run nemesis: crash restart of nobody" in told
    assert "--continue" in told and "remove the file yourself" in told
    assert "  regressions 1 no longer fits the code" in done.stdout
    assert kept.exists()
    assert project.changeover(*arguments, "--strategy", "fifo", "--strict").returncode == 1


def test_one_of_other_guards_is_not_run_and_that_is_said(project: Project, kept: Path) -> None:
    done = project.changeover("run", "lossy", "--guards", "all", "--schedules", "5")
    assert done.returncode == 0, done.stdout
    assert "note: 1 regression with other guards or bugs not run here" in done.stdout


def test_one_that_cannot_be_read_is_a_warning_and_stays(project: Project, kept: Path) -> None:
    kept.write_text("{", encoding="utf-8")
    done = project.changeover("run", "lossy", "--schedules", "3", "--strategy", "fifo")
    assert done.returncode == 0
    assert (
        "WARNING  a regression is not run: tests/regressions/deposit.json: not JSON" in done.stdout
    )
    assert kept.exists()


def test_pytest_runs_it_first_and_of_shards_only_one(project: Project, kept: Path) -> None:
    test = '@pytest.mark.race("lossy", seed=99, schedules=3)\ndef test_it(race):\n    race()\n'
    (project.folder / "test_it_race.py").write_text(f"import pytest\n\n{test}")
    done = project.type("pytest", "--race-shards", "3", "-v")
    assert done.returncode == 1, done.stdout
    assert done.stdout.count("regression deposit is back: money must stay") == 1
    assert "test_it[lossy-1of3] FAILED" in done.stdout
