"""Why a run broke: the few steps that had to come in another order than first-in-first-out.

The failing run is compared with the one in which nothing was chosen. Of the pairs of dependent
steps that the two have in different orders, as few as possible are kept: the chooser that keeps
only these breaks the rule again. Each of them is then turned round alone, and the rule must hold.
The result is checked by execution, not by a proof: it says how many other orders were tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter

from harness.experiments import Experiments, names_of
from harness.findings.finding import DEADLINE, TIMEOUT, Constraint
from harness.history import derive_seed
from harness.schedule.fragments import lane_of
from harness.schedule.orderings import by_constraints, now_and_then
from harness.steps import Step, turned_round

#: How many pairs of a kind are tried alone in each round, and how many together.
ALONE_MAX, TOGETHER_MAX = (12, 4, 2, 2, 2), 120
#: How many other orders that keep the constraints are tried, and how noisy they are.
ORDERS_MAX, NOISE = 10, (0.02, 0.1, 0.3)
#: How often what could not be kept is dropped from what is kept.
DROPPED_MAX = 5
#: How many constraints are added because another order that kept the others did not break it.
ADDED_MAX, ADDED_FROM = 3, 8

#: The lane of the story itself.
MAIN = "main"


@dataclass(frozen=True, slots=True)
class Explanation:
    """The constraints that make a bug, and in how many of how many other orders it broke."""

    constraints: tuple[Constraint, ...] = ()
    orders_tried: tuple[int, int] = (0, 0)


class Explainer(Experiments):
    """The search for the constraints of one failing run, as long as ``left()`` allows a run."""

    def explanation(self, sufficient: Sequence[Constraint] = ()) -> Explanation:
        """All of it; constraints that are known to suffice need not be found again.

        The first reason of which everything can be checked is told, or else the one that can be
        checked best.
        """
        told: list[Constraint] = []
        checked: tuple[Constraint, ...] = ()
        rest = self.rest
        for reason in self._reasons(sufficient):
            constraints = self.until_too_late(self._merged(list(reason)))
            constraints = [*constraints, *self.cut_short(constraints)]
            trial = self._checked(constraints)
            if not told or _unchecked(trial) < _unchecked(checked):
                told, checked, rest = constraints, trial, self.rest
            if not _unchecked(checked):
                break
        if not told:
            return Explanation()
        self.compare_with(rest)
        return self.in_other_orders(told, checked)

    def _reasons(self, sufficient: Sequence[Constraint]) -> Iterator[Sequence[Constraint]]:
        """Constraints that suffice, found in different ways, as long as another run is left."""
        ways: tuple[Callable[[], Sequence[Constraint]], ...] = (
            lambda: self.by_timers(TIMEOUT),
            lambda: self.by_timers(DEADLINE),
            lambda: self.still_true(sufficient),
            self.sufficient,
            lambda: self.fewest(self.every_order()),
            lambda: self.fewest(self.every_choice()),
        )
        going_on = bool(self.passing)
        while going_on:
            for way in ways:
                if self.left() and (found := way()):
                    yield found
            going_on = self.left() and self.take_another_order()

    def by_timers(self, what: str) -> Sequence[Constraint]:
        """For each that struck early: before what it cut short, or what was due; if they suffice.

        ``what`` is how their words begin. A call waits for what another process has to do first.
        """
        early: list[Constraint] = []
        for step in self.failing:
            if step.words.startswith(what):
                own = () if what == TIMEOUT else step.cut_short
                early.append(Constraint(step.name, (own or step.passed_over)[0]))
        return self.fewest(early) if early and self.breaks(early) else ()

    def still_true(self, sufficient: Sequence[Constraint]) -> Sequence[Constraint]:
        """Those that this run keeps, too, if they suffice: they were found for another one."""
        kept = [each for each in sufficient if self.is_kept(each)]
        return kept if len(kept) == len(sufficient) or (kept and self.breaks(kept)) else ()

    def cut_short(self, constraints: Sequence[Constraint]) -> Iterator[Constraint]:
        """For what came too late: the deadline that had ended the wait for it, if there is one.

        Who keeps it back keeps that, too; but it is the line on which somebody was too hasty.
        """
        for late in dict.fromkeys(each.after for each in constraints):
            for step in self.failing:
                hasty = Constraint(step.name, late)
                limited = step.words.startswith(DEADLINE) and late in step.cut_short
                if limited and hasty not in constraints:
                    yield hasty

    def _checked(self, constraints: Sequence[Constraint]) -> tuple[Constraint, ...]:
        """The constraints, each one checked, in the order in which their first steps came."""
        places = {step.name: place for place, step in enumerate(self.failing)}
        ordered = sorted(constraints, key=lambda each: places.get(each.before, len(places)))
        return tuple(self.check(each, constraints) for each in ordered)

    # --- enough to break it --------------------------------------------------------------------

    def sufficient(self, *, kinds_max: int = 4) -> list[Constraint]:
        """As few constraints as possible with which the bug shows, the telling ones if they do.

        The first ``kinds_max`` kinds of pairs are looked at: see :meth:`_candidates`.
        """
        anchors = self._anchors()
        if anchors and self.breaks(anchors):
            return self.fewest(anchors)
        for kinds in range(1, kinds_max + 1):
            kept: list[Constraint] = anchors
            passing: Sequence[Step] = self.passing
            # What is kept so far may let other steps come, with orders of their own.
            for alone_max in ALONE_MAX:
                groups = self._candidates(self.failing, passing, kinds)
                found = self._alone(kept, groups[-1][:alone_max])
                if found or not self.left():
                    return found
                more = [each for group in groups for each in group[:TOGETHER_MAX]]
                if set(more) <= set(kept):
                    break
                done = self.kept(kept := list(dict.fromkeys([*kept, *more])))
                for _ in range(DROPPED_MAX if done.shown else 1):
                    kept = [each for each in kept if each not in done.unkept]
                    done = self.kept(kept) if done.unkept and done.shown else done
                if self.breaks(kept):
                    return self.fewest(kept)
                passing = done.steps
        return []

    def _alone(self, kept: list[Constraint], candidates: list[Constraint]) -> list[Constraint]:
        """The fewest with one of these, one that is checked if there is one."""
        first: list[Constraint] = []
        for each in candidates:
            if self.breaks([*kept, each]):
                found = self.fewest([*kept, each])
                if self.check(each, found).checked:
                    return found
                first = first or found
        return first

    def _anchors(self) -> list[Constraint]:
        """For what never has to happen: the last step before it on which it may depend.

        If that is not enough, the very last step before it: what was read is known only later.
        """
        near, last = [], []
        for index, step in enumerate(self.failing):
            if step.optional and index:
                earlier = self.failing[index - 1 :: -1]
                nearest = next((one for one in earlier if one.conflicts(step)), earlier[0])
                near.append(Constraint(nearest.name, step.name))
                last.append(Constraint(earlier[0].name, step.name))
        return last if near and not self.breaks(near) and self.breaks(last) else near

    def _candidates(
        self, failing: Sequence[Step], passing: Sequence[Step], kinds: int
    ) -> list[list[Constraint]]:
        """Pairs in another order in the failing run, in so many of four groups.

        Dependent ones that say what they do, other dependent ones, those of which a rule could see
        both, and all others; in each group those near to what broke come first.
        """
        groups: list[list[tuple[tuple[bool, bool, int, int], Constraint]]] = [[] for _ in range(4)]
        service = self.broken.lane.partition("#")[0]
        for at, one, there, other in turned_round(failing, passing, telling=kinds == 1):
            if one.conflicts(other):
                kind = 0 if one.telling and other.telling else 1
            else:
                kind = 2 if one.seen and other.seen else 3
            if kind < kinds:
                near = one.service == other.service or one.strikes(other)
                worth = (service not in (one.service, ""), not near, -at, abs(there - at))
                groups[kind].append((worth, Constraint(one.name, other.name)))
        return [
            [constraint for _, constraint in sorted(group, key=itemgetter(0))]
            for group in groups[:kinds]
        ]

    def _merged(self, constraints: list[Constraint]) -> list[Constraint]:
        """One stronger constraint for two of which the one follows from the other.

        Two steps of the same two actors: who must be passed over here must have been passed over
        earlier, or he holds what the other one needs. Neither can be turned round alone.
        """
        for one in constraints:
            if self.check(one, constraints).checked:
                continue
            for other in [each for each in constraints if each != one]:
                rest = [each for each in constraints if each not in (one, other)]
                pairs = ((other.before, one.after), (one.before, other.after))
                for merged in (Constraint(*pair) for pair in pairs):
                    more = [*rest, merged]
                    if not self.is_kept(merged):
                        continue
                    if self.breaks(more) and self.check(merged, more).checked:
                        return self._merged(more)
        return constraints

    # --- what else has to come in order --------------------------------------------------------

    def until_too_late(self, constraints: list[Constraint]) -> list[Constraint]:
        """For each fault or orphan: the step before which it must come, if there is one."""
        for step in [step for step in self.failing if step.optional]:
            own = [each for each in constraints if step.name in (each.before, each.after)]
            if not own or any(each.before == step.name for each in own) or not self.left():
                continue
            rest = [each for each in constraints if each not in own]
            _, without = self.recorded(by_constraints(rest, rest=self.rest()))
            places = {one.name: place for place, one in enumerate(without)}
            since = max((places.get(each.before, 0) for each in own), default=0)
            later = [one for one in without[since + 1 :] if one.conflicts(step)]
            for one in later[:ADDED_FROM]:
                wanted = Constraint(step.name, one.name)
                if not self.is_kept(wanted):
                    continue
                if self.left() and self.holds([*constraints, wanted.reversed]):
                    if self.breaks([*constraints, wanted]):
                        constraints = [*constraints, wanted]
                    break
        return constraints

    def in_other_orders(
        self, constraints: list[Constraint], checked: tuple[Constraint, ...]
    ) -> Explanation:
        """Keep the constraints in other orders: where the rule holds, one may be missing.

        One is added only if with it the rule breaks in a larger share of other orders, and if it
        can be checked.
        """
        broke, tried, holding = self._other_orders(constraints)
        for _ in range(ADDED_MAX):
            if not holding or not self.left():
                break
            missing = self._missing(constraints, holding)
            if missing is None:
                break
            more = self._needed([*constraints, missing])
            trial = self._checked(more)
            if not self.left() or _unchecked(trial) > _unchecked(checked):
                break
            broke_then, tried_then, holding = self._other_orders(more)
            if broke_then * tried <= broke * tried_then:
                break
            constraints, checked, broke, tried = more, trial, broke_then, tried_then
        return Explanation(checked, (broke, tried))

    def _other_orders(self, constraints: list[Constraint]) -> tuple[int, int, list[Step]]:
        """In how many of how many other orders the rule breaks, and the first one that holds."""
        usual = self.kept(constraints).steps
        needed = names_of(constraints) & {step.name for step in usual}
        broke = tried = 0
        holding: list[Step] = []
        for number in range(ORDERS_MAX):
            if not self.left():
                break
            noise = now_and_then(derive_seed("orders", number), NOISE[number % len(NOISE)])
            run, steps = self.recorded(by_constraints(constraints, rest=noise))
            if any(each.invariant == self.broken.invariant for each in run.violations):
                broke, tried = broke + 1, tried + 1
            elif not run.violated and needed <= {step.name for step in steps}:
                # Otherwise it was over before it came to what matters.
                tried, holding = tried + 1, holding or steps
        return broke, tried, holding

    def _needed(self, constraints: list[Constraint]) -> list[Constraint]:
        """The constraints without those that the newer ones have made superfluous."""
        for each in constraints[:-1]:
            others = [other for other in constraints if other != each]
            if self.breaks(others) and not self.check(each, constraints).checked:
                constraints = others
        return constraints

    def _missing(self, constraints: list[Constraint], holding: Sequence[Step]) -> Constraint | None:
        """A constraint that the failing run keeps and this passing one does not."""
        usual = self.kept(constraints).steps
        for group in self._candidates(usual, holding, 3):
            for each in group[:ADDED_FROM]:
                if each in constraints or lane_of(each.after.label) == MAIN:
                    continue  # when the story is over, so is the run
                if not self.left():
                    return None
                matters = self.holds([*constraints, each.reversed])
                if matters and self.breaks([*constraints, each]) and self.is_kept(each):
                    return each
        return None


def _unchecked(constraints: Sequence[Constraint]) -> int:
    return sum(not each.checked for each in constraints)
