"""The failure report of the terminal: eighty columns, forty-five lines for most, one finding.

What broke comes first, in money words; then why this order and no other, the diagram, what to
type, and the facts of the run. The full report says besides what held, what the scenario notes,
and all that followed. Only a token may be longer than a line, because it must survive copy and
paste.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.findings.aftermath import blast_radius, cost, followed, followed_headline, losses
from harness.findings.anatomy import (
    about,
    commands,
    exactness,
    headline,
    held,
    order_headline,
    summary_line,
    telling_deviations,
    what_broke,
    where,
)
from harness.findings.completed import complete
from harness.findings.diagram import ROWS_MAX, diagram
from harness.findings.finding import Finding
from harness.findings.reasons import grounds, orders
from harness.findings.watched import Change, changes, differences, site_text
from harness.findings.wording import (
    columns,
    counted,
    one_line,
    only_ascii,
    plain,
    sentence,
    short_path,
    shortened,
    wrapped,
)
from harness.history import Event
from harness.schedule.choices import Deviation

__all__ = ["headline", "render_text", "summary_line"]

WIDTH = 80
_DEVIATIONS_MAX = 6
_FOLDED_MAX = 2
_ORDERS_MAX = 4
_FOLLOWED_MAX = 6
_HELD_LINES = 2
_RADIUS_LINES = 3
_BRIEF_ROWS_MAX = 9
#: The longest value that the list of all events shows whole.
_VALUE_MAX = 60
_WIDE = "   "
_HEADING_WIDTH = 20


def render_text(
    finding: Finding,
    *,
    full: bool = False,
    ascii: bool = False,
    width: int = WIDTH,
    test_id: str | None = None,
) -> str:
    """The report of a finding as lines of text, in ASCII if asked."""
    width = max(width, 60)
    rows_max = ROWS_MAX if full else _BRIEF_ROWS_MAX
    blocks = (
        _title(finding, width),
        _broken(finding, width, full=full),
        _followed(finding, width, full=full),
        _why(finding, width),
        diagram(finding, width=min(width - 2, 78), rows_max=rows_max),
        _reproduce(finding, test_id, width),
        _about(finding, width),
        _events(finding, width) if full else [],
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


def _broken(finding: Finding, width: int, *, full: bool) -> list[str]:
    message, *reasons = what_broke(finding.violation, brief=True)
    radius = _radius(finding, width, full=full)
    if radius and not full:
        # It says what the run cost, and what the violation would cost if it were left alone.
        reasons = reasons[:1] if finding.violation.describe else []
    else:
        message = f"{message} {cost(finding)}"
    lines = wrapped(message, width)
    lines += wrapped(" ".join(reasons), width)
    lines += radius
    table = _table(changes(finding), width)
    lost = losses(finding.violation)
    lines += ["", *table] if table else []
    lines += wrapped(lost, width, indent="    ") if lost else []
    if not full:
        return lines
    lines += _stack(finding, width)
    green = [line for note in finding.notes for line in wrapped(sentence(note), width)]
    green += _held(finding, width)
    return [*lines, "", *green] if green else lines


def _stack(finding: Finding, width: int) -> list[str]:
    """The target's frames of an error, the outermost first, each with its source below it."""
    lines = [""] if finding.violation.stack else []
    for frame in finding.violation.stack:
        place, _, source = frame.partition("\n")
        lines += wrapped(place, width, indent="    ")
        lines += wrapped(source, width, indent="      ")
    return lines


def _radius(finding: Finding, width: int, *, full: bool) -> list[str]:
    """What the run did to people; in brief as many facts as fit on a few lines."""
    count = len(finding.blast_radius)
    for most in range(count, 0, -1):
        lines = wrapped(blast_radius(finding, most=most), width)
        if full or len(lines) <= _RADIUS_LINES:
            return lines
    return wrapped(blast_radius(finding, most=1), width)[:_RADIUS_LINES] if count else []


def _held(finding: Finding, width: int) -> list[str]:
    """The rules that saw nothing, as many by name as fit on two lines."""
    for most in range(len(finding.held), 0, -1):
        lines = wrapped(held(finding, most=most), width)
        if len(lines) <= _HELD_LINES or most == 1:
            return lines
    return []


def _table(rows: Sequence[Change], width: int) -> list[str]:
    """The changes in one line each; a site below its change if it does not fit beside it."""
    if not rows:
        return []
    steps = max(len(str(row.step)) for row in rows)
    before = max(columns(row.before) for row in rows)
    after = max(columns(row.after) for row in rows)
    actor = max(columns(row.actor) for row in rows)
    whole, sites_apart, folded = [], [], []
    for row in rows:
        step = f"    step {row.step:>{max(steps, 2)}}  "
        change = f"{_padded(row.before, before)} -> {_padded(row.after, after)}"
        sites_apart.append(f"{step}{change}  {row.actor}".rstrip())
        whole.append(f"{step}{change}  {_padded(row.actor, actor)}  {row.site}".rstrip())
        folded += _folded(row, step, change, max(width - columns(step), 20))
    sites = list(dict.fromkeys(row.site for row in rows))
    if len(sites) == 1 and len(rows) > 1:
        blank = " " * (11 + max(steps, 2))
        sites_apart += [blank + short_path(sites[0], width - len(blank))] if sites[0] else []
    else:
        sites_apart = folded
    for lines in (whole, sites_apart):
        if all(columns(line) <= width for line in lines):
            return lines
    return folded


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


