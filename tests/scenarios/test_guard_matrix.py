"""Bug by guard: the document is what the data say, and the data are what one gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenarios.guard_matrix import (
    AVOIDS,
    DATA,
    DOCUMENT,
    LETS,
    NEEDED,
    STOPS,
    Line,
    guarded,
    line_of,
    load,
    main,
    markdown,
    save,
)
from target_stub.bugs import BUGS
from target_stub.guards import GUARDS

#: A bug of the books, which costs little to find: no guard has anything to say of it.
QUICK = "acknowledged_then_lost"


def test_the_document_is_what_the_data_say() -> None:
    assert DOCUMENT.read_text() == markdown(load(DATA))


def test_a_bug_in_the_matrix_is_there_with_what_every_guard_does() -> None:
    lines = load(DATA)
    assert set(lines) <= set(guarded())
    for name, line in lines.items():
        assert list(line.outcomes) == list(GUARDS)
        assert set(line.outcomes.values()) <= {STOPS, LETS, AVOIDS, NEEDED}
        needed = {guard for guard, outcome in line.outcomes.items() if outcome == NEEDED}
        assert needed == set(BUGS[name].guards)


def test_a_line_is_what_one_gets_when_the_schedule_is_searched_again() -> None:
    line = line_of(QUICK)
    assert line is not None
    assert line == load(DATA)[QUICK]
    assert set(line.outcomes.values()) == {LETS}
    assert not line.first


def test_the_guards_that_are_there_for_market_values_stop_what_would_have_moved_them() -> None:
    line = load(DATA)["index_zero"]
    assert line.outcomes["write_bound"] == STOPS
    assert line.first in GUARDS


def test_lines_survive_being_saved_and_the_command_repeats_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, document = tmp_path / "lines.jsonl", tmp_path / "matrix.md"
    line = Line(bug=QUICK, choices=3, outcomes=dict.fromkeys(GUARDS, LETS), first="")
    save({QUICK: line}, data)
    assert load(data) == {QUICK: line}
    paths = ("--data", str(data), "--document", str(document))
    assert main((*paths, "--bugs", QUICK)) == 0
    assert capsys.readouterr().out == ""
    assert f"| `{QUICK}` | 3 |" in document.read_text()


def test_an_unknown_bug_is_refused_with_the_closest_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(("--bugs", "indexzero"))
    assert "index_zero" in capsys.readouterr().err
