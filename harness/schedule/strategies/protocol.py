"""What every strategy is: a pure function from what was seen to the chooser of one run.

A strategy is given the number of the run, a generator of its own and what the campaign has seen so
far, and returns the chooser of that run, or nothing when it has no more to try. The run it makes
is a pure function of the choices that were recorded, never of the strategy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import gcd
from random import Random

from harness.schedule.choices import TIMER, Chooser, Option
from harness.schedule.strategies.corpus import Corpus, Entry
from harness.schedule.strategies.merit import Merit


@dataclass(frozen=True, slots=True)
class Profile:
    """What the first-in-first-out run looked like.

    ``fault_points`` are the steps and choices at which faults could strike; ``widths`` says, for
    each step at which there was a choice, between how many options that have to happen sooner or
    later; ``touches`` counts for each actor how often it touched each resource, in the order in
    which the actors first moved; ``parents`` says which actor started which.
    """

    fault_points: tuple[tuple[int, int], ...] = ()
    widths: tuple[tuple[int, int], ...] = ()
    touches: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    parents: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one run taught: plain data that can be sent from one process to another.

    ``covered`` is what it reached of all that can be covered, ``broken`` the rules that it broke,
    and ``choices`` its schedule.
    """

    number: int
    strategy: str
    steps: int
    broken: tuple[str, ...] = ()
    profile: Profile | None = None
    covered: tuple[str, ...] = ()
    choices: tuple[tuple[int, int], ...] = ()

    @property
    def shown(self) -> tuple[str, ...]:
        """All that can be news: what it covered, and what it broke."""
        return (*self.covered, *(f"broke {rule}" for rule in self.broken))


@dataclass(frozen=True, slots=True)
class Seen:
    """What the runs so far have shown; every worker of a campaign learns the same.

    ``steps`` is how long the ``runs`` so far were on average, because a horizon that one long run
    has stretched leaves most faults and preemptions to strike after the end. ``corpus`` is what
    was covered or broken and by which runs, ``merits`` which strategies showed it.
    """

    steps: int = 100
    runs: int = 0
    profile: Profile = Profile()
    corpus: Corpus = field(default_factory=Corpus)
    merits: Mapping[str, Merit] = field(default_factory=dict)

    def after(self, lessons: Iterable[Lesson]) -> Seen:
        """What is known when a generation is over; the order of its runs is that of numbers."""
        seen, merits = self, {name: merit.faded for name, merit in self.merits.items()}
        for lesson in sorted(lessons, key=lambda each: each.number):
            new = any(name not in seen.corpus.counts for name in lesson.shown)
            name = lesson.strategy.partition(",")[0]
            merits[name] = merits.get(name, Merit()).after(new=new)
            seen = replace(
                seen,
                steps=round((seen.steps * seen.runs + lesson.steps) / (seen.runs + 1)),
                runs=seen.runs + 1,
                profile=lesson.profile or seen.profile,
                corpus=seen.corpus.after(
                    Entry(lesson.steps, lesson.choices, lesson.shown), fit=not lesson.broken
                ),
            )
        return replace(seen, merits=merits)


Strategy = Callable[[int, Random, Seen], Chooser | None]


def choose_first(options: Sequence[Option], step: int) -> int:
    """First in, first out."""
    return 0


def spread(number: int, count: int) -> int:
    """The ``number``-th of ``count`` positions, visited once each, far apart first.

    A stride near the golden ratio, coprime to ``count``: every prefix is spread evenly.
    """
    stride = max(1, round(count * 0.6180339887498949))
    while gcd(stride, count) != 1:
        stride += 1
    return number * stride % count


def split_kinds(options: Sequence[Option]) -> tuple[list[int], list[int], list[int]]:
    """The positions of what can move, of what waits for the clock, and of what is optional."""
    moves: list[int] = []
    timers: list[int] = []
    optional: list[int] = []
    for index, option in enumerate(options):
        kind = option.kind
        if kind == TIMER:
            timers.append(index)
        elif option.optional:
            optional.append(index)
        else:
            moves.append(index)
    return moves, timers, optional
