"""Runs a recorded schedule again and says what became of it.

A finding knows what each of its choices ran; a bare token knows only their numbers. Where the exact
choices do not show the bug of a finding any more, its ordering constraints may, or its choices by
their labels: both hold wherever its steps have moved to. If its order can be kept and the bug does
not show, it is fixed. A choice that can not be made any more is reported as that, with what could
run instead, and is never silently replaced.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from harness.engine import Misfit, Run, campaign, check_trustworthy, execute, follow
from harness.findings.finding import Constraint, Finding, StepName
from harness.history import derive_seed
from harness.scenario import Scenario, find
from harness.schedule.choices import TASK, Chooser, Deviation, Option, Schedule
from harness.schedule.fragments import Edited, essence
from harness.schedule.orderings import Ordered, now_and_then

FIXED, STILL_FAILS, DIVERGED = "FIXED", "STILL FAILS", "DIVERGED"
#: By how many steps a task may have moved, and for how many tasks at most that is tried.
LATER_MAX, LATER_TASKS_MAX = 3, 3
#: How many other orders that keep the constraints are tried, and how often they choose.
OTHERS_MAX, OTHERS_CHANCE = 6, 0.3
#: How often the situation of the first choice may come up before it is made.
SITUATIONS_MAX = 8
#: By how many steps a choice and all after it may have moved, either way, and of how many choices.
MOVED_MAX, MOVED_CHOICES_MAX = 10, 4


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a schedule does now.

    ``outcome`` is FIXED (its order can be kept and all rules hold), STILL FAILS, or DIVERGED (at
    ``misfit``). ``digests`` are those of the runs made, ``recorded_digest`` that of the finding if
    there is one. ``same_bug`` says whether the first violation is the recorded one. Where the exact
    choices did not decide, the order was kept by the constraints ``by_constraints`` or, if
    ``by_labels``, by what each choice took. ``unkept`` are the constraints of the finding that
    could not be kept when they were tried. ``gone`` says that nothing has the label
    that ``misfit`` expects.
    """

    schedule: Schedule
    outcome: str
    run: Run | None = None
    digests: tuple[str, ...] = ()
    recorded_digest: str = ""
    same_bug: bool = True
    misfit: Misfit | None = None
    by_constraints: tuple[Constraint, ...] = ()
    by_labels: bool = False
    unkept: tuple[Constraint, ...] = ()
    gone: bool = False

    @property
    def kept_by(self) -> str:
        """By what the order was kept where the recorded steps have moved; empty if by its steps."""
        if self.by_constraints:
            return "ordering constraints"
        return "labels" if self.by_labels else ""

    @property
    def repeatable(self) -> bool:
        """Whether all runs of it were equal."""
        return len(set(self.digests)) <= 1

    @property
    def exact(self) -> bool:
        """Whether it did to the letter what was recorded."""
        return self.repeatable and self.recorded_digest in self.digests


def replay(
    target: Schedule | Finding,
    *,
    times: int = 1,
    go_on: bool = False,
    scenario: Scenario | None = None,
) -> Replayed:
    """Run a schedule or a finding's schedule ``times`` times.

    A finding whose exact choices do not show its bug is run again by its ordering constraints and
    by the labels of its choices. With ``go_on`` a choice that no longer fits is left out instead,
    and the run continues first-in-first-out from there. Raises
    :class:`~harness.errors.UsageError` for an unknown scenario, guard or bug, and what a run that
    cannot be judged raises.
    """
    finding = target if isinstance(target, Finding) else None
    schedule = Schedule.parse(target.token) if isinstance(target, Finding) else target
    deviations = finding.deviations if finding else ()
    scenario = scenario or find(schedule.scenario)
    done = _replay(schedule, deviations, finding, scenario, times=times, go_on=go_on)
    shown = done.outcome == STILL_FAILS and done.same_bug
    if finding is None or shown or go_on or not done.repeatable:
        return done
    return _after_an_edit(finding, scenario, done, times=times)


