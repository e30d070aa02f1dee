"""What each guard does to the schedules of the incident, computed and never written down."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pytest

from scenarios.guard_table import (
    COLUMNS,
    WRONG_VALUES,
    Case,
    Row,
    as_markdown,
    as_text,
    find_cases,
    table_of,
)
from target_stub.guards import GUARDS

DOCUMENT = Path(__file__).parents[2] / "docs" / "guards.md"


@lru_cache(maxsize=2)
def cases(bug: str) -> tuple[Case, ...]:
    """One schedule of a bug that cost people money, made minimal."""
    return tuple(find_cases(bug, count=1, seeds=range(3, 9), search=60, shrink_runs=120))


@lru_cache(maxsize=2)
def rows(bug: str) -> dict[str, Row]:
    """The table of that schedule by the name of the guard."""
    return {row.guards: row for row in table_of(cases(bug))}


@pytest.mark.parametrize("bug", WRONG_VALUES)
def test_the_guard_table_has_every_guard_and_all_and_none(bug: str) -> None:
    assert list(rows(bug)) == [*GUARDS, "all", "none"]


@pytest.mark.parametrize("bug", WRONG_VALUES)
def test_what_the_guards_do_to_a_schedule_of_the_incident(bug: str) -> None:
    outcome = {guards: row.outcomes[0] for guards, row in rows(bug).items()}
    unguarded = outcome["none"]
    assert unguarded.committed
    assert unguarded.published
    assert unguarded.accounts > 0
    assert unguarded.taken_usdc > 0
    assert unguarded.since_ms is not None
    # The write bound alone keeps the wrong value out of the database, and so do all together.
    for guards in ("write_bound", "all"):
        assert not outcome[guards].committed
        assert not outcome[guards].published
        assert not outcome[guards].accounts
    # The fence stops who has not hydrated; it cannot know that a price is missing.
    assert outcome["epoch_fence"].committed == (bug == "price_zero")
    # The checkpoint stops what is committed already, the double-check what is published already.
    assert outcome["checkpoint"].committed
    assert not outcome["checkpoint"].published
    assert not outcome["checkpoint"].accounts
    assert outcome["double_check"].published
    assert not outcome["double_check"].accounts
    # The mode gate keeps nobody's value right; who is liquidated after all is so later.
    gated = outcome["mode_gate"]
    assert gated.committed
    assert gated.published
    assert gated.since_ms is None or gated.since_ms >= unguarded.since_ms


@pytest.mark.parametrize("bug", WRONG_VALUES)
def test_the_first_guard_to_refuse_is_the_first_that_would_have_stopped_it_alone(bug: str) -> None:
    table = rows(bug)
    first = [guard for guard in GUARDS if table[guard].first]
    assert first == [table["all"].outcomes[0].stopped_by]
    alone = [guard for guard in GUARDS if not table[guard].outcomes[0].committed]
    assert first == alone[:1]


def test_the_table_is_printed_in_80_columns_and_as_markdown() -> None:
    table = list(rows("index_zero").values())
    lines = as_text(table).splitlines()
    assert len(lines) == len(GUARDS) + 3
    assert max(map(len, lines)) <= 80
    marked = as_markdown(table).splitlines()
    assert len(marked) == len(lines) + 1
    assert all(line.count("|") == len(COLUMNS) + 1 for line in marked)


def test_the_document_names_every_guard_in_words_and_in_its_tables() -> None:
    lines = DOCUMENT.read_text().splitlines()
    assert [line for line in lines if line.startswith("- `")] == [
        f"- `{guard}`: {text}" for guard, text in GUARDS.items()
    ]
    for guard in (*GUARDS, "all", "none"):
        assert sum(line.startswith(f"| {guard} |") for line in lines) == len(WRONG_VALUES)
