"""Reports say what broke first, fit the terminal, and print nothing that does not work."""

from __future__ import annotations

import shlex
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.findings import store
from harness.findings.anatomy import commands
from harness.findings.finding import Constraint, Counterfactual, Finding, StepName
from harness.findings.html import render_html
from harness.findings.markdown import render_markdown
from harness.findings.report import render_text, summary_line
from harness.findings.wording import columns
from harness.schedule.choices import Schedule
from tests.findings.generated import findings
from tests.findings.sample import TEST_ID, sample

SECTIONS = (
    "RACE  ",
    "WHAT FOLLOWED",
    "WHY THIS ORDER",
    "   step   ms",
    "REPRODUCE",
    "ABOUT THIS RUN",
)


@pytest.mark.parametrize("ascii", [False, True])
def test_the_report_fits_and_has_every_section_in_order(ascii: bool) -> None:
    lines = render_text(sample(), ascii=ascii, test_id=TEST_ID).splitlines()
    assert max(map(columns, lines)) <= 80
    assert len(lines) <= 50
    starts = [next(i for i, line in enumerate(lines) if line.startswith(s)) for s in SECTIONS]
    assert starts == sorted(starts)
    assert all(line == line.rstrip() for line in lines)
    if ascii:
        assert all(line.isascii() for line in lines)


def test_what_broke_is_said_in_money_words_before_anything_else() -> None:
    text = render_text(sample(), full=True)
    top = text[: text.index("WHY THIS ORDER")]
    words = " ".join(top.split())
    assert text.startswith("RACE  funding_index_step_is_bounded ")
    assert text.splitlines()[0].endswith("  broken at step 17 of 22")
    for part in (
        "a step of +2,819.53 USDC where 5 s allow 0.81.",
        "Rule: an index moves by at most",
        "every BTC long owes",
        "step  6  -2819.53000000 -> -2819.53434361  market_data#1: apply funding",
        "step 17  -2819.53434361 -> 0               market_data#2: persist index",
        "target_stub/cloud/market_data.py:131",
        "Conservation of cash held throughout: it cannot see this.",
    ):
        assert part in top
    assert "In this run 12 accounts lost 33,834.41 USDC, from step 22 on. Rule:" in words
    followed = words[words.index("WHAT FOLLOWED") :]
    assert "12 healthy accounts were liquidated at the index 0. 12 accounts lose" in followed
    assert "33,834.41 USDC: account-01, account-02 and 10 more." in followed


def test_a_value_of_zero_is_shown_before_it_was_written_to_a_file() -> None:
    history = tuple(
        replace(event, after=Decimal(0)) if event.step == 17 else event
        for event in sample().history
    )
    assert render_text(replace(sample(), history=history)) == render_text(sample())


def test_a_small_finding_needs_few_lines() -> None:
    finding = replace(
        sample(),
        violations=sample().violations[:1],
        deviations=sample().deviations[:1],
        history=sample().history[-9:],
    )
    assert len(render_text(finding).splitlines()) <= 45


@given(findings(events_max=12), st.booleans())
@settings(max_examples=200, deadline=None)
def test_every_finding_can_be_reported(finding: Finding, ascii: bool) -> None:
    text = render_text(finding, ascii=ascii, test_id=TEST_ID)
    assert text == render_text(finding, ascii=ascii, test_id=TEST_ID)
    for line in text.splitlines():
        assert columns(line) <= 80 or finding.token in line or line.startswith("      --race")
    assert "\x1b" not in text
    assert finding.violation.invariant in summary_line(finding)


def test_every_printed_command_works(tmp_path: Path) -> None:
    store.save(sample(), tmp_path)
    typed = [shlex.split(command) for command, _ in commands(sample(), TEST_ID)]
    verbs = [words[1] for words in typed if words[0] == "changeover"]
    assert verbs == ["replay", "replay", "report", "keep"]
    expected = Schedule.parse(sample().token)
    assert dict(expected.choices) == {one.step: one.choice for one in sample().deviations}
    for words in typed:
        if words[0] == "pytest":
            assert words[1:4] == ["tests/test_race.py", "-k", "race"]
            assert Schedule.parse(words[4].removeprefix("--race-replay=")) == expected
        elif "@" in words[2]:
            assert Schedule.parse(words[2]) == expected
        else:
            assert store.load(words[2], tmp_path).digest == sample().digest


def test_the_printed_lines_are_those_commands() -> None:
    text = render_text(sample(), test_id=TEST_ID).replace("\\\n", " ")
    printed = " ".join(text[text.index("REPRODUCE") :].split())
    for command, _ in commands(sample(), TEST_ID):
        assert command in printed


def test_a_path_with_a_blank_is_quoted() -> None:
    typed, _ = commands(sample(), "my tests/test_race.py::test_race[x]")[0]
    assert shlex.split(typed)[1] == "my tests/test_race.py"


