"""What the command does when all is well."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.doors.progress import Progress, milestone
from harness.doors.walk import pages, walk
from tests.doors.projects import Done, Project


@pytest.fixture
def found(project: Project) -> Done:
    """A project in which a finding was just made."""
    done = project.changeover("run", "lossy", "--seed", "7")
    assert done.returncode == 1, done.stderr
    return done


def test_every_command_in_a_report_works(
    project: Project, found: Done, commands_in: Callable[[str], list[list[str]]]
) -> None:
    commands = commands_in(found.stdout)
    assert {command[1] for command in commands} == {"replay", "report", "keep"}
    for command in commands:
        done = project.changeover(*command[1:])
        assert done.returncode == (1 if command[1] == "replay" else 0), (command, done.stderr)
    (kept,) = (project.folder / "tests" / "regressions").glob("*.json")
    done = project.changeover("replay", str(kept))
    assert "same result 3 of 3 times" in done.stdout
    for command in commands_in(project.changeover("report", str(kept)).stdout):
        assert project.changeover(*command[1:]).returncode in (0, 1), command


def test_every_command_after_a_divergence_works(
    project: Project, commands_in: Callable[[str], list[list[str]]]
) -> None:
    (command,) = commands_in(project.changeover("replay", "sound@7:3=9").stdout)
    assert project.changeover(*command[1:]).returncode == 0


@pytest.mark.parametrize("scenario", ["starts_threads", "remembers", "locks_up"])
def test_every_command_of_another_outcome_gives_it_again(
    project: Project, commands_in: Callable[[str], list[list[str]]], scenario: str
) -> None:
    first = project.changeover("run", scenario, "--schedules", "3")
    replays = [each for each in commands_in(first.stdout) if each[1] == "replay"]
    assert replays
    for command in replays:
        assert project.changeover(*command[1:]).returncode == first.returncode, command


def test_replay_says_what_became_of_it(project: Project, found: Done) -> None:
    again = project.changeover("replay", "last", "--times", "2")
    assert "STILL FAILS  lossy@7:" in again.stdout
    assert "same result 2 of 2 times" in again.stdout
    fixed = project.changeover("replay", "lossy@7")
    assert fixed.returncode == 0
    assert fixed.stdout.startswith("FIXED        lossy@7\n")


def test_a_token_that_fails_is_saved_with_its_report(
    project: Project, found: Done, commands_in: Callable[[str], list[list[str]]]
) -> None:
    (saved,) = project.findings()
    token = json.loads(saved.read_text(encoding="utf-8"))["token"]
    saved.unlink()
    done = project.changeover("replay", token)
    assert done.returncode == 1
    assert [each.name for each in project.findings()] == [saved.name]


def test_a_run_is_walked_in_plain_text(project: Project, found: Done) -> None:
    done = project.changeover("replay", "last", "--step")
    assert done.returncode == 1
    assert "step   1 of" in done.stdout
    assert "ran before" in done.stdout
    assert "!!  balance_never_falls" in done.stdout


def test_a_run_is_walked_forward_and_back(capsys: pytest.CaptureFixture[str]) -> None:
    from harness import execute, scenario

    async def nothing(world: object) -> None:
        pass

    declared = scenario(name="walked")(nothing)
    run = execute(declared, seed=1, recorded=True)
    assert len(pages(run)) == run.steps
    shown: list[str] = []
    answers = iter(["", "b", "9", "1", "q"])
    walk(run, shown.append, lambda prompt: next(answers))
    assert shown[0].startswith("step   1 of")
    assert len(shown) >= 5


def test_a_report_is_rendered_from_the_file_alone(project: Project, found: Done) -> None:
    (project.folder / "ledgers.py").write_text("raise RuntimeError", encoding="utf-8")
    text = project.changeover("report", "last").stdout
    assert text.split("ABOUT")[0].strip() in found.stdout
    assert project.changeover("report", "last", "--format", "markdown").stdout.startswith(
        "### RACE"
    )
    assert (
        json.loads(project.changeover("report", "last", "--format", "json").stdout)["format"] == 1
    )
    wrote = project.changeover("report", "last", "--html", "--output", "page.html")
    assert wrote.stdout == "wrote page.html\n"
    assert "<html" in (project.folder / "page.html").read_text(encoding="utf-8")
    assert project.changeover("report", "last", "--ascii").stdout.isascii()


def test_shrinking_goes_on_where_it_was_off(project: Project) -> None:
    first = project.changeover(
        "run", "lossy", "--seed", "3", "--strategy", "random", "--shrink-budget", "0"
    )
    assert first.returncode == 1
    assert "not shrunk" in first.stdout
    done = project.changeover("shrink", "last")
    assert done.returncode == 1, done.stderr
    assert "one-minimal" in done.stdout


def test_keep_takes_a_reason(project: Project, found: Done) -> None:
    done = project.changeover("keep", "last", "--reason", "a crash must not empty accounts")
    assert done.returncode == 0
    (kept,) = (project.folder / "tests" / "regressions").glob("*.json")
    assert json.loads(kept.read_text("utf-8"))["reason"] == "a crash must not empty accounts"
    again = project.changeover("keep", "last", "--reason", "something else")
    assert again.returncode == 4
    assert "exists already" in again.stderr


def test_list_shows_scenarios_and_findings(project: Project, found: Done) -> None:
    done = project.changeover("list")
    assert done.returncode == 0
    assert "lossy                    Deposits survive a crash of the ledger.\n" in done.stdout
    assert "guards     hydrate (on: none)" in done.stdout
    assert "forgetful: starts from 0 after a restart" in done.stdout
    assert "findings (newest first)" in done.stdout
    listed = json.loads(project.changeover("list", "--json").stdout)
    lossy = next(each for each in listed["scenarios"] if each["name"] == "lossy")
    assert lossy["guards"] == ["hydrate"]
    assert listed["findings"][0]["token"].startswith("lossy@7:")


def test_guards_and_seed_last(project: Project) -> None:
    project.changeover("run", "sound", "--seed", "4211", "--schedules", "2")
    done = project.changeover(
        "run", "lossy", "--guards", "all", "--seed", "last", "--schedules", "20"
    )
    assert done.returncode == 0, done.stdout
    assert "seed 4211 (that of the last run)" in done.stderr


def test_jobs_find_the_same_every_time(project: Project) -> None:
    arguments = ("run", "lossy", "--seed", "7", "--jobs", "2", "--keep-going", "--format", "json")
    one, other = (json.loads(project.type("changeover", *arguments).stdout) for _ in range(2))
    (first,), (second,) = one["results"], other["results"]
    assert first["statistics"]["schedules"] == 50
    assert [each["token"] for each in first["findings"]] == [
        each["token"] for each in second["findings"]
    ]
    assert first["findings"]


def test_json_is_one_object_on_standard_output(project: Project) -> None:
    done = project.changeover("run", "lossy", "sound", "--seed", "7", "--format", "json")
    data = json.loads(done.stdout)
    assert data["exit_code"] == done.returncode == 1
    assert [each["outcome"] for each in data["results"]] == ["violated", "held"]
    assert data["results"][0]["findings"][0]["token"].startswith("lossy@7:")


def test_github_gets_annotations_and_a_summary(project: Project, tmp_path: Path) -> None:
    page = tmp_path / "summary.md"
    done = project.type(
        *("changeover", "run", "lossy", "sound", "--seed", "7"),
        GITHUB_ACTIONS="true",
        GITHUB_STEP_SUMMARY=str(page),
    )
    assert done.returncode == 1
    annotations = [line for line in done.stdout.splitlines() if line.startswith("::error ")]
    assert len(annotations) == 1
    assert "title=balance_never_falls::" in annotations[0]
    text = page.read_text(encoding="utf-8")
    assert "### RACE `balance_never_falls`" in text
    assert "sound" in text


def test_one_finding_leaves_one_file(project: Project, found: Done) -> None:
    assert len(project.findings()) == 1
    assert len(list((project.folder / ".changeover" / "runs").iterdir())) == 1


def test_help_names_every_verb(project: Project) -> None:
    done = project.changeover("--help")
    assert done.returncode == 0
    for verb in ("list", "run", "replay", "report", "shrink", "keep"):
        assert f"\n  {verb} " in done.stdout
        assert project.changeover(verb, "--help").returncode == 0


@pytest.mark.parametrize(
    ("number", "last"), [(0, 0), (1, 1), (4, 2), (9, 5), (10, 10), (19, 10), (99, 50), (5000, 5000)]
)
def test_milestones_are_1_2_5(number: int, last: int) -> None:
    assert milestone(number) == last


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_log_gets_milestones_and_a_terminal_one_line() -> None:
    log = io.StringIO()
    progress = Progress(log, "lossy", 50)
    for number in range(1, 51):
        progress.update(number, 0)
    progress.end()
    assert [int(line.split()[1]) for line in log.getvalue().splitlines()] == [1, 2, 5, 10, 20, 50]
    terminal = Terminal()
    progress = Progress(terminal, "lossy", 50)
    for number in range(1, 51):
        progress.update(number, 1)
    progress.end()
    assert "\n" not in terminal.getvalue()
    assert terminal.getvalue().count("schedules") == 1
