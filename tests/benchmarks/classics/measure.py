"""How many schedules a strategy needs until it finds the bug of a program.

A search does what a campaign does. What single strategies learn from the first-in-first-out run is
given to them, and that run is not counted; the portfolio starts with it, and there it is.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from time import process_time

from harness.engine import execute
from harness.scenario import Scenario
from harness.schedule.strategies.portfolio import Rotation, parse_names
from harness.schedule.strategies.protocol import Seen

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
    rotation, seen = Rotation(parse_names(strategies), seed=seed), Seen()
    counts_profile = PROFILE in parse_names(strategies)
    if not counts_profile:
        first = execute(scenario, seed=seed, profiled=True)
        seen = seen.after([first.lesson(0, PROFILE)])
    started, number, steps, found = process_time(), 0, 0, False
    while number < schedules and (turn := rotation.next(seen)) is not None:
        strategy, choose = turn
        if strategy == PROFILE and not counts_profile:
            continue
        run = execute(scenario, seed=seed, choose=choose, profiled=strategy == PROFILE)
        number, steps, found = number + 1, steps + run.steps, found or run.violated
        if found and until_bug:
            break
        seen = seen.after([run.lesson(number, strategy)])
    return Search(seed, number, found, steps, process_time() - started)


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
