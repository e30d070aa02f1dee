"""A target that does not do the same twice is not judged, through whichever door it comes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.doors.projects import Project

UNSTEADY = (Path(__file__).parent / "unsteady.txt").read_text(encoding="utf-8")
SCENARIOS = ("another_value", "other_options", "another_order")


@pytest.fixture
def unsteady(project: Project) -> Project:
    """A project whose ledgers do something else each time."""
    (project.folder / "ledgers.py").write_text(UNSTEADY, encoding="utf-8")
    return project


def quarantined(project: Project, scenario: str) -> dict[str, object]:
    """What is in quarantine of a scenario."""
    (path,) = (project.folder / ".changeover" / "quarantine").glob(f"{scenario}-*.json")
    data: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return data


@pytest.mark.parametrize("verb", ["run", "fuzz"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_schedule_that_differs_is_put_aside_and_nothing_is_judged(
    unsteady: Project, scenario: str, verb: str
) -> None:
    limit = ("--schedules", "40") if verb == "run" else ("--time-limit", "20s")
    done = unsteady.changeover(verb, scenario, "--seed", "7", *limit)
    assert done.returncode == 3, done.stdout
    told = " ".join(done.stdout.split())
    assert "NOT DETERMINISTIC the same schedule gave two histories (exit 3)" in told
    assert "nothing was judged; fix this before trusting any result" in told
    assert "ended by not deterministic" in told
    assert "both option lists are in .changeover/quarantine/" in told
    data = quarantined(unsteady, scenario)
    assert data["format"] == 1
    assert str(data["token"]).startswith(f"{scenario}@7")
    assert f"then at step {data['step']}" in told
    assert data["first"] != data["second"] or data["first_options"] != data["second_options"]
    if scenario == "another_value":
        assert "|write|book|order|" in str(data["first"]) and "|book|" in str(data["second"])
    else:
        assert data["first_options"] != data["second_options"]
    assert not unsteady.findings()


def test_the_other_scenarios_of_a_long_search_go_on(unsteady: Project) -> None:
    steady = "\n\n@scenario(faults=[CRASH])\nasync def steady(world):\n    build(world)\n"
    with (unsteady.folder / "ledgers.py").open("a") as file:
        file.write(steady + "    await trio.sleep(1)\n")
    done = unsteady.changeover("fuzz", "another_value", "steady", "--time-limit", "1s")
    assert done.returncode == 3
    assert "another_value: not deterministic; 1 schedule" in done.stdout
    assert "steady: vacuous; " in done.stdout
    assert "  ended by    the time limit of 1 s" in done.stdout


@pytest.mark.parametrize("door", ["jobs", "pytest"])
def test_so_it_is_through_the_other_doors(unsteady: Project, door: str) -> None:
    if door == "jobs":
        done = unsteady.type("changeover", "run", "another_value", "--jobs", "2")
        assert done.returncode == 3, done.stdout
    else:
        test = '@pytest.mark.race("another_value")\ndef test_it(race):\n    race()\n'
        (unsteady.folder / "test_it_race.py").write_text(f"import pytest\n\n{test}")
        done = unsteady.type("pytest")
        assert done.returncode == 1, done.stdout
    assert "NOT DETERMINISTIC   the same schedule gave two histories (exit 3)" in done.stdout
    assert "both option lists are in .changeover/quarantine/another_value-" in done.stdout
    assert quarantined(unsteady, "another_value")["first_options"]
