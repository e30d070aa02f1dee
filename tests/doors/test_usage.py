"""What is asked wrongly is told in one sentence with its remedy, and costs nothing of what is."""

from __future__ import annotations

import json
import re
import sys

import pytest
import trio

from harness.campaign import Interrupt
from harness.doors import commands, registry
from harness.doors.walk import walk
from harness.errors import closest
from tests.doors.projects import Project

ASYNC_RULE = """
from harness import restart, scenario

@scenario(faults=[restart("nobody")])
async def asks_wrongly(world):
    @world.invariant
    async def balanced():
        return True
"""

MINE = "from harness import scenario\n\n\n@scenario\nasync def mine(world):\n    pass\n"


@pytest.fixture
def built_in(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of scenarios that came with the tool, with one that is called ``given``."""
    package = project.folder / "came_along"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "one.py").write_text(
        "from harness import scenario\n\n\n@scenario\nasync def given(world):\n    pass\n"
    )
    monkeypatch.setattr(registry, "BUILT_IN", "came_along")
    for name in ("came_along", "came_along.one"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def declare(project: Project, name: str, text: str) -> None:
    """Put another module of scenarios into a project."""
    (project.folder / f"{name}.py").write_text(text)
    (project.folder / "pyproject.toml").write_text(
        f'[tool.changeover]\nscenarios = ["ledgers", "{name}"]\n'
    )
    sys.modules.pop(name, None)


def test_a_rule_that_is_async_is_no_finding(project: Project) -> None:
    declare(project, "wrongly", ASYNC_RULE)
    for jobs in ("1", "2"):
        arguments = ("run", "asks_wrongly", "--schedules", "3", "--jobs", jobs)
        run = project.changeover if jobs == "1" else project.type
        done = run(*(arguments if jobs == "1" else ("changeover", *arguments)))
        assert done.returncode == 4, done.stdout
        told = " ".join(done.stdout.split())
        assert "WRONGLY USED the scenario itself has to be mended (exit 4)" in told
        assert "a rule is an ordinary function; balanced is async (wrongly.py:" in told
    assert not project.findings()
    replayed = project.changeover("replay", "asks_wrongly@1")
    assert replayed.returncode == 4
    assert "balanced is async" in replayed.stderr


def test_a_project_sees_its_own_scenarios_first(project: Project, built_in: None) -> None:
    (project.folder / "ledgers.py").write_text(MINE)
    listed = project.changeover("list")
    assert "given" not in listed.stdout
    assert "1 built-in scenario besides: changeover list --all" in listed.stdout
    assert "\ngiven" in f"\n{project.changeover('list', '--all').stdout}"
    data = json.loads(project.changeover("list", "--json").stdout)
    assert "given" not in [each["name"] for each in data["scenarios"]]
    arguments = ("--schedules", "1", "--strategy", "fifo", "--format", "json")
    ran = json.loads(project.changeover("run", *arguments).stdout)["results"]
    assert [each["scenario"] for each in ran] == ["mine"]
    named = json.loads(project.changeover("run", "given", *arguments).stdout)["results"]
    assert [each["scenario"] for each in named] == ["given"]


def test_who_has_no_scenario_sees_what_came_along(project: Project, built_in: None) -> None:
    (project.folder / "pyproject.toml").write_text("[tool.changeover]\n")
    listed = project.changeover("list")
    assert listed.stdout.startswith("given")
    assert "besides" not in listed.stdout


def test_a_name_that_came_along_cannot_be_taken(project: Project, built_in: None) -> None:
    declare(project, "taking", MINE.replace("mine", "given"))
    done = project.changeover("run", "given", "--schedules", "1")
    assert done.returncode == 0
    told = "two scenarios are named 'given': came_along/one.py:4 and taking.py:4; give one of them"
    assert told in done.stderr
    assert "(taking.py:4)" in done.stderr
    assert project.changeover("run", "--schedules", "1").returncode == 4


def test_a_broken_module_stops_only_who_needs_it(project: Project) -> None:
    declare(project, "broken", "\n\nimport no_such_module\n")
    told = "cannot import scenarios from broken: ModuleNotFoundError: No module named 'no_such"
    replayed = project.changeover("replay", "sound@7")
    assert replayed.returncode == 0
    assert f"WARNING  {told}" in replayed.stderr
    assert "(broken.py:3)" in replayed.stderr
    assert project.changeover("run", "sound", "--schedules", "1").returncode == 0
    for arguments in (("run",), ("replay", "unheard_of@7"), ("prove", "unheard_of")):
        done = project.changeover(*arguments)
        assert done.returncode == 4, done.stdout
        assert told in done.stderr
        assert "(broken.py:3)" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("prove", "sound", "--schedules", "0"), "--schedules must be 1 or more, not 0"),
        (("prove", "sound", "--shrink-budget", "-1"), "--shrink-budget must be 0 or more, not -1"),
        (("prove", "sound", "lossy"), "changeover prove: 'lossy' is one argument too many"),
        (("shrink", "last", "--budget", "-4"), "--budget must be 1 or more, not -4"),
        (("run", "sound", "--seed", "9" * 23), "a number of at most 19 digits"),
        (("run", "sound", "--strategy", "pct(0)"), "'pct(0)'; there is pct(2) to pct(10)"),
        (("run", "sound", "--strategy", "delay(9)"), "'delay(9)'; there is delay(1) to delay(3)"),
        (("run", "sound", "--guards", "keyed"), "guard of scenario sound 'keyed'; there is none"),
        (("nope",), "unknown command 'nope'; known: "),
    ],
)
def test_a_wrong_argument_is_told_what_is_right(
    project: Project, arguments: tuple[str, ...], told: str
) -> None:
    done = project.changeover(*arguments)
    assert done.returncode == 4, done.stdout
    assert told in done.stderr


def test_of_many_names_the_closest_are_listed() -> None:
    names = [f"{letter * 12}" for letter in "abcdefghijklmnoprstuvwxyz0123"]
    told = str(closest("qqqqbb", names, kind="thing"))
    assert told.startswith("unknown thing 'qqqqbb'; known: bbbbbbbbbbbb, ")
    assert told.endswith(" and 21 more")


def test_shrinking_keeps_what_it_tried_when_it_is_interrupted(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = ("run", "lossy", "--seed", "3", "--strategy", "random", "--shrink-budget", "0")
    assert project.changeover(*search).returncode == 1
    asked: list[bool] = []

    class Pressed(Interrupt):
        """Ctrl-C at the fifth look."""

        def __call__(self) -> bool:
            asked.append(True)
            self.pending = self.pending or len(asked) > 5
            return self.pending

    monkeypatch.setattr(commands, "Interrupt", Pressed)
    done = project.changeover("shrink", "last")
    assert done.returncode == 2, done.stdout
    assert "the smallest so far is saved" in done.stderr
    newest = max(project.findings(), key=lambda path: path.stat().st_mtime_ns)
    shrinking = json.loads(newest.read_text())["shrinking"]
    assert shrinking["runs"] > 0
    assert shrinking["ended_by"] == "an interrupt"


def test_a_finding_that_was_set_aside_is_named(project: Project) -> None:
    assert project.changeover("run", "lossy", "--seed", "7").returncode == 1
    (saved,) = project.findings()
    saved.write_text("{")
    identity = saved.stem.rpartition("-")[2]
    assert "set aside as" in project.changeover("replay", identity).stderr
    for verb in ("replay", "report", "shrink"):
        again = project.changeover(verb, identity)
        assert again.returncode == 4
        place = f".changeover/findings/{saved.name}.unreadable"
        assert f"could not be read and was set aside as {place}" in again.stderr


def test_keeping_twice_is_told(project: Project) -> None:
    assert project.changeover("run", "lossy", "--seed", "7").returncode == 1
    assert project.changeover("keep", "last", "--name", "one").stderr == ""
    told = project.changeover("keep", "last", "--name", "other").stderr
    assert "tests/regressions/one.json keeps the same finding" in told
    done = project.changeover("run", "lossy", "--seed", "7")
    assert "  regressions 2 are back" in done.stdout
    evil = project.changeover("keep", "last", "--name", "../evil")
    assert evil.returncode == 4
    assert "give a name, not the path '../evil'" in evil.stderr


def test_of_a_finding_that_cannot_be_saved_one_token_is_told(project: Project) -> None:
    (project.folder / ".changeover").write_text("in the way")
    search = ("run", "lossy", "--seed", "3", "--strategy", "random")
    done = project.changeover(*search)
    assert done.returncode == 1
    assert done.stdout.count("the finding could not be saved") == 1, done.stdout
    (warning,) = (line for line in done.stdout.splitlines() if "could not be saved" in line)
    token = warning.rpartition("keep it: ")[2]
    assert f"changeover replay {token}" in " ".join(done.stdout.replace("\\\n", "").split())


def test_an_answer_that_means_nothing_turns_no_page() -> None:
    from harness import execute, scenario
    from harness.world.world import World

    async def two(world: World) -> None:
        async with trio.open_nursery() as nursery:
            for name in ("ann", "bob"):
                nursery.start_soon(world.client, name, trio.sleep, 1)

    run = execute(scenario(name="walked by two")(two), seed=1, recorded=True)
    shown: list[str] = []
    answers = iter(["h", "g 40", "", "q"])
    walk(run, shown.append, lambda prompt: next(answers))
    assert shown[1].startswith("'h' is none of these: enter: next   b: back")
    assert shown[2].startswith("'g 40' is none of these")
    assert shown[3].startswith("step   2 of")
    pages = "\n".join(shown)
    assert re.search(r"\d others? could have run: main: client\.2", pages)
