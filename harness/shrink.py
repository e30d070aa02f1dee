"""Makes a failing schedule small: as few faults, operations of clients, and choices as it takes.

Steps move when a choice is dropped, so candidates are followed by what ran instead of what, by
step numbers, or by ordering constraints; what they really did is then recorded exactly. A candidate
counts only if it breaks the same rule at the same site in the same phase, twice with one digest.
The result is one-minimal unless a budget ended it first: without any one of its faults, operations
or choices the rule does not break, or only much later. Among equally small runs the first one
found stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from harness.budget import COUNTERFACTUALS_MAX, Budget
from harness.candidates import (
    Candidate,
    constrained,
    fewer_faults,
    labelled,
    lanes_of,
    leaving_out,
    likely,
    moved_forward,
    numbered,
    one_elsewhere,
    one_fault,
    only_lanes,
    operations_of,
)
from harness.constraints import Explainer, Explanation
from harness.engine import Run, execute, follow
from harness.experiments import Experiments
from harness.findings.finding import ONE_MINIMAL, Constraint, Counterfactual, Finding, Shrinking
from harness.schedule.choices import Chooser, Deviation
from harness.schedule.strategies.protocol import choose_first
from harness.schedule.workload import WITHOUT, Wanted, left_out_of
from harness.sizes import is_smaller
from harness.steps import Clocked

#: A schedule with no more choices than this is small enough for the systematic part at once.
FEW = 8
#: With more choices than this, leaving them out one by one comes to no end.
UNREADABLE = 500
#: How much smaller the next parts are that are left out, and of how many each is tried alone.
FINER, ALONE_MAX = 4, 8
#: Which share of the runs is spent on operations before choices are left out: one in so many.
OPERATIONS_AT_FIRST = 8
#: How many runs are spent on constraints that could replace the choices of a long schedule.
KEEPING_RUNS_MAX = 100
#: So few constraints of a long schedule are believed to be the reason.
BELIEVED_MAX = 2


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The smallest run found, what it took, the checked counterfactuals, and why it breaks."""

    run: Run
    shrinking: Shrinking
    counterfactuals: tuple[Counterfactual, ...] = ()
    explanation: Explanation = field(default_factory=Explanation)


