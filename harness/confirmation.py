"""From a violated run to a finding: replayed until it can be believed, then made small."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

from harness.engine import Run, execute, follow
from harness.errors import UntrustworthyError
from harness.findings import sources
from harness.findings.finding import HASH_SEED, Constraint, Finding
from harness.history import Site
from harness.narration import Narrator
from harness.scenario import Scenario
from harness.schedule.choices import Schedule
from harness.shrink import shrink

_monotonic = time.monotonic
#: How often a finding is replayed before it is reported.
REPLAYS = 3


def finding_of(run: Run, constraints: Sequence[Constraint] = ()) -> Finding:
    """The record of a violated run and the reason for it, replayed three times first.

    Raises :class:`UntrustworthyError` when it is not the same three times.
    """
    started = _monotonic()
    narrators = [Narrator(follow(run.schedule, run.deviations)) for _ in range(REPLAYS)]
    replays = [
        execute(
            run.scenario,
            seed=run.schedule.seed,
            clocked=narrator,
            variant=run.schedule.variant,
            digested=True,
        )
        for narrator in narrators
    ]
    spent_ms = round((_monotonic() - started) * 1000 / REPLAYS)
    digests = [replay.digest for replay in replays]
    fingerprints = [each.violations[0].fingerprint for each in replays if each.violated]
    if len(set(digests)) > 1 or fingerprints != [run.violations[0].fingerprint] * REPLAYS:
        raise UntrustworthyError(
            f"a violation of {run.violations[0].invariant} did not come back {REPLAYS} of "
            f"{REPLAYS} times with one history ({len(set(digests))} different ones); does the "
            f"target remember earlier runs?\nchangeover replay {shlex.quote(run.token)}"
        )
    return Finding(
        scenario=run.scenario.name,
        token=run.token,
        seed=run.schedule.seed,
        digest=digests[0],
        violations=run.violations,
        deviations=narrators[0].described(run.deviations),
        constraints=narrators[0].told(constraints),
        steps=run.steps,
        ended_at_ms=run.ended_at_ms,
        order=run.order,
        history=tuple(event.rendered() for event in run.history),
        variant=dict(run.schedule.variant),
        held=run.held,
        notes=run.notes,
        blast_radius=run.blast_radius,
        replays=(digests.count(digests[0]), REPLAYS),
        replay_ms=spent_ms,
        versions={**versions(), HASH_SEED: hash_seed()},
        sources=sources.digests(site.path for site in _sites(run)),
        module=run.scenario.module,
        file=run.scenario.site.path if run.scenario.site is not None else "",
    )


def _sites(run: Run) -> Iterator[Site]:
    """Where the target did something in a run, and where its scenario is declared."""
    if run.scenario.site is not None:
        yield run.scenario.site
    yield from (event.site for event in run.history if event.site is not None)


def smaller(
    found: Finding,
    scenario: Scenario,
    *,
    budget_runs: int,
    wall_s: float,
    interrupted: Callable[[], bool] = lambda: False,
) -> Finding:
    """The same bug with the smallest schedule that the budget buys; how it was found is kept.

    Raises :class:`~harness.engine.Misfit` when the finding no longer fits the code, and
    :class:`UntrustworthyError` when it no longer breaks the rule.
    """
    schedule = Schedule.parse(found.token)
    run = execute(
        scenario,
        seed=schedule.seed,
        choose=follow(schedule, found.deviations),
        variant=schedule.variant,
        digested=True,
    )
    if not run.violated:
        again = f"changeover replay {shlex.quote(found.token)}"
        raise UntrustworthyError(f"{found.identity} holds now, there is nothing to shrink\n{again}")
    shrunk = shrink(
        run, budget_runs=budget_runs, wall_s=wall_s, interrupted=interrupted, since=found
    )
    return replace(
        finding_of(shrunk.run, shrunk.explanation.constraints),
        strategy=found.strategy,
        schedule_number=found.schedule_number,
        schedules_planned=found.schedules_planned,
        seconds=found.seconds,
        profile=found.profile,
        shrinking=shrunk.shrinking,
        counterfactuals=shrunk.counterfactuals,
        orders_tried=shrunk.explanation.orders_tried,
    )


def hash_seed() -> str:
    """How strings are hashed in this process: the seed, or that it was drawn at random."""
    seed = os.environ.get("PYTHONHASHSEED", "")
    return seed if seed.isdecimal() and not sys.flags.ignore_environment else "random"


def versions() -> dict[str, str]:
    """What a finding was made with: python, trio, changeover and the git commit."""
    try:
        own = version("changeover")
    except PackageNotFoundError:
        own = "source"
    found = {"python": platform.python_version(), "trio": version("trio"), "changeover": own}
    git = _git("rev-parse", "--short", "HEAD")
    if git:
        found["git"] = git + ("+changes" if _git("status", "--porcelain", "-uno") else "")
    return found


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
