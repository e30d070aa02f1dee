"""The search itself: hands out runs, learns from what they did, and knows when all is done.

It is the same search whoever makes the runs: errands are handed out a few at a time and learned
from in the order of their numbers, so the set of runs does not depend on how many work on it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import UntrustworthyError
from harness.proof.errands import (
    ASLEEP,
    CHOSEN,
    COMPLETE,
    CUT,
    VIOLATED,
    Errand,
    Observation,
    Subject,
    not_deterministic,
)
from harness.proof.happening import Event, Happening
from harness.proof.resources import EVERYTHING
from harness.proof.tree import Branch, State, add, sequences
from harness.proof.vocabulary import Vocabulary

#: How many runs may be on their way at the same time, whether or not somebody makes them at once.
WINDOW = 8


@dataclass(slots=True)
class Tally:
    """How far a search is: complete runs, those given up because all of it was seen, cut ones."""

    complete: int = 0
    asleep: int = 0
    cut: int = 0
    steps_max: int = 0
    overlapped: int = 0
    every_step: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Tally:
        """One that was written down."""
        return cls(**{**data, "every_step": tuple(data["every_step"])})

    @property
    def runs(self) -> int:
        """All runs that were made."""
        return self.complete + self.asleep + self.cut

    def add(self, observation: Observation, length: int) -> None:
        """Count one run of so many steps."""
        self.complete += observation.ending in (COMPLETE, VIOLATED)
        self.asleep += observation.ending == ASLEEP
        self.cut += observation.ending == CUT
        self.steps_max = max(self.steps_max, length)
        self.overlapped += bool(observation.overlapped) and observation.ending == COMPLETE
        self.every_step = observation.every_step or self.every_step


@dataclass(slots=True)
class Sent:
    """An errand that is on its way, and where it set out."""

    errand: Errand
    state: State
    branch: Branch | None


class Explorer:
    """One search; ``end_matters`` says that the state in which a run ends is always looked at."""

    def __init__(self, subject: Subject, *, end_matters: bool = False) -> None:
        self.subject = subject
        self.vocabulary = Vocabulary()
        self.tally = Tally()
        self.end_matters = end_matters
        self.violation: tuple[int, ...] | None = None
        self.forms: set[str] = set()
        self.latest: list[Event] = []
        self.past_violations = False
        self._everything = self.vocabulary.set_of([EVERYTHING])
        self.root = State(None, None, (), {})
        self.opened: list[State] = []
        self.sent: deque[Sent] = deque()
        self.numbers = 0
        self.begun = False

    # --- handing out ------------------------------------------------------------------------

    def errands(self) -> Iterator[Errand]:
        """The errands that can be sent now."""
        if not self.begun:
            self.begun = True
            yield self._send(self.root, None)
        while len(self.sent) < WINDOW:
            state = self._next_state()
            if state is None:
                return
            yield self._send(state, state.branches.pop(0))

    @property
    def done(self) -> bool:
        """Whether there is nothing left to do."""
        return self.begun and not self.sent and not self.opened

    def _next_state(self) -> State | None:
        """The state that was opened last, of those where a choice can be made now."""
        for index in range(len(self.opened) - 1, -1, -1):
            state = self.opened[index]
            if not state.branches:
                state.is_open = False
                del self.opened[index]
            elif not state.unseen:
                return state
        return None

    def _send(self, state: State, branch: Branch | None) -> Errand:
        way = state.way()
        prefix = [each.came_by.step.choice for each in way if each.came_by is not None]
        sleep: dict[int, int] = {}
        guide: list[int] = []
        if branch is not None:
            sleep = {**state.sleep, **state.taken}
            sleep.pop(branch.process, None)
            state.taken[branch.process] = branch.touched
            state.unseen += 1
            below = [branch]
            while below:
                guide.append(below[0].process)
                below = below[0].below
        self.numbers += 1
        errand = Errand(self.numbers, tuple(prefix), tuple(sleep.items()), tuple(guide))
        self.sent.append(Sent(errand, state, branch))
        return errand

    # --- learning -----------------------------------------------------------------------------

    @property
    def awaited(self) -> int:
        """The number of the errand that has to be learned from next."""
        return self.sent[0].errand.number

    def learn(self, observation: Observation) -> None:
        """Take over what a run saw; runs come in the order of their errands."""
        sent = self.sent.popleft()
        assert observation.number == sent.errand.number
        _check_place(sent, observation)
        way = sent.state.way()
        known = [each.came_by for each in way if each.came_by is not None]
        self.tally.add(observation, len(known) + len(observation.steps))
        if observation.ending == VIOLATED and not self.past_violations:
            choices = (event.step.choice for event in known)
            self.violation = (*choices, *(step.choice for step in observation.steps))
            return
        if observation.ending == CUT:
            self._seen(sent, None)
            return
        happening = Happening(
            known,
            observation.steps,
            self.vocabulary,
            could=observation.could,
            ended=observation.ending != ASLEEP,
            end_matters=self.end_matters or observation.end_matters,
        )
        events, self.latest = happening.events[len(known) :], happening.events
        if observation.ending != ASLEEP:
            self.forms.add(happening.form)
        if not events:
            self._seen(sent, None)
            return
        way += self._extend(sent, events, ended=observation.ending != ASLEEP)
        self._choices(way, known, events)
        for index, moves in happening.reversals:
            add(way[index], moves, self.vocabulary)
        for each in way:
            if each.branches and not each.is_open:
                each.is_open = True
                self.opened.append(each)

    def _seen(self, sent: Sent, event: Event | None) -> None:
        """What the first step of an errand touched is known now."""
        state, branch = sent.state, sent.branch
        if branch is None:
            return
        state.unseen -= 1
        if event is not None and event.step.process == branch.process:
            state.taken[branch.process] = event.touched
        else:
            del state.taken[branch.process]

    def _extend(self, sent: Sent, events: list[Event], *, ended: bool) -> list[State]:
        """The states that a run has passed, with what is still to be tried in them."""
        first, vocabulary = sent.state, self.vocabulary
        if sent.branch is None:
            first.could = dict(events[0].step.could)
        sleep = dict(sent.errand.sleep)
        leftover = [sent.branch] if sent.branch is not None else []
        states: list[State] = []
        state = first
        for index, event in enumerate(events):
            process = event.step.process
            last = ended and index == len(events) - 1
            if index:
                state.taken[process] = event.touched
            else:
                self._seen(sent, event)
                state.taken.setdefault(process, event.touched)
            if last:
                state.taken[process] = self._everything
            followed = next((each for each in leftover if each.process == process), None)
            for moves in sequences(each for each in leftover if each is not followed):
                if index or followed is not None:
                    add(state, moves, vocabulary)
            leftover = followed.below if followed is not None else []
            sleep = {
                other: touched
                for other, touched in sleep.items()
                if other != process and not vocabulary.masks[touched].conflict(event.masks)
            }
            if last:
                break
            could = events[index + 1].step.could if index + 1 < len(events) else ()
            state = State(state, event, could, sleep)
            states.append(state)
        return states

    def _choices(self, way: Sequence[State], known: Sequence[Event], events: list[Event]) -> None:
        """Of a choice of the world everything is tried, before anybody else goes instead of it."""
        for index, event in enumerate(events, len(known)):
            if event.step.kind != CHOSEN:
                continue
            head = way[event.head]
            if event.head < len(known):
                head.unseen -= 1
                head.taken[known[event.head].step.process] = known[event.head].touched
            for process, _ in event.step.could:
                head.unseen += add(way[index], ((process, self._everything),), self.vocabulary)


def _check_place(sent: Sent, observation: Observation) -> None:
    """The same choices have to lead to the same place."""
    could = observation.steps[0].could if observation.steps else observation.could
    if sent.branch is not None and dict(could) != sent.state.could:
        raise UntrustworthyError(
            f"the same {sent.state.depth} choices led to a place where something else is possible: "
            f"{not_deterministic()}"
        )
