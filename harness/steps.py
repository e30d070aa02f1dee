"""The steps of a run as they were taken, and the pairs that two runs have in different orders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.engine import Run
from harness.findings.finding import StepName
from harness.schedule.choices import FAULT, OPERATION, ORPHAN, TIMER, Chooser, Footprint, Option
from harness.schedule.orderings import Names

#: Makes a chooser of what tells the virtual time in milliseconds.
Clocked = Callable[[Callable[[], int]], Chooser]


@dataclass(frozen=True, slots=True)
class Step:
    """A step that was taken, with what tells whether its order can matter."""

    name: StepName
    lane: str
    actor: str
    kind: str
    footprint: Footprint
    optional: bool
    #: Whose steps made it possible: its own actor, then the one that started him, and so on.
    descent: tuple[str, ...]
    #: The steps that were due before it and had to wait.
    passed_over: tuple[StepName, ...]
    #: What it was for, if it is a timer that struck before something else that was due.
    words: str
    #: What somebody waited for who does not any more, if it is such a timer.
    cut_short: tuple[StepName, ...]
    seen: bool

    @property
    def telling(self) -> bool:
        """Whether its name says what it does."""
        return self.kind in (OPERATION, ORPHAN, FAULT) or bool(self.name.touches)

    @property
    def service(self) -> str:
        """The service whose step it is."""
        return self.lane.partition("#")[0]

    def strikes(self, other: Step) -> bool:
        """Whether this is a fault of the other one's service."""
        return self.kind == FAULT and other.service in self.name.label.split()

    def conflicts(self, other: Step) -> bool:
        """Whether the order of the two can matter: they share data, a process, or its life."""
        if FAULT in (self.kind, other.kind):
            return self.strikes(other) or other.strikes(self)
        if self.lane == other.lane and not (self.footprint and other.footprint):
            return True
        return self.footprint.conflicts(other.footprint)


class StepRecorder:
    """A chooser that notes every step that another one lets happen."""

    def __init__(self, inner: Clocked) -> None:
        self.inner = inner
        self.taken: list[tuple[Any, ...]] = []

    def __call__(self, now_ms: Callable[[], int]) -> Chooser:
        """The chooser of one run."""
        choose, names = self.inner(now_ms), Names()

        def noting(options: Sequence[Option], step: int) -> int:
            index = choose(options, step)
            one = options[index]
            before = [other for other in options[:index] if not other.optional]
            due = tuple(map(names.next, before))
            early = bool(due) and one.kind == TIMER
            words = one.purpose() if early else ""
            cut = tuple(names.next(other) for other in before if early and one.cuts_short(other))
            what = (names.take(one), one.lane, one.actor, one.kind, one.footprint, one.optional)
            self.taken.append((*what, _descent(one), due, words, cut))
            return index

        return noting

    def steps(self, run: Run) -> list[Step]:
        """The steps of the run that it made, with whether a rule could see them."""
        seen = {event.step for event in run.history}
        return [Step(*(*taken, number in seen)) for number, taken in enumerate(self.taken, 1)]


def _descent(option: Option) -> tuple[str, ...]:
    actors = {option.actor: None}
    while option.parent is not None:
        option = option.parent
        actors[option.actor] = None
    return tuple(actors)


def turned_round(
    failing: Sequence[Step], passing: Sequence[Step], *, telling: bool
) -> Iterator[tuple[int, Step, int, Step]]:
    """The pairs of different actors that come in this order in the one run, not in the other."""
    common = 0
    while common < min(len(failing), len(passing)) and (
        failing[common].name == passing[common].name
    ):
        common += 1
    here = {step.name: place for place, step in enumerate(failing)}
    there = {step.name: place for place, step in enumerate(passing)}
    others = [
        (place, here.get(step.name, len(failing)), step)
        for place, step in enumerate(passing)
        if place >= common and (step.telling or not telling)
    ]
    for at in range(len(failing) - 1, common - 1, -1):
        one = failing[at]
        if telling and not one.telling:
            continue
        until = there.get(one.name, len(passing))
        for place, place_here, other in others:
            if place >= until:
                break
            if place_here > at and other.name.label != one.name.label:
                yield at, one, place, other


def dependent_before(steps: Sequence[Step]) -> Iterator[tuple[Step, Step]]:
    """For each step, of every other actor the last step before it on which it may depend.

    The actor's earlier ones come before that anyway. Time passes for all, so timers depend on each
    other, too.
    """
    done: dict[str, list[Step]] = {}
    for step in steps:
        for actor, earlier in done.items():
            if actor == step.actor:
                continue
            last = next((one for one in reversed(earlier) if _dependent(one, step)), None)
            if last is not None:
                yield last, step
        done.setdefault(step.actor, []).append(step)


def _dependent(one: Step, other: Step) -> bool:
    return one.conflicts(other) or one.kind == other.kind == TIMER
