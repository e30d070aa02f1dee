"""Names that outlive a run: processes by descent, and what steps touch, as small numbers.

A process is what steps one after the other: a task, or a request, a timer, a fault that happens
once. Its number is the same in every run of one search, because its descent is; numbers of another
search mean nothing here and are sent as :class:`News`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.proof.resources import Masks, Resources, Touch
from harness.schedule.choices import Option

#: The parent of a process that was there before the first step.
NOBODY = -1
#: A process: who made it possible, and its label or the how-manieth child it is.
Descent = tuple[int, str]


@dataclass(frozen=True, slots=True)
class News:
    """What a vocabulary has learned: processes and sets of touches, in the order of numbers."""

    processes: tuple[Descent, ...]
    touches: tuple[tuple[Touch, ...], ...]


class Vocabulary:
    """The processes and the sets of touches that one search has met."""

    def __init__(self) -> None:
        self.processes: list[Descent] = []
        self.touches: list[tuple[Touch, ...]] = []
        self.masks: list[Masks] = []
        self._number_of: dict[Descent, int] = {}
        self._number_of_touches: dict[tuple[Touch, ...], int] = {}
        self._resources = Resources()

    def process(self, descent: Descent) -> int:
        """The number of a process."""
        number = self._number_of.get(descent)
        if number is None:
            number = self._number_of[descent] = len(self.processes)
            self.processes.append(descent)
        return number

    def set_of(self, touches: Sequence[Touch]) -> int:
        """The number of a set of touches."""
        key = tuple(sorted(set(touches)))
        number = self._number_of_touches.get(key)
        if number is None:
            number = self._number_of_touches[key] = len(self.touches)
            self.touches.append(key)
            self.masks.append(self._resources.masks(key))
        return number

    def path(self, process: int) -> tuple[str, ...]:
        """Who a process is, from its oldest ancestor on."""
        names: list[str] = []
        while process != NOBODY:
            process, name = self.processes[process]
            names.append(name)
        return tuple(reversed(names))

    def of_path(self, path: Sequence[str]) -> int:
        """The number of the process with this path."""
        number = NOBODY
        for name in path:
            number = self.process((number, name))
        return number

    def news(self, processes: int, touches: int) -> News:
        """What was learned since there were so many of each."""
        return News(tuple(self.processes[processes:]), tuple(self.touches[touches:]))


class Translation:
    """From the numbers of another vocabulary to ours."""

    def __init__(self, ours: Vocabulary) -> None:
        self._ours = ours
        self.processes: list[int] = []
        self.touches: list[int] = []

    def learn(self, news: News) -> None:
        """Take over what the other one has learned."""
        for parent, name in news.processes:
            above = NOBODY if parent == NOBODY else self.processes[parent]
            self.processes.append(self._ours.process((above, name)))
        self.touches += [self._ours.set_of(each) for each in news.touches]


class Numbering:
    """The numbers of the options of one run."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._known: dict[Option, int] = {}

    def __call__(self, option: Option) -> int:
        """The number of the process of which this is the next step."""
        number = self._known.get(option)
        if number is None:
            parent = option.parent
            descent = (
                (NOBODY, option.label) if parent is None else (self(parent), str(option.ordinal))
            )
            number = self._known[option] = self._vocabulary.process(descent)
        return number
