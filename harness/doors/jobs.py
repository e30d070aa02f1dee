"""One search in several processes: each runs its share of the same schedules.

A share is every n-th schedule, so the processes together run what one would, and what they find
depends on the seed and the number of jobs alone, never on who was faster.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from harness.campaign import Interrupt, Plan
from harness.doors.gate import INTERRUPTED, Result, search
from harness.doors.registry import load_scenarios
from harness.settings import load_settings
from harness.statistics import Statistics

#: How long a wait for the jobs may last before Ctrl-C is looked for again, in seconds.
_PATIENCE_S = 0.2


def search_in_jobs(
    scenario: str,
    plan: Plan,
    jobs: int,
    *,
    root: Path,
    on_progress: Callable[[int, int], None] = lambda schedules, findings: None,
) -> Result:
    """Search one scenario in ``jobs`` processes; Ctrl-C ends them all and keeps what they found."""
    interrupt = Interrupt()
    results: dict[int, Result] = {}
    counts: dict[int, tuple[int, int]] = {}
    told: set[int] = set()
    with interrupt.caught():
        running = _started(scenario, plan, jobs, root)
        while running:
            for pipe in wait(list(running), timeout=_PATIENCE_S):
                assert isinstance(pipe, Connection)
                part, process = running[pipe]
                try:
                    message = pipe.recv()
                except EOFError:
                    process.join()
                    if part not in results:
                        results[part] = _lost(scenario, plan, part, process, interrupt.pending)
                    del running[pipe]
                    continue
                if isinstance(message, Result):
                    results[part] = message
                else:
                    counts[part] = message
                    on_progress(*(sum(column) for column in zip(*counts.values(), strict=True)))
            if interrupt.pending:
                for part, process in running.values():
                    if part in counts and part not in told and process.pid is not None:
                        told.add(part)
                        os.kill(process.pid, signal.SIGINT)
    return merged(plan, [results[part] for part in sorted(results)])


def _started(
    scenario: str, plan: Plan, jobs: int, root: Path
) -> dict[Connection, tuple[int, SpawnProcess]]:
    """The jobs; they are born deaf to Ctrl-C, which only a search that goes on can answer."""
    context = multiprocessing.get_context("spawn")
    running: dict[Connection, tuple[int, SpawnProcess]] = {}
    listening = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for part in range(1, jobs + 1):
            receiving, sending = context.Pipe(duplex=False)
            share = replace(plan, share=(part, jobs))
            process = context.Process(target=_work, args=(scenario, share, root, sending))
            process.start()
            sending.close()
            running[receiving] = (part, process)
    finally:
        signal.signal(signal.SIGINT, listening)
    return running


def _work(scenario: str, plan: Plan, root: Path, pipe: Connection) -> None:
    """One job: it has a process group of its own, so that Ctrl-C reaches it once, from us."""
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    found = load_scenarios(load_settings())[scenario]
    pipe.send(search(found, plan, root=root, on_progress=lambda *counts: pipe.send(counts)))


def _lost(scenario: str, plan: Plan, part: int, process: SpawnProcess, pending: bool) -> Result:
    if pending:
        return Result(scenario, plan, ended_by=INTERRUPTED)
    error = f"job {part} ended without a result, exit code {process.exitcode}; its words are above"
    return Result(scenario, plan, error=error)


def merged(plan: Plan, results: Sequence[Result]) -> Result:
    """One result of all shares; findings oldest first, one for each bug."""
    whole = Result(results[0].scenario, plan)
    whole.statistics = _sum([result.statistics for result in results])
    found = [finding for result in results for finding in result.findings]
    found.sort(key=lambda finding: (finding.schedule_number, finding.token))
    known: list[tuple[str, str, str]] = []
    for finding in found:
        fingerprint = finding.violation.fingerprint
        if fingerprint in known or (known and not plan.keep_going):
            whole.remarks.append(
                f"another job found {finding.violation.invariant} at schedule "
                f"{finding.schedule_number}: {finding.saved or finding.token}"
            )
            continue
        known.append(fingerprint)
        whole.findings.append(finding)
    for result in results:
        whole.error = whole.error or result.error
        if whole.difference is None and result.difference is not None:
            whole.difference = result.difference
            whole.difference_token = result.difference_token
        whole.warnings += result.warnings
        whole.remarks += result.remarks
    ends = [result.ended_by for result in results if result.ended_by]
    whole.ended_by = min(ends, key=_urgency, default="")
    return whole


def _urgency(ended_by: str) -> int:
    order = (INTERRUPTED, "not deterministic", "finding")
    return order.index(ended_by) if ended_by in order else len(order)


def _sum(parts: Sequence[Statistics]) -> Statistics:
    whole = Statistics()
    for part in parts:
        for each in fields(Statistics):
            name = each.name
            one, other = getattr(whole, name), getattr(part, name)
            if name in ("judged", "reached", "by_strategy"):
                total = {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}
                setattr(whole, name, total)
            elif isinstance(one, (set, dict)):
                setattr(whole, name, one | other)
            elif name == "seconds":
                setattr(whole, name, max(one, other))
            else:
                setattr(whole, name, one + other)
    return whole
