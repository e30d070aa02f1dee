"""What a broken run did to people is in every form of a finding, in the words of the scenario."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import trio

from harness.engine import Run, execute
from harness.findings.finding import Fact
from harness.findings.html import render_html
from harness.findings.markdown import render_markdown
from harness.findings.report import render_text
from harness.findings.serial import dumps, loads
from harness.invariants import Broken
from harness.scenario import scenario
from harness.world.world import World
from tests.findings.incident import incident

FACTS = (
    Fact("accounts touched", "246"),
    Fact("wrongful liquidations", "42"),
    Fact("moved", "153,776.15 USDC"),
    Fact("refund owed", "70,537.27 USDC"),
    Fact("worst account", "andrew24-74 (3,709.26 USDC)"),
)
TOLD = (
    "Blast radius: accounts touched 246, wrongful liquidations 42, moved 153,776.15 USDC, refund "
    "owed 70,537.27 USDC, worst account andrew24-74 (3,709.26 USDC)."
)


def words(text: str) -> str:
    """A text in one line."""
    return " ".join(text.split())


def test_the_short_report_has_it_instead_of_other_sums_and_stays_short() -> None:
    finding = replace(incident(), blast_radius=FACTS)
    before, text = render_text(incident()), render_text(finding)
    assert TOLD in words(text)
    assert "41 accounts lost" in words(before) and "41 accounts lost" not in words(text)
    assert "Rule: an index moves by what the rate allows." in words(text)
    assert len(text.splitlines()) <= 45
    assert len(text.splitlines()) <= len(before.splitlines()) + 1


def test_the_full_report_and_every_other_form_have_it_besides_the_rest() -> None:
    finding = replace(incident(), blast_radius=FACTS)
    for text in (
        render_text(finding, full=True),
        render_markdown(finding).replace("\\", ""),
        render_html(finding),
    ):
        assert TOLD in words(text)
        assert "41 accounts lost 59,794.10 USDC" in words(text)
    assert loads(dumps(finding)) == finding


def test_a_finding_without_measures_says_nothing_of_it() -> None:
    for text in (render_text(incident()), render_markdown(incident()), render_html(incident())):
        assert "Blast radius" not in text


def measured(*facts: Fact, breaks: bool = True, error: Exception | None = None) -> Run:
    """A run whose scenario measures these facts, or cannot."""

    @scenario(name="measured")
    async def story(world: World) -> None:
        def measure() -> Sequence[Fact]:
            if error is not None:
                raise error
            return facts

        def rule() -> None:
            if breaks:
                raise Broken("it broke")

        world.measure(measure)
        world.invariant(name="rule", at_end=True)(rule)
        await trio.sleep(1)

    return execute(story, seed=1)


def test_only_a_broken_run_is_measured() -> None:
    assert measured(Fact("accounts", "3")).blast_radius == (Fact("accounts", "3"),)
    assert measured(Fact("accounts", "3"), breaks=False).blast_radius == ()


def test_what_cannot_be_measured_is_said() -> None:
    (fact,) = measured(error=LookupError("no price")).blast_radius
    assert fact == Fact("not measured", "(LookupError: no price)")