def test_why_is_honest_about_what_was_checked() -> None:
    step = sample().deviations[0].step
    one = replace(sample(), deviations=sample().deviations[:1])
    holds = Counterfactual(step, "crash", "flush", True)
    breaks = replace(holds, holds=False)

    def why(finding: Finding) -> str:
        text = render_text(finding)
        between = text[text.index("WHY THIS ORDER") : text.index("   step   ms")]
        return " ".join(between.split())

    assert "1 of 22 choices is not" in why(one)
    assert "Swap these two and all invariants hold (checked)." in why(
        replace(one, counterfactuals=(holds,))
    )
    assert "Take the other one at step 11 and some rule still breaks (checked)." in why(
        replace(one, counterfactuals=(breaks,))
    )
    assert "Not checked" in why(replace(one, counterfactuals=()))
    both = (holds, replace(holds, step=15))
    assert "Take the other one at step 11 or 15 and all invariants hold (checked)." in why(
        replace(sample(), counterfactuals=both)
    )
    assert "first-in-first-out already breaks it" in why(
        replace(sample(), deviations=(), counterfactuals=())
    )
    assert "Plain trio can do this." in why(one)
    assert "Needs any order" in why(replace(one, order="any"))


def test_what_did_not_reproduce_does_not_call_itself_exact() -> None:
    assert "exact, 22 steps, 9 ms, same result 3 of 3 times" in render_text(sample())
    assert "NOT exact: same result 2 of 3 times" in render_text(replace(sample(), replays=(2, 3)))
    assert "not replayed yet" in render_text(replace(sample(), replays=(0, 0)))


def test_the_run_is_described() -> None:
    text = render_text(replace(sample(), variant={"guards": "none"}, reason="the first of them"))
    about = " ".join(text[text.index("ABOUT THIS RUN") :].split())
    for part in (
        "seed 4211 (profile dev)",
        "found at schedule 137 of 300 in 0.9 s by pct(3)",
        "shrunk 212 -> 22 steps, 19 -> 2 choices, 2 -> 1 restarts in 61 of 500 runs",
        "digest 9a02e1c7",
        "trio 0.35.0",
        "variant guards=none",
        "saved .changeover/findings/paradex-2026-01-19-9a02e1.json",
        "kept because: the first of them",
    ):
        assert part in about
    assert "(one-minimal)" in text
    budget = replace(sample().shrinking, ended_by="the time limit")
    text = render_text(replace(sample(), shrinking=budget))
    assert "shrinking ended: the time limit" in text
    assert "one-minimal" not in text


def test_the_summary_is_one_line_with_the_token() -> None:
    assert summary_line(sample()) == (
        "funding_index_step_is_bounded: -2819.53434361 -> 0 at step 17, "
        "12 accounts lose 33,834.41 USDC (paradex-2026-01-19@4211:11=3,15=2)"
    )


def test_why_says_what_had_to_come_before_what() -> None:
    put = StepName("market_data#2: put index", 1, "operation")
    get = StepName("market_data#2: get index", 3, "operation")
    crash = StepName("nemesis: crash restart of market_data", 1, "fault")
    flushed = StepName("market_data#1: run", 4)
    tick = StepName("clock for market_data#2: tick", 2, "timer")
    adds = StepName("risk: check", 2, "task", "write memory/risk/total")

    def why(*constraints: Constraint, tried: tuple[int, int] = (0, 0)) -> str:
        finding = replace(sample(), constraints=constraints, orders_tried=tried)
        text = render_text(finding)
        assert max(map(columns, text.splitlines())) <= 80
        between = text[text.index("WHY THIS ORDER") : text.index("   step   ms")]
        assert "ran before" not in between
        for page in (render_markdown(finding), render_html(finding)):
            assert "get index (3rd time)" in page
        return " ".join(between.split())

    one = Constraint(put, get, checked=True)
    assert "market_data#2: put index before get index (3rd time)" in why(one)
    assert "Without it all rules hold (checked). Plain trio can do this." in why(one)
    assert "In 9 of 10 other orders with it the rule breaks, too." in why(one, tried=(9, 10))
    both = why(one, Constraint(flushed, crash, True), Constraint(crash, put, True))
    assert (
        "nemesis: crash restart of market_data after market_data#1: step 4 of run "
        "and before market_data#2: put index" in both
    )
    assert "Without any one of these all rules hold (checked)." in both
    some = why(one, Constraint(tick, adds))
    assert "market_data#2: timer of tick (2nd time) before risk: check, write total (2nd" in some
    assert "Without 1 of these 2, each alone, all rules hold (checked); the others are" in some
    assert "Not checked" in why(replace(one, checked=False))


def test_the_constraints_are_told_in_fewer_lines_than_the_choices() -> None:
    constraints = (
        Constraint(
            StepName("market_data#2: put index", 1, "operation"),
            StepName("market_data#2: get index", 1, "operation"),
            checked=True,
        ),
    )
    told = render_text(replace(sample(), constraints=constraints)).splitlines()
    assert len(told) < len(render_text(sample()).splitlines())
