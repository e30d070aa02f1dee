"""Every exit code of the command, with what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import cli
from harness.doors import commands
from tests.doors.projects import Project


def test_0_when_everything_held(project: Project) -> None:
    done = project.changeover("run", "sound", "--seed", "7", "--schedules", "20")
    assert done.returncode == 0, done.stderr
    assert "sound: held; 20 schedules" in done.stdout
    assert "seed 7 (profile dev)" in done.stdout
    assert "balance_never_falls" in done.stdout
    assert "seed 7" in done.stderr
    assert (project.folder / ".changeover" / "latest").exists()
    assert not project.findings()


def test_0_when_vacuous_but_1_when_strict(project: Project) -> None:
    done = project.changeover("run", "calm", "--schedules", "5")
    assert done.returncode == 0
    assert "VACUOUS" in done.stdout
    assert "1 vacuous" in done.stdout
    assert project.changeover("run", "calm", "--schedules", "5", "--strict").returncode == 1


def test_1_for_a_violation(project: Project) -> None:
    done = project.changeover("run", "lossy", "--seed", "7")
    assert done.returncode == 1, done.stderr
    assert "balance_never_falls" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    (saved,) = project.findings()
    assert f"saved .changeover/findings/{saved.name}" in " ".join(done.stdout.split())
    latest = json.loads((project.folder / ".changeover" / "latest").read_text(encoding="utf-8"))
    assert latest["seed"] == 7
    assert latest["exit_code"] == 1


def test_1_for_a_run_that_is_stuck(project: Project) -> None:
    done = project.changeover("run", "locks_up", "--schedules", "20")
    assert done.returncode == 1
    assert "STUCK               no lane can run" in done.stdout
    assert "Lock.acquire, held by" in done.stdout


def test_1_for_a_run_without_end(project: Project) -> None:
    project.configure("[tool.changeover.limits]\nsteps = 60\n")
    done = project.changeover("run", "goes_on", "--schedules", "3")
    assert done.returncode == 1
    assert "STEP LIMIT          60 steps without finishing" in done.stdout
    assert project.changeover("replay", "last").returncode == 1


def test_1_even_if_nothing_can_be_written(project: Project) -> None:
    (project.folder / ".changeover").write_text("in the way", encoding="utf-8")
    done = project.changeover("run", "lossy", "--seed", "7")
    assert done.returncode == 1
    assert "RACE  balance_never_falls" in done.stdout
    assert "WARNING  the finding could not be saved" in done.stdout
    assert "the summary of this run could not be written" in done.stderr
    assert "changeover replay lossy@7" in done.stdout
    assert "changeover keep" not in done.stdout


@pytest.mark.parametrize("jobs", [(), ("--jobs", "2")])
def test_2_for_ctrl_c_and_findings_are_kept(project: Project, jobs: tuple[str, ...]) -> None:
    arguments = ("run", "lossy", "--keep-going", "--schedules", "1000000", "--seed", "7", *jobs)
    done = project.interrupt("changeover", *arguments, after="finding")
    assert done.returncode == 2, done.stderr
    assert "RACE  balance_never_falls" in done.stdout
    assert "ended by    interrupted" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert project.findings()


@pytest.mark.parametrize(
    ("scenario", "told"),
    [
        ("starts_threads", "start tasks in a trio nursery instead"),
        ("really_sleeps", "await trio.sleep instead"),
        ("remembers", "NOT DETERMINISTIC"),
        ("spins", "never yielded within 0.2 s"),
    ],
)
def test_3_when_nothing_can_be_judged(project: Project, scenario: str, told: str) -> None:
    project.configure("[tool.changeover.limits]\nstep_wall_s = 0.2\n")
    done = project.changeover("run", scenario, "--seed", "7")
    assert done.returncode == 3, done.stdout
    assert told in " ".join(done.stdout.split())
    assert "seed 7" in done.stdout
    assert not project.findings()
    assert "Traceback" not in done.stdout + done.stderr


def test_3_for_a_token_that_no_longer_fits(project: Project) -> None:
    done = project.changeover("replay", "sound@7:3=9")
    assert done.returncode == 3
    assert "REPLAY DIVERGED     sound@7:3=9 no longer fits the code" in done.stdout
    assert "step 3 should run  option 9" in done.stdout
    assert project.changeover("replay", "sound@7:3=9", "--continue").returncode == 0


def test_3_for_a_bug_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(options: object) -> int:
        raise ZeroDivisionError("oh dear")

    monkeypatch.setattr(commands, "list_command", broken)
    assert cli.main(["list"]) == 3
    told = capsys.readouterr().err
    assert "this is a bug in changeover: ZeroDivisionError: oh dear" in told
    assert "Traceback" not in told
    assert cli.main(["list", "-vv"]) == 3
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("rnu",), "did you mean 'run'?"),
        (("run", "losy"), "unknown scenario 'losy'; did you mean 'lossy'?"),
        (("run", "lossy", "--shedules", "3"), "did you mean '--schedules'?"),
        (("run", "--sched", "3"), "did you mean '--schedules'?"),
        (("run", "--schedules", "many"), "a number of schedules, or all, not 'many'"),
        (("run", "--schedules", "0"), "a whole number from 1"),
        (("run", "--time-limit", "soon"), "a time such as 30s"),
        (("run", "--strategy", "swep"), "did you mean 'sweep'?"),
        (("run", "--profile", "nightl"), "did you mean 'nightly'?"),
        (("run", "--seed", "lats"), "did you mean 'last'?"),
        (("run", "lossy", "--bug", "forgetfull"), "did you mean 'forgetful'?"),
        (("run", "lossy", "--guards", "hydrat"), "did you mean 'hydrate'?"),
        (("run", "--format", "xml"), "invalid choice: 'xml'"),
        (("run", "--jobs", "0"), "--jobs must be 1 or more"),
        (("replay",), "FINDING"),
        (("replay", "losy@7"), "did you mean 'lossy'?"),
        (("replay", "lossy@seven"), "is not a schedule token"),
        (("replay", "abc123"), "nothing is saved"),
        (("report", "last"), "nothing is saved"),
        ((), ""),
    ],
)
def test_4_for_a_mistake(project: Project, arguments: tuple[str, ...], told: str) -> None:
    done = project.changeover(*arguments)
    assert done.returncode == 4
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (project.folder / ".changeover").exists()


def test_4_for_files_that_cannot_be_read(project: Project) -> None:
    folder = project.folder / ".changeover" / "findings"
    folder.mkdir(parents=True)
    (folder / "lossy-123abc.json").write_text("{", encoding="utf-8")
    (folder / "lossy-456def.json").write_text('{"format": 99, "token": "lossy@1"}', "utf-8")
    damaged = project.changeover("replay", "123abc")
    assert damaged.returncode == 4
    assert "set aside as" in damaged.stderr
    newer = project.changeover("replay", "456def")
    assert newer.returncode == 4
    assert "written by a newer changeover" in newer.stderr
    assert "lossy@1" in newer.stderr


def test_4_for_a_module_that_fails(project: Project) -> None:
    (project.folder / "ledgers.py").write_text("raise RuntimeError('no ledger today')", "utf-8")
    done = project.changeover("list")
    assert done.returncode == 4, done.stdout
    assert "cannot import scenarios from ledgers: RuntimeError: no ledger today" in done.stderr
    project.configure("[tool.changeover.profile]\n")
    done = project.changeover("list")
    assert done.returncode == 4
    assert "unknown key 'profile'; did you mean 'profiles'?" in done.stderr


def test_5_when_nothing_ran(project: Project, tmp_path: Path) -> None:
    done = project.changeover("run", "sound", "--time-limit", "0s")
    assert done.returncode == 5
    assert "sound: nothing ran" in done.stdout
    (project.folder / "ledgers.py").write_text("", encoding="utf-8")
    done = project.type("changeover", "run")
    assert done.returncode == 5
    assert "no scenario is registered" in done.stderr
