"""The pytest door, through real runs of pytest."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from harness.doors import race as loaded_here_so_that_pytester_does_not_forget_it
from tests.doors.projects import LEAKS, PLUGIN, Project, clean_environment, make_project

assert loaded_here_so_that_pytester_does_not_forget_it

LOSSY_AND_SOUND = """
import pytest

@pytest.mark.race("lossy", "sound")
def test_deposits(race):
    race()
"""


@pytest.fixture
def typed(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Run pytest in a project with a race test; returns its lines, last the exit code.

    It runs in this process, which is quick; workers of xdist are processes of their own.
    """
    make_project(pytester.path)
    pytester.makepyfile(test_deposits=LOSSY_AND_SOUND)
    kept = clean_environment()
    for name in (*LEAKS, "CHANGEOVER_SEED", "CHANGEOVER_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("PYTHONPATH", "PYTHONIOENCODING", "COLUMNS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD"):
        monkeypatch.setenv(name, kept[name])

    def run(*arguments: str) -> list[str]:
        done = pytester.runpytest_inprocess(*PLUGIN, *arguments)
        return [*done.outlines, *done.errlines, f"exit {int(done.ret)}"]

    return run


def test_a_finding_fails_the_test_with_the_report(
    typed: Callable[..., list[str]], pytester: pytest.Pytester
) -> None:
    lines = typed("--race-seed", "7", "--junitxml=junit.xml")
    text = "\n".join(lines)
    assert "changeover: profile dev, seed 7, 50 schedules" in lines
    assert any(line.startswith("RACE  balance_never_falls") for line in lines), text
    assert "def test_deposits" not in text
    assert "pytest_plugin.py" not in text
    (short,) = (line for line in lines if line.startswith("FAILED "))
    assert "test_deposits[lossy] - balance_never_falls: " in short
    assert " at step " in short
    assert "(lossy@7:" in short
    assert any(line.startswith("sound: held; 50 schedules") for line in lines)
    assert lines[-1] == "exit 1"
    xml = ElementTree.parse(pytester.path / "junit.xml")
    properties = {
        each.get("name"): each.get("value")
        for case in xml.iter("testcase")
        if case.get("name") == "test_deposits[lossy]"
        for each in case.iter("property")
    }
    assert str(properties["race_token"]).startswith("lossy@7:")
    assert properties["race_seed"] == "7"
    assert len(str(properties["race_digest"])) == 64
    failure = next(xml.iter("failure"))
    assert str(failure.get("message")).startswith("balance_never_falls: ")


def test_github_gets_an_annotation(
    typed: Callable[..., list[str]], pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "summary.md"))
    lines = typed("--race-seed", "7", "-k", "lossy")
    (annotation,) = (line for line in lines if line.startswith("::error "))
    assert "title=balance_never_falls::" in annotation
    page = (pytester.path / "summary.md").read_text(encoding="utf-8")
    assert page.startswith("### RACE `balance_never_falls`")


def test_every_command_in_the_report_works(
    project: Project, commands_in: Callable[[str], list[list[str]]]
) -> None:
    (project.folder / "test_race_ledgers.py").write_text(LOSSY_AND_SOUND, encoding="utf-8")
    first = project.type("pytest", "--race-seed=7")
    commands = commands_in(first.stdout)
    assert [command[0] for command in commands][:2] == ["pytest", "changeover"]
    for command in commands:
        typed_in = command[0] == "pytest"
        done = project.type(*command) if typed_in else project.changeover(*command[1:])
        expected = 1 if typed_in or command[1] == "replay" else 0
        assert done.returncode == expected, (command, done.stdout, done.stderr)


def test_replay_runs_one_schedule_and_nothing_else(typed: Callable[..., list[str]]) -> None:
    lines = typed("--race-replay=sound@7:3=1", "-rs")
    assert "1 passed, 1 skipped" in "\n".join(lines)
    assert any("--race-replay runs sound only" in line for line in lines)
    assert any(line.startswith("sound: FIXED sound@7:3=1") for line in lines)
    lines = typed("--race-replay=sound@7:3=9")
    assert any(line.startswith("REPLAY DIVERGED     sound@7:3=9") for line in lines)
    assert lines[-1] == "exit 1"


