"""A campaign: many schedules of one scenario, until a budget, a time limit, a finding or Ctrl-C.

Findings are confirmed (three equal digests), handed out to be saved, and only then shrunk. A share
of all runs is executed twice; a target whose runs cannot be repeated is reported as that and never
judged.
"""

from __future__ import annotations

import platform
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version

from harness.engine import (
    Run,
    campaign,
    check_trustworthy,
    execute,
    follow,
)
from harness.errors import UntrustworthyError
from harness.findings.finding import Finding, Shrinking
from harness.repeat import Difference, same_twice
from harness.scenario import Scenario
from harness.schedule.choices import Chooser
from harness.schedule.strategies.portfolio import PORTFOLIO, Rotation
from harness.schedule.strategies.protocol import Seen
from harness.shrink import shrink
from harness.statistics import Statistics

_monotonic = time.monotonic
#: One run in so many is executed twice and compared.
CHECKED_SHARE = 20
#: How often a finding is replayed before it is reported.
REPLAYS = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to search and how: every limit is checked after every schedule.

    ``share`` is ``(k, n)``: only every n-th schedule from the k-th on is run, so that n processes
    with one plan together run its schedules once.
    """

    seed: int = 0
    schedules: int = 300
    time_limit_s: float | None = None
    strategies: tuple[str, ...] = PORTFOLIO
    shrink_budget: int = 500
    shrink_wall_s: float = 10.0
    keep_going: bool = False
    variant: Mapping[str, str] = field(default_factory=dict)
    profile: str = "dev"
    share: tuple[int, int] = (1, 1)


@dataclass(slots=True)
class Campaign:
    """What a search found and tried; ``ended_by`` says why it stopped."""

    scenario: Scenario
    plan: Plan
    statistics: Statistics = field(default_factory=Statistics)
    findings: list[Finding] = field(default_factory=list)
    difference: Difference | None = None
    difference_token: str = ""
    ended_by: str = ""

    @property
    def vacuous(self) -> bool:
        """Whether nothing was proved: no restart overlapped a write in any run."""
        return not self.findings and not self.statistics.overlapped_runs

    @property
    def unknown(self) -> dict[str, str]:
        """The rules about which nothing can be said, with the reason."""
        never = dict.fromkeys(self.statistics.never_judged, "never had anything to judge")
        return {**never, **self.statistics.unknown}


class Interrupt:
    """Remembers Ctrl-C until the run that is going on is over; a second one strikes at once."""

    def __init__(self) -> None:
        self.pending = False

    def __call__(self) -> bool:
        """Whether it was pressed."""
        return self.pending

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Catch SIGINT in the main thread; elsewhere nothing changes."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = signal.getsignal(signal.SIGINT)

        def remember(number: int, frame: object) -> None:
            if self.pending:
                raise KeyboardInterrupt
            self.pending = True

        signal.signal(signal.SIGINT, remember)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)


def explore(
    scenario: Scenario,
    plan: Plan,
    *,
    on_finding: Callable[[Finding, Finding | None], Finding] = lambda new, _: new,
    on_progress: Callable[[Campaign], None] = lambda _: None,
) -> Campaign:
    """Search one scenario.

    ``on_finding(finding, unshrunk)`` is called when a finding is confirmed, before it is shrunk
    (``unshrunk`` is nothing then), and again with the smaller one; it saves, and returns the
    finding with where it was saved. ``on_progress`` is called after every schedule. Raises the
    :class:`~harness.errors.UntrustworthyError` of a run that cannot be judged.
    """
    search = _Search(scenario, plan, on_finding)
    with campaign(), search.interrupt.caught():
        while not (ended := search.ended()):
            turn = search.rotation.next(search.seen)
            if turn is None:
                ended = "every strategy has tried all it had"
                break
            search.number += 1
            if not search.mine and turn[0] != "fifo":
                continue
            ended = search.take(*turn)
            on_progress(search.result)
            if ended:
                break
    search.result.ended_by = ended
    search.result.statistics.seconds = search.spent_s()
    return search.result


class _Search:
    """One campaign while it runs."""

    def __init__(
        self,
        scenario: Scenario,
        plan: Plan,
        on_finding: Callable[[Finding, Finding | None], Finding],
    ) -> None:
        self.result = Campaign(scenario, plan)
        self.on_finding = on_finding
        self.rotation = Rotation(plan.strategies, seed=plan.seed)
        self.interrupt = Interrupt()
        self.seen = Seen()
        self.known: set[tuple[str, str, str]] = set()
        self.number = 0
        self.started = _monotonic()

    def spent_s(self) -> float:
        """Real seconds since the search began."""
        return _monotonic() - self.started

    @property
    def mine(self) -> bool:
        """Whether the schedule of this number is in our share; FIFO tells all where faults fit."""
        part, parts = self.result.plan.share
        return self.number % parts == part % parts

    def ended(self) -> str:
        """Why no further schedule is started; empty while there is no reason."""
        plan = self.result.plan
        if self.interrupt.pending:
            return "interrupted"
        if self.number >= plan.schedules:
            return "all schedules done"
        if plan.time_limit_s is not None and self.spent_s() >= plan.time_limit_s:
            return f"the time limit of {plan.time_limit_s:g} s"
        return ""

    def take(self, strategy: str, choose: Chooser) -> str:
        """Run one schedule and do what follows from it; why the search ends, if it does."""
        plan, statistics = self.result.plan, self.result.statistics
        run = execute(
            self.result.scenario,
            seed=plan.seed,
            choose=choose,
            variant=plan.variant,
            profiled=strategy == "fifo",
        )
        self.seen = self.seen.after([run.lesson(self.number, strategy)])
        if not self.mine:
            return ""
        check_trustworthy(run)
        statistics.add(run, strategy)
        new = run.violated and run.violations[0].fingerprint not in self.known
        if new or statistics.schedules % CHECKED_SHARE == 1:
            self.result.difference = same_twice(run)
            if self.result.difference is not None:
                self.result.difference_token = run.token
                return "not deterministic"
            statistics.checked_twice += 1
        if new:
            self.known.add(run.violations[0].fingerprint)
            self.report(run, strategy)
        statistics.seconds = self.spent_s()
        if run.violated and not plan.keep_going:
            return "interrupted" if self.interrupt.pending else "finding"
        return ""

    def report(self, run: Run, strategy: str) -> None:
        """Hand a finding out to be saved, then shrink it and hand it out again."""
        plan = self.result.plan
        found = replace(
            finding_of(run),
            strategy=strategy,
            schedule_number=self.number,
            schedules_planned=plan.schedules,
            seconds=round(self.spent_s(), 3),
            profile=plan.profile,
            shrinking=Shrinking(
                steps=(run.steps, run.steps),
                choices=(len(run.deviations),) * 2,
                faults=(run.faults,) * 2,
                ended_by="not shrunk",
            ),
        )
        unshrunk = self.on_finding(found, None)
        if plan.shrink_budget:
            found = self.on_finding(self.shrunk(unshrunk, run), unshrunk)
        else:
            found = unshrunk
        self.result.findings.append(found)

    def shrunk(self, found: Finding, run: Run) -> Finding:
        """The same bug with the smallest schedule that the budget buys."""
        plan = self.result.plan
        smaller = shrink(
            run,
            budget_runs=plan.shrink_budget,
            wall_s=plan.shrink_wall_s,
            interrupted=self.interrupt,
        )
        return replace(
            finding_of(smaller.run),
            strategy=found.strategy,
            schedule_number=found.schedule_number,
            schedules_planned=found.schedules_planned,
            seconds=found.seconds,
            profile=found.profile,
            shrinking=smaller.shrinking,
            counterfactuals=smaller.counterfactuals,
        )


def finding_of(run: Run) -> Finding:
    """The record of a violated run, replayed three times first.

    Raises :class:`UntrustworthyError` when it is not the same three times.
    """
    started = _monotonic()
    replays = [
        execute(
            run.scenario,
            seed=run.schedule.seed,
            choose=follow(run.schedule, run.deviations),
            variant=run.schedule.variant,
            digested=True,
        )
        for _ in range(REPLAYS)
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
        deviations=run.deviations,
        steps=run.steps,
        ended_at_ms=run.ended_at_ms,
        order="batch-legal" if run.batch_legal else "any",
        history=tuple(event.rendered() for event in run.history),
        variant=dict(run.schedule.variant),
        held=run.held,
        notes=run.notes,
        replays=(digests.count(digests[0]), REPLAYS),
        replay_ms=spent_ms,
        versions=versions(),
    )


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
