"""Whatever folder somebody works in: one project, one set of findings and regressions."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.scenario import _registry
from harness.settings import load_settings
from tests.doors.projects import ROOT, Done, Project

TILL = (ROOT / "docs" / "examples" / "test_deposits_race.py").read_text(encoding="utf-8")
LOSSY = '@pytest.mark.race("lossy", seed=99, schedules=3)\ndef test_it(race):\n    race()\n'
FRESH = LOSSY.replace('"lossy", seed=99, schedules=3', '"lossy", bug="forgetful", seed=7')
Commands = Callable[[str], list[list[str]]]


@pytest.fixture
def below(project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the project, in which one works."""
    folder = project.folder / "checks"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_a_finding_of_a_folder_below_is_kept_in_the_project(
    project: Project, below: Path, commands_in: Commands
) -> None:
    done = project.changeover("run", "lossy", "--seed", "7")
    assert done.returncode == 1, done.stderr
    (saved,) = project.findings()
    assert f"saved ../.changeover/findings/{saved.name}" in " ".join(done.stdout.split())
    assert json.loads(saved.read_text())["saved"] == f".changeover/findings/{saved.name}"
    assert not list(below.iterdir())
    for command in commands_in(done.stdout):
        expected = 1 if command[1] == "replay" else 0
        assert project.changeover(*command[1:]).returncode == expected, command
    assert list((project.folder / "tests" / "regressions").glob("*.json"))
    assert not list(below.iterdir())


@pytest.mark.parametrize("verb", ["run", "fuzz"])
def test_a_regression_is_back_in_every_folder(
    project: Project, below: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.chdir(project.folder)
    assert project.changeover("run", "lossy", "--seed", "7").returncode == 1
    assert project.changeover("keep", "last", "--name", "deposit").returncode == 0
    shutil.rmtree(project.folder / ".changeover")
    monkeypatch.chdir(below)
    limit = ("--time-limit", "300ms") if verb == "fuzz" else ("--schedules", "3")
    done = project.changeover(verb, "lossy", "--seed", "99", "--strategy", "fifo", *limit)
    assert done.returncode == 1, done.stdout
    assert "regression deposit is back" in done.stdout
    replay = project.changeover("replay", "../tests/regressions/deposit.json")
    assert replay.returncode == 1


def test_pytest_runs_regressions_from_every_folder(
    project: Project,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    commands_in: Commands,
) -> None:
    (project.folder / "checks").mkdir()
    (project.folder / "checks" / "test_it_race.py").write_text(f"import pytest\n\n{LOSSY}")
    assert project.changeover("run", "lossy", "--seed", "7").returncode == 1
    assert project.changeover("keep", "last", "--name", "deposit").returncode == 0
    project.folder /= "checks"
    done = project.type("pytest")
    assert done.returncode == 1, done.stdout
    assert "regression deposit is back" in done.stdout
    assert "    pytest test_it_race.py -k race --race-replay=lossy@7:" in done.stdout
    tests = project.folder
    project.folder = tmp_path_factory.mktemp("elsewhere")
    (tests / "test_it_race.py").write_text(f"import pytest\n\n{FRESH}")
    outside = project.type("pytest", str(tests))
    replays = [command for command in commands_in(outside.stdout) if command[1] == "replay"]
    home = Path("..", tests.parent.name, ".changeover", "findings")
    assert [Path(each[2]).parent for each in replays] == [home], outside.stdout
    assert not list(project.folder.iterdir())
    monkeypatch.chdir(project.folder)
    for command in commands_in(outside.stdout)[1:]:
        expected = 1 if command[1] == "replay" else 0
        assert project.changeover(*command[1:]).returncode == expected, command


def test_every_command_of_a_test_without_a_project_works(
    project: Project, monkeypatch: pytest.MonkeyPatch, commands_in: Commands
) -> None:

    def anew(command: list[str]) -> Done:
        """A command in a process that knows no scenario."""
        _registry.clear()
        sys.modules.pop("test_deposits_race", None)
        return project.changeover(*command[1:])

    for each in ("pyproject.toml", "ledgers.py"):
        (project.folder / each).unlink()
    (project.folder / "test_deposits_race.py").write_text(TILL, encoding="utf-8")
    done = project.type("pytest", "--race-seed=7")
    commands = commands_in(done.stdout)
    assert {tuple(command[:2]) for command in commands} >= {
        ("changeover", "replay"),
        ("changeover", "report"),
        ("changeover", "keep"),
    }, done.stdout
    for command in (*commands[1:], ["changeover", "shrink", "last"]):
        told = anew(command)
        expected = 1 if command[1] in ("replay", "shrink") else 0
        assert told.returncode == expected, (command, told.stdout, told.stderr)
    (saved,) = project.findings()
    assert json.loads(saved.read_text())["file"] == "test_deposits_race.py"
    saved.unlink()
    token = next(word for command in commands for word in command if word.startswith("deposits_s"))
    assert anew(["changeover", "replay", token]).returncode == 1, "the regression knows it"
    unknown = anew(["changeover", "replay", "deposit_survive@7"])
    assert unknown.returncode == 4
    assert "[tool.changeover] scenarios" in unknown.stderr


def test_the_folder_of_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / "one" / "two"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert load_settings().folder == Path()
    (tmp_path / "one" / "pytest.ini").touch()
    assert load_settings().folder == Path("..")
    (tmp_path / "pyproject.toml").write_text("[tool.changeover]\n")
    assert load_settings().folder == Path("../..")
    (deep / "pyproject.toml").write_text("[project]\n")
    assert load_settings().folder == Path("../.."), "the table counts, not the file"
