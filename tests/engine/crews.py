"""Crews for tests: workers that take turns in an order that a test draws, in one process."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from random import Random

from harness.campaign import Campaign, Crew, Plan, Search, Smaller, attempt_smaller, drive
from harness.engine import campaign
from harness.errors import ChangeoverError
from harness.findings.finding import Finding
from harness.scenario import Scenario
from harness.trial import Closed, Trial, TrialRunner


class Turns:
    """So many workers, each with what it learned itself; who takes the next number is drawn.

    Some hand over late: what they made arrives in any order and is given out in that of numbers.
    """

    def __init__(self, scenario: Scenario, plan: Plan, workers: int, seed: int) -> None:
        self.runners = [TrialRunner(scenario, plan) for _ in range(workers)]
        self.random = Random(seed)
        self.made: dict[int, int] = {}
        self.unshrunk: list[tuple[Search, Finding]] = []

    def trials(
        self, search: Search, numbers: range, *, stop: Callable[[], bool]
    ) -> Generator[Trial, None, None]:
        """Everybody takes numbers until there are none; then all is handed over."""
        arrived: list[Trial] = []
        for number in numbers:
            worker = self.random.randrange(len(self.runners))
            if stop():
                break
            trial = self.runners[worker].trial(number)
            if trial is None:
                break
            self.made[number] = worker
            arrived.append(trial)
        self.random.shuffle(arrived)
        yield from sorted(arrived, key=lambda trial: trial.number)

    def close(self, search: Search, generation: Closed) -> None:
        """All learn the same."""
        for runner in (*self.runners, search.runner):
            runner.close(generation)

    def shrink(self, search: Search, finding: Finding) -> None:
        """Keep it for later."""
        self.unshrunk.append((search, finding))

    def shrunk(self, *, wait: bool, interrupted: Callable[[], bool]) -> Iterable[Smaller]:
        """Only at the very end, the last one first."""
        while wait and self.unshrunk:
            search, finding = self.unshrunk.pop()
            result = search.result
            yield attempt_smaller(result.scenario, result.plan, finding, interrupted)


def searched(
    scenario: Scenario,
    plan: Plan,
    crew: Crew,
    *,
    on_trial: Callable[[Trial, Campaign], None] = lambda trial, result: None,
) -> Campaign:
    """What a crew finds."""

    def refuse(search: Search, error: ChangeoverError) -> None:
        raise error

    with campaign():
        search = Search(scenario, plan, on_trial=on_trial)
        drive([search], crew, lambda: "", on_error=refuse)
    return search.result
