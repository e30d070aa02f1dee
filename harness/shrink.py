"""Makes a failing schedule small: as few choices that are not first-in-first-out as it takes.

Steps move when a choice is dropped, so candidates are followed by what ran instead of what, by
step numbers, or by ordering constraints; what they really did is then recorded exactly. A candidate
counts only if it breaks the same rule at the same site in the same phase, twice with one digest.
The result is one-minimal unless a budget ended it first: without any one of its faults or choices
the rule does not break. Among equally small runs the first one found stays.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from harness.candidates import (
    Candidate,
    constrained,
    fewer_faults,
    labelled,
    lanes_of,
    likely,
    moved_forward,
    numbered,
    one_elsewhere,
    only_lanes,
)
from harness.constraints import Explainer, Explanation
from harness.engine import Run, execute, follow
from harness.findings.finding import Constraint, Counterfactual, Finding, Shrinking
from harness.schedule.choices import Chooser, Deviation
from harness.schedule.strategies.protocol import choose_first
from harness.steps import Clocked

_monotonic = time.monotonic
#: A schedule with no more choices than this is small enough for the systematic part at once.
FEW = 8
#: For how many choices at most the report says what happens without each of them.
COUNTERFACTUALS_MAX = 12
#: How many runs are spent on constraints that could replace the choices of a long schedule.
KEEPING_RUNS_MAX = 100
#: So few constraints of a long schedule are believed to be the reason.
BELIEVED_MAX = 2
#: The share of a budget that is kept back for saying why: in runs at most so many, and in time.
EXPLAINING_RUNS_MAX, EXPLAINING_SHARE = 100, 0.3


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The smallest run found, what it took, the checked counterfactuals, and why it breaks."""

    run: Run
    shrinking: Shrinking
    counterfactuals: tuple[Counterfactual, ...] = ()
    explanation: Explanation = field(default_factory=Explanation)


