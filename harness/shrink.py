"""Makes a failing schedule small: as few choices that are not first-in-first-out as it takes.

Steps move when a choice is dropped, so candidates are followed by what ran instead of what, never
by step number; what they really did is then recorded exactly. A candidate counts only if it breaks
the same rule at the same site in the same phase, twice with one digest. The result is one-minimal
unless a budget ended it first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.engine import Run, execute, follow
from harness.findings.finding import Counterfactual, Shrinking
from harness.schedule.choices import Chooser, Deviation, Option

_monotonic = time.monotonic
#: How many single deviations are tried alone before the systematic part begins.
SINGLES_MAX = 60


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The smallest run found, what it took, and the checked counterfactuals."""

    run: Run
    shrinking: Shrinking
    counterfactuals: tuple[Counterfactual, ...]


def by_labels(deviations: Sequence[Deviation]) -> Chooser:
    """Follow deviations wherever their situation comes up: ``taken`` is possible, ``first`` due."""
    waiting: dict[str, list[str]] = {}
    for deviation in deviations:
        waiting.setdefault(deviation.first, []).append(deviation.taken)

    def choose(options: Sequence[Option], step: int) -> int:
        wanted = waiting.get(options[0].label)
        if not wanted:
            return 0
        offered = [option.label for option in options]
        for taken in wanted:
            if taken in offered:
                wanted.remove(taken)
                return offered.index(taken)
        return 0

    return choose


class _Budget:
    """Counts runs and real seconds; says what ended the search for something smaller."""

    def __init__(self, runs: int, wall_s: float, interrupted: Callable[[], bool]) -> None:
        self.runs, self.spent = runs, 0
        self.ends_at = _monotonic() + wall_s
        self.interrupted = interrupted
        self.ended_by = ""

    def left(self) -> bool:
        """Whether another run may be spent."""
        if self.spent >= self.runs:
            self.ended_by = f"the budget of {self.runs} runs"
        elif _monotonic() > self.ends_at:
            self.ended_by = "the time limit"
        elif self.interrupted():
            self.ended_by = "an interrupt"
        return not self.ended_by


class _Shrinker:
    """The best run so far and how to better it."""

    def __init__(self, run: Run, budget: _Budget) -> None:
        self.best = run
        self.fingerprint = run.violations[0].fingerprint
        self.budget = budget

    def attempt(self, deviations: Sequence[Deviation]) -> bool:
        """Whether these deviations are enough; if so and smaller, the best run becomes theirs."""
        if not self.budget.left():
            return False
        candidate = self._run(by_labels(deviations))
        if not self._same(candidate) or not _smaller(candidate, self.best):
            return False
        again = self._run(follow(candidate.schedule))
        if again.digest != candidate.digest:
            return False
        self.best = candidate
        return True

    def _run(self, choose: Chooser) -> Run:
        self.budget.spent += 1
        schedule = self.best.schedule
        return execute(
            self.best.scenario,
            seed=schedule.seed,
            choose=choose,
            variant=schedule.variant,
            digested=True,
        )

    def _same(self, run: Run) -> bool:
        return run.violated and run.violations[0].fingerprint == self.fingerprint

    def try_singles(self) -> None:
        """The most telling deviations alone: of the lane that broke the rule, latest first."""
        broken = self.best.violations[0]
        services = {broken.lane.partition("#")[0]} - {""}

        def distance(deviation: Deviation) -> tuple[bool, int]:
            words = f"{deviation.taken} {deviation.first}"
            return (not any(service in words for service in services), -deviation.step)

        relevant = [d for d in self.best.deviations if d.step <= broken.step]
        for deviation in sorted(relevant, key=distance)[:SINGLES_MAX]:
            if self.attempt([deviation]):
                return

    def reduce(self) -> None:
        """Delta debugging (Zeller and Hildebrandt 2002) over the deviations."""
        parts = 2
        while len(self.best.deviations) > 1 and self.budget.left():
            deviations = self.best.deviations
            size = max(1, -(-len(deviations) // parts))
            chunks = [deviations[i : i + size] for i in range(0, len(deviations), size)]
            for index, chunk in enumerate(chunks):
                rest = [d for j, other in enumerate(chunks) if j != index for d in other]
                if (len(chunks) > 2 and self.attempt(chunk)) or self.attempt(rest):
                    parts = max(2, parts - 1)
                    break
            else:
                if size == 1:
                    return
                parts = min(len(deviations), parts * 2)

    def counterfactuals(self) -> tuple[Counterfactual, ...]:
        """For each choice that is left: what happens when first-in-first-out is kept there."""
        found = []
        for deviation in self.best.deviations:
            others = [other for other in self.best.deviations if other is not deviation]
            run = self._run(by_labels(others))
            found.append(
                Counterfactual(
                    step=deviation.step,
                    ran=deviation.taken,
                    instead_of=deviation.first,
                    holds=not run.violated,
                )
            )
        return tuple(found)


def _smaller(candidate: Run, best: Run) -> bool:
    """Fewer faults, then fewer choices, then an order that real trio allows, then fewer steps."""
    return _size(candidate) < _size(best)


def _size(run: Run) -> tuple[int, int, bool, int]:
    return (run.faults, len(run.deviations), not run.batch_legal, run.violations[0].step)


def shrink(
    run: Run,
    *,
    budget_runs: int = 500,
    wall_s: float = 10.0,
    interrupted: Callable[[], bool] = lambda: False,
) -> Shrunk:
    """The smallest schedule found that breaks the same rule at the same site in the same phase.

    Spends at most ``budget_runs`` runs and ``wall_s`` real seconds, then says which ended it.
    """
    budget = _Budget(budget_runs, wall_s, interrupted)
    shrinker = _Shrinker(run, budget)
    if not shrinker.attempt([]):
        shrinker.try_singles()
        shrinker.reduce()
    best = shrinker.best
    counterfactuals = shrinker.counterfactuals() if len(best.deviations) <= 12 else ()
    shrinking = Shrinking(
        steps=(run.steps, best.steps),
        choices=(len(run.deviations), len(best.deviations)),
        faults=(run.faults, best.faults),
        runs=budget.spent,
        budget=budget_runs,
        ended_by=budget.ended_by or "one-minimal",
    )
    return Shrunk(best, shrinking, counterfactuals)
