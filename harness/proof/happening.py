"""What happened before what in one run, and which pairs of steps could have come the other way.

After Abdulla, Aronsson, Jonsson and Sagonas, *Optimal dynamic partial order reduction* (POPL 2014,
JACM 64(4), 2017). Added to that: requests that wait for a condition, steps that take the
possibility from others (crashes, drops, the end of the run), time that passes only when nothing
else can move, and choices of the world that belong to the step that asked for them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from harness.proof.errands import CHOSEN, LASTING, MAYBE, ONCE, WAITING, Step
from harness.proof.resources import ALL, EVERYTHING, NONE
from harness.proof.vocabulary import Vocabulary

#: A process in a sequence of steps, with the set of touches of its step.
Move = tuple[int, int]
#: A place in a run and a sequence of moves that should be tried from there.
Reversal = tuple[int, tuple[Move, ...]]


class Event:
    """One step of a run, and what came before it: ``past`` has a bit for each of those steps.

    ``before`` are the processes that could have gone instead, ``enabled`` those that can go
    since. ``head`` is the index of the step that this one belongs to: its own, except for a
    choice of the world. ``level`` is the length of the longest chain of steps that led to it.
    """

    __slots__ = ("before", "enabled", "head", "level", "masks", "past", "step", "touched")

    def __init__(self, step: Step) -> None:
        self.step = step
        self.before = frozenset(process for process, _ in step.could)
        self.enabled: frozenset[int] = frozenset()
        self.past = 0
        self.head = -1
        self.level = 0
        self.touched = step.touched
        self.masks = NONE


class Happening:
    """The events of one run, in their order; the first ``known`` of them come from earlier runs."""

    def __init__(
        self,
        known: Sequence[Event],
        steps: Sequence[Step],
        vocabulary: Vocabulary,
        *,
        could: Sequence[tuple[int, int]],
        ended: bool,
        end_matters: bool,
    ) -> None:
        self.events = [*known, *(Event(step) for step in steps)]
        self.known = len(known)
        self.ended = ended
        self._vocabulary = vocabulary
        self._last_of: dict[int, int] = {}
        self._everything = vocabulary.set_of([EVERYTHING])
        self._after_end = frozenset(process for process, _ in could)
        self.reversals: list[Reversal] = []
        for index, event in enumerate(known):
            self._last_of[event.step.process] = index
        self._join_choices()
        for index in range(self.known, len(self.events)):
            last = ended and index == len(self.events) - 1
            self._place(index, everything=last and end_matters)
            self._last_of[self.events[index].step.process] = index
        self._lost()

    def _join_choices(self) -> None:
        """A step and the choices of the world that follow from it are one."""
        events, vocabulary = self.events, self._vocabulary
        for index in range(self.known, len(events)):
            event = events[index]
            chosen = event.step.kind == CHOSEN
            event.head = events[index - 1].head if chosen else index
            event.masks = vocabulary.masks[event.step.touched]
            if chosen:
                head = events[event.head]
                head.masks = head.masks.joined(event.masks)
                both = (*vocabulary.touches[head.touched], *vocabulary.touches[event.touched])
                head.touched = vocabulary.set_of(both)
        for index in range(self.known, len(events)):
            event = events[index]
            event.enabled = self._after(index) - events[event.head].before

    def _after(self, index: int) -> frozenset[int]:
        """Who could go when a step was over, with all choices that belong to it."""
        events = self.events
        index += 1
        while index < len(events) and events[index].step.kind == CHOSEN:
            index += 1
        return events[index].before if index < len(events) else self._after_end

    @property
    def form(self) -> str:
        """The normal form of Foata in a few letters: equal for runs that are the same."""
        steps = sorted((each.level, each.step.process, each.step.touched) for each in self.events)
        return hashlib.sha256(repr(steps).encode()).hexdigest()[:16]

    # --- one event ----------------------------------------------------------------------------

    def _place(self, index: int, *, everything: bool) -> None:
        """Find what happened before an event, and what of that could have come after it."""
        events = self.events
        event = events[index]
        # The end of a run takes the possibility from everybody.
        step, masks = event.step, ALL if everything else event.masks
        last = step.process, self._everything if everything else event.touched
        order = self._vocabulary.masks[step.order]
        necessary = self._necessary(index)
        past, covered = necessary | self._up_to(self._enabler(index)), necessary
        rest = ((1 << index) - 1) & ~covered
        found: list[int] = []
        level = max((events[each].level + 1 for each in self._causes(index)), default=0)
        while rest:
            other_index = rest.bit_length() - 1
            other = events[other_index]
            rest &= ~(1 << other_index)
            both = other.past | 1 << other_index
            was = past
            if self._vocabulary.masks[other.step.order].touches & order.minds:
                past |= both
                covered |= both
            elif other.masks.touches & masks.minds:
                past |= both
                if step.queue and step.queue == other.step.queue:
                    covered |= both
                elif self._reversible(other.head, index):
                    found.append(other.head)
                    covered |= both
            if past != was:
                level = max(level, other.level + 1)
            rest &= ~covered
        event.past, event.level = past, level
        for other_index in dict.fromkeys(found):
            left = self._without(other_index, index)
            self.reversals.append((other_index, (*left, last)))

    def _necessary(self, index: int) -> int:
        """What had to happen before this event in every order in which it happens at all."""
        step = self.events[index].step
        causes = [self._last_of.get(step.process, -1), step.born]
        if step.kind == CHOSEN:
            causes.append(index - 1)
        if step.kind in (LASTING, ONCE) and step.condition < 0:
            causes += self._enabler(index)
        return self._up_to(cause for cause in causes if 0 <= cause < index)

    def _causes(self, index: int) -> list[int]:
        """What this one surely follows: its process's last step, and what made it possible."""
        step = self.events[index].step
        causes = [self._last_of.get(step.process, -1), step.born, *self._enabler(index)]
        if step.kind == CHOSEN:
            causes.append(index - 1)
        return [cause for cause in causes if 0 <= cause < index]

    def _up_to(self, causes: Iterable[int]) -> int:
        """These steps and all that happened before them."""
        past = 0
        for cause in causes:
            past |= self.events[cause].past | 1 << cause
        return past

    def _enabler(self, index: int) -> list[int]:
        """The last step before this one that made it possible; none if it always was."""
        step = self.events[index].step
        process, start = step.process, max(self._last_of.get(step.process, -1), step.born)
        for cause in range(index - 1, start, -1):
            if process in self.events[cause].enabled:
                return [cause]
        return []

    def _reversible(self, earlier: int, later: int) -> bool:
        """Whether the later event could have happened at the moment of the earlier one."""
        events = self.events
        step = events[later].step
        if step.process in events[earlier].before:
            return True
        if step.kind == WAITING:
            return events[earlier].step.kind == MAYBE
        known_since = max(self._last_of.get(step.process, -1), step.born)
        if known_since > earlier and step.process in self._after(known_since):
            return True
        start = max(known_since, earlier)
        condition = self._vocabulary.masks[step.condition] if step.condition >= 0 else NONE
        for index in range(start + 1, later):
            event = events[index]
            if event.past >> earlier & 1:
                continue
            if step.process in event.enabled:
                return True
            if step.condition >= 0 and event.masks.conflict(condition):
                return True
        return False

    def _without(self, earlier: int, later: int) -> Iterator[Move]:
        """What is left of the run between two events without what follows from the earlier one."""
        for index in range(earlier + 1, later):
            event = self.events[index]
            if not event.past >> earlier & 1:
                yield event.step.process, event.touched

    # --- what a step took away ------------------------------------------------------------------

    def _lost(self) -> None:
        """Who could have gone before a step and cannot any more should go before it as well."""
        touched = {event.step.process: event.touched for event in self.events}
        for index in range(self.known, len(self.events)):
            event = self.events[index]
            if event.step.kind == CHOSEN:
                continue
            over = self.ended and self._after_is_end(index)
            after = frozenset[int]() if over else self._after(index)
            if not over and not self._knows_after(index):
                continue
            for process, _ in event.step.could:
                if process not in after and process != event.step.process:
                    move = (process, touched.get(process, self._everything))
                    self.reversals.append((index, (move,)))

    def _knows_after(self, index: int) -> bool:
        """Whether the run went on after an event, so that we know who could."""
        return not self._after_is_end(index) or bool(self._after_end)

    def _after_is_end(self, index: int) -> bool:
        events = self.events
        index += 1
        while index < len(events) and events[index].step.kind == CHOSEN:
            index += 1
        return index == len(events)