class _Budget:
    """Counts runs and real seconds; says what ended the search for something smaller."""

    def __init__(self, runs: int, wall_s: float, interrupted: Callable[[], bool]) -> None:
        self.runs, self.spent = runs, 0
        #: What is kept back for the last runs, which check what the report will say.
        self.last = 1 + min(COUNTERFACTUALS_MAX, runs // 10)
        self.reserve = self.last + min(EXPLAINING_RUNS_MAX, runs // 5)
        now = _monotonic()
        self.search_ends_at = now + wall_s * (1 - EXPLAINING_SHARE)
        self.ends_at = now + wall_s
        self.interrupted = interrupted
        self.ended_by = ""

    def left(self) -> bool:
        """Whether another run, and the one that confirms it, may be spent on a smaller schedule."""
        if self.spent + 2 + self.reserve > self.runs:
            self.ended_by = f"the budget of {self.runs} runs"
        elif _monotonic() > self.search_ends_at:
            self.ended_by = "the time limit"
        elif self.interrupted():
            self.ended_by = "an interrupt"
        return not self.ended_by

    def left_to_explain(self) -> bool:
        """Whether another run may be spent on the reason why it breaks."""
        enough = self.spent + 1 + self.last <= self.runs and _monotonic() <= self.ends_at
        return enough and not self.interrupted()


class _Shrinker:
    """The best run so far and how to better it."""

    def __init__(self, run: Run, budget: _Budget, tried: Sequence[str]) -> None:
        self.best = run
        self.fingerprint = run.violations[0].fingerprint
        self.budget = budget
        #: The candidates that were no better; what is no better now never will be.
        self.tried = dict.fromkeys(tried)
        #: Which of the candidates of this round broke some rule.
        self.violated: dict[str, bool] = {}
        #: The constraints that were found last, and the run that they were found for.
        self.constraints: list[Constraint] = []
        self.explained: Run | None = None

    # --- one run -------------------------------------------------------------------------------

    def attempt(self, candidate: Candidate) -> bool:
        """Whether a candidate shows the bug with less; if so the best run becomes this one."""
        if candidate.name in self.tried or not self.budget.left():
            return False
        run = self.run(clocked=candidate.clocked)
        self.violated[candidate.name] = run.violated
        if self._better(run):
            return True
        self.tried[candidate.name] = None
        return False

    def first(self, candidates: Iterator[Candidate]) -> bool:
        """Whether one of these is better; the others are not tried then."""
        return any(self.attempt(each) for each in candidates if self.budget.left())

    def _better(self, run: Run) -> bool:
        same = run.violated and run.violations[0].fingerprint == self.fingerprint
        if not same or _size(run) >= _size(self.best):
            return False
        if self.run(choose=follow(run.schedule)).digest != run.digest:
            return False
        self.best = run
        return True

    def run(
        self,
        *,
        choose: Chooser = choose_first,
        clocked: Clocked | None = None,
        recorded: bool = False,
        until_violation: bool = True,
    ) -> Run:
        """The scenario once, counted."""
        self.budget.spent += 1
        schedule = self.best.schedule
        return execute(
            self.best.scenario,
            seed=schedule.seed,
            choose=choose,
            clocked=clocked,
            variant=schedule.variant,
            digested=True,
            recorded=recorded,
            until_violation=until_violation,
        )

    # --- many ----------------------------------------------------------------------------------

    def search(self) -> None:
        """Faults first, then guesses, then systematically until nothing can be left out."""
        if self.attempt(labelled([])):
            return
        while self.first(fewer_faults(self.best)):
            pass
        self.first(likely(self.best))
        for way in (self.keep_constraints, self.elsewhere, self.drop_lanes):
            if len(self.best.deviations) > FEW and way():
                self.first(likely(self.best))
        self.leave_out()
        while len(self.best.deviations) > 1 and (
            self.forward() or self.elsewhere() or self.keep_constraints()
        ):
            self.leave_out()

    def leave_out(self) -> None:
        """Leave choices out until there is none without which the bug still shows.

        Labels move a choice to where its situation comes up first; in its place less may do.
        """
        self.reduce(labelled)
        while self.reduce(numbered) and self.reduce(labelled):
            pass

    def reduce(self, candidate: Callable[[Sequence[Deviation]], Candidate]) -> bool:
        """Delta debugging (Zeller and Hildebrandt 2002) over the choices; whether it helped."""
        before = self.best
        parts = 2
        while len(self.best.deviations) > 1 and self.budget.left():
            deviations = self.best.deviations
            size = -(-len(deviations) // parts)
            chunks = [deviations[at : at + size] for at in range(0, len(deviations), size)]
            for index, chunk in enumerate(chunks):
                rest = [d for at, other in enumerate(chunks) if at != index for d in other]
                alone = len(chunks) > 2 and self.attempt(candidate(chunk))
                if alone or self.attempt(candidate(rest)):
                    parts = max(2, parts - 1)
                    break
            else:
                if size == 1:
                    break
                parts = min(len(deviations), parts * 2)
        return self.best is not before

    def elsewhere(self) -> bool:
        """One choice alone at other moments."""
        return self.budget.left() and self.first(
            one_elsewhere(self.best, self.run(recorded=True, until_violation=False))
        )

    def forward(self) -> bool:
        """One choice sooner instead of several."""
        return self.budget.left() and self.first(
            moved_forward(self.best, self.run(choose=follow(self.best.schedule), recorded=True))
        )

    def keep_constraints(self) -> bool:
        """Only what makes the bug, whatever else comes when.

        For a long schedule that is a guess, and little is spent on it. The constraints of a short
        one are also the reason that is told, if nothing shorter is found.
        """
        if not self.budget.left() or self.explained is self.best:
            return False
        short = len(self.best.deviations) <= FEW
        end = self.budget.spent + (self.budget.runs if short else KEEPING_RUNS_MAX)
        explainer = Explainer(
            self.best,
            lambda one: self.run(clocked=one),
            lambda: self.budget.left() and self.budget.spent < end,
        )
        constraints = explainer.sufficient(kinds_max=4 if short else 1)
        if short or len(constraints) <= BELIEVED_MAX:
            self.explained, self.constraints = self.best, constraints
        hurry = explainer.actors(constraints)
        return bool(constraints) and (
            self.attempt(constrained(constraints, hurry)) or self.attempt(constrained(constraints))
        )

    def drop_lanes(self) -> bool:
        """Let as many lanes as possible go first-in-first-out, the unlikely ones first."""
        if not self.budget.left():
            return False
        before = self.best
        order = self.run(choose=follow(before.schedule), recorded=True).taken
        lanes, close = lanes_of(before, order)
        few = ([before.violations[0].lane], close)
        if self.first(only_lanes(order, kept) for kept in few):
            return True
        kept = lanes
        for lane in sorted(lanes, key=lambda each: each in close):
            fewer = [each for each in kept if each != lane]
            if self.attempt(only_lanes(order, fewer)):
                kept = fewer
        return self.best is not before

    # --- what is told --------------------------------------------------------------------------

    def counterfactuals(self) -> tuple[Counterfactual, ...]:
        """For each choice that is left: what happens when first-in-first-out is kept there."""
        found: list[Counterfactual] = []
        if len(self.best.deviations) > COUNTERFACTUALS_MAX:
            return ()
        for deviation in self.best.deviations:
            without = labelled([each for each in self.best.deviations if each is not deviation])
            violated = self.violated.get(without.name)
            if violated is None:
                if self.budget.spent >= self.budget.runs:
                    break
                violated = self.run(clocked=without.clocked).violated
            found.append(
                Counterfactual(deviation.step, deviation.taken, deviation.first, not violated)
            )
        return tuple(found)

    def explanation(self) -> Explanation:
        """Why the best run breaks, as far as the budget goes."""
        if not self.budget.left_to_explain():
            return Explanation()
        explainer = Explainer(
            self.best, lambda one: self.run(clocked=one), self.budget.left_to_explain
        )
        return explainer.explanation(self.constraints)


def _size(run: Run) -> tuple[int, int, bool, int]:
    """Fewer faults, then fewer choices, then an order that real trio allows, then fewer steps."""
    return (run.faults, len(run.deviations), not run.batch_legal, run.violations[0].step)


def shrink(
    run: Run,
    *,
    budget_runs: int = 500,
    wall_s: float = 30.0,
    interrupted: Callable[[], bool] = lambda: False,
    since: Finding | None = None,
) -> Shrunk:
    """The smallest schedule found that breaks the same rule at the same site in the same phase.

    Spends at most ``budget_runs`` runs and ``wall_s`` real seconds, then says which ended it. With
    the finding that was made of this run it goes on where that one ended: what was tried is not
    tried again, and the runs spent are added up.
    """
    before = since.shrinking if since is not None and since.shrinking.runs else Shrinking()
    budget = _Budget(budget_runs, wall_s, interrupted)
    shrinker = _Shrinker(run, budget, before.tried)
    if since is not None and since.constraints:
        shrinker.explained, shrinker.constraints = run, list(since.constraints)
    shrinker.search()
    best = shrinker.run(choose=follow(shrinker.best.schedule), until_violation=False)
    same = since is not None and since.digest == best.digest
    if since is not None and same and since.constraints:
        explanation = Explanation(since.constraints, since.orders_tried)
    else:
        explanation = shrinker.explanation()
    counterfactuals = shrinker.counterfactuals()
    shrinking = Shrinking(
        steps=(before.steps[0] or run.steps, best.steps),
        choices=(before.choices[0] or len(run.deviations), len(best.deviations)),
        faults=(before.faults[0] or run.faults, best.faults),
        runs=before.runs + budget.spent,
        budget=before.budget + budget_runs,
        ended_by=budget.ended_by or "one-minimal",
        tried=tuple(shrinker.tried),
    )
    return Shrunk(best, shrinking, counterfactuals, explanation)
