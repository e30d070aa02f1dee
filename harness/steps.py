"""The steps of a run as they were taken, and the pairs that two runs have in different orders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from harness.engine import Run
from harness.findings.finding import StepName
from harness.schedule.choices import FAULT, OPERATION, ORPHAN, Chooser, Footprint, Option
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
        self.taken: list[tuple[StepName, str, str, str, Footprint, bool]] = []

    def __call__(self, now_ms: Callable[[], int]) -> Chooser:
        """The chooser of one run."""
        choose, names = self.inner(now_ms), Names()

        def noting(options: Sequence[Option], step: int) -> int:
            index = choose(options, step)
            one = options[index]
            self.taken.append(
                (names.take(one), one.lane, one.actor, one.kind, one.footprint, one.optional)
            )
            return index

        return noting

    def steps(self, run: Run) -> list[Step]:
        """The steps of the run that it made, with whether a rule could see them."""
        seen = {event.step for event in run.history}
        return [Step(*taken, number in seen) for number, taken in enumerate(self.taken, 1)]


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
