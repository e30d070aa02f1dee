"""``changeover fuzz``: it goes on until it is stopped, and says what it did."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from harness.doors.endurance import Endurance
from harness.doors.passage import pass_through
from harness.findings import store
from harness.trial import Plan
from tests.doors.projects import Project
from tests.doors.test_endurance import ORDERS
from tests.engine.test_campaign import lossy


@pytest.fixture
def shop(project: Project) -> Project:
    """A project with four clients who arrive in any order."""
    (project.folder / "ledgers.py").write_text(ORDERS, encoding="utf-8")
    return project


def test_every_bug_is_kept_once_and_oldest_first(shop: Project) -> None:
    done = shop.changeover("fuzz", "--seed", "7", "--time-limit", "3s", "--format", "json")
    data = json.loads(done.stdout)
    (result,) = data["results"]
    assert done.returncode == data["exit_code"] == 1
    assert result["ended_by"] == "the time limit of 3 s"
    found = result["findings"]
    rules = [each["violations"][0]["invariant"] for each in found]
    assert len(rules) == len(set(rules)) >= 10
    assert all(a["schedule_number"] < b["schedule_number"] for a, b in pairwise(found))
    assert sorted(each["saved"] for each in found) == [
        path.relative_to(shop.folder).as_posix() for path in shop.findings()
    ]
    assert "seed 7" in done.stderr
    assert done.stderr.count("found never_") == len(found)
    assert "arrivals  50 schedules" in done.stderr


def test_what_was_found_before_is_found_again_and_not_saved_twice(shop: Project) -> None:
    first = shop.changeover("fuzz", "--seed", "7", "--time-limit", "1s")
    saved = shop.findings()
    again = shop.changeover("fuzz", "--seed", "7", "--time-limit", "0s", "--format", "json")
    assert first.returncode == again.returncode == 1
    (result,) = json.loads(again.stdout)["results"]
    assert [Path(each["saved"]).name for each in result["findings"]] != []
    assert {Path(each["saved"]).name for each in result["findings"]} == {p.name for p in saved}
    assert shop.findings() == saved


def test_what_holds_now_is_said_and_its_file_stays(shop: Project) -> None:
    shop.changeover("fuzz", "--seed", "7", "--time-limit", "500ms")
    saved = shop.findings()
    text = ORDERS.replace("if tuple(arrived) == order", "if tuple(arrived) == order and not order")
    (shop.folder / "ledgers.py").write_text(text, encoding="utf-8")
    done = shop.type("changeover", "fuzz", "--seed", "7", "--time-limit", "500ms")
    assert done.returncode == 0, done.stdout
    for path in saved:
        assert f"note: .changeover/findings/{path.name} holds now" in done.stdout
        assert path.exists()


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_ends_it_with_everything_that_was_found(shop: Project, jobs: str) -> None:
    words = ("changeover", "fuzz", "--jobs", jobs, "--seed", "7")
    done = shop.interrupt(*words, after="  saved")
    assert done.returncode == 2, done.stderr
    assert "RACE  never_" in done.stdout
    assert "ended by    interrupted" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert shop.findings()


def test_several_scenarios_are_searched_in_turn(project: Project) -> None:
    arguments = ("fuzz", "calm", "sound", "--seed", "7", "--time-limit", "2s", "--format", "json")
    results = json.loads(project.changeover(*arguments).stdout)["results"]
    assert [each["scenario"] for each in results] == ["calm", "sound"]
    assert {each["ended_by"] for each in results} == {"the time limit of 2 s"}
    assert all(each["statistics"]["schedules"] > 1 for each in results)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("arivals",), "unknown scenario 'arivals'; did you mean 'arrivals'?"),
        (("--time-limit", "soon"), "a time such as 30s"),
        (("--jobs", "0"), "--jobs must be 1 or more"),
        (("--schedules", "9"), "unknown option of changeover fuzz '--schedules'"),
        (("--strategy", "swep"), "did you mean 'sweep'?"),
    ],
)
def test_4_for_a_mistake(shop: Project, arguments: tuple[str, ...], told: str) -> None:
    done = shop.changeover("fuzz", *arguments)
    assert done.returncode == 4
    assert told in done.stderr
    assert not (shop.folder / ".changeover").exists()


def test_what_reached_something_new_is_in_the_corpus_and_runs_first(tmp_path: Path) -> None:
    scenario = lossy()
    plan = Plan(seed=7, schedules=40, shrink_budget=0)
    first = Endurance(scenario, plan, root=tmp_path)
    pass_through([first])
    assert len(first.corpus.entries) > 1
    cells = [cell for entry in first.corpus.entries for cell in entry.new]
    assert sorted(cells) == sorted(first.reached)
    unfit = tmp_path / "corpus" / "lossy" / "000000000000.json"
    unfit.write_text('{"format": 1, "token": "lossy@7:1=99", "new": ["nothing"]}')
    again = Endurance(scenario, plan, root=tmp_path)
    (result,) = pass_through([again])
    assert result.statistics.by_strategy["corpus"] == len(first.corpus.entries)
    assert again.reached >= first.reached
    assert "1 schedule of the corpus no longer fit the code and left it" in result.remarks
    assert not unfit.exists()
    other = Endurance(scenario, Plan(seed=8, schedules=1, strategies=("fifo",)), root=tmp_path)
    (result,) = pass_through([other])
    assert other.reached >= first.reached


def test_a_corpus_of_another_variant_is_left_alone(project: Project) -> None:
    project.changeover("fuzz", "lossy", "--seed", "7", "--time-limit", "2s")
    files = sorted((project.folder / ".changeover" / "corpus" / "lossy").iterdir())
    findings = store.list_findings(project.folder / ".changeover").findings
    done = project.changeover("fuzz", "lossy", "--guards", "all", "--time-limit", "500ms")
    assert "  strategies  fifo 1" in done.stdout
    assert set(files) <= set((project.folder / ".changeover" / "corpus" / "lossy").iterdir())
    now = store.list_findings(project.folder / ".changeover").findings
    assert findings and all(each in now for each in findings)
