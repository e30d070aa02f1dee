"""The finding for GitHub: a step summary in Markdown, and one annotation at the line that broke it.

Text of the target is escaped, so that it cannot end a code block, open a tag or smuggle in a
workflow command.
"""

from __future__ import annotations

import re

from harness.findings.aftermath import blast_radius, cost, followed, followed_headline, losses
from harness.findings.anatomy import (
    about,
    commands,
    exactness,
    held,
    order_headline,
    summary_line,
    telling_deviations,
    what_broke,
    where,
)
from harness.findings.diagram import diagram
from harness.findings.finding import Finding
from harness.findings.reasons import grounds, orders
from harness.findings.watched import changes
from harness.findings.wording import one_line, place_of, sentence

#: A summary of a pull request names so many choices; the token holds all of them.
DEVIATIONS_MAX = 12

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&]|^[#+-]|(?<=^\d)[.)])")


def render_markdown(finding: Finding, *, test_id: str | None = None) -> str:
    """The report as Markdown: headings of the third level, the facts of the run folded."""
    broke, *reasons = what_broke(finding.violation)
    bold = (cost(finding), sentence(losses(finding.violation)), blast_radius(finding))
    green = (*map(sentence, finding.notes), held(finding, most=len(finding.held)))
    blocks = [
        f"### RACE {code(finding.violation.invariant)} {where(finding)}",
        escaped(broke),
        *(f"**{escaped(loss)}**" for loss in bold if loss),
        *(escaped(reason) for reason in reasons),
        _table(finding),
        *(escaped(text) for text in green),
        _followed(finding),
        _why(finding),
        fenced(diagram(finding)),
        f"### Reproduce\n\n{escaped(exactness(finding))}",
        fenced([command for command, _ in commands(finding, test_id)], "sh"),
        _folded(finding),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def github_annotation(finding: Finding) -> str:
    """One ``::error`` line that GitHub shows at the file and line of the violation."""
    violation = finding.violation
    place = place_of(violation.site)
    properties = {"title": one_line(violation.invariant)}
    if place is not None:
        properties = {"file": place.path, "line": str(place.line), **properties}
    listed = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    message = (
        f"{what_broke(violation)[0]}\n{summary_line(finding)}\nchangeover replay {finding.token}"
    )
    return f"::error {listed}::{_data(message)}"


def escaped(text: str) -> str:
    """The text as Markdown that shows exactly it."""
    return _SPECIAL.sub(r"\\\1", one_line(text))


def code(text: str) -> str:
    """The text as a code span, whatever it holds."""
    clean = one_line(text)
    ticks = "`" * (1 + max(map(len, re.findall("`+", clean)), default=0))
    blank = " " if clean.startswith("`") or clean.endswith("`") else ""
    return f"{ticks}{blank}{clean}{blank}{ticks}"


def fenced(lines: list[str], language: str = "text") -> str:
    """The lines as a code block that nothing inside can end."""
    body = "\n".join(lines)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", body)), default=0))
    return f"{fence}{language}\n{body}\n{fence}"


def _table(finding: Finding) -> str:
    rows = [
        f"| {row.step} | {_cell(row.before)} | {_cell(row.after)} | {_cell(row.actor)} "
        f"| {_cell(row.site)} |"
        for row in changes(finding)
    ]
    head = ["| step | before | after | by | at |", "| ---: | --- | --- | --- | --- |"]
    return "\n".join(head + rows) if rows else ""


def _cell(text: str) -> str:
    return code(text.replace("|", "\\|")) if text else ""


def _followed(finding: Finding) -> str:
    lines = [f"- step {one.step}: {escaped(one.text)}" for one in followed(finding)]
    if not lines:
        return ""
    return "\n".join((f"### What followed\n\n{escaped(followed_headline(finding))}\n", *lines))


def _why(finding: Finding) -> str:
    lines = [f"### Why this order\n\n{escaped(order_headline(finding))}\n"]
    lines += [f"- {code(step)} {escaped(when)}" for step, when in orders(finding.constraints)]
    lines += [
        f"- step {one.step}: {code(one.doing)} ran before {code(one.first or 'option 0')}"
        for one in telling_deviations(finding, DEVIATIONS_MAX)
    ]
    left = len(finding.deviations) - DEVIATIONS_MAX
    lines += [f"- and {left:,} more, all in the token"] if left > 0 else []
    return "\n".join(lines) + "\n\n" + escaped(" ".join(grounds(finding)))


def _folded(finding: Finding) -> str:
    facts = "\n".join(f"- {escaped(fact)}" for fact in about(finding))
    return f"<details><summary>About this run</summary>\n\n{facts}\n\n</details>"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
