"""The diagram fits, shows what matters, and never pretends that it is the whole run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.findings.diagram import diagram
from harness.findings.finding import Finding
from harness.findings.wording import columns, short_number, shortened
from harness.history import Event
from harness.schedule.choices import Deviation
from tests.findings.generated import findings
from tests.findings.sample import sample

SIGNS = "●✖▲"


def row(lines: list[str], step: int) -> str:
    """The row of a step."""
    return next(line for line in lines if line[3:8].strip() == str(step))


def run(*events: Event, step: int = 2, deviations: tuple[Deviation, ...] = ()) -> Finding:
    """The sample with another history."""
    violation = replace(
        sample().violation, step=step, lane="market_data#2", resource="", before="", after=""
    )
    return replace(
        sample(), history=events, violations=(violation,), deviations=deviations, steps=step
    )


@given(findings(), st.booleans())
@settings(max_examples=300, deadline=None)
def test_no_line_is_wider_than_78_columns(finding: Finding, ascii: bool) -> None:
    lines = diagram(finding, ascii=ascii)
    assert max(map(columns, lines)) <= 78
    assert len(lines) <= 1 + 16 + 4 + 1
    if ascii:
        assert all(line.isascii() for line in lines)
    assert sum(line.startswith("!!") for line in lines) == 1


@given(findings(events_max=8))
@settings(max_examples=100, deadline=None)
def test_both_alphabets_draw_the_same_picture(finding: Finding) -> None:
    plain, drawn = diagram(finding, ascii=True), diagram(finding)
    assert [columns(line) for line in plain] == [columns(line) for line in drawn]


def test_the_heading_names_at_most_five_lanes() -> None:
    lines = diagram(sample())
    assert lines[0].split()[2:] == ["market_data", "database", "chain", "risk", "nemesis"]
    assert lines[-1].split("; ")[1] == "publisher, operator and clock"


def test_marks_stand_at_the_deviations_and_at_the_violation() -> None:
    lines = diagram(sample())
    assert [line[:2] for line in lines if line[:2].strip()] == [">>", ">>", "!!"]
    assert row(lines, 11).startswith(">>")
    assert row(lines, 17).startswith("!!")
    assert "✖" in row(lines, 17)
    assert "-> 0" in row(lines, 17)


def test_a_crash_and_a_restart_strike_the_service() -> None:
    lines = diagram(sample())
    spot = lines[0].index("market_data")
    assert row(lines, 11)[spot] == "✖"
    assert row(lines, 12)[spot] == "▲"
    assert row(lines, 11)[spot + 1] == "◀"
    assert row(lines, 11).rstrip().endswith("● crash #1")
    assert "● restart #2" in row(lines, 12)
    assert row(diagram(sample(), ascii=True), 11)[spot : spot + 3] == "X<-"


def test_the_line_of_a_service_is_missing_while_it_is_down() -> None:
    finding = run(
        Event(1, 0, "market_data#1", "note", "work"),
        Event(2, 0, "nemesis", "fault", "crash", peer="market_data#1"),
        Event(3, 0, "risk", "note", "look away"),
        Event(4, 0, "market_data#1", "write", "orphan write", peer="database"),
        Event(5, 0, "risk", "note", "look away"),
        Event(6, 0, "market_data#2", "phase", "boot"),
        Event(7, 0, "risk", "note", "look back"),
        step=6,
    )
    lines = diagram(finding)
    spot = lines[0].index("market_data")
    assert "".join(line.ljust(80)[spot] for line in lines[1:8]) == "●✖ ● ✖│"


def test_an_older_incarnation_does_not_take_the_newer_one_down() -> None:
    finding = run(
        Event(1, 0, "market_data#1", "note", "work"),
        Event(2, 0, "market_data#2", "phase", "boot"),
        Event(3, 0, "nemesis", "fault", "kill", peer="market_data#1"),
        Event(4, 0, "risk", "note", "look"),
    )
    lines = diagram(finding)
    assert row(lines, 4)[lines[0].index("market_data")] == "│"


def test_arrows_lead_to_the_other_party_and_back() -> None:
    finding = run(
        Event(1, 0, "market_data#2", "write", "put", peer="database"),
        Event(2, 0, "market_data#2", "read", "get", peer="database"),
        Event(3, 0, "risk", "send", "ask", peer="database"),
        Event(4, 0, "risk", "receive", "hear", peer="database"),
    )
    lines = diagram(finding)
    middle = lines[0].index("database")
    assert row(lines, 1)[middle - 1 :].startswith("▶│")
    assert "● put ─" in row(lines, 1)
    assert row(lines, 2)[: middle + 1].rstrip().endswith("─│")
    assert "get ◀─" in row(lines, 2)
    assert row(lines, 3)[middle:].startswith("│◀─")
    assert row(lines, 4)[middle:].startswith("│─")
    assert "▶● hear" in row(lines, 4)


def test_what_is_left_out_is_counted() -> None:
    noise = [Event(step, step, "risk", "note", f"look {step}") for step in range(20, 60)]
    first = Event(1, 0, "market_data#2", "phase", "boot")
    last = Event(90, 99, "market_data#2", "write", "write index", after="0", peer="database")
    deviation = Deviation(70, 1, "nemesis: crash risk", "risk: look 59")
    lines = diagram(run(first, *noise, last, step=90, deviations=(deviation,)))
    events = len(noise) + 3
    told = sum(line[3:8].strip().isdigit() for line in lines)
    assert lines[-1].strip() == f"not shown: {events - told} of {events} events"
    gaps = [place for place, line in enumerate(lines) if "left out" in line]
    assert gaps
    for place in gaps:
        before, after = (int(lines[beside][3:8]) for beside in (place - 1, place + 1))
        assert f" {after - before - 1} steps left out" in lines[place]
    assert row(lines, 70).startswith(">>")
    assert "crash" in row(lines, 70)
    assert row(lines, 90).startswith("!!")


def test_a_run_without_events_still_shows_what_is_known() -> None:
    lines = diagram(replace(sample(), history=()))
    assert row(lines, 11).startswith(">>")
    assert row(lines, 17).startswith("!!")


def test_long_times_are_shown_in_seconds() -> None:
    finding = run(Event(2, 3_600_000, "market_data#2", "note", "an hour later"))
    assert diagram(finding)[0].split()[:2] == ["step", "s"]
    assert " 3600 " in diagram(finding)[1]


def test_long_names_stay_different() -> None:
    finding = run(
        *(
            Event(2, 0, f"a_very_long_service_name_{coin}", "note", "x")
            for coin in ("btc", "eth", "sol", "xrp", "ada")
        )
    )
    assert len(set(diagram(finding)[0].split()[2:])) == 5


@given(st.text(), st.integers(0, 40))
def test_shortening_fits_and_is_marked(text: str, room: int) -> None:
    short = shortened(text, room)
    assert columns(short) <= room
    assert short == text or room == 0 or "…" in short


@pytest.mark.parametrize(
    ("number", "short"),
    [
        ("-2819.53434361", "-2819.53…"),
        ("0.00037500", "0.00037500"),
        ("12.5", "12.5"),
        ("1,000.123456", "1,000.12…"),
        ("9a02e1.77777", "9a02e1.77777"),
    ],
)
def test_a_short_number_never_looks_like_another(number: str, short: str) -> None:
    assert short_number(number) == short
