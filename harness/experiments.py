"""Runs that keep some orders of a failing run and are first-in-first-out in all else.

What an order means for a bug is found out by experiments: keep it, leave it out, turn it round, and
see whether the rule still breaks. Nothing here knows what an order is good for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from harness.engine import Run, follow
from harness.findings.finding import Constraint, StepName
from harness.history import derive_seed
from harness.schedule.choices import TIMER, Chooser
from harness.schedule.orderings import by_constraints, holding_back, now_and_then
from harness.schedule.strategies.protocol import choose_first
from harness.steps import Clocked, Step, StepRecorder, dependent_before

#: In how many orders a passing one is looked for, if first-in-first-out is not.
OTHERS_MAX, OTHERS_CHANCE = 12, 0.3
#: In how many other orders two steps are turned round.
TURNS = range(6)
#: How often orders are added that the run with the others has turned round.
ROUNDS_MAX = 4
#: How much smaller the next parts are that are left out, when no part can be.
FINER = 4

#: Runs the scenario of the finding once, up to its first violation.
Executes = Callable[[Clocked], Run]


@dataclass(frozen=True, slots=True)
class Kept:
    """A run that keeps constraints: whether the bug shows, its steps, what could not be kept."""

    shown: bool
    violated: bool = False
    steps: Sequence[Step] = ()
    unkept: Sequence[Constraint] = ()


def _always(choose: Chooser) -> Clocked:
    return lambda now_ms: choose


class Experiments:
    """The experiments on one failing run, as long as ``left()`` allows another one.

    With ``hurry`` whoever is waited for goes before everybody else, which makes schedules shorter;
    without it they stay as close to first-in-first-out as the constraints allow.
    """

    def __init__(
        self, run: Run, executes: Executes, left: Callable[[], bool], *, hurry: bool = False
    ) -> None:
        self.broken = run.violations[0]
        self.executes = executes
        self.left = left
        self.hurry = hurry
        self._known: dict[frozenset[Constraint], Kept] = {}
        _, self.failing = self.recorded(_always(follow(run.schedule)))
        self._places = {step.name: place for place, step in enumerate(self.failing)}
        self._actors = {step.name: step.descent for step in self.failing}
        #: Who chooses where constraints leave a choice: the first goes, unless that breaks it.
        self.rest: Callable[[], Chooser | None] = lambda: None
        self.passing: Sequence[Step] = ()
        self._untried = iter(()) if run.deviations else self._others()
        if run.deviations:
            _, self.passing = self.recorded(_always(choose_first))
        else:
            self.take_another_order()

    def take_another_order(self) -> bool:
        """Compare with the next order that passes, where first-in-first-out breaks it already."""
        for rest in self._untried:
            if not self.left():
                return False
            run, steps = self.recorded(by_constraints((), rest=rest()))
            if not run.violated:
                self.passing = steps
                self.compare_with(rest)
                return True
        return False

    def compare_with(self, rest: Callable[[], Chooser | None]) -> None:
        """Let somebody else choose where constraints leave a choice."""
        if rest is not self.rest:
            self.rest = rest
            self._known.clear()

    def _others(self) -> Iterator[Callable[[], Chooser]]:
        """One actor is held back, the last one first; then choices that are made now and then."""
        actors = dict.fromkeys(step.actor for step in reversed(self.failing) if not step.optional)
        for actor in list(actors)[:OTHERS_MAX]:
            yield partial(holding_back, actor)
        for number in range(OTHERS_MAX):
            yield partial(now_and_then, derive_seed("another", number), OTHERS_CHANCE)

    # --- what a run says -----------------------------------------------------------------------

    def recorded(self, clocked: Clocked) -> tuple[Run, list[Step]]:
        """A run and its steps."""
        recorder = StepRecorder(clocked)
        run = self.executes(recorder)
        return run, recorder.steps(run)

    def kept(self, constraints: Sequence[Constraint]) -> Kept:
        """What happens when these are kept and the first goes wherever they leave a choice."""
        asked = frozenset(constraints)
        if asked not in self._known:
            if not self.left():
                return Kept(shown=False)
            unkept: list[Constraint] = []
            hurry = self.actors(constraints) if self.hurry else None
            run, steps = self.recorded(
                by_constraints(
                    constraints,
                    rest=self.rest(),
                    hurry=hurry,
                    unkept=unkept,
                )
            )
            shown = run.violated and run.violations[0].fingerprint == self.broken.fingerprint
            self._known[asked] = Kept(shown, run.violated, steps, unkept)
        return self._known[asked]

    def actors(self, constraints: Sequence[Constraint]) -> dict[StepName, tuple[str, ...]]:
        """Whose step each is that something else has to wait for, and who made him possible."""
        return {each.before: self._actors.get(each.before, ()) for each in constraints}

    def is_kept(self, constraint: Constraint) -> bool:
        """Whether the failing run keeps it: its first step came, and before the other one."""
        never = len(self._places)
        before = self._places.get(constraint.before, never)
        return before < self._places.get(constraint.after, never)

    def breaks(self, constraints: Sequence[Constraint]) -> bool:
        """Whether the same bug shows when these are kept."""
        kept = self.kept(constraints)
        return kept.shown and not kept.unkept

    def holds(self, constraints: Sequence[Constraint], rest: Chooser | None = None) -> bool | None:
        """Whether all rules hold when these are kept; nothing if they do but one is not kept."""
        unkept: list[Constraint] = []
        run = self.executes(by_constraints(constraints, rest=rest or self.rest(), unkept=unkept))
        return False if run.violated else None if unkept else True

    # --- fewer of them -------------------------------------------------------------------------

    def every_order(self) -> list[Constraint]:
        """The orders of dependent steps that first-in-first-out does not keep by itself.

        Two runs in which dependent steps come in one order are one run (Mazurkiewicz 1977), so the
        bug shows in it; nothing if it does not, because a dependence was not declared.
        """
        kept: list[Constraint] = []
        passing = self.passing
        for _ in range(ROUNDS_MAX):
            places = {step.name: place for place, step in enumerate(passing)}
            never = len(places)
            more = [
                Constraint(one.name, other.name)
                for one, other in dependent_before(self.failing)
                if places.get(one.name, never) >= places.get(other.name, never)
            ]
            if set(more) <= set(kept):
                break
            done = self.kept(kept := list(dict.fromkeys([*kept, *more])))
            if done.shown:
                return [each for each in kept if each not in set(done.unkept)]
            passing = done.steps
        return []

    def every_choice(self) -> list[Constraint]:
        """The choices that were not first-in-first-out: what had to wait, and for what at last."""
        waiting = {name: step.name for step in self.failing for name in step.passed_over}
        kept = [Constraint(last, name) for name, last in waiting.items()]
        strikes = [step for step in self.failing if step.optional and step.passed_over]
        return [*(Constraint(step.name, step.passed_over[0]) for step in strikes), *kept]

    def fewest(self, kept: list[Constraint]) -> list[Constraint]:
        """As few as possible: first without all of an actor, then of a step, then without each."""
        for level in (_by_actor, _by_step, _by_itself):
            groups: dict[object, list[Constraint]] = {}
            for each in kept:
                groups.setdefault(level(each), []).append(each)
            kept = _all_of(self._fewest(list(groups.values())))
        return kept

    def _fewest(self, groups: list[list[Constraint]]) -> list[list[Constraint]]:
        """Delta debugging (Zeller and Hildebrandt 2002): no group of the result can be left out."""
        parts = 2
        while len(groups) > 1 and self.left():
            size = -(-len(groups) // parts)
            rests = [groups[:at] + groups[at + size :] for at in range(0, len(groups), size)]
            smaller = next((rest for rest in rests if rest and self.breaks(_all_of(rest))), None)
            if smaller is not None:
                groups, parts = smaller, max(2, parts - 1)
            elif size == 1:
                break
            else:
                parts = min(len(groups), parts * FINER)
        return groups

    def check(self, constraint: Constraint, constraints: Sequence[Constraint]) -> Constraint:
        """The constraint with whether all rules hold in a run in which this one is not kept.

        All others are, unless none of them can be kept without it.
        """
        others = [each for each in constraints if each != constraint]
        checked = (
            self._holds_by_itself(constraint, others)
            or self._holds_without_fault(constraint, others)
            or self._holds_turned_round(constraint, others)
            or self._holds_by_itself(constraint, others, all_kept=False)
            or self._holds_in_time(constraint, others)
        )
        return replace(constraint, checked=checked)

    def _holds_by_itself(
        self, constraint: Constraint, others: Sequence[Constraint], *, all_kept: bool = True
    ) -> bool:
        """Whether the two steps come in the other order if nothing is asked of them."""
        done = self.kept(others)
        if not done.steps or done.violated or (all_kept and done.unkept):
            return False
        places = {step.name: place for place, step in enumerate(done.steps)}
        after = places.get(constraint.after)
        return after is not None and after < places.get(constraint.before, len(places))

    def _holds_without_fault(self, constraint: Constraint, others: Sequence[Constraint]) -> bool:
        struck = names_of([constraint]) & {step.name for step in self.failing if step.optional}
        rest = [each for each in others if not struck & names_of([each])]
        return bool(struck) and self.left() and self.holds(rest) is not False

    def _holds_turned_round(self, constraint: Constraint, others: Sequence[Constraint]) -> bool:
        """Turning them round may take another order elsewhere to be possible."""
        noises = (now_and_then(derive_seed("turned", turn), OTHERS_CHANCE) for turn in TURNS)
        turned = [*others, constraint.reversed]
        return any(self.left() and self.holds(turned, rest) for rest in (None, *noises))

    def _holds_in_time(self, constraint: Constraint, others: Sequence[Constraint]) -> bool:
        """Whether all rules hold if a timer does not strike before what it cuts short.

        Nothing that had to come before that, too, can be kept then.
        """
        rest = [each for each in others if each.after != constraint.after]
        if constraint.before.kind != TIMER or len(rest) == len(others) or not self.left():
            return False
        return self.holds([*rest, constraint.reversed]) is True


def names_of(constraints: Sequence[Constraint]) -> set[StepName]:
    """The steps that constraints are about."""
    return {name for each in constraints for name in (each.before, each.after)}


def _all_of(groups: Sequence[Sequence[Constraint]]) -> list[Constraint]:
    return [each for group in groups for each in group]


def _by_actor(constraint: Constraint) -> object:
    return constraint.before.label


def _by_step(constraint: Constraint) -> object:
    return constraint.before


def _by_itself(constraint: Constraint) -> object:
    return constraint