def _followed(finding: Finding, width: int, *, full: bool) -> list[str]:
    """All that followed; in brief how much it was, for the money was said at once."""
    told = followed(finding)
    if not told:
        return []
    lines = heading("WHAT FOLLOWED", followed_headline(finding), width)
    if not full:
        return lines
    room = max(len(str(one.step)) for one in told)
    for one in told[:_FOLLOWED_MAX]:
        step = f"    step {one.step:>{max(room, 2)}}  "
        lines += wrapped(one.text, width, indent=step, hanging=" " * len(step))
    if len(told) > _FOLLOWED_MAX:
        lines.append(f"    and {len(told) - _FOLLOWED_MAX} more, all in the saved file")
    return lines


def _why(finding: Finding, width: int) -> list[str]:
    lines = heading("WHY THIS ORDER", order_headline(finding), width)
    lines += _orders(finding, width) if finding.constraints else _deviations(finding, width)
    return lines + wrapped(" ".join(grounds(finding)), width, indent="    ")


def _orders(finding: Finding, width: int) -> list[str]:
    """What had to come before what: on one line if that fits, or else on two or more."""
    lines: list[str] = []
    told = orders(finding.constraints)
    for step, when in told[:_ORDERS_MAX]:
        line = f"    {step} {when}"
        if columns(line) <= width:
            lines.append(line)
        else:
            lines += [f"    {shortened(step, width - 4)}", *wrapped(when, width, indent="      ")]
    left = len(told) - _ORDERS_MAX
    return [*lines, f"    and {left:,} more, all in the saved file"] if left > 0 else lines


def _deviations(finding: Finding, width: int) -> list[str]:
    """The choices that say most: a line each if all fit, otherwise two lines each for fewer."""
    lines, shown = [], 0
    for blanks, most in ((_WIDE, _DEVIATIONS_MAX), ("  ", _DEVIATIONS_MAX), ("", _FOLDED_MAX)):
        chosen = telling_deviations(finding, most)
        lines, shown = _choices(chosen, blanks, width), len(chosen)
        if all(columns(line) <= width for line in lines):
            break
    left = len(finding.deviations) - shown
    return [*lines, f"    and {left:,} more, all in the token"] if left > 0 else lines


def _choices(deviations: Sequence[Deviation], blanks: str, width: int) -> list[str]:
    """Each choice and what it ran before, side by side with these blanks or one below the other."""
    steps = max((len(str(one.step)) for one in deviations), default=0)
    taken = [one_line(one.doing) for one in deviations]
    room = max(map(columns, taken), default=0)
    lines = []
    for one, doing in zip(deviations, taken, strict=True):
        step = f"    step {one.step:>{max(steps, 2)}}{'  ' if blanks == _WIDE else ''}  "
        first = one_line(one.first) or "option 0"
        if blanks:
            lines.append(f"{step}{_padded(doing, room)}{blanks}ran before{blanks}{first}")
            continue
        lines.append(step + shortened(doing, width - len(step)))
        lines.append(" " * len(step) + shortened(f"ran before  {first}", width - len(step)))
    return lines


def _events(finding: Finding, width: int) -> list[str]:
    """Every event of the run, whoever it was of, on as few lines as hold it."""
    events = complete(finding)
    lines = heading("EVENTS", f"all {counted(len(events), 'event')}, step and ms first", width)
    steps, times = len(str(events[-1].step)), max(len(str(event.at_ms)) for event in events)
    deviating = {one.step for one in finding.deviations}
    for event in events:
        mark = "!!" if event.step == finding.violation.step else "  "
        mark = ">>" if event.step in deviating else mark
        start = f"{mark}{event.step:>{max(steps, 4)}} {event.at_ms:>{max(times, 3)}}  "
        lines += wrapped(_told(event), width, indent=start, hanging=" " * columns(start) + "  ")
    return lines


def _told(event: Event) -> str:
    """An event in one sentence: who did what to what, the values, the other party, the place."""
    what = "" if event.kind == "phase" else _values(event)
    store = event.peer != "" and event.resource.startswith(f"{event.peer}/")
    toward = "from" if event.kind in ("read", "receive") else "to"
    parts = (
        f"{event.lane}: {one_line(event.operation) or event.kind}",
        "" if event.resource == event.lane else event.resource,
        f"{toward} {event.peer}" if event.peer and not store and event.kind != "fault" else "",
        f"({what})" if what else "",
        site_text(event.site),
    )
    return " ".join(part for part in parts if part)


def _values(event: Event) -> str:
    """The value of an event, or what it changed, field by field if it is a long row of them."""
    before, after = plain(event.before), plain(event.after)
    if not before and not after:
        return shortened(plain(event.value).removeprefix("(").removesuffix(")"), _VALUE_MAX)
    fields = differences(before, after)
    if len(before) + len(after) <= _VALUE_MAX or not fields:
        return f"{shortened(before, _VALUE_MAX)} -> {shortened(after, _VALUE_MAX)}"
    return ", ".join(
        f"{name} {shortened(old, _VALUE_MAX)} -> {shortened(new, _VALUE_MAX)}"
        for name, old, new in fields
    )


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