def test_workers_of_xdist_share_the_seed_and_report(typed: Callable[..., list[str]]) -> None:
    lines = typed(
        "-p",
        "xdist",
        "-n",
        "2",
        "--race-statistics",
        "--race-shards=2",
        "--race-schedules=20",
        "-v",
    )
    text = "\n".join(lines)
    (header,) = (line for line in lines if line.startswith("changeover: "))
    seed = header.split("seed ")[1].split()[0]
    summaries = [line for line in lines if "seed " in line and "(profile dev)" in line]
    assert summaries
    assert all(f"seed {seed} " in line for line in summaries)
    for name in ("lossy-1of2", "lossy-2of2", "sound-1of2", "sound-2of2"):
        assert f"test_deposits[{name}]" in text
    assert "sound (part 2 of 2): " in text
    assert "  judged      balance_never_falls" in text


def test_ids_are_static_and_need_no_scenario(typed: Callable[..., list[str]]) -> None:
    lines = typed("--collect-only", "-q", "-k", "race")
    collected = [line for line in lines if "::" in line]
    assert collected == [f"test_deposits.py::test_deposits[{name}]" for name in ("lossy", "sound")]


def test_vacuous_passes_unless_strict(
    typed: Callable[..., list[str]], pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(test_deposits=LOSSY_AND_SOUND.replace('"lossy", "sound"', '"calm"'))
    lines = typed("--race-schedules=5")
    assert any(line.startswith("calm: vacuous; 5 schedules") for line in lines)
    assert any(line.startswith("VACUOUS") for line in lines)
    assert lines[-1] == "exit 0"
    assert not (pytester.path / ".changeover").exists()
    assert typed("--race-schedules=5", "--race-strict")[-1] == "exit 1"


def test_the_ci_profile_tells_what_was_tried(
    typed: Callable[..., list[str]], pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(test_deposits=LOSSY_AND_SOUND.replace('"lossy", ', ""))
    lines = typed("--race-profile=ci", "--race-schedules=30")
    assert any(line.startswith("changeover: profile ci, seed ") for line in lines)
    assert any(line.startswith("  strategies  fifo 1, surw ") for line in lines)
    assert lines[-1] == "exit 0"


@pytest.mark.parametrize(
    ("scenario", "told"),
    [
        ("remembers", "NOT DETERMINISTIC   the same schedule gave two histories"),
        ("starts_threads", "CANNOT BE JUDGED    the run left what can be simulated"),
        ("losy", "unknown scenario 'losy'; did you mean 'lossy'?"),
    ],
)
def test_what_cannot_be_judged_fails(
    typed: Callable[..., list[str]], pytester: pytest.Pytester, scenario: str, told: str
) -> None:
    pytester.makepyfile(test_deposits=LOSSY_AND_SOUND.replace('"lossy", "sound"', f'"{scenario}"'))
    lines = typed()
    assert any(told in line for line in lines)
    assert "Traceback" not in "\n".join(lines)
    assert lines[-1] == "exit 1"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--race-profile=nigthly",), "unknown profile 'nigthly'; did you mean 'nightly'?"),
        (("--race-time-limit=soon",), "a time such as 30s"),
        (("--race-replay=lossy@x",), "is not a schedule token"),
        (("--race-replay=123abc",), "nothing is saved"),
    ],
)
def test_a_wrong_option_ends_pytest_with_4(
    typed: Callable[..., list[str]], options: tuple[str, ...], told: str
) -> None:
    lines = typed(*options)
    assert any(told in line for line in lines), lines
    assert lines[-1] == "exit 4"


