"""A recorded schedule run again, in words: FIXED, STILL FAILS, DIVERGED or not deterministic.

What still fails is saved, so that every command its report names works.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.campaign import finding_of
from harness.doors.keeper import Keeper
from harness.doors.wordings import (
    diverged,
    finding_report,
    hashes_suspected,
    not_deterministic,
    suspected,
    unkept_words,
)
from harness.engine import Run, campaign
from harness.findings import store
from harness.findings.finding import Constraint, Finding
from harness.findings.wording import wrapped
from harness.repeat import same_twice
from harness.replay import DIVERGED, STILL_FAILS, Replayed, replay
from harness.scenario import Scenario
from harness.schedule.choices import Schedule


@dataclass(frozen=True, slots=True)
class Rerun:
    """What became of it: the exit code, the report if there is one, and the verdict in short.

    ``suspect`` is why it may not be what was recorded, other than by a change of the code.
    """

    code: int
    report: str = ""
    verdict: str = ""
    finding: Finding | None = None
    run: Run | None = None
    suspect: str = ""


def rerun(
    target: Finding | Schedule,
    scenario: Scenario,
    *,
    root: Path = store.ROOT,
    times: int = 3,
    go_on: bool = False,
    ascii: bool = False,
    test_id: str | None = None,
) -> Rerun:
    """Run a finding or a schedule again ``times`` times and say what it does now.

    A schedule of which a finding is saved is that finding: it knows what each choice ran.
    """
    recorded = target if isinstance(target, Finding) else store.with_token(target.token, root)
    target = recorded or target
    done = replay(target, times=times, go_on=go_on, scenario=scenario)
    if done.outcome == DIVERGED:
        text = diverged(done, recorded, root.parent, ascii=ascii)
        return Rerun(3, text, f"{DIVERGED:<12} {done.schedule.brief}")
    run = done.run
    assert run is not None
    if not done.repeatable:
        with campaign():
            difference = same_twice(run)
        verdict = f"NOT DETERMINISTIC  {len(set(done.digests))} digests in {times} runs"
        if difference is None:
            return Rerun(3, "", verdict)
        return Rerun(3, not_deterministic(difference, run.token, ascii=ascii), verdict)
    if done.outcome != STILL_FAILS:
        suspect = hashes_suspected(recorded, root.parent)
        verdict = "\n".join([_verdict(done, times, recorded), *wrapped(suspect, 80, indent="    ")])
        return Rerun(0, "", verdict, run=run, suspect=suspect)
    reason = recorded.constraints if recorded is not None and done.by_constraints else ()
    found, warnings = _still_failing(run, recorded if done.exact else None, reason, root)
    verdict = _verdict(done, times, recorded)
    if not (done.exact and done.same_bug) and (suspect := suspected(recorded, root.parent)):
        verdict = "\n".join([verdict, *wrapped(suspect, 80, indent="    ")])
    text = finding_report(found, ascii=ascii, test_id=test_id)
    text += "".join(f"\nWARNING  {warning}\n" for warning in warnings)
    return Rerun(1, text, verdict, found, run)


def _still_failing(
    run: Run, recorded: Finding | None, reason: Sequence[Constraint], root: Path
) -> tuple[Finding, list[str]]:
    """The record of what fails now: the one there is if it is that to the letter."""
    with campaign():
        again = finding_of(run, reason)
    if recorded is not None:
        return replace(recorded, replays=again.replays, replay_ms=again.replay_ms), []
    keeper = Keeper(root)
    return keeper(again, None), keeper.warnings


def kept_words(done: Replayed) -> str:
    """By what the recorded order was kept where its steps have moved, and what that says."""
    if done.outcome == STILL_FAILS:
        return f"replayed by its {done.kept_by}: the recorded steps have moved"
    return f"the order was kept by its {done.kept_by}, and the bug is gone"


def _other_bug(done: Replayed, recorded: Finding | None) -> str:
    """What is broken first, if that is not what was recorded to the letter."""
    if done.run is not None and recorded is not None:
        now, then = done.run.violations[0], recorded.violation
        if now.invariant == then.invariant:
            here, there = (each.fingerprint[1] or each.phase for each in (now, then))
            return f"the same rule is broken, but at {here or 'another place'} instead of {there}"
    return "another rule is broken first than the one that was recorded"


def _verdict(done: Replayed, times: int, recorded: Finding | None) -> str:
    """The outcome in one line, and what is to be known about it."""
    lines = [
        f"{done.outcome:<12} {done.schedule.brief}",
        f"    digest {done.digests[0][:8]}, same result {len(done.digests)} of {times} times",
    ]
    if done.kept_by:
        lines.append(f"    {kept_words(done)}")
    if done.recorded_digest and not done.exact:
        lines.append(f"    not the history that was recorded (digest {done.recorded_digest[:8]})")
    if not done.same_bug:
        lines.append(f"    {_other_bug(done, recorded)}")
    if unkept := unkept_words(done):
        lines.append(f"    {unkept}")
    if done.misfit is not None:
        lines.append(f"    went on first-in-first-out: {done.misfit}")
    return "\n".join(lines)
