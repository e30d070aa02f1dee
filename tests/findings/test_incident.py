"""The report of a finding of real size tells its story and nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from harness.findings.completed import complete
from harness.findings.diagram import diagram
from harness.findings.finding import Finding
from harness.findings.html import render_html
from harness.findings.markdown import render_markdown
from harness.findings.report import render_text, summary_line
from harness.findings.wording import columns
from harness.schedule.choices import Deviation
from tests.findings.incident import LIQUIDATED, MARKETS, incident


def section(name: str, following: str, finding: Finding | None = None) -> str:
    """One section of the report, in one line."""
    text = render_text(finding or incident(), full=True)
    return " ".join(text[text.index(name) : text.index(following)].split())


def test_changes_are_those_of_the_watched_value_and_never_whole_rows() -> None:
    text = render_text(incident())
    assert "    step 244  -2819.53434361 -> -2819.52949889  market_data#1: put all\n" in text
    assert "    step 589  -2819.52949889 -> 0               market_data#2: put all\n" in text
    assert "\n              target_stub/cloud/market_data.py:159\n" in text
    for noise in ("spot_usd=", "averages", "0E-8", "0.00000000"):
        assert noise not in text


def test_without_told_changes_the_field_is_found_in_the_rows() -> None:
    first = replace(incident().violation, changes=())
    text = render_text(replace(incident(), violations=(first, *incident().violations[1:])))
    assert "    step 589  -2819.52949889 -> 0  market_data#2: put all" in text
    assert "put all x3, funding_index -> 0" in text


def test_a_rule_that_says_only_rows_shows_the_fields_that_became_nothing() -> None:
    write = next(event for event in incident().history if event.step == 589)
    first = replace(
        incident().violation, changes=(), before=str(write.before), after=str(write.after)
    )
    text = render_text(replace(incident(), violations=(first,)))
    assert "step 589  funding_index=-2819.52949889 -> funding_index=0" in text
    assert "spot_usd" not in text


def test_the_money_comes_first_of_what_followed() -> None:
    followed = section("WHAT FOLLOWED", "WHY THIS ORDER")
    assert followed == (
        "WHAT FOLLOWED 12 more violations; worst: liquidations_are_justified "
        "step 742 41 accounts were liquidated that were not below their maintenance margin; "
        "59,794.10 USDC were taken from them. Worst: account-07 lost 3,255.69 USDC. Accounts: "
        "account-00, account-01 and 39 more. "
        "step 589 funding_index_step_is_bounded, also: ETH-USD-PERP, PAXG-USD-PERP, and all three "
        "in chain/markets "
        "step 589 nothing_reverts_to_a_default and nobody_writes_before_it_is_ready: BTC-USD-PERP, "
        "ETH-USD-PERP and PAXG-USD-PERP"
    )


def test_what_it_cost_is_said_at_once() -> None:
    first = render_text(incident()).split("\n\n")[1]
    assert "In this run 41 accounts lost 59,794.10 USDC, from step 742 on." in " ".join(
        first.split()
    )
    assert "-2819.52949889 -> 0 at step 589, 41 accounts lose 59,794.10 USDC (" in summary_line(
        incident()
    )


def test_the_same_rule_again_and_again_is_told_once() -> None:
    first = replace(incident().violation, resource="balance of alice")
    again = [replace(first, step=step) for step in (600, 610, 620, 630, 640, 650)]
    finding = replace(incident(), violations=(first, *again))
    assert section("WHAT FOLLOWED", "WHY THIS ORDER", finding).endswith(
        "funding_index_step_is_bounded again, at steps 600, 610, 620, 630 and 2 more"
    )


def test_the_lanes_are_those_of_the_story() -> None:
    heading, *rows, closing = diagram(incident())
    assert heading.split()[2:] == ["market_data", "database", "chain", "risk", "nemesis"]
    assert "trader" not in "".join(rows)
    assert "…" not in closing
    assert re.search(r"not shown: \d+ of \d+ events; publisher and \d more lanes$", closing)


def test_the_rows_tell_the_story_in_its_order() -> None:
    story = [
        (244, "#1 put all x3, funding_index -> -2819.52949889"),
        (411, "✖ maintenance: away (operator)"),
        (438, "● crash #1"),
        (450, "▲ #2 boot, hydrate"),
        (567, "▲ maintenance: over (operator)"),
        (568, "▲ #3 boot"),
        (589, "#2 put all x3, funding_index -> 0"),
        (595, "● publish BTC-USD-PERP -> 0"),
        (627, "● ready"),
        (742, "● liquidate 41 accounts"),
    ]
    lines = diagram(incident())[1:-1]
    rows = [line for line in lines if "left out" not in line]
    assert [int(line[3:8]) for line in rows] == [step for step, _ in story]
    for line, (_, words) in zip(rows, story, strict=True):
        assert words in line
    assert len(lines) - len(rows) <= 4


def test_a_store_that_is_away_has_no_line() -> None:
    history = tuple(event for event in incident().history if event.operation != "hydrate")
    lines = diagram(replace(incident(), history=history))
    spot = lines[0].index("database")
    down = [line.ljust(80)[spot] for line in lines if line[3:8].strip() in ("411", "450", "567")]
    assert down == ["✖", " ", "▲"]


def test_without_a_fault_who_published_gets_the_fifth_column() -> None:
    history = tuple(event for event in incident().history if event.kind != "fault")
    finding = replace(incident(), history=history, deviations=())
    lines = diagram(finding)
    assert lines[0].split()[2:] == ["market_data", "database", "publisher", "chain", "risk"]
    spots = [lines[0].index(name) for name in ("publisher", "chain")]
    row = next(line for line in lines if " 595 " in line)
    assert (row[spots[0]], row[spots[1] - 1 : spots[1] + 1]) == ("●", "▶│")


def test_a_schedule_that_was_not_shrunk_still_tells_the_story() -> None:
    many = tuple(
        Deviation(step, 1, f"trader{step % 4}: call", "oracle#1: run", f"trader{step % 4}")
        for step in range(50, 1300, 3)
    )
    finding = replace(incident(), deviations=(*many, *incident().deviations), counterfactuals=())
    lines = diagram(finding)
    assert next(line for line in lines if "crash #1" in line).startswith(">>")
    assert not any("trader" in line for line in lines[:-1])
    for words in ("crash #1", "funding_index -> 0", "liquidate 41 accounts"):
        assert any(words in line for line in lines)
    why = section("WHY THIS ORDER", "REPRODUCE", finding)
    assert "nemesis: crash restart of market_data" in why
    assert re.search(r"and \d+ more, all in the token", why)


@pytest.mark.parametrize("ascii", [False, True])
def test_the_report_is_short_and_narrow(ascii: bool) -> None:
    lines = render_text(incident(), ascii=ascii).splitlines()
    assert len(lines) <= 45
    assert max(map(columns, lines)) <= 80
    assert not ascii or all(line.isascii() for line in lines)


def test_the_full_report_says_what_the_short_one_leaves_out() -> None:
    short, full = render_text(incident()), render_text(incident(), full=True)
    for words in ("Held: ", "Conservation", "12 more violations", "liquidated that were not"):
        assert words in full
    assert "12 more violations; worst: liquidations_are_justified" in short
    assert "41 accounts lost" in " ".join(short.split()) and " -v  " in short
    for words in ("Held: ", "Conservation", "liquidated that were not"):
        assert words not in short
    full, _, events = full.partition("EVENTS  ")
    assert len(short.splitlines()) < len(full.splitlines()) <= 60
    told = re.findall(r"^(?:  |>>|!!) *\d+ +\d+  \w", events, re.MULTILINE)
    assert len(told) == len(complete(incident())) > 500


def test_all_rules_that_held_are_named_if_two_lines_hold_them() -> None:
    text = render_text(incident(), full=True)
    held = " ".join(text[text.index("Held:") : text.index("WHAT FOLLOWED")].split())
    assert held == f"Held: {', '.join(incident().held)}."
    many = replace(incident(), held=tuple(f"rule_number_{number}" for number in range(30)))
    lines = render_text(many, full=True).splitlines()
    start = next(number for number, line in enumerate(lines) if "Held:" in line)
    assert lines[start + 1].endswith(" more.")


def test_the_page_folds_what_is_not_the_story() -> None:
    text = render_html(incident())
    quiet, folds = text.count('<tr class="quiet">'), text.count('<tr class="fold">')
    rows = len(re.findall(r"<tr(?: class=\"(?:breaks|deviates)\")?><td class", text))
    assert quiet + rows == len(incident().history)
    assert rows == 10
    assert folds <= rows + 1
    assert 'id="every"' in text
    assert f"liquidate {LIQUIDATED} accounts" in text
    assert len(text) < 400_000


def test_the_page_shows_what_changed_in_a_row_and_cuts_long_values() -> None:
    words: list[str] = []

    class Words(HTMLParser):
        def handle_data(self, data: str) -> None:
            words.append(data)

    Words().feed(render_html(incident()))
    assert "funding_index: -2819.52949889 -> 0" in words
    assert not any("averages" in word for word in words)
    assert any(word.endswith(" characters in the saved file)") for word in words)


def test_markdown_tells_the_money_first() -> None:
    text = render_markdown(incident())
    assert text.index("**In this run 41 accounts lost 59,794.10 USDC") < text.index("Rule:")
    assert "all three in chain/markets" in text
    assert all(market in text for market in MARKETS)
