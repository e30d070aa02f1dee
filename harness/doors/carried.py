"""A recorded schedule run in another scenario that tells the same story, in words.

FOUND AGAIN, ANOTHER BUG, HELD or DIVERGED. What breaks a rule there is a schedule of that scenario
from then on: it is run again, reported and saved like any other.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.carrying import Carried, carry, kin_of
from harness.doors.rerun import Rerun, rerun
from harness.doors.wordings import diverged
from harness.engine import Misfit, Run
from harness.findings import store
from harness.findings.finding import Finding
from harness.findings.wording import counted, listed
from harness.replay import DIVERGED, Replayed
from harness.scenario import Scenario
from harness.schedule.choices import Schedule

FOUND_AGAIN, ANOTHER_BUG, HELD = "FOUND AGAIN", "ANOTHER BUG", "HELD"
#: How many of the steps are named that never went.
NAMED_MAX = 3


def carried_over(
    target: Finding | Schedule,
    source: Scenario,
    into: Scenario,
    *,
    root: Path = store.ROOT,
    times: int = 3,
    ascii: bool = False,
) -> Rerun:
    """Try a finding or a schedule of ``source`` in ``into``; what breaks a rule, ``times`` times.

    Raises :class:`~harness.errors.UsageError` where nobody has said what both have in common.
    """
    recorded = target if isinstance(target, Finding) else None
    schedule = Schedule.parse(target.token) if isinstance(target, Finding) else target
    kin = kin_of(source.name, into.name)
    try:
        done = carry(
            schedule, source, into, kin=kin, deviations=recorded.deviations if recorded else ()
        )
    except Misfit as misfit:
        lost = Replayed(schedule, DIVERGED, misfit=misfit)
        text = diverged(lost, recorded, root.parent, ascii=ascii)
        return Rerun(3, text, f"{DIVERGED:<12} {schedule.brief}")
    words = "\n".join(told(schedule, done))
    if not done.run.violated:
        return Rerun(3 if done.diverged else 0, "", words, run=done.run)
    again = rerun(done.run.schedule, into, root=root, times=times, ascii=ascii)
    return replace(again, verdict=f"{words}\n{again.verdict}")


def told(schedule: Schedule, done: Carried) -> list[str]:
    """The outcome in one line, and what is to be known about it."""
    runs = (done.source, done.run)
    if done.run.violated:
        outcome = FOUND_AGAIN if done.same_bug else ANOTHER_BUG
    else:
        outcome = DIVERGED if done.diverged else HELD
    broken = [f"{run.scenario.name} breaks {first_broken(run)}" for run in runs]
    steps = counted(done.shared, "step")
    lines = [
        f"{outcome:<12} {schedule.brief}",
        f"    as {done.run.token}",
        f"    {', '.join(broken)}",
    ]
    if done.strays:
        stray = done.strays[0]
        lines.append(f"    the same order up to step {stray.step}, where {stray.wanted!r} was next")
        lines.append(f"    and could not go, so {stray.label!r} went")
    elif not done.diverged:
        lines.append(f"    the same order of what both have, {steps}")
    if done.left and done.diverged:
        left = listed([f"{each!r}" for each in done.left], most=NAMED_MAX)
        lines.append(f"    {len(done.left):,} of {steps} that both have never went: {left}")
    return lines


def first_broken(run: Run) -> str:
    """The rule that a run breaks first, in words."""
    return run.violations[0].invariant if run.violated else "no rule"