def test_the_marker_sets_guards_and_settings(
    typed: Callable[..., list[str]], pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(
        test_deposits=LOSSY_AND_SOUND.replace(
            '"lossy", "sound"', '"lossy", guards="all", seed=4211, schedules=20'
        )
    )
    lines = typed()
    assert any("lossy: held; 20 schedules" in line and "seed 4211" in line for line in lines)
    assert any("seed 12 (profile dev)" in line for line in typed("--race-seed=12"))


def test_a_replay_that_fits_no_test_is_an_error(typed: Callable[..., list[str]]) -> None:
    for workers, code in (((), 4), (("-p", "xdist", "-n", "1"), 1)):
        lines = typed("--race-replay=lossi@7", *workers)
        told = "--race-replay would run nothing: unknown scenario of a race test 'lossi'; did you"
        assert any(told in line for line in lines), lines
        assert "Traceback" not in "\n".join(lines)
        assert lines[-1] == f"exit {code}"


@pytest.mark.parametrize(
    ("test", "told"),
    [
        ("def test_it(race): pass", "searched nothing: call race() in it"),
        ("def test_it(): pass", "searched nothing: let it take the fixture race and call race()"),
    ],
)
def test_a_marked_test_that_searches_nothing_fails(
    typed: Callable[..., list[str]], pytester: pytest.Pytester, test: str, told: str
) -> None:
    marked = f'import pytest\n\n@pytest.mark.race("sound")\n{test}\n'
    pytester.makepyfile(test_deposits=marked)
    lines = typed()
    assert any(told in line for line in lines), lines
    assert lines[-1] == "exit 1"


@pytest.mark.parametrize(
    ("marker", "told"),
    [
        ("()", "name the scenarios, as in @pytest.mark.race("),
        ('("sound", schedulse=3)', "unknown key 'schedulse'; did you mean 'schedules'?"),
    ],
)
def test_a_wrong_marker_is_told_in_a_line(
    typed: Callable[..., list[str]], pytester: pytest.Pytester, marker: str, told: str
) -> None:
    pytester.makepyfile(test_deposits=LOSSY_AND_SOUND.replace('("lossy", "sound")', marker))
    lines = typed()
    assert any(told in line for line in lines), lines
    text = "\n".join(lines)
    assert "_hookexec" not in text
    assert "During handling" not in text
    assert ".py:" not in text.replace("test_deposits.py::", ""), text


def test_a_scenario_of_the_test_file_itself(
    typed: Callable[..., list[str]], pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(
        test_deposits="""
import pytest
import trio
from harness import scenario

@scenario
async def homemade(world):
    await trio.sleep(1)
    assert False, "the till is empty"

@pytest.mark.race(homemade)
def test_till(race):
    race()
"""
    )
    lines = typed("--race-seed=7")
    assert any("test_till[homemade] - scenario_assertions: the till is empty" in x for x in lines)


def test_without_a_marker_the_fixture_says_what_it_needs(
    typed: Callable[..., list[str]], pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(test_deposits="def test_till(race): race()")
    assert any("the fixture race needs its marker" in line for line in typed())


def test_what_is_not_used_is_not_there() -> None:
    code = (
        "import sys, harness.pytest_plugin\n"
        "heavy = ('trio', 'hypothesis', 'time_machine', 'faker', 'harness.engine', 'tomllib')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean_environment(),
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert done.stdout == "[]\n"


def test_a_project_without_such_tests_sees_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import sys

def test_nothing_is_loaded():
    loaded = [name for name in sys.modules if name.startswith(("trio", "harness.", "time_machine"))]
    assert set(loaded) <= {"harness.pytest_plugin", "harness.errors", "harness.settings"}
"""
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "harness.pytest_plugin"],
        cwd=pytester.path,
        env=clean_environment(),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "changeover" not in done.stdout
    assert not (pytester.path / ".changeover").exists()


def test_a_summary_is_kept_where_a_folder_is(
    typed: Callable[..., list[str]], pytester: pytest.Pytester
) -> None:
    typed("--race-seed=7")
    latest = pytester.path / ".changeover" / "latest"
    assert json.loads(latest.read_text(encoding="utf-8"))["seed"] == 7
    assert any("seed 7 (that of the last run)" in line for line in typed("--race-seed=last"))
