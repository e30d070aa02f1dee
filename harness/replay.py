"""Runs a recorded schedule again and says what became of it.

A finding knows what each of its choices ran; a bare token knows only their numbers. Either way a
choice that no longer fits the code is reported as that, with what could run instead, and is never
silently replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.engine import Misfit, Run, campaign, check_trustworthy, execute, follow
from harness.findings.finding import Finding
from harness.scenario import Scenario, find
from harness.schedule.choices import Chooser, Deviation, Option, Schedule

FIXED, STILL_FAILS, DIVERGED = "FIXED", "STILL FAILS", "DIVERGED"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a schedule does now.

    ``outcome`` is FIXED (it fits and all rules hold), STILL FAILS, or DIVERGED (at ``misfit``).
    ``digests`` are those of the runs made, ``recorded_digest`` that of the finding if there is
    one. ``same_bug`` says whether the first violation is the recorded one.
    """

    schedule: Schedule
    outcome: str
    run: Run | None = None
    digests: tuple[str, ...] = ()
    recorded_digest: str = ""
    same_bug: bool = True
    misfit: Misfit | None = None

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

    With ``go_on`` a choice that no longer fits is left out and the run continues
    first-in-first-out from there. Raises :class:`~harness.errors.UsageError` for an unknown
    scenario, guard or bug, and what a run that cannot be judged raises.
    """
    finding = target if isinstance(target, Finding) else None
    schedule = Schedule.parse(target.token) if isinstance(target, Finding) else target
    deviations = finding.deviations if finding else ()
    scenario = scenario or find(schedule.scenario)
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
            if not misfits and (lost := _unused(schedule, deviations, run)) is not None:
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


def _unused(schedule: Schedule, deviations: Sequence[Deviation], run: Run) -> Misfit | None:
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
