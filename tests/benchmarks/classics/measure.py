"""How many schedules a strategy needs until it finds the bug of a program.

A search does what a campaign does: it learns when a generation is over. Its first run is
first-in-first-out, which single strategies are given and the portfolio has to count.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from time import process_time

from harness.engine import execute
from harness.scenario import Scenario
from harness.schedule.strategies.portfolio import Rotation, parse_names
from harness.schedule.strategies.protocol import Lesson, Seen
from harness.trial import last_of_generation

PORTFOLIO = "portfolio"
PROFILE = "fifo"


@dataclass(frozen=True, slots=True)
class Search:
    """One search: whether it found the bug, in its last of so many schedules, and what it cost."""

    seed: int
    schedules: int
    found: bool
    steps: int
    spent_s: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The searches of one strategy in one program, at most ``schedules_max`` schedules each."""

    program: str
    strategy: str
    schedules_max: int
    searches: tuple[Search, ...]

    @property
    def found(self) -> int:
        """How many searches found the bug."""
        return sum(search.found for search in self.searches)

    @property
    def to_bug(self) -> list[int]:
        """Schedules to the bug, of the searches that found it."""
        return [search.schedules for search in self.searches if search.found]

    @property
    def mean(self) -> float | None:
        """Of those that found it; nothing if none did."""
        return statistics.mean(self.to_bug) if self.found else None

    @property
    def median(self) -> float | None:
        """Of those that found it; nothing if none did."""
        return statistics.median(self.to_bug) if self.found else None

    @property
    def deviation(self) -> float | None:
        """The standard deviation of those that found it; nothing for less than two."""
        return statistics.stdev(self.to_bug) if self.found > 1 else None

    @property
    def mean_spent(self) -> float:
        """Schedules spent by a search on average, in vain or not: what a gate can compare."""
        return statistics.mean(
            search.schedules if search.found else self.schedules_max for search in self.searches
        )

    @property
    def runs_per_s(self) -> float:
        """Schedules for each second of the processor."""
        spent_s = sum(search.spent_s for search in self.searches)
        return sum(search.schedules for search in self.searches) / spent_s if spent_s else 0.0

    @property
    def steps_per_s(self) -> float:
        """Steps for each second of the processor."""
        spent_s = sum(search.spent_s for search in self.searches)
        return sum(search.steps for search in self.searches) / spent_s if spent_s else 0.0


def search(
    scenario: Scenario, strategies: str, *, seed: int, schedules: int, until_bug: bool = True
) -> Search:
    """The schedules of one cold start, until the bug is found or all are spent.

    Not ``until_bug`` spends them all, and ``found`` says whether anything was accused.
    """
    names = parse_names(strategies)
    rotation, seen, given = Rotation(names, seed=seed), Seen(), PROFILE not in names
    started, number, steps, found = process_time(), 0, 0, False
    lessons: list[Lesson] = []
    while number < schedules + given and (turn := rotation.next(seen)) is not None:
        strategy, choose = turn
        run = execute(scenario, seed=seed, choose=choose, profiled=strategy == PROFILE)
        number, steps = number + 1, steps + run.steps
        found = found or (run.violated and not (given and number == 1))
        if found and until_bug:
            break
        lessons.append(run.lesson(number, strategy))
        if number == last_of_generation(number):
            seen, lessons = seen.after(lessons), []
    return Search(seed, number - given, found, steps, process_time() - started)


def measured(
    program: str, scenario: Scenario, strategies: str, *, seeds: Sequence[int], schedules: int
) -> Figures:
    """Searches from several cold starts."""
    return Figures(
        program,
        strategies,
        schedules,
        tuple(search(scenario, strategies, seed=seed, schedules=schedules) for seed in seeds),
    )
