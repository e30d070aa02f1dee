"""What the doors say about a result: reports of every outcome, statistics, and data for machines.

'Nothing found' is only worth something with what was tried, so the statistics are always told.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.campaign import versions
from harness.confirmation import hash_seed
from harness.coverage import matrix_of, nested
from harness.doors.gate import MISUSED, NOT_JUDGED, NOTHING_RAN, Result
from harness.doors.regressions import IS_BACK, counts
from harness.errors import closest
from harness.findings import outcomes
from harness.findings.finding import HASH_SEED, Finding, Violation
from harness.findings.matrix import render_matrix
from harness.findings.reasons import step_text
from harness.findings.report import render_text
from harness.findings.serial import encode
from harness.findings.sources import edited
from harness.findings.wording import counted, listed, one_line, only_ascii, wrapped
from harness.repeat import Difference
from harness.replay import Replayed
from harness.statistics import Statistics

_WAITING = re.compile(
    r"(?P<lane>\S+)\s+(?:waits for\s+(?P<reason>.*?)\s+since step (?P<since>\d+)"
    r"|is down\s+\((?P<down>.*)\))"
)
_LAST_STEPS = re.compile(
    r"(?P<limit>[\d,]+) steps .*; the last \d+ steps: (?P<steps>.*)", re.DOTALL
)
_INDENT = "    "
#: What stands over the matrix; its columns are headed by the first letters.
MATRIX_HEADING = "  In how many runs a write was sent, done, told in a phase of a restart:"
_LEGAL = ", batch-legal"


def report(result: Result, *, ascii: bool = False, test_id: str | None = None) -> str:
    """Everything that is to be said about a result that is not simply green."""
    blocks = [
        _back(result, each) + finding_report(each, ascii=ascii, test_id=test_id)
        for each in result.findings
    ]
    if result.difference is not None:
        block = not_deterministic(result.difference, result.difference_token, ascii=ascii)
        if result.quarantined:
            block += f"{_INDENT}both option lists are in {result.quarantined}\n"
        blocks.append(block)
    if result.error:
        blocks.append(not_judged(result.error, misused=result.misused))
    statistics = result.statistics
    if statistics.schedules and statistics.vacuous and not blocks:
        vacuous = outcomes.Vacuous(
            result.scenario,
            statistics.schedules,
            result.plan.seed,
            never_reached=statistics.never_reached,
            overlapped=statistics.overlapped_runs,
            never_there=statistics.never_there,
            remedy=_remedy(statistics),
            verb="broke no rule, but" if statistics.unproved else "held, but",
        )
        blocks.append(outcomes.render_vacuous(vacuous, ascii=ascii))
    if statistics.unknown:
        unknown = outcomes.Unknown(result.scenario, statistics.unknown)
        blocks.append(outcomes.render_unknown(unknown, ascii=ascii))
    blocks += [f"WARNING  {warning}\n" for warning in result.warnings]
    blocks += [f"note: {remark}\n" for remark in result.remarks]
    return "\n".join(blocks)


def _remedy(statistics: Statistics) -> str:
    """What would make a campaign say something that says nothing."""
    if statistics.never_there:
        there = [name for name, count in statistics.services.items() if count]
        return str(closest(statistics.never_there[0], there, kind="service in faults"))
    if not statistics.restarts + statistics.faults:
        return "give it faults=[restart(...)], or let the story restart a service"
    if not statistics.overlapped_runs and not statistics.restarts:
        struck = counted(statistics.faults, "fault")
        return f"{struck}, and nobody came back: who is asked to stop has to end"
    return outcomes.MORE_WORK


def _back(result: Result, finding: Finding) -> str:
    """That a finding is a committed regression which fails again; empty for others."""
    for each in result.regressions:
        if each.outcome == IS_BACK and each.saved == finding.saved:
            why = f": {one_line(finding.reason)}" if finding.reason else ""
            return "\n".join(wrapped(f"regression {each.name} is back{why}", 80)) + "\n\n"
    return ""


def finding_report(finding: Finding, *, ascii: bool = False, test_id: str | None = None) -> str:
    """The report of a finding; a run that got stuck or did not end says that first."""
    return special_heading(finding, ascii=ascii) + render_text(
        finding, ascii=ascii, test_id=test_id
    )


def special_heading(finding: Finding, *, ascii: bool = False) -> str:
    """Who waits for whom in a stuck run, or what a run without end repeats; empty for others."""
    violation = finding.violation
    if violation.invariant == "never_stuck":
        stuck = outcomes.Stuck(finding.token, violation.step, _waiting(violation))
        return outcomes.render_stuck(stuck, ascii=ascii) + "\n"
    limit = _LAST_STEPS.match(violation.message)
    if violation.invariant == "finishes_within_limits" and limit is not None:
        steps = tuple(limit["steps"].split("; "))
        endless = outcomes.StepLimit(finding.token, int(limit["limit"].replace(",", "")), steps)
        return outcomes.render_step_limit(endless, ascii=ascii) + "\n"
    return ""


def _waiting(violation: Violation) -> tuple[outcomes.Waiting, ...]:
    found = (_WAITING.match(line) for line in violation.message.splitlines())
    return tuple(
        outcomes.Waiting(
            match["lane"],
            match["reason"] or match["down"],
            int(match["since"] or violation.step),
            down=match["reason"] is None,
        )
        for match in found
        if match is not None
    )


def not_deterministic(difference: Difference, token: str, *, ascii: bool = False) -> str:
    """Where two runs of one schedule went apart."""

    def side(ran: str, options: Sequence[str]) -> outcomes.Side:
        others = [option for option in options if not ran.startswith(option)]
        return outcomes.Side(ran, tuple(others))

    return outcomes.render_not_deterministic(
        outcomes.NotDeterministic(
            token,
            difference.step - 1,
            side(difference.first, difference.first_options),
            side(difference.second, difference.second_options),
        ),
        ascii=ascii,
    )


def not_judged(message: str, *, misused: bool = False) -> str:
    """That a run left what can be simulated, or was never a right one, and the remedy."""
    first, *commands = message.split("\n")
    lines = ["CANNOT BE JUDGED    the run left what can be simulated (exit 3)"]
    if misused:
        lines = ["WRONGLY USED        the scenario itself has to be mended (exit 4)"]
    lines += wrapped(first, 80, indent=_INDENT)
    return "\n".join([*lines, *(_INDENT + command for command in commands)]) + "\n"


def suspected(finding: Finding | None, project: Path) -> str:
    """Why a finding does not do what it did: an edit, or strings that are hashed otherwise."""
    if finding is not None and (changed := edited(finding, project)):
        were = "was" if len(changed) == 1 else "were"
        return f"first suspect: {listed(changed, most=3)} {were} edited since it was recorded"
    return hashes_suspected(finding, project)


def hashes_suspected(finding: Finding | None, project: Path) -> str:
    """That a finding comes from a process that hashed strings otherwise.

    Empty if it did not, and where the code was edited: nothing else need be suspected there.
    """
    if finding is not None and edited(finding, project):
        return ""
    recorded = finding.versions.get(HASH_SEED, "") if finding else ""
    now = hash_seed()
    if not recorded or recorded == now != "random":
        return ""
    made = "a random PYTHONHASHSEED" if recorded == "random" else f"PYTHONHASHSEED={recorded}"
    here = "it is random here, too" if recorded == now else f"here it is {now}"
    fixed = "0" if recorded == "random" else recorded
    return (
        f"first suspect: made under {made}, {here}; if hash() or the order of a set of strings "
        f"matters, search and replay under one: PYTHONHASHSEED={fixed} pytest ..."
    )


def diverged(
    replayed: Replayed, finding: Finding | None, project: Path, *, ascii: bool = False
) -> str:
    """Which choice no longer fits, and what changed since it was recorded."""
    misfit = replayed.misfit
    assert misfit is not None
    recorded = finding.versions.get("git", "") if finding else ""
    changed = _changed_since(recorded.partition("+")[0])
    suspect = suspected(finding, project)
    if changed and finding is not None and not finding.sources:
        suspect = ""  # what has changed is told, and that is the first suspect
    return outcomes.render_diverged(
        outcomes.Diverged(
            token=replayed.schedule.token,
            step=misfit.step,
            wanted=misfit.expected,
            able=misfit.offered,
            recorded_with=f"git {recorded}" if recorded else "",
            now=versions().get("git", ""),
            changed=changed,
            suspect=suspect,
            gone=replayed.gone,
            unkept=unkept_words(replayed),
        ),
        ascii=ascii,
    )


def unkept_words(replayed: Replayed) -> str:
    """The first ordering constraint that could not be kept; empty if all were, or there is none."""
    if not replayed.unkept:
        return ""
    never, waiting = map(step_text, (replayed.unkept[0].before, replayed.unkept[0].after))
    return f"not by its ordering constraints: {never} never precedes {waiting}"


def _changed_since(commit: str) -> tuple[str, ...]:
    if not commit:
        return ()
    command = ["git", "diff", "--name-only", commit, "--"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(done.stdout.split()) if done.returncode == 0 else ()


def summary(result: Result) -> str:
    """A result in one line: how it came out, how much was tried, and the seed."""
    statistics = result.statistics
    tried = f"{counted(statistics.schedules, 'schedule')}, {len(statistics.distinct):,} distinct"
    if result.outcome in (NOTHING_RAN, NOT_JUDGED, MISUSED) and not statistics.schedules:
        tried = "no schedule was completed"
    part, parts = result.plan.share
    name = f"{result.scenario} (part {part} of {parts})" if parts > 1 else result.scenario
    return (
        f"{name}: {result.outcome}; {tried} in {statistics.seconds:.1f} s; "
        f"seed {result.plan.seed} (profile {result.plan.profile})"
    )


def statistics_text(result: Result, *, ascii: bool = False) -> str:
    """What was tried, reached and judged, and what never was."""
    statistics = result.statistics
    lines = [summary(result)]
    facts = _facts(result) if statistics.schedules else []
    for heading, text in [*facts, *_regressions(result)]:
        first = f"  {heading:<11} "
        lines += wrapped(text, 80, indent=first, hanging=" " * len(first))
    if result.ended_by:
        lines.append(f"  {'ended by':<12}{result.ended_by}")
    if statistics.covered:
        lines += ["", MATRIX_HEADING]
        lines += render_matrix(matrix_of(statistics.covered))
    return "\n".join(only_ascii(line) if ascii else line for line in lines) + "\n"


def _facts(result: Result) -> list[tuple[str, str]]:
    statistics = result.statistics
    least, most, runs = statistics.steps_min, statistics.steps_max, statistics.schedules
    facts = [
        ("steps", f"min {least:,}, mean {statistics.steps_sum / runs:,.0f}, max {most:,}"),
        (
            "restarts",
            f"{statistics.restarts:,} by {counted(statistics.faults, 'fault')}; in "
            f"{statistics.overlapped_runs:,} of {counted(runs, 'run')} one overlapped a write",
        ),
        *_swept(statistics),
        ("orders", f"{statistics.batch_legal:,} batch-legal, the others any order"),
        ("checked", f"{counted(statistics.checked_twice, 'run')} executed twice, equal"),
        ("strategies", _strategies(statistics.by_strategy)),
        ("judged", _counts(statistics.judged, unit=" times")),
    ]
    never = ", ".join(statistics.never_judged)
    facts += [("not judged", never)] if never else []
    facts += [("unknown", f"{name}: {reason}") for name, reason in statistics.unknown.items()]
    facts.append(("reached", _counts(statistics.reached)))
    facts.append(("not reached", ", ".join(statistics.never_reached)))
    facts.append(("covered", _covered(statistics)))
    return [(heading, text) for heading, text in facts if text]


def _regressions(result: Result) -> list[tuple[str, str]]:
    """What became of the committed regressions, if there are any."""
    return [("regressions", counts(result.regressions))] if result.regressions else []


def _swept(statistics: Statistics) -> list[tuple[str, str]]:
    """That every place where a fault can strike had its turn; a part of them is not told."""
    places = f"every one of {counted(statistics.places, 'place')} where one can strike"
    return [
        ("swept", f"{what}, at {places}")
        for strategy, what in (("sweep", "one fault"), ("sweep(2)", "one, and another in its wake"))
        if statistics.swept(strategy)
    ]


def _covered(statistics: Statistics) -> str:
    """How much of the matrix was seen, and whether there is still something new."""
    if not statistics.covered:
        return ""
    cells = counted(len(statistics.covered), "cell")
    return (
        f"{cells} of restart phase x write step, the last new one at schedule "
        f"{statistics.last_new:,} of {statistics.schedules:,}"
    )


def _strategies(counts: Mapping[str, int]) -> str:
    """Each strategy with its runs; those that kept to batch-legal orders after a plus."""
    plain = [name for name in counts if not name.endswith(_LEGAL)]
    plain += [name for name in (each.removesuffix(_LEGAL) for each in counts) if name not in plain]
    parts = []
    for name in sorted(set(plain), key=plain.index):
        legal = counts.get(name + _LEGAL, 0)
        parts.append(f"{name} {counts.get(name, 0)}" + (f" + {legal} batch-legal" if legal else ""))
    return ", ".join(parts)


def _counts(counts: Mapping[str, int], unit: str = "") -> str:
    return ", ".join(f"{name} {count:,}{unit}" for name, count in counts.items() if count)


def as_data(result: Result) -> dict[str, object]:
    """A result as JSON values; findings as in their files."""
    statistics = result.statistics
    return {
        "scenario": result.scenario,
        "outcome": result.outcome,
        "seed": result.plan.seed,
        "profile": result.plan.profile,
        "ended_by": result.ended_by,
        "error": result.error,
        "warnings": [*result.warnings],
        "findings": [encode(finding) for finding in result.findings],
        "regressions": {each.name: each.outcome for each in result.regressions},
        "quarantined": result.quarantined,
        "unknown": result.statistics.unproved,
        "statistics": {
            "schedules": statistics.schedules,
            "distinct": len(statistics.distinct),
            "steps": {
                "min": statistics.steps_min,
                "max": statistics.steps_max,
                "sum": statistics.steps_sum,
            },
            "restarts": statistics.restarts,
            "faults": statistics.faults,
            "places": statistics.places,
            "overlapped_runs": statistics.overlapped_runs,
            "batch_legal": statistics.batch_legal,
            "checked_twice": statistics.checked_twice,
            "by_strategy": statistics.by_strategy,
            "judged": statistics.judged,
            "never_judged": list(statistics.never_judged),
            "reached": statistics.reached,
            "never_reached": list(statistics.never_reached),
            "covered": {
                "cells": len(statistics.covered),
                "last_new": statistics.last_new,
                "matrix": nested(matrix_of(statistics.covered)),
            },
            "seconds": round(statistics.seconds, 3),
        },
    }


def brief(result: Result) -> dict[str, object]:
    """What the summary of a run keeps of a result: findings by their token only."""
    found = [
        {"token": each.token, "digest": each.digest, "saved": each.saved}
        for each in result.findings
    ]
    return {**as_data(result), "findings": found}
