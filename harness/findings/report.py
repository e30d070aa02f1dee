"""The failure report of the terminal: eighty columns, about forty-five lines, one finding.

What broke comes first, in money words; then why this order and no other, the diagram, what to
type, and the facts of the run. Only a token may be longer than a line, because it must survive
copy and paste.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.findings.anatomy import (
    Change,
    about,
    changes,
    commands,
    counterfactual_sentences,
    exactness,
    followed_headline,
    losses,
    order_headline,
    order_sentence,
    stayed_green,
    summary_line,
    what_broke,
    where,
)
from harness.findings.diagram import diagram
from harness.findings.finding import Finding
from harness.findings.wording import (
    columns,
    one_line,
    only_ascii,
    sentence,
    short_path,
    shortened,
    wrapped,
)
from harness.schedule.choices import Deviation

__all__ = ["render_text", "summary_line"]

WIDTH = 80
_DEVIATIONS_MAX = 6
_FOLLOWED_MAX = 3
_HELD_MAX = 4
_HEADING_WIDTH = 20


def render_text(
    finding: Finding, *, ascii: bool = False, width: int = WIDTH, test_id: str | None = None
) -> str:
    """The report of a finding as lines of text, in ASCII if asked."""
    width = max(width, 60)
    blocks = (
        _title(finding, width),
        _broken(finding, width),
        _followed(finding, width),
        _why(finding, width),
        diagram(finding, width=min(width - 2, 78)),
        _reproduce(finding, test_id, width),
        _about(finding, width),
    )
    text = "\n\n".join("\n".join(block) for block in blocks if block) + "\n"
    return "\n".join(map(only_ascii, text.split("\n"))) if ascii else text


def heading(name: str, aside: str, width: int) -> list[str]:
    """A section's heading, with what is to be known at once beside or below it."""
    line = f"{name:<{_HEADING_WIDTH}}{one_line(aside)}".rstrip()
    if columns(line) <= width:
        return [line]
    return [name, *wrapped(aside, width, indent="    ")]


def _title(finding: Finding, width: int) -> list[str]:
    name, place = f"RACE  {one_line(finding.violation.invariant)}", where(finding)
    room = width - columns(name) - len(place)
    if room >= 2:
        return [name + " " * room + place]
    return [shortened(name, width), f"{place:>{width}}"]


def _broken(finding: Finding, width: int) -> list[str]:
    lines = []
    for paragraph in what_broke(finding.violation):
        lines += wrapped(paragraph, width)
    table = _table(changes(finding), width)
    lost = losses(finding.violation)
    green = stayed_green(finding, most=_HELD_MAX)
    lines += ["", *table] if table else []
    lines += wrapped(lost, width, indent="    ") if lost else []
    lines += [""] if green else []
    for paragraph in green:
        lines += wrapped(paragraph, width)
    return lines


def _table(rows: Sequence[Change], width: int) -> list[str]:
    """The changes in one line each if all fit, otherwise the site below its change."""
    if not rows:
        return []
    steps = max(len(str(row.step)) for row in rows)
    before = max(columns(row.before) for row in rows)
    after = max(columns(row.after) for row in rows)
    actor = max(columns(row.actor) for row in rows)
    whole, folded = [], []
    for row in rows:
        step = f"    step {row.step:>{max(steps, 2)}}  "
        change = f"{_padded(row.before, before)} -> {_padded(row.after, after)}"
        whole.append(f"{step}{change}  {_padded(row.actor, actor)}  {row.site}".rstrip())
        room = max(width - columns(step), 20)
        folded += _folded(row, step, change, room)
    return whole if all(columns(line) <= width for line in whole) else folded


def _folded(row: Change, step: str, change: str, room: int) -> list[str]:
    by = [row.actor] if row.actor else []
    lines = [f"{change}  {row.actor}".rstrip()]
    if columns(lines[0]) > room:
        lines = [change.strip(), *(shortened(text, room) for text in by)]
    if columns(lines[0]) > room:
        lines = [shortened(row.before, room), shortened(f"-> {row.after}", room), *lines[1:]]
    lines += [short_path(row.site, room)] if row.site else []
    blank = " " * columns(step)
    return [f"{blank if number else step}{line}" for number, line in enumerate(lines)]


def _padded(text: str, room: int) -> str:
    return text + " " * (room - columns(text))


def _followed(finding: Finding, width: int) -> list[str]:
    later = finding.violations[1:]
    if not later:
        return []
    lines = heading("WHAT FOLLOWED", followed_headline(finding), width)
    for violation in later[:_FOLLOWED_MAX]:
        step = f"    step {violation.step:>2}  "
        words = f"{violation.invariant}: {sentence(violation.message)}"
        lines += _clipped(wrapped(words, width, indent=step, hanging=" " * len(step)), 2)
        lost = losses(violation)
        lines += wrapped(lost, width, indent=" " * len(step)) if lost else []
    if len(later) > _FOLLOWED_MAX:
        lines.append(f"    and {len(later) - _FOLLOWED_MAX} more, all in the saved file")
    return lines


def _clipped(lines: list[str], most: int) -> list[str]:
    if len(lines) <= most:
        return lines
    return [*lines[: most - 1], shortened(lines[most - 1], len(lines[most - 1]) - 2) + " …"]


def _why(finding: Finding, width: int) -> list[str]:
    lines = heading("WHY THIS ORDER", order_headline(finding), width)
    lines += _deviations(finding.deviations[:_DEVIATIONS_MAX], width)
    more = len(finding.deviations) - _DEVIATIONS_MAX
    if more > 0:
        lines.append(f"    and {more} more, all in the token")
    for text in (*counterfactual_sentences(finding), order_sentence(finding)):
        lines += wrapped(text, width, indent="    ")
    return lines


def _deviations(deviations: Sequence[Deviation], width: int) -> list[str]:
    if not deviations:
        return []
    pairs = [
        (
            f"    step {one.step:>2}    ",
            one_line(one.taken) or f"option {one.choice}",
            one_line(one.first) or "option 0",
        )
        for one in deviations
    ]
    room = max(columns(taken) for _, taken, _ in pairs)
    whole = [f"{step}{_padded(taken, room)}   ran before   {first}" for step, taken, first in pairs]
    if all(columns(line) <= width for line in whole):
        return whole
    folded = []
    for step, taken, first in pairs:
        folded.append(step + shortened(taken, width - len(step)))
        folded.append(" " * len(step) + shortened(f"ran before  {first}", width - len(step)))
    return folded


def _reproduce(finding: Finding, test_id: str | None, width: int) -> list[str]:
    lines = heading("REPRODUCE", exactness(finding), width)
    for command, purpose in commands(finding, test_id):
        line = f"    {command:<36} {purpose}".rstrip()
        lines.append(line if len(line) <= width else f"    {command}")
        if len(lines[-1]) > width and " " in command:
            start, _, last = command.rpartition(" ")
            lines[-1:] = [f"    {start} \\", f"      {last}"]
    return lines


def _about(finding: Finding, width: int) -> list[str]:
    lines = ["ABOUT THIS RUN"]
    line = ""
    for fact in about(finding):
        joined = f"{line}   {fact}" if line else f"    {fact}"
        if line and columns(joined) > width:
            lines += _fitted(line, width)
            joined = f"    {fact}"
        line = joined
    return lines + _fitted(line, width)


def _fitted(line: str, width: int) -> list[str]:
    return [line] if columns(line) <= width else wrapped(line, width, indent="    ")
