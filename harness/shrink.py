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
from harness.schedule.choices import FAULT, ORPHAN, TIMER, Chooser, Deviation
from harness.schedule.fragments import by_labels, by_lanes, by_steps, essence, lane_of
from harness.schedule.strategies.protocol import choose_first, spread

_monotonic = time.monotonic
#: A schedule with no more choices than this is small enough for the systematic part at once.
FEW = 8
#: How many choices are tried at other moments, at how many moments each, and from how many choices
#: on that is worth it.
MOVED_MAX, ELSEWHERE_MAX, MOVED_FROM = 3, 24, 2
#: For how many choices at most the report says what happens without each of them.
COUNTERFACTUALS_MAX = 12
#: How many guesses of one kind are tried before the systematic part begins.
GUESSES_MAX = 12


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The smallest run found, what it took, and the checked counterfactuals."""

    run: Run
    shrinking: Shrinking
    counterfactuals: tuple[Counterfactual, ...]


class _Budget:
    """Counts runs and real seconds; says what ended the search for something smaller."""

    def __init__(self, runs: int, wall_s: float, interrupted: Callable[[], bool]) -> None:
        self.runs, self.spent = runs, 0
        #: What is kept back for the last runs, which check what the report will say.
        self.reserve = 1 + min(COUNTERFACTUALS_MAX, runs // 10)
        self.ends_at = _monotonic() + wall_s
        self.interrupted = interrupted
        self.ended_by = ""

    def left(self) -> bool:
        """Whether another run, and the one that confirms it, may be spent on a smaller schedule."""
        if self.spent + 2 + self.reserve > self.runs:
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
        return self._try(by_labels(deviations))

    def attempt_steps(self, deviations: Sequence[Deviation]) -> bool:
        """The same, for deviations that stay at their steps."""
        return self._try_choices(by_steps(deviations))

    def _try(self, clocked: Callable[[Callable[[], int]], Chooser]) -> bool:
        return self.budget.left() and self._better(self._run(clocked=clocked))

    def _try_choices(self, choose: Chooser) -> bool:
        return self.budget.left() and self._better(self._run(choose=choose))

    def _better(self, candidate: Run) -> bool:
        if not self._same(candidate) or not _smaller(candidate, self.best):
            return False
        again = self._run(choose=follow(candidate.schedule))
        if again.digest != candidate.digest:
            return False
        self.best = candidate
        return True

    def _run(
        self,
        *,
        choose: Chooser = choose_first,
        clocked: Callable[[Callable[[], int]], Chooser] | None = None,
    ) -> Run:
        self.budget.spent += 1
        schedule = self.best.schedule
        return execute(
            self.best.scenario,
            seed=schedule.seed,
            choose=choose,
            clocked=clocked,
            variant=schedule.variant,
            digested=True,
            until_violation=True,
        )

    def _same(self, run: Run) -> bool:
        return run.violated and run.violations[0].fingerprint == self.fingerprint

    def move_one(self) -> None:
        """One choice of the run alone, at other moments of the first-in-first-out run.

        Faults first, then timers and steps of the lane that broke the rule: what matters about
        them is often only that they come while something else is going on.
        """
        if len(self.best.deviations) < MOVED_FROM or not self.budget.left():
            return
        self.budget.spent += 1
        schedule = self.best.schedule
        plain = execute(
            self.best.scenario, seed=schedule.seed, variant=schedule.variant, recorded=True
        )
        for wanted in self._movable():
            places = [
                (step, labels.index(label))
                for step, labels in enumerate(plain.offered, 1)
                for label in labels[1:]
                if essence(label) == wanted
            ]
            for number in range(min(ELSEWHERE_MAX, len(places))):
                step, choice = places[spread(number, len(places))]
                if self._try_choices(follow(schedule.with_choices({step: choice}))):
                    return

    def _movable(self) -> list[str]:
        """What the choices of the run took, the likeliest cause first, without doubles."""
        broken = self.best.violations[0]
        ranked = sorted(
            (
                (d.kind not in (FAULT, ORPHAN), d.kind != TIMER, -d.step, essence(d.taken))
                for d in self.best.deviations
                if d.step <= broken.step
                and (d.kind in (FAULT, ORPHAN) or lane_of(d.taken) == broken.lane)
            ),
        )
        return list(dict.fromkeys(each[-1] for each in ranked))[:MOVED_MAX]

    def drop_lanes(self) -> None:
        """Let as many lanes as possible go first-in-first-out, the unlikely ones first."""
        if not self.budget.left():
            return
        order = self.record()
        broken = self.best.violations[0]
        service = broken.lane.partition("#")[0]
        lanes = list(dict.fromkeys(lane_of(label) for label in order))
        close = [
            lane
            for lane in lanes
            if lane.partition("#")[0] == service or lane.startswith("nemesis")
        ]
        if self._try(by_lanes(order, [broken.lane])) or self._try(by_lanes(order, close)):
            return
        kept = list(lanes)
        for lane in sorted(lanes, key=lambda each: each in close):
            fewer = [each for each in kept if each != lane]
            if self._try(by_lanes(order, fewer)):
                kept = fewer

    def record(self) -> tuple[str, ...]:
        """What ran in the best run, step by step."""
        self.budget.spent += 1
        schedule = self.best.schedule
        run = execute(
            self.best.scenario,
            seed=schedule.seed,
            choose=follow(schedule),
            variant=schedule.variant,
            recorded=True,
        )
        return run.taken[: self.best.violations[0].step]

    def try_likely(self) -> None:
        """Guesses that are right surprisingly often, before anything systematic.

        One choice alone; and one thing held back while the lane that broke the rule went on: the
        choices of that lane that were taken over one and the same other thing. Faults of the run
        come along in a second round, for the incarnation that broke the rule may owe them its life.
        """
        broken = self.best.violations[0]
        relevant = [d for d in self.best.deviations if d.step <= broken.step]
        faults = [d for d in relevant if d.kind in (FAULT, ORPHAN)]
        held_back: dict[str, list[Deviation]] = {}
        for deviation in reversed(relevant):
            if deviation.lane == broken.lane and deviation not in faults:
                held_back.setdefault(deviation.first, []).insert(0, deviation)
        windows = sorted(held_back.values(), key=lambda w: not _same_lane(w[0].first, broken.lane))
        service = broken.lane.partition("#")[0] or broken.lane
        singles = sorted(relevant, key=lambda d: (d not in faults, service not in d.taken, -d.step))
        guesses: list[list[Deviation]] = [
            faults,
            *([fault] for fault in faults),
            *windows[:GUESSES_MAX],
            *([single] for single in singles[:GUESSES_MAX]),
            *([*faults, *window] for window in windows[:GUESSES_MAX] if faults),
            *([*faults, single] for single in singles[:GUESSES_MAX] if faults),
        ]
        for guess in guesses:
            if guess and self.attempt(guess):
                return

    def reduce(self, attempt: Callable[[Sequence[Deviation]], bool]) -> bool:
        """Delta debugging (Zeller and Hildebrandt 2002) over the deviations; whether it helped."""
        before = self.best
        parts = 2
        while len(self.best.deviations) > 1 and self.budget.left():
            deviations = self.best.deviations
            size = max(1, -(-len(deviations) // parts))
            chunks = [deviations[i : i + size] for i in range(0, len(deviations), size)]
            for index, chunk in enumerate(chunks):
                rest = [d for j, other in enumerate(chunks) if j != index for d in other]
                if (len(chunks) > 2 and attempt(chunk)) or attempt(rest):
                    parts = max(2, parts - 1)
                    break
            else:
                if size == 1:
                    break
                parts = min(len(deviations), parts * 2)
        return self.best is not before

    def whole(self) -> Run:
        """The best run once more, to its end: what followed belongs to the finding."""
        self.budget.spent += 1
        schedule = self.best.schedule
        return execute(
            self.best.scenario,
            seed=schedule.seed,
            choose=follow(schedule),
            variant=schedule.variant,
            digested=True,
        )

    def counterfactuals(self) -> tuple[Counterfactual, ...]:
        """For each choice that is left: what happens when first-in-first-out is kept there."""
        found: list[Counterfactual] = []
        if len(self.best.deviations) > COUNTERFACTUALS_MAX:
            return ()
        for deviation in self.best.deviations:
            if self.budget.spent >= self.budget.runs:
                break
            others = [other for other in self.best.deviations if other is not deviation]
            run = self._run(clocked=by_labels(others))
            found.append(
                Counterfactual(
                    step=deviation.step,
                    ran=deviation.taken,
                    instead_of=deviation.first,
                    holds=not run.violated,
                )
            )
        return tuple(found)


def _same_lane(label: str, lane: str) -> bool:
    return label.startswith(f"{lane}: ")


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
        shrinker.try_likely()
        if len(shrinker.best.deviations) > FEW:
            shrinker.move_one()
        if len(shrinker.best.deviations) > FEW:
            shrinker.drop_lanes()
            shrinker.try_likely()
        shrinker.reduce(shrinker.attempt)
        # Labels move a choice to where its situation comes up first; in its own place less may do.
        while shrinker.reduce(shrinker.attempt_steps) and shrinker.reduce(shrinker.attempt):
            pass
        shrinker.move_one()
    best = shrinker.whole()
    counterfactuals = shrinker.counterfactuals()
    shrinking = Shrinking(
        steps=(run.steps, best.steps),
        choices=(len(run.deviations), len(best.deviations)),
        faults=(run.faults, best.faults),
        runs=budget.spent,
        budget=budget_runs,
        ended_by=budget.ended_by or "one-minimal",
    )
    return Shrunk(best, shrinking, counterfactuals)