def _replay(
    schedule: Schedule,
    deviations: Sequence[Deviation],
    finding: Finding | None,
    scenario: Scenario,
    *,
    times: int,
    go_on: bool,
) -> Replayed:
    """By the exact choices."""
    runs: list[Run] = []
    with campaign():
        for _ in range(times):
            misfits: list[Misfit] = []
            choose = _forgiving(schedule, deviations, misfits) if go_on else None
            try:
                run = execute(
                    scenario,
                    seed=schedule.seed,
                    choose=choose or follow(schedule, deviations),
                    variant=schedule.variant,
                    digested=True,
                )
            except Misfit as misfit:
                return Replayed(schedule, DIVERGED, misfit=misfit)
            check_trustworthy(run)
            if not misfits and (lost := unused(schedule, deviations, run)) is not None:
                if not go_on:
                    return Replayed(schedule, DIVERGED, run=run, misfit=lost)
                misfits.append(lost)
            runs.append(run)
    run = runs[0]
    return Replayed(
        schedule,
        STILL_FAILS if run.violated else FIXED,
        run=run,
        digests=tuple(each.digest for each in runs),
        recorded_digest=finding.digest if finding else "",
        same_bug=not (finding and run.violated)
        or run.violations[0].fingerprint == finding.violation.fingerprint,
        misfit=misfits[0] if misfits else None,
    )


def _after_an_edit(
    finding: Finding, scenario: Scenario, exact: Replayed, *, times: int
) -> Replayed:
    """By constraints and by labels, if they show the bug; else whether the order can be kept."""
    again = _Again(finding, scenario, exact, times)
    with campaign():
        shown = again.by_constraints() or (again.by_labels() if finding.deviations else None)
        if shown is not None:
            return shown
        if exact.outcome != DIVERGED:
            return replace(exact, unkept=again.unkept)
        kept = again.kept
        if kept is None:
            misfit = again.lost or exact.misfit
            return replace(exact, misfit=misfit, gone=again.gone, unkept=again.unkept)
        return replace(again.told(kept, by=again.kept_by), unkept=again.unkept)


class _Again:
    """Runs a finding of which the exact choices do not show the bug, in one way after the other.

    ``kept`` is a run that kept its order, by ``kept_by`` if not by labels; ``unkept`` are the
    constraints that could not be kept. ``lost`` is the first choice that could not be made by its
    label, and ``gone`` says that nothing of that label ever comes.
    """

    def __init__(self, finding: Finding, scenario: Scenario, exact: Replayed, times: int) -> None:
        self.finding = finding
        self.scenario = scenario
        self.schedule = exact.schedule
        self.fits = exact.outcome != DIVERGED
        self.times = times
        self.kept: Run | None = None
        self.kept_by: tuple[Constraint, ...] = ()
        self.unkept: tuple[Constraint, ...] = ()
        self.lost: Misfit | None = None
        self.gone = False

    def by_constraints(self) -> Replayed | None:
        """By the ordering constraints, if they show the bug."""
        for number, (constraints, rest) in enumerate(_ways(self.finding.constraints)):
            ordered = Ordered(constraints, rest=rest)
            run = self._run(ordered)
            if self._same_bug(run):
                return self.told(run, by=constraints)
            if number == 0:
                never = (each for each in ordered.never_came if each not in ordered.unkept)
                self.unkept = (*ordered.unkept, *never) if not run.violated else ()
                if not self.unkept:
                    self._keep(run, constraints)
        return None

    def by_labels(self) -> Replayed | None:
        """By what each choice took, if that shows the bug."""
        deviations = self.finding.deviations
        ways = [Edited(deviations)]
        ways += [Edited(deviations, situated=True, skipped=each) for each in range(SITUATIONS_MAX)]
        moved = () if self.fits else (deviations, *_moves(deviations))
        for edited in (*ways, *(Edited(each, loose=True) for each in moved)):
            run = self._run(edited)
            if self._same_bug(run):
                return self.told(run)
            if edited.left and edited is ways[0]:
                self._lose(edited)
            if edited in ways and (run.violated or not edited.left):
                self._keep(run)
        return None

    def told(self, run: Run, *, by: tuple[Constraint, ...] = ()) -> Replayed:
        """What a run did that kept the order, in as many exact replays as were asked for."""
        found = _replay(
            run.schedule,
            run.deviations,
            self.finding,
            self.scenario,
            times=self.times,
            go_on=False,
        )
        named = found.schedule if found.outcome == STILL_FAILS else self.schedule
        return replace(found, schedule=named, by_constraints=by, by_labels=not by)

    def _run(self, chooser: Chooser) -> Run:
        return execute(
            self.scenario,
            seed=self.schedule.seed,
            clocked=lambda now_ms: chooser,
            variant=self.schedule.variant,
            digested=True,
        )

    def _same_bug(self, run: Run) -> bool:
        broken = [each.fingerprint for each in run.violations[:1]]
        return broken == [self.finding.violation.fingerprint]

    def _keep(self, run: Run, by: tuple[Constraint, ...] = ()) -> None:
        """Remember a run that kept the order: the first one, or the first that breaks a rule."""
        if self.kept is None or (run.violated and not self.kept.violated):
            self.kept, self.kept_by = run, by

    def _lose(self, edited: Edited) -> None:
        lost = edited.left[0]
        self.lost = Misfit(lost.step, lost.taken, edited.offered.get(lost.step, ()))
        self.gone = essence(lost.taken) not in edited.seen


