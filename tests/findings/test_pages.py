"""Markdown, annotation and HTML show what the target said and nothing that it smuggled in."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

from hypothesis import given, settings

from harness.findings.finding import Finding
from harness.findings.html import render_html
from harness.findings.markdown import code, fenced, github_annotation, render_markdown
from harness.history import Event
from tests.findings.generated import findings
from tests.findings.sample import TEST_ID, sample

NASTY = "<script>alert(1)</script> ```\n::error::x | [a](b) & %"


class Page(HTMLParser):
    """Collects tags, text and classes, and checks that tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.classes: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.classes += [value or "" for name, value in attrs if name == "class"]
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def parsed(text: str) -> Page:
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    return page


def nasty() -> Finding:
    violation = replace(
        sample().violation, message=NASTY, before=NASTY, site=f"a,b:c%/{NASTY}.py:7 x"
    )
    event = Event(17, 1, NASTY, "note", NASTY, resource=NASTY, value=NASTY, peer=NASTY)
    return replace(sample(), violations=(violation,), history=(*sample().history, event))


def test_the_page_has_every_lane_and_every_event_and_loads_nothing() -> None:
    page = parsed(render_html(sample(), test_id=TEST_ID))
    assert page.addresses == []
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    words = "\n".join(page.words)
    for event in sample().history:
        assert event.lane in words
        assert event.operation in words
    assert page.tags.count("tr") == len(sample().history) + 1 + 3
    assert page.classes.count("breaks") == 1
    assert page.classes.count("deviates") == 2


def test_steps_without_events_are_marked_all_the_same() -> None:
    page = parsed(render_html(replace(sample(), history=())))
    assert page.classes.count("breaks") == 1
    assert page.classes.count("deviates") == 2


def test_the_page_escapes_what_the_target_said() -> None:
    text = render_html(nasty())
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    parsed(text)


@given(findings(events_max=10))
@settings(max_examples=80, deadline=None)
def test_every_finding_makes_pages(finding: Finding) -> None:
    parsed(render_html(finding))
    assert render_markdown(finding).startswith("### RACE ")
    assert len(github_annotation(finding).splitlines()) == 1


def test_markdown_has_headings_a_diagram_and_folded_facts() -> None:
    text = render_markdown(sample(), test_id=TEST_ID)
    headings = [line[4:] for line in text.splitlines() if line.startswith("### ")]
    assert headings[1:] == ["What followed", "Why this order", "Reproduce"]
    assert text.count("```") == 4
    assert "<details><summary>About this run</summary>" in text
    assert "| 17 | `-2819.53434361` | `0` |" in text


def test_markdown_cannot_be_broken_out_of() -> None:
    text = render_markdown(nasty())
    outside = re.sub(r"(`{3,})\w+\n.*?\n\1|(`+)[^\n]*?\2", "", text, flags=re.DOTALL)
    assert not re.search(r"(?<!\\)<script", outside)
    assert code("a `` b").startswith("```a")
    assert fenced(["```", "x"]).splitlines()[0] == "````text"


def test_the_annotation_is_one_line_at_the_place() -> None:
    line = github_annotation(sample())
    assert line.startswith(
        "::error file=target_stub/cloud/market_data.py,line=131,"
        "title=funding_index_step_is_bounded::"
    )
    assert line.endswith(f"%0Achangeover replay {sample().token}")


def test_the_annotation_escapes_properties_and_text() -> None:
    violation = replace(
        sample().violation, message="50% of\r\nit", site="a,b:c%d.py:7 x", invariant="one: two"
    )
    line = github_annotation(replace(sample(), violations=(violation,)))
    assert line.startswith("::error file=a%2Cb%3Ac%25d.py,line=7,title=one%3A two::50%25 of it.")
    assert "\n" not in line


def test_a_violation_without_a_place_has_no_file() -> None:
    violation = replace(sample().violation, site="")
    line = github_annotation(replace(sample(), violations=(violation,)))
    assert line.startswith("::error title=funding_index_step_is_bounded::")
