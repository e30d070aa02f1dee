"""The configuration: what counts, what outranks what, and how a mistake is told."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from harness.doors.gate import plan_of
from harness.doors.seeds import choose_seed
from harness.errors import UsageError
from harness.scenario import Scenario
from harness.settings import Settings, duration_s, load_settings, number_or_all


async def idle(world: object) -> None:
    """A story in which nothing happens."""


def written(folder: Path, text: str) -> Settings:
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return load_settings(folder)


def test_without_a_file_everything_is_the_default(tmp_path: Path) -> None:
    settings = load_settings(tmp_path)
    assert settings.profile(environment={}).schedules == 50
    assert settings.profile(environment={}).seed == "random"
    assert settings.profile(environment={"CI": "true"}).schedules == 300
    assert settings.profile(environment={"CI": "true"}).seed == "commit"
    assert settings.profile("nightly", environment={}).keep_going


def test_ci_set_to_false_is_not_ci(tmp_path: Path) -> None:
    assert load_settings(tmp_path).profile(environment={"CI": "false"}).name == "dev"


def test_the_table_is_found_from_a_folder_below(tmp_path: Path) -> None:
    written(tmp_path, '[tool.changeover]\nscenarios = ["money.stories"]\n')
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "a" / "pyproject.toml").write_text("[project]\nname = 'other'\n", encoding="utf-8")
    settings = load_settings(below)
    assert settings.scenarios == ("money.stories",)
    assert settings.path == tmp_path / "pyproject.toml"


def test_flag_beats_environment_beats_marker_beats_profile(tmp_path: Path) -> None:
    settings = written(tmp_path, "[tool.changeover.profiles.dev]\nseed = 1\nschedules = 10\n")
    assert settings.profile(environment={}).seed == "1"
    marker: dict[str, object] = {"seed": 2, "schedules": 20}
    assert settings.profile(marker=marker, environment={}).seed == "2"
    environment = {"CHANGEOVER_SEED": "3"}
    assert settings.profile(marker=marker, environment=environment).seed == "3"
    flags: dict[str, object] = {"seed": "4", "schedules": None}
    chosen = settings.profile(marker=marker, flags=flags, environment=environment)
    assert chosen.seed == "4"
    assert chosen.schedules == 20


def test_all_schedules_there_are_can_be_asked_for_where_there_is_an_end(tmp_path: Path) -> None:
    settings = written(tmp_path, '[tool.changeover.profiles.ci]\nschedules = "all"\n')
    assert settings.profile("ci", environment={}).schedules is None
    profile = settings.profile("ci", flags={"strategy": "sweep,sweep(2)"}, environment={})
    assert plan_of(profile, Scenario("told", idle), seed=1).schedules is None
    endless = settings.profile("ci", flags={"strategy": "sweep,pos"}, environment={})
    with pytest.raises(UsageError, match=r"pos never has tried all it has.*sweep\(2\).*time limit"):
        plan_of(endless, Scenario("told", idle), seed=1)
    limited = settings.profile("ci", flags={"strategy": "pos", "time_limit": "30s"}, environment={})
    assert plan_of(limited, Scenario("told", idle), seed=1).time_limit_s == 30


@pytest.mark.parametrize("text", ["0", "none", "-1", "1.5"])
def test_a_number_of_schedules_that_is_none_is_a_mistake(text: str) -> None:
    with pytest.raises((UsageError, ArgumentTypeError)):
        Settings().profile(flags={"schedules": number_or_all(text)}, environment={})


def test_the_profile_of_the_environment_yields_to_the_flag(tmp_path: Path) -> None:
    environment = {"CHANGEOVER_PROFILE": "nightly", "CI": "1"}
    settings = load_settings(tmp_path)
    assert settings.profile(environment=environment).name == "nightly"
    assert settings.profile("dev", environment=environment).name == "dev"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[tool.changeover]\nscenario = []\n", "did you mean 'scenarios'?"),
        ("[tool.changeover.profiles.nigthly]\n", "did you mean 'nightly'?"),
        ("[tool.changeover.profiles.ci]\nshedules = 3\n", "did you mean 'schedules'?"),
        ("[tool.changeover.limits]\nstep = 3\n", "did you mean 'steps'?"),
        ("[tool.changeover]\nscenarios = 'one'\n", "must be a list of modules"),
        ("[tool.changeover.profiles.ci]\nschedules = '3'\n", "must be a whole number from 1"),
        ("[tool.changeover.profiles.ci]\nschedules = true\n", "must be a whole number from 1"),
        ("[tool.changeover.profiles.ci]\nstrict = 1\n", "must be true or false"),
        ("[tool.changeover.profiles.ci]\ntime_limit = 'soon'\n", "a time such as 30s"),
        ("[tool.changeover.limits]\nsteps = 1.5\n", "must be a number"),
        ("[tool.changeover.limits]\nstep_wall_s = 0\n", "must be more than 0"),
        ("[tool.changeover]\nprofiles = 3\n", "must be a table"),
        ("[tool.changeover\n", "is not TOML"),
    ],
)
def test_a_mistake_names_the_file_and_the_remedy(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UsageError) as raised:
        written(tmp_path, text)
    assert told in str(raised.value)
    assert str(tmp_path / "pyproject.toml") in str(raised.value)


def test_an_unknown_key_of_a_marker_is_a_mistake_too() -> None:
    with pytest.raises(UsageError, match=r"did you mean 'schedules'.*the race marker"):
        Settings().profile(marker={"schedule": 3}, environment={})


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("5m", 300), ("1h", 3600), ("250ms", 0.25), (7, 7)]
)
def test_a_time_has_a_unit_or_is_in_seconds(text: object, seconds: float) -> None:
    assert duration_s(text) == seconds


def test_a_seed_of_a_commit_is_the_same_for_its_short_name() -> None:
    sha = "1f3c9ab0123456789012345678901234567890ab"
    assert choose_seed(sha).number == choose_seed("1f3c9ab").number
    assert str(choose_seed("1f3c9ab")).endswith("(commit 1f3c9ab)")
    assert choose_seed("4211").number == 4211


def test_a_random_seed_can_be_shared() -> None:
    assert choose_seed("random", drawn=99).number == 99


def test_a_seed_that_is_none_is_told() -> None:
    with pytest.raises(UsageError, match="did you mean 'random'"):
        choose_seed("randm")
    with pytest.raises(UsageError, match="no run has left a summary"):
        choose_seed("last")


def test_without_git_the_ci_tells_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    seed = choose_seed("commit", environment={"GITHUB_SHA": "1f3c9ab" + "0" * 33})
    assert seed == choose_seed("1f3c9ab")
    assert choose_seed("commit", environment={}).number == 0
