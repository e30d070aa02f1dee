"""Which moments of a run tell how it broke, and what part each of them has in that.

A run has hundreds of events; a reader at night follows a dozen. They are the last good value, what
struck the services, the life of the one that wrote, the choices that were not first-in-first-out,
the wrong value, where it went, and what it cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice

from harness.findings.aftermath import is_loss
from harness.findings.anatomy import telling_deviations
from harness.findings.completed import complete, named_steps, parties, timed_out, undone
from harness.findings.finding import Finding, Violation
from harness.findings.watched import breaking_event, watched_resource
from harness.findings.wording import column_of, label_parts, plain
from harness.history import Event
from harness.schedule.choices import Deviation

#: How many deviations get a row, and how many moments a diagram has at least if there are any.
DEVIATIONS_MAX = 5
MOMENTS_MIN = 6


class Part(IntEnum):
    """What a moment is in the story, the indispensable first."""

    BREAKS = 0
    DEVIATES = 1
    COSTS = 2
    NAMED = 3
    CARRIES_ON = 4
    LAST_GOOD = 5
    STRIKES = 6
    LIFE = 7
    OVERTAKEN = 8
    OTHER_LIFE = 9
    CONTEXT = 10


@dataclass(frozen=True, slots=True)
class Moment:
    """Events that are told as one: the index of the one that is drawn, and of all of them."""

    index: int
    part: Part
    stands_for: tuple[int, ...]


class Story:
    """The events of a finding, and the moments that tell it."""

    def __init__(self, finding: Finding, *, moments_max: int) -> None:
        self.finding = finding
        self.events = complete(finding)
        breaking = breaking_event(finding, self.events)
        assert breaking is not None
        self.breaking = next(i for i, event in enumerate(self.events) if event is breaking)
        self.resource = watched_resource(finding, breaking)
        self.deviating: set[int] = set()
        self._groups = _grouped(self.events, self.breaking)
        self._parts: dict[int, Part] = {}
        self._tell()
        self.moments = self._chosen(moments_max)

    def _tell(self) -> None:
        self._give(self.breaking, Part.BREAKS)
        self._deviate()
        for index in self._costs():
            self._give(index, Part.COSTS)
        late = [(event.step, event.operation) for event in undone(self.finding)]
        missed = (i for i, one in enumerate(self.events) if (one.step, one.operation) in late)
        for index in (*self._named(), *timed_out(self.finding, self.events), *missed):
            self._give(index, Part.NAMED)
        self._give(self._carried_on(), Part.CARRIES_ON)
        self._give(self._last_good(), Part.LAST_GOOD)
        first, last = self._window()
        for index in range(first, last + 1):
            part = self._part_of_life(index)
            if part is not None:
                self._give(index, part)
        for deviation in telling_deviations(self.finding, DEVIATIONS_MAX):
            self._give(self._overtaken(deviation), Part.OVERTAKEN)

    def _deviate(self) -> None:
        """Every deviation is marked where it is shown; the telling ones are shown."""
        by_step: dict[int, list[int]] = {}
        for index, event in enumerate(self.events):
            by_step.setdefault(event.step, []).append(index)
        telling = telling_deviations(self.finding, DEVIATIONS_MAX)
        for deviation in self.finding.deviations:
            lane = deviation.lane or label_parts(deviation.taken)[0]
            here = by_step[deviation.step]
            index = next((index for index in here if self.events[index].lane == lane), here[0])
            self.deviating.add(self._groups[index][0])
            if deviation in telling:
                self._give(index, Part.DEVIATES)

    def _give(self, index: int | None, part: Part) -> None:
        if index is not None:
            first = self._groups[index][0]
            self._parts[first] = min(part, self._parts.get(first, part))

    def _chosen(self, most: int) -> list[Moment]:
        """The best moments in their order, filled up with what happened just before it broke."""
        every = list(dict.fromkeys(group[0] for group in self._groups))
        for index in every if len(every) <= most else self._context():
            self._parts.setdefault(index, Part.CONTEXT)

        def worth(index: int) -> tuple[Part, int, int]:
            return (self._parts[index], abs(index - self.breaking), index)

        best = sorted(sorted(self._parts, key=worth)[:most])
        return [Moment(index, self._parts[index], tuple(self._groups[index])) for index in best]

    def _context(self) -> Iterator[int]:
        """What the services of the story did last, as long as the story is short."""
        parts = (i for i, part in self._parts.items() if part is not Part.NAMED)
        services = self.services | {column_of(self.events[i].lane) for i in parts}
        left = MOMENTS_MIN - sum(part is not Part.NAMED for part in self._parts.values())
        for index in range(self.breaking, -1, -1):
            event = self.events[index]
            first = self._groups[index][0]
            if left > 0 and first not in self._parts and column_of(event.lane) in services:
                left -= 1
                yield first

    # --- the parts -----------------------------------------------------------------------------

    @property
    def services(self) -> set[str]:
        """The service that broke the rule, and the store that it wrote.

        Of a rule that judges the end nobody knows that; then whose order mattered.
        """
        event = self.events[self.breaking]
        names = {event.lane, event.peer, self.finding.violation.lane}
        known = {column_of(name) for name in names} - {""}
        judged_late = event.lane == self.finding.violation.invariant
        return known | parties(self.finding) if judged_late else known

    def _first(self, fits: Callable[[Event], bool], since: int = 0) -> int | None:
        indexes = range(since, len(self.events))
        return next((index for index in indexes if fits(self.events[index])), None)

    def _costs(self) -> Iterator[int]:
        for one in self.finding.violations:
            index = self._first(lambda event, one=one: _belongs(event, one))  # type: ignore[misc]
            if is_loss(one) and index is not None:
                yield index

    def _named(self) -> Iterator[int]:
        """The steps of which the reason says that they had to come in this order.

        What is done in a transaction is told when that commits.
        """
        for name in named_steps(self.finding):
            lane, doing = label_parts(name.label)
            here = [i for i, event in enumerate(self.events) if event.step == name.step]
            here.sort(key=lambda i: self.events[i].lane != lane)
            told = ((event.lane, f"{event.operation} {event.resource}") for event in self.events)
            later = (i for i, (who, what) in enumerate(told) if who == lane and what == doing)
            later = (i for i in later if self.events[i].step > name.step)
            yield from here[:1] or islice(later, 1)

    def _carried_on(self) -> int | None:
        """The first time that somebody else passed the wrong value on, or wrote it elsewhere."""
        place, _, subject = self.resource.rpartition("/")
        wrong = plain(self.finding.violation.after)

        def fits(event: Event) -> bool:
            if event.kind == "write" and event.resource != self.resource:
                return event.resource.endswith(f"/{subject}")
            passed = event.kind in ("write", "send") and event.resource == self.resource
            other = column_of(event.lane) not in self.services
            same = wrong in (plain(event.value), plain(event.after))
            return passed and other and wrong != "" and same

        return self._first(fits, self.breaking) if place and subject else None

    def _last_good(self) -> int | None:
        """The last write of the watched value before the wrong one."""
        steps = [change.step for change in self.finding.violation.changes[:-1]]
        for index in range(self.breaking - 1, -1, -1):
            event = self.events[index]
            if event.resource != self.resource or not self.resource:
                continue
            changed = event.kind == "write" and str(event.before) != str(event.after)
            if event.step == steps[-1] if steps else changed:
                return index
        return None

    def _window(self) -> tuple[int, int]:
        """From the last good value, or the birth of who broke it, to the last consequence."""
        known = [index for index in (self._born(), *self._parts) if index is not None]
        strikes = [index for index in range(self.breaking) if self._is_strike(index)]
        if strikes and strikes[-1] < min(known):
            known += strikes[-2:]  # a maintenance begins and is over: both brought this about
        return min(known), max(known)

    def _born(self) -> int | None:
        """When the incarnation that broke it began, if it is not the first of its service."""
        lane = self.events[self.breaking].lane
        service = column_of(lane)
        born = self._first(lambda event: event.kind == "phase" and event.lane == lane)
        older = self._first(lambda event: event.lane != lane and column_of(event.lane) == service)
        return None if born is None or older is None or older > born else born

    def _is_strike(self, index: int) -> bool:
        """Whether a fault or a maintenance strikes a service of the story."""
        event = self.events[index]
        striking = event.kind == "fault" or (event.kind == "phase" and event.peer)
        return bool(striking) and column_of(event.peer) in self.services

    def _part_of_life(self, index: int) -> Part | None:
        """What a fault, a maintenance or a phase of a service has to do with it."""
        event, breaking = self.events[index], self.events[self.breaking]
        if self._is_strike(index):
            return Part.STRIKES
        if event.kind != "phase" or event.peer:
            return None
        if event.lane in (breaking.lane, self.finding.violation.lane):
            ends = event.operation in ("drain", "stopped")
            return None if ends and index > self.breaking else Part.LIFE
        lives_on = column_of(event.lane) in self.services and index < self.breaking
        return Part.OTHER_LIFE if lives_on else None

    def _overtaken(self, deviation: Deviation) -> int | None:
        """What a deviation ran before, if one of the services of the story did that later."""
        lane, doing = label_parts(deviation.first)
        if column_of(lane) not in self.services:
            return None
        later = [
            index
            for index, event in enumerate(self.events)
            if event.lane == lane
            and event.step > deviation.step
            and event.operation.strip()
            and event.operation in doing
        ]
        return later[0] if later else None


def _belongs(event: Event, violation: Violation) -> bool:
    """Whether an event is the first of those that a violation speaks of."""
    if event.step < violation.step:
        return False
    named = violation.resource
    return event.step == violation.step and (
        not named or event.resource == named or event.resource.startswith(f"{named}/")
    )


def _grouped(events: Sequence[Event], breaking: int) -> list[list[int]]:
    """For each event the indexes told with it: one step, one actor, one operation."""
    groups: list[list[int]] = []
    for index, event in enumerate(events):
        before = events[index - 1] if index else None
        if before is not None and _doing(before) == _doing(event):
            groups.append(groups[-1])
            groups[-1].append(index)
        else:
            groups.append([index])
    group = groups[breaking]
    group.sort(key=lambda index: index != breaking)
    return groups


def _doing(event: Event) -> tuple[object, ...]:
    return (event.step, event.lane, event.kind, event.operation, event.peer)