def _ways(
    constraints: tuple[Constraint, ...],
) -> Iterator[tuple[tuple[Constraint, ...], Chooser | None]]:
    """First-in-first-out that keeps the constraints; the same with steps later; other orders."""
    if not constraints:
        return
    for later in _later(constraints):
        yield later, None
    for number in range(OTHERS_MAX):
        yield constraints, now_and_then(derive_seed("another", number), OTHERS_CHANCE)


def _later(constraints: tuple[Constraint, ...]) -> Iterator[tuple[Constraint, ...]]:
    """The constraints as they are; then with the steps of tasks counted from a later one on.

    A step of a task is known by its number only: steps that were put in before it move it. Most
    likely all tasks have got the same ones.
    """
    names = [name for each in constraints for name in (each.before, each.after)]
    tasks = list(dict.fromkeys(name.label for name in names if _is_counted(name)))
    alike = [(later,) * len(tasks) for later in range(LATER_MAX + 1 if tasks else 1)]
    some = product(range(LATER_MAX + 1), repeat=min(len(tasks), LATER_TASKS_MAX))
    rest = (0,) * (len(tasks) - LATER_TASKS_MAX)
    for move in dict.fromkeys([*alike, *((*each, *rest) for each in some)]):
        by = dict(zip(tasks, move, strict=True))
        yield tuple(
            replace(each, before=_moved(each.before, by), after=_moved(each.after, by))
            for each in constraints
        )


def _moves(deviations: Sequence[Deviation]) -> Iterator[tuple[Deviation, ...]]:
    """The choices with some of the last ones at other steps: steps were put in, or left out."""
    for start in range(min(len(deviations), MOVED_CHOICES_MAX)):
        for far in range(1, MOVED_MAX + 1):
            for move in (far, -far):
                last = (replace(each, step=each.step + move) for each in deviations[start:])
                yield (*deviations[:start], *last)


def _is_counted(name: StepName) -> bool:
    """Whether nothing but its number tells a step from the others of its task."""
    return name.kind == TASK and not name.touches


def _moved(name: StepName, later: Mapping[str, int]) -> StepName:
    if not _is_counted(name):
        return name
    return replace(name, occurrence=name.occurrence + later.get(name.label, 0))


def unused(schedule: Schedule, deviations: Sequence[Deviation], run: Run) -> Misfit | None:
    """The first choice that a run could not make: its step was not reached, or left no choice.

    After a violation a run is first-in-first-out, so choices that come later are not missed.
    """
    made = {deviation.step for deviation in run.deviations}
    broken_at = run.violations[0].step if run.violated else run.steps
    for step, choice in sorted(schedule.choices.items()):
        if choice and step not in made and (step <= broken_at or broken_at >= run.steps):
            return Misfit(step, _label(deviations, step), ())
    return None


def _label(deviations: Sequence[Deviation], step: int) -> str:
    return next(
        (each.taken for each in deviations if each.step == step), f"a choice at step {step}"
    )


def _forgiving(
    schedule: Schedule, deviations: Sequence[Deviation], misfits: list[Misfit]
) -> Chooser:
    """Like :func:`follow`, but from the first misfit on everything is first-in-first-out."""
    strict = follow(schedule, deviations)

    def choose(options: Sequence[Option], step: int) -> int:
        if misfits:
            return 0
        try:
            return strict(options, step)
        except Misfit as misfit:
            misfits.append(misfit)
            return 0

    return choose
