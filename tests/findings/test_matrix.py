"""The matrix of restart phases and writes on a terminal and in Markdown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.coverage import PROGRESS, cell, mark, matrix_of
from harness.findings.matrix import matrix_markdown, render_matrix
from harness.findings.wording import columns
from tests.engine.settings import examples

COVERED = {
    cell("ledger", "crash", "hydrate", "put db/books", "sent"): 12,
    cell("ledger", "crash", "down", "put db/books", "sent"): 3,
    cell("ledger", "crash", "down", "put db/books", "done"): 2,
    cell("ledger", "rolling", "drain+ready", "put db/books", "told"): 1,
    cell("ledger", "rolling", "ready+boot", "send net/orders", "done"): 4,
    mark("the end"): 9,
}


def test_it_shows_phases_down_in_the_order_of_a_life_and_writes_across() -> None:
    assert render_matrix(matrix_of(COVERED)) == [
        "                                  a      b",
        "                                  s d t  d",
        "    ledger crash    down          3 2 .  .",
        "    ledger crash    hydrate      12 . .  .",
        "    ledger rolling  drain+ready   . . 1  .",
        "    ledger rolling  ready+boot    . . .  4",
        "    a put db/books, b send net/orders",
    ]


def test_markdown_shows_all_of_it() -> None:
    assert matrix_markdown(matrix_of(COVERED)).splitlines() == [
        "| restart | phase | put db/books | send net/orders |",
        "| --- | --- | --- | --- |",
        "| ledger crash | down | 3 2 . | . . . |",
        "| ledger crash | hydrate | 12 . . | . . . |",
        "| ledger rolling | drain+ready | . . 1 | . . . |",
        "| ledger rolling | ready+boot | . . . | . 4 . |",
        "",
        "In how many runs: sent done told.",
    ]
    assert matrix_markdown(matrix_of({})) == ""


def test_nothing_covered_is_no_matrix() -> None:
    assert render_matrix(matrix_of({mark("the end"): 3})) == []


NAMES = st.text(st.characters(exclude_characters="|"), min_size=1, max_size=30)
CELLS = st.builds(
    cell,
    st.sampled_from(("a", "market_data", "a service with a very long name")),
    st.sampled_from(("crash", "rolling", "stop")),
    st.sampled_from(("down", "boot", "hydrate", "ready+ready", "repair of a repair+ready")),
    NAMES,
    st.sampled_from(PROGRESS),
)


@given(st.dictionaries(CELLS, st.integers(1, 10**7), min_size=1, max_size=60))
@examples(200)
def test_however_large_it_fits_a_terminal_and_says_what_it_leaves_out(
    covered: dict[str, int],
) -> None:
    matrix = matrix_of(covered)
    lines = render_matrix(matrix)
    assert 0 < len(lines) <= 15
    assert all(columns(line) <= 80 for line in lines), lines
    writes = len({write for write, _ in matrix.columns})
    letters = lines[0].split()
    hidden = (len(matrix.rows) > 8) or writes > len(letters)
    assert lines[-1].startswith("    and ") == hidden
