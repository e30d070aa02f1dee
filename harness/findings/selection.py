"""Which columns and rows a diagram shows, and how each of its events is told.

Columns are those of the story: who broke it, the store that was written, who deviated, where the
money went. A bystander gets none. Whatever is left out is counted, so that a diagram never
pretends to be the whole run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from harness.findings.aftermath import is_loss
from harness.findings.finding import Change, Finding, Violation
from harness.findings.story import DEVIATIONS_MAX, Moment, Part, Story
from harness.findings.watched import VALUE_MAX, field_name, value_of
from harness.findings.wording import column_of, columns, counted, money, one_line, plain
from harness.history import Event

#: The lane of time itself: its events are drawn with whom they wake.
CLOCK = "clock"
#: At most so many gaps get a row, the longest ones; the steps of the rows tell of the others.
GAPS_MAX = 4
GAP_MIN = 5
#: A gap of less than this part of the run is not worth a row.
GAP_SHARE = 20

#: What a column is worth for the part of a row, to the one who acts and to the other party.
_WORTH = {
    Part.BREAKS: (10, 9),
    Part.DEVIATES: (8, 7),
    Part.COSTS: (6, 7),
    Part.NAMED: (7, 6),
    Part.CARRIES_ON: (5, 7),
    Part.STRIKES: (4, 4),
    Part.LAST_GOOD: (3, 3),
    Part.LIFE: (3, 3),
    Part.OVERTAKEN: (2, 2),
    Part.OTHER_LIFE: (2, 2),
    Part.CONTEXT: (1, 1),
}


@dataclass(frozen=True, slots=True)
class Row:
    """An event as it is drawn, whether it deviates or breaks, and the events it stands for."""

    event: Event
    deviates: bool
    breaks: bool
    stands_for: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """The steps between two rows."""

    steps: int


@dataclass(frozen=True, slots=True)
class Scene:
    """The columns from left to right, the rows from first to last, and what is left out.

    ``events`` are all events of the run, with those that were made up for steps without any.
    """

    columns: tuple[str, ...]
    rows: tuple[Row | Gap, ...]
    hidden: tuple[str, ...]
    incarnations: frozenset[str]
    events: tuple[Event, ...]


def select(finding: Finding, *, lanes_max: int, rows_max: int) -> Scene:
    """The scene of a finding within these limits."""
    story = Story(finding, moments_max=rows_max)
    told = [(moment, _told(story, moment)) for moment in story.moments]
    shown = _columns(story, told, lanes_max)
    rows = [
        Row(event, moment.index in story.deviating, moment.part is Part.BREAKS, numbers)
        for moment, (event, numbers) in told
        if column_of(event.lane) in shown or column_of(event.peer) in shown
    ]
    rows = _lives_joined(rows)
    gap_min = max(GAP_MIN, finding.steps // GAP_SHARE)
    order = _names([row.event for row in rows])
    named = [event for _, (event, _) in told]
    every = dict.fromkeys(_names(named) + _names(story.events))
    return Scene(
        tuple(name for name in order if name in shown),
        tuple(_with_gaps(rows, gap_min)),
        tuple(name for name in sorted(every, key=CLOCK.__eq__) if name not in shown),
        _several(row.event for row in rows),
        tuple(story.events),
    )


def _names(events: Iterable[Event]) -> list[str]:
    """Every column in the order of its first appearance; those that only strike come last."""
    order: dict[str, bool] = {}
    for event in events:
        name = column_of(event.lane)
        order[name] = order.get(name, True) and strikes(event)
        if event.peer:
            order[column_of(event.peer)] = False
    return [name for name in order if not order[name]] + [name for name in order if order[name]]


def strikes(event: Event) -> bool:
    """Whether an event happens to its peer: a fault, or a maintenance."""
    return event.kind == "fault" or (event.kind == "phase" and event.peer != "")


def _several(events: Iterable[Event]) -> frozenset[str]:
    """The services of which several incarnations are shown."""
    lives: dict[str, set[str]] = {}
    for event in events:
        for name in (event.lane, event.peer):
            if "#" in name:
                lives.setdefault(column_of(name), set()).add(name)
    return frozenset(name for name, lanes in lives.items() if len(lanes) > 1)


def _columns(
    story: Story, told: Sequence[tuple[Moment, tuple[Event, tuple[int, ...]]]], lanes_max: int
) -> set[str]:
    """The columns that are worth most."""
    worth: dict[str, int] = {}
    activity = Counter(column_of(event.lane) for event in story.events)

    def raise_to(value: int, name: str) -> None:
        if name:
            worth[column_of(name)] = max(worth.get(column_of(name), 0), value)

    for moment, (event, _) in told:
        acting, other = _WORTH[_part(story, moment)]
        raise_to(acting, event.lane)
        raise_to(other, event.peer)
    breaking = story.events[story.breaking]
    if column_of(story.finding.violation.lane) in worth:
        raise_to(9, story.finding.violation.lane)
    if column_of(breaking.lane) != CLOCK:
        worth.pop(CLOCK, None)
    names = list(worth)
    best = sorted(names, key=lambda name: (-worth[name], -activity[name], names.index(name)))
    return set(best[:lanes_max])


def _part(story: Story, moment: Moment) -> Part:
    """The part of a moment; of very many deviations those of bystanders are worth no column."""
    event = story.events[moment.index]
    many = len(story.finding.deviations) > DEVIATIONS_MAX
    bystander = event.kind != "fault" and column_of(event.lane) not in story.services
    return Part.CONTEXT if moment.part is Part.DEVIATES and many and bystander else moment.part


def _lives_joined(rows: Sequence[Row]) -> list[Row]:
    """Phases of one incarnation that follow each other without anything between are one row."""
    joined: list[Row] = []
    for row in rows:
        last = joined[-1] if joined else None
        if last is not None and _phases_of_one(last, row):
            words = f"{last.event.operation}, {row.event.operation}"
            event = replace(last.event, operation=words)
            joined[-1] = replace(last, event=event, stands_for=last.stands_for + row.stands_for)
        else:
            joined.append(row)
    return joined


def _phases_of_one(one: Row, other: Row) -> bool:
    alike = one.event.lane == other.event.lane and one.event.kind == other.event.kind == "phase"
    marked = one.deviates or one.breaks or other.deviates or other.breaks
    return alike and not marked and not one.event.peer and not other.event.peer


def _with_gaps(rows: Sequence[Row], gap_min: int) -> list[Row | Gap]:
    """The rows, with the longest gaps between them."""
    sizes = [after.event.step - before.event.step - 1 for before, after in pairwise(rows)]
    longest = sorted(range(len(sizes)), key=lambda number: (-sizes[number], number))[:GAPS_MAX]
    lines: list[Row | Gap] = list(rows[:1])
    for number, row in enumerate(rows[1:]):
        if number in longest and sizes[number] >= gap_min:
            lines.append(Gap(sizes[number]))
        lines.append(row)
    return lines


# --- how an event is told --------------------------------------------------------------------


def _told(story: Story, moment: Moment) -> tuple[Event, tuple[int, ...]]:
    """The event of a moment with the words of its row, and the events that it stands for."""
    event = story.events[moment.index]
    operation = one_line(event.operation) or event.kind
    numbers = moment.stands_for
    value, before, after = _short(event.value), "", _short(event.after)
    first = story.finding.violation
    costs = moment.part is Part.COSTS or (
        moment.part is Part.BREAKS and is_loss(first) and not (first.before or first.after)
    )
    if event.kind in ("fault", "phase"):
        value = after = ""
    elif costs:
        operation, value, numbers = _cost(story, moment)
        after = ""
    elif len(numbers) > 1:
        operation, value = f"{operation} x{len(numbers)}", ""
    if moment.part is Part.CARRIES_ON:
        carried = after == _short(_last_change(story.finding).after)
        value, after = ("", after) if carried else (value, "")
    watched = [i for i in numbers if story.events[i].resource == story.resource != ""]
    if watched and not costs:
        operation, after = _watched(story, story.events[watched[0]], operation)
        value = ""
    event = replace(event, operation=operation, value=value, before=before, after=after)
    return _requested(story, moment.index, event), numbers


def _short(value: object) -> str:
    text = plain(value)
    return text if columns(text) <= VALUE_MAX else ""


def _watched(story: Story, event: Event, operation: str) -> tuple[str, str]:
    """What a write did to the watched value: its name beside the operation, and the new value."""
    finding = story.finding
    breaking = story.events[story.breaking]
    field = field_name(finding, breaking)
    after = value_of(event.after, field)
    if event is breaking:
        after = after or _short(_last_change(finding).after)
    return (f"{operation}, {field}" if field and after else operation), after


def _last_change(finding: Finding) -> Violation | Change:
    """Where a violation says which value was wrong."""
    return finding.violation.changes[-1] if finding.violation.changes else finding.violation


def _cost(story: Story, moment: Moment) -> tuple[str, str, tuple[int, ...]]:
    """What a loss says in one row: how many accounts and how much, for all events of its kind."""
    event = story.events[moment.index]
    one = next(
        violation
        for violation in story.finding.violations
        if is_loss(violation) and violation.step == event.step
    )
    numbers = moment.stands_for
    if one.resource:
        alike = (
            index
            for index, other in enumerate(story.events)
            if other.step > event.step and other.resource.startswith(f"{one.resource}/")
        )
        numbers = (*numbers, *alike)
    doing = one_line(one.operation or event.operation)
    who = counted(len(one.accounts), "account") if one.accounts else ""
    words = doing if who in doing else f"{doing} {who}"
    loss = f"({money(one.loss_usdc)} USDC)" if one.loss_usdc else ""
    return words or event.kind, loss, numbers


def _requested(story: Story, index: int, event: Event) -> Event:
    """A service that writes to itself does so for whoever asked it just before."""
    if event.kind != "write" or column_of(event.peer) != column_of(event.lane):
        return event
    for number in range(index - 1, -1, -1):
        before = story.events[number]
        if before.lane == event.lane and before.step < event.step:
            asked = before.kind == "receive" and before.peer
            return replace(event, lane=before.peer, peer=event.lane) if asked else event
    return event