class _Shrinker:
    """The best run so far and how to better it."""

    def __init__(self, run: Run, budget: Budget, tried: Sequence[str]) -> None:
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
        #: What clients did in the whole run that it began with.
        self.wanted = operations_of(run)

    # --- one run -------------------------------------------------------------------------------

    def attempt(self, candidate: Candidate, *, shorter: bool = False) -> bool:
        """Whether a candidate shows the bug with less; if so the best run becomes this one.

        A ``shorter`` one may have more faults.
        """
        name = self.name_of(candidate)
        if name in self.tried or not self.budget.left():
            return False
        run = self.run(clocked=candidate.clocked, without=candidate.without)
        self.violated[name] = run.violated
        if self._better(run, shorter=shorter):
            return True
        self.tried[name] = None
        return False

    def name_of(self, candidate: Candidate) -> str:
        """The name of a candidate among all that were tried, whatever was left out then."""
        without = candidate.without
        return candidate.name + (self.without if without is None else without)

    @property
    def without(self) -> str:
        """What clients leave out in the best run."""
        return self.best.schedule.variant.get(WITHOUT, "")

    def first(self, candidates: Iterator[Candidate]) -> bool:
        """Whether one of these is better; the others are not tried then."""
        return any(self.attempt(each) for each in candidates if self.budget.left())

    def _better(self, run: Run, *, shorter: bool = False) -> bool:
        if not run.violated or run.violations[0].fingerprint != self.fingerprint:
            return False
        fewer = len(run.deviations) < len(self.best.deviations)
        if not (fewer if shorter else is_smaller(run, self.best)):
            return False
        without = run.schedule.variant.get(WITHOUT)
        if run.deviations and (without or "") != self.without and self.breaks_anyway(without):
            return False
        if self.run(choose=follow(run.schedule), without=without).digest != run.digest:
            return False
        self.best = run
        return True

    def breaks_anyway(self, without: str | None) -> bool:
        """Whether the story needs what clients leave out there: it breaks in any order."""
        plain = self.run(without=without)
        return plain.violated and plain.violations[0].fingerprint == self.fingerprint

    def run(
        self,
        *,
        choose: Chooser = choose_first,
        clocked: Clocked | None = None,
        without: str | None = None,
        recorded: bool = False,
        until_violation: bool = True,
    ) -> Run:
        """The scenario once, counted; clients leave out what they do in the best run, or this."""
        self.budget.spent += 1
        schedule = self.best.schedule
        left_out = {} if without is None else {WITHOUT: without}
        return execute(
            self.best.scenario,
            seed=schedule.seed,
            choose=choose,
            clocked=clocked,
            variant={**schedule.variant, **left_out},
            digested=True,
            recorded=recorded,
            until_violation=until_violation,
        )

    # --- many ----------------------------------------------------------------------------------

    def search(self) -> None:
        """Faults first, then operations, then choices until nothing can be left out."""
        if not self.attempt(labelled([])):
            while self.first(fewer_faults(self.best)):
                pass
        self.leave_out_operations(self.budget.runs // OPERATIONS_AT_FIRST)
        self.fewer_choices()
        # A run with fewer choices is easier to do without what it does not need.
        while self.leave_out_operations():
            self.fewer_choices()

    def leave_out_operations(self, runs_max: int | None = None) -> bool:
        """Let clients leave out as much as possible: all, a part, and each alone; if any of it."""
        before, parts = self.best, 1
        end = self.budget.spent + (self.budget.runs if runs_max is None else runs_max)
        while (kept := self.operations()) and self.budget.left() and self.budget.spent < end:
            size = -(-len(kept) // parts)
            chunks = [kept[at : at + size] for at in range(0, len(kept), size)]
            if any(self.first(leaving_out(self.best, chunk)) for chunk in chunks):
                parts = max(1, parts - 1)
            elif size == 1:
                break
            else:
                parts = min(len(kept), parts * FINER)
        return self.best is not before

    def operations(self) -> list[Wanted]:
        """What clients still do; who leaves something out may come to what he had no time for."""
        left_out = set(left_out_of(self.without))
        every = dict.fromkeys([*self.wanted, *operations_of(self.best)])
        return [each for each in every if each not in left_out]

    def fewer_choices(self) -> None:
        """Guesses first, then systematically until no choice can be left out."""
        if not self.best.deviations:
            return
        self.first(likely(self.best))
        for way in (
            self.keep_constraints,
            self.elsewhere,
            self.one_fault_instead,
            self.drop_lanes,
            self.keep_orders,
            self.keep_choices,
        ):
            before = 2 * len(self.best.deviations)
            # What has halved the schedule may do it again.
            while FEW < len(self.best.deviations) <= before / 2:
                before = len(self.best.deviations)
                if way():
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
                alone = 2 < len(chunks) <= ALONE_MAX and self.attempt(candidate(chunk))
                if alone or self.attempt(candidate(rest)):
                    parts = max(2, parts - 1)
                    break
            else:
                if size == 1:
                    break
                parts = min(len(deviations), parts * FINER)
        return self.best is not before

    def one_fault_instead(self) -> bool:
        """One fault for all of the choices; nobody reads so many, and who is held back is paused.

        That is the one exception from what is left out first: it may be a fault more.
        """
        if len(self.best.deviations) <= UNREADABLE or not self.budget.left():
            return False
        candidates = one_fault(self.run(recorded=True, until_violation=False))
        return any(self.attempt(each, shorter=True) for each in candidates)

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

    def keep_orders(self) -> bool:
        """The orders of dependent steps, first-in-first-out in all else; then fewer of them."""
        return self.keep_fewest(Experiments.every_order)

    def keep_choices(self) -> bool:
        """What was due waits for what came instead, wherever the two have moved to; then less."""
        return self.keep_fewest(Experiments.every_choice)

    def keep_fewest(self, every: Callable[[Experiments], list[Constraint]]) -> bool:
        """As few as possible of these constraints; on the way, whatever run is better."""
        if not self.budget.left():
            return False
        before, end = self.best, self.budget.spent + KEEPING_RUNS_MAX
        experiments = Experiments(
            before, self.noted, lambda: self.budget.left() and self.budget.spent < end, hurry=True
        )
        few = experiments.fewest(every(experiments))
        if few and self.best is not before:
            self.attempt(constrained(few))
        return self.best is not before

    def noted(self, clocked: Clocked) -> Run:
        """A run that becomes the best one if it is better."""
        run = self.run(clocked=clocked)
        self._better(run)
        return run

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
            violated = self.violated.get(self.name_of(without))
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
    budget = Budget(budget_runs, wall_s, interrupted)
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
        operations=(before.operations[0] or len(shrinker.wanted), len(shrinker.operations())),
        runs=before.runs + budget.spent,
        budget=before.budget + budget_runs,
        ended_by=budget.ended_by or ONE_MINIMAL,
        tried=tuple(shrinker.tried),
    )
    return Shrunk(best, shrinking, counterfactuals, explanation)
