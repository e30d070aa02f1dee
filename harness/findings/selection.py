"""Which lanes and which events of a run a diagram shows: the ones that explain the violation.

A run has dozens of events in a dozen lanes; a reader at night can follow five lanes and sixteen
rows. Whatever is left out is counted, so that a diagram never pretends to be the whole run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from harness.findings.finding import Finding
from harness.findings.wording import column_of, label_parts
from harness.history import Event
from harness.schedule.choices import FAULT

#: The lane of time itself: its events are drawn with whom they wake.
CLOCK = "clock"


@dataclass(frozen=True, slots=True)
class Row:
    """An event that is shown: whether its step deviates, and whether it broke the invariant."""

    event: Event
    deviates: bool
    breaks: bool


@dataclass(frozen=True, slots=True)
class Gap:
    """What is left out between two rows: ``steps``, or events of a step that is shown."""

    steps: int
    events: int


@dataclass(frozen=True, slots=True)
class Scene:
    """The columns from left to right, the rows from first to last, and the columns left out."""

    columns: tuple[str, ...]
    rows: tuple[Row | Gap, ...]
    hidden: tuple[str, ...]
    incarnations: frozenset[str]


def select(finding: Finding, *, lanes_max: int, rows_max: int) -> Scene:
    """The scene of a finding within these limits."""
    events = _complete(finding)
    breaking = _breaking(finding, events)
    shown = _columns(finding, events, breaking, lanes_max)
    seen = [index for index, event in enumerate(events) if _anchor(event, shown)]
    rank = _ranks(finding, events, breaking)
    kept = _kept(seen, sorted(seen, key=lambda index: rank[index]), rows_max)
    every = _names(events)
    hidden = tuple(name for name in every if name not in shown)
    lives: dict[str, set[str]] = {}
    for event in events:
        for name in (event.lane, event.peer):
            lives.setdefault(column_of(name), set()).add(name)
    many = frozenset(name for name, lanes in lives.items() if len(_numbered(lanes)) > 1)
    rows = _rows(finding, events, breaking=breaking, seen=seen, kept=kept)
    return Scene(shown, tuple(rows), hidden, many)


def _kept(seen: Sequence[int], best: Sequence[int], rows_max: int) -> list[int]:
    """All events if they fit; otherwise the best, and those whose gap would take a row as well."""
    if len(seen) <= rows_max:
        return list(seen)
    chosen = set(best[: max(rows_max - 3, 1)])
    for before, index, after in zip(seen, seen[1:], seen[2:], strict=False):
        if before in chosen and after in chosen:
            chosen.add(index)
    return sorted(chosen)


def _numbered(lanes: Iterable[str]) -> list[str]:
    return [lane for lane in lanes if "#" in lane]


def _complete(finding: Finding) -> list[Event]:
    """The history, with a row for a deviating or breaking step that recorded no event."""
    events = [event.rendered() for event in finding.history]
    steps = {event.step for event in events}
    names = {name for event in events for name in (event.lane, event.peer)}
    for deviation in finding.deviations:
        if deviation.step in steps:
            continue
        lane, doing = label_parts(deviation.taken)
        lane = deviation.lane or lane or "schedule"
        doing = doing or f"choice {deviation.choice}"
        fault = deviation.kind == FAULT or lane == "nemesis"
        peers = [word for word in doing.split() if word in names] if fault else []
        kind = "fault" if fault else "note"
        peer = peers[-1] if peers else ""
        events.append(Event(deviation.step, deviation.at_ms, lane, kind, doing, peer=peer))
    violation = finding.violation
    if violation.step not in steps:
        doing = violation.operation or violation.invariant
        events.append(
            Event(
                violation.step,
                violation.at_ms,
                violation.lane or violation.invariant,
                "write" if violation.after else "note",
                doing,
                violation.resource,
                before=violation.before,
                after=violation.after,
            )
        )
    events.sort(key=lambda event: event.step)
    return _timed(events)


def _timed(events: Iterable[Event]) -> list[Event]:
    """The events with the time of the one before where a made-up row has none."""
    timed: list[Event] = []
    now = 0
    for event in events:
        now = max(now, event.at_ms)
        timed.append(replace(event, at_ms=event.at_ms or now))
    return timed


def _breaking(finding: Finding, events: Sequence[Event]) -> int:
    """The index of the event that broke the invariant."""
    violation = finding.violation
    here = [index for index, event in enumerate(events) if event.step == violation.step]

    def fit(index: int) -> tuple[bool, bool, bool, int]:
        event = events[index]
        same = violation.resource != "" and event.resource == violation.resource
        return (same, event.lane == violation.lane, event.after == violation.after, index)

    return max(here, key=fit)


def _names(events: Iterable[Event]) -> list[str]:
    """Every column in the order of its first appearance, those that only strike come last."""
    order: dict[str, bool] = {}
    for event in events:
        strikes = event.kind == "fault"
        name = column_of(event.lane)
        order[name] = order.get(name, True) and strikes
        if event.peer:
            order[column_of(event.peer)] = False
    return [name for name in order if not order[name]] + [name for name in order if order[name]]


def _columns(
    finding: Finding, events: Sequence[Event], breaking: int, lanes_max: int
) -> tuple[str, ...]:
    activity = Counter(column_of(event.lane) for event in events)
    worth: Counter[str] = Counter()

    def raise_to(value: int, *names: str) -> None:
        for name in names:
            worth[column_of(name)] = max(worth[column_of(name)], value)

    deviating = {deviation.step for deviation in finding.deviations}
    involved = _involved(finding, events[breaking])
    for event in events:
        if event.resource and event.resource == finding.violation.resource:
            raise_to(3, event.lane, event.peer)
        if event.step in deviating:
            raise_to(6, event.lane, event.peer)
        elif event.kind == "fault" and column_of(event.peer) in involved:
            raise_to(2, event.lane)
    for deviation in finding.deviations:
        raise_to(5, label_parts(deviation.first)[0])
    for later in finding.violations[1:]:
        raise_to(4, later.lane)
    raise_to(7, events[breaking].peer)
    raise_to(8, finding.violation.lane)
    raise_to(9, events[breaking].lane)
    if events[breaking].lane != CLOCK:
        worth[CLOCK] = -1
    names = _names(events)
    best = sorted(names, key=lambda name: (-worth[name], -activity[name], names.index(name)))
    return tuple(name for name in names if name in best[:lanes_max])


def _involved(finding: Finding, breaking: Event) -> set[str]:
    """The services that the violation and the deviations speak of."""
    names = {column_of(breaking.lane), column_of(finding.violation.lane)}
    for deviation in finding.deviations:
        for label in (deviation.taken, deviation.first):
            names |= {column_of(word) for word in label.replace(":", " ").split()}
    return names - {""}


def _anchor(event: Event, columns: Sequence[str]) -> str:
    """The column in which an event is drawn, empty if it is not."""
    if column_of(event.lane) in columns:
        return column_of(event.lane)
    strikes = event.kind == "fault" or event.lane == CLOCK
    if strikes and column_of(event.peer) in columns:
        return column_of(event.peer)
    return ""


def _ranks(
    finding: Finding, events: Sequence[Event], breaking: int
) -> dict[int, tuple[int, int, int]]:
    """How much each event explains: a class, then its distance from the violation."""
    violation = finding.violation
    essential = {breaking} | _deviating(finding, events)
    overtaken = _overtaken(finding, events)
    key_steps = {deviation.step for deviation in finding.deviations} | {violation.step}
    later = {(one.step, one.lane) for one in finding.violations[1:]}
    involved = _involved(finding, events[breaking])

    def rank(index: int) -> int:
        event = events[index]
        services = {column_of(event.lane), column_of(event.peer)}
        on_resource = event.resource == violation.resource != ""
        tests = (
            index in essential,
            index in overtaken or (event.step, event.lane) in later,
            on_resource and (event.before != event.after or event.kind == "send"),
            event.kind in ("fault", "phase") and bool(services & involved),
            event.step in key_steps or (on_resource and event.step <= violation.step),
            event.kind in ("write", "send") and bool(services & involved),
        )
        return tests.index(True) if any(tests) else len(tests)

    return {
        index: (rank(index), abs(event.step - violation.step), index)
        for index, event in enumerate(events)
    }


def _deviating(finding: Finding, events: Sequence[Event]) -> set[int]:
    """For each deviation the event that its step is shown by."""
    found = set()
    for deviation in finding.deviations:
        lane = deviation.lane or label_parts(deviation.taken)[0]
        here = [index for index, event in enumerate(events) if event.step == deviation.step]
        found.add(min(here, key=lambda index: (events[index].lane != lane, index)))
    return found


def _overtaken(finding: Finding, events: Sequence[Event]) -> set[int]:
    """For each deviation the event that it ran before, if that happened later."""
    found = set()
    for deviation in finding.deviations:
        lane, doing = label_parts(deviation.first)
        later = [
            index
            for index, event in enumerate(events)
            if event.step > deviation.step and event.lane == lane
        ]
        if later:
            found.add(min(later, key=lambda index: (events[index].operation not in doing, index)))
    return found


def _rows(
    finding: Finding,
    events: Sequence[Event],
    *,
    breaking: int,
    seen: Sequence[int],
    kept: Sequence[int],
) -> list[Row | Gap]:
    deviating = _deviating(finding, events)
    rows: list[Row | Gap] = []
    skipped: list[Event] = []
    shown_steps = {events[index].step for index in kept}
    chosen = set(kept)
    for index in seen:
        if index not in chosen:
            skipped.append(events[index])
            continue
        rows += _gap(skipped, shown_steps)
        skipped = []
        rows.append(Row(events[index], index in deviating, index == breaking))
    return rows + _gap(skipped, shown_steps)


def _gap(skipped: Sequence[Event], shown: set[int]) -> list[Row | Gap]:
    if not skipped:
        return []
    return [Gap(len({event.step for event in skipped} - shown), len(skipped))]
