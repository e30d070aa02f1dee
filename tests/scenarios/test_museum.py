"""The museum: every planted bug is in it, was found from every seed, and costs what it says."""

from __future__ import annotations

import pkgutil
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from harness.engine import execute
from scenarios.incidents import INCIDENTS
from scenarios.museum import broken, exhibits, hunt
from scenarios.museum_records import RECORDS, Caught, Record, load, save
from scenarios.museum_table import DOCUMENT, SEEDS, main, markdown
from target_stub import defects
from target_stub.bugs import BUGS

#: Found by the second schedule from nearly every seed, so that a hunt for it costs little.
QUICK = "answers_in_order"
#: Defects of the real client's gateway, whose scenario needs a package that is not always there.
ELSEWHERE = ("target_stub.defects.gateway",)


def test_the_document_is_what_the_data_say() -> None:
    assert DOCUMENT.read_text() == markdown(load(RECORDS))


def test_every_planted_bug_and_every_incident_is_in_the_museum() -> None:
    names = [*BUGS, *(incident.scenario.name for incident in INCIDENTS)]
    assert list(exhibits()) == names
    text = DOCUMENT.read_text()
    for name in names:
        assert f"`{name}`" in text


def test_every_exhibit_was_hunted_with_the_command_that_is_there_for_it() -> None:
    missing = set(exhibits()) - set(load(RECORDS))
    assert not missing, f"run python -m scenarios.museum_table --bugs {' '.join(sorted(missing))}"
    assert not set(load(RECORDS)) - set(exhibits()), "these are no exhibits any more"


@pytest.mark.parametrize("name", load(RECORDS))
def test_an_exhibit_was_found_from_all_seeds_within_its_budget(name: str) -> None:
    exhibit, record = exhibits()[name], load(RECORDS)[name]
    assert list(record.hunts) == list(range(1, SEEDS + 1))
    assert len(record.numbers) == SEEDS
    assert record.commit
    # The first schedule is first in first out, and nothing happens in that.
    assert record.numbers[0] > 1
    twice = 2 if name in BUGS else 1
    assert record.numbers[-1] * twice <= exhibit.budget


def test_every_file_of_defects_is_in_the_catalogue_and_no_name_is_there_twice() -> None:
    names: list[str] = []
    for module in pkgutil.iter_modules(defects.__path__, f"{defects.__name__}."):
        if module.name not in ELSEWHERE:
            names += getattr(import_module(module.name), "BUGS", {})
    assert sorted(names) == sorted(BUGS)


def test_a_hunt_begins_cold_and_ends_alike_whenever_it_is_done() -> None:
    first, second = (hunt(exhibits()[QUICK], seed=2) for _ in range(2))
    assert (first.number, first.strategy) == (second.number, second.strategy)
    assert first.run is not None
    assert second.run is not None
    assert first.run.digest == second.run.digest


def test_a_search_that_is_over_before_it_began_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        hunt(replace(exhibits()[QUICK], budget=0), seed=1)


def test_a_bug_shows_in_the_run_that_found_it_and_not_without_it() -> None:
    exhibit = exhibits()[QUICK]
    found = hunt(exhibit, seed=3)
    assert found.run is not None
    assert set(exhibit.breaks) & broken(found.run)
    assert found.run is not found.first
    repaired = execute(exhibit.scenario, seed=3, variant=exhibit.scenario.variant(bug="none"))
    assert not repaired.violations


def test_records_survive_being_saved_and_a_hunt_that_missed_keeps_the_commit(
    tmp_path: Path,
) -> None:
    path = tmp_path / "records.jsonl"
    assert load(path) == {}
    record = Record(name="one").after(2, Caught(7, "pos"), "aaa").after(1, Caught(3, "surw"), "bbb")
    missed = record.after(3, Caught(None), "ccc")
    save({"two": Record(name="two"), "one": missed}, path)
    assert list(load(path)) == ["one", "two"]
    assert load(path)["one"] == missed
    assert list(missed.hunts) == [1, 2, 3]
    assert missed.commit == "bbb"
    assert (missed.numbers, missed.median, missed.mean) == ([3, 7], 5, 5)
    assert missed.strategy == "pos"


def test_the_command_hunts_only_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scenarios.museum_table.commit_of", lambda root: "abc")
    data, document = tmp_path / "hunts.jsonl", tmp_path / "museum.md"
    save({QUICK: Record(name=QUICK).after(1, Caught(2, "surw"), "old")}, data)
    paths = ("--data", str(data), "--document", str(document))
    assert main((*paths, "--seeds", "2", "--bugs", QUICK)) == 0
    assert capsys.readouterr().out.splitlines() == [f"{QUICK} seed 2: 2"]
    assert load(data)[QUICK].hunts == {1: Caught(2, "surw"), 2: Caught(2, "surw")}
    assert load(data)[QUICK].commit == "abc"
    assert "2 of 2 | abc |" in document.read_text()
    assert main((*paths, "--seeds", "2", "--bugs", QUICK)) == 0
    assert capsys.readouterr().out == ""


def test_an_unknown_exhibit_is_refused_with_the_closest_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(("--data", str(tmp_path / "none"), "--bugs", "indexzero"))
    assert "index_zero" in capsys.readouterr().err
