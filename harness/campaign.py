"""A campaign: many schedules of one scenario, until a budget, a time limit, a finding or Ctrl-C.

A crew runs the schedules, in this process or in several; what it hands over is taken in the order
of the numbers. So the same schedules run, the same bugs are found and the same one ends the search,
however many workers there are. Findings are confirmed (three equal digests), handed out to be
saved, and only then shrunk. A share of all runs is executed twice; a target whose runs cannot be
repeated is reported as that and never judged.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from harness.confirmation import finding_of, smaller, versions
from harness.engine import campaign
from harness.errors import ChangeoverError, UntrustworthyError
from harness.findings.finding import Finding, Shrinking
from harness.repeat import Difference
from harness.scenario import Scenario
from harness.statistics import Statistics
from harness.trial import CHECKED_SHARE, Closed, Plan, Trial, TrialRunner, lessons_of

__all__ = [
    "FOUND",
    "INTERRUPTED",
    "NOT_DETERMINISTIC",
    "NOT_SHRUNK",
    "Alone",
    "Campaign",
    "Crew",
    "Interrupt",
    "Plan",
    "Search",
    "Smaller",
    "drive",
    "explore",
    "finding_of",
    "versions",
]

_monotonic = time.monotonic
INTERRUPTED, NOT_DETERMINISTIC, FOUND = "interrupted", "not deterministic", "finding"
#: How the shrinking of a finding ended that never began.
NOT_SHRUNK = "not shrunk"


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
        """Whether nothing was proved: no restart overlapped a write, or a mark was not reached."""
        return not self.findings and self.statistics.vacuous


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


@dataclass(frozen=True, slots=True)
class Smaller:
    """A finding of one scenario that was made smaller, or could not be, and then why."""

    before: Finding
    after: Finding | None = None
    error: ChangeoverError | None = None


class Crew(Protocol):
    """Who runs the schedules of one or several searches: this process, or several others."""

    def trials(
        self, search: Search, numbers: range, *, stop: Callable[[], bool]
    ) -> Generator[Trial, None, None]:
        """The trials of a generation in the order of their numbers.

        Ends early when strategies are exhausted or soon after ``stop`` says so; closing it early
        gives up what was not handed over. Raises :class:`UntrustworthyError` for a lost worker.
        """

    def close(self, search: Search, generation: Closed) -> None:
        """Let everybody learn what a generation taught."""

    def shrink(self, search: Search, finding: Finding) -> None:
        """Make a finding smaller when it holds nobody up."""

    def shrunk(self, *, wait: bool, interrupted: Callable[[], bool]) -> Iterable[Smaller]:
        """What was made smaller since the last call; all there is to be, with ``wait``."""


class Search:
    """One campaign while it runs, generation by generation."""

    def __init__(
        self,
        scenario: Scenario,
        plan: Plan,
        *,
        on_finding: Callable[[Finding, Finding | None], Finding] = lambda new, _: new,
        on_trial: Callable[[Trial, Campaign], None] = lambda trial, campaign: None,
        on_generation: Callable[[Search], None] = lambda search: None,
    ) -> None:
        self.result = Campaign(scenario, plan)
        self.on_finding = on_finding
        self.on_trial = on_trial
        self.on_generation = on_generation
        self.runner = TrialRunner(scenario, plan)
        self.known = set(plan.known)
        self._generations = plan.generations(self.runner.number)
        self._spent_s = 0.0
        self._since: float | None = None

    @property
    def spent_s(self) -> float:
        """Real seconds spent on this search."""
        return self._spent_s + (_monotonic() - self._since if self._since is not None else 0.0)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """What is done in here is part of the search."""
        self._since = _monotonic()
        try:
            yield
        finally:
            self._spent_s, self._since = self.spent_s, None
            self.result.statistics.seconds = self._spent_s

    def advance(self, crew: Crew, halted: Callable[[], str]) -> None:
        """Search one generation; afterwards the result may say why the search ended."""
        with self.timed():
            self.result.ended_by = self._advance(crew, halted)

    def _advance(self, crew: Crew, halted: Callable[[], str]) -> str:
        numbers = next(self._generations, None)
        if numbers is None:
            return "all schedules done"

        def reason() -> str:
            limit_s = self.result.plan.time_limit_s
            late = limit_s is not None and self.spent_s >= limit_s
            return halted() or (f"the time limit of {limit_s:g} s" if late else "")

        done: list[Trial] = []
        with closing(crew.trials(self, numbers, stop=lambda: bool(reason()))) as trials:
            for trial in trials:
                if ended := self._take(crew, trial):
                    return INTERRUPTED if halted() == INTERRUPTED and ended == FOUND else ended
                done.append(trial)
        if ended := reason():
            return ended
        crew.close(self, Closed(numbers[-1], lessons_of(done), tuple(sorted(self.known))))
        self.on_generation(self)
        if self.runner.exhausted:
            return "every strategy has tried all it had"
        asked = [number for number in numbers if number == 1 or self.result.plan.takes(number)]
        if [trial.number for trial in done] != asked:
            raise UntrustworthyError(
                f"of the schedules {numbers[0]} to {numbers[-1]} only {len(done)} were run; this "
                "is a bug in changeover, please report it"
            )
        return ""

    def _take(self, crew: Crew, trial: Trial) -> str:
        """What follows from a trial; why the search ends, if it does."""
        plan, statistics = self.result.plan, self.result.statistics
        if trial.error is not None:
            raise trial.error
        if not plan.takes(trial.number):
            return ""
        if trial.misfit:
            self.on_trial(trial, self.result)
            return ""
        statistics.absorb(trial.tried)
        if trial.difference is not None:
            self.result.difference = trial.difference
            self.result.difference_token = trial.token
            return NOT_DETERMINISTIC
        new = trial.finding is not None and trial.fingerprint not in self.known
        if new or trial.number % CHECKED_SHARE == 1:
            statistics.checked_twice += 1
        if trial.finding is not None and trial.fingerprint is not None and new:
            self.known.add(trial.fingerprint)
            self._report(crew, trial, trial.finding)
        statistics.seconds = self.spent_s
        self.on_trial(trial, self.result)
        return FOUND if trial.fingerprint is not None and not plan.keep_going else ""

    def _report(self, crew: Crew, trial: Trial, finding: Finding) -> None:
        """Hand a finding out to be saved, and have it shrunk."""
        plan = self.result.plan
        found = replace(
            finding,
            strategy=trial.strategy,
            schedule_number=max(trial.number, 0),
            schedules_planned=plan.schedules or 0,
            seconds=round(self.spent_s, 3),
            profile=plan.profile,
            shrinking=_unshrunk(finding, trial.tried.faults),
        )
        found = self.on_finding(found, None)
        self.result.findings.append(found)
        if plan.shrink_budget:
            crew.shrink(self, found)

    def take_smaller(self, smaller: Smaller) -> None:
        """Hand out a finding again that was made smaller."""
        if smaller.error is not None:
            raise smaller.error
        if smaller.after is not None:
            place = self.result.findings.index(smaller.before)
            self.result.findings[place] = self.on_finding(smaller.after, smaller.before)


def _unshrunk(finding: Finding, faults: int) -> Shrinking:
    """The record of a finding that nobody has shrunk yet."""
    return Shrinking(
        steps=(finding.steps,) * 2,
        choices=(len(finding.deviations),) * 2,
        faults=(faults,) * 2,
        ended_by=NOT_SHRUNK,
    )


class Alone:
    """A crew of one: this process."""

    def __init__(self) -> None:
        self._unshrunk: list[tuple[Search, Finding]] = []

    def trials(
        self, search: Search, numbers: range, *, stop: Callable[[], bool]
    ) -> Generator[Trial, None, None]:
        """The trials of a generation, made as they are asked for."""
        plan = search.result.plan
        for number in numbers:
            if not plan.takes(number) and number != 1:
                continue
            if stop():
                return
            trial = search.runner.trial(number)
            if trial is None:
                return
            yield trial

    def close(self, search: Search, generation: Closed) -> None:
        """Learn what a generation taught."""
        search.runner.close(generation)

    def shrink(self, search: Search, finding: Finding) -> None:
        """Note a finding, to be made smaller when the generation is over."""
        self._unshrunk.append((search, finding))

    def shrunk(self, *, wait: bool, interrupted: Callable[[], bool]) -> Iterable[Smaller]:
        """Make smaller what was noted."""
        while self._unshrunk:
            search, finding = self._unshrunk.pop(0)
            with search.timed():
                result = search.result
                yield attempt_smaller(result.scenario, result.plan, finding, interrupted)


def attempt_smaller(
    scenario: Scenario, plan: Plan, finding: Finding, interrupted: Callable[[], bool]
) -> Smaller:
    """Make a finding smaller with the budget of its campaign."""
    try:
        after = smaller(
            finding,
            scenario,
            budget_runs=plan.shrink_budget,
            wall_s=plan.shrink_wall_s,
            interrupted=interrupted,
        )
    except ChangeoverError as error:
        return Smaller(finding, error=UntrustworthyError(str(error)))
    return Smaller(finding, after)


def drive(
    searches: Sequence[Search],
    crew: Crew,
    halted: Callable[[], str],
    *,
    on_error: Callable[[Search, ChangeoverError], None],
) -> None:
    """Advance searches generation by generation until all have ended.

    They share the time fairly: it is the turn of the one that had least of it. ``halted`` says why
    all of them shall end now; one that cannot be judged ends alone, with ``on_error``.
    """

    def interrupted() -> bool:
        return halted() == INTERRUPTED

    def collect(*, wait: bool) -> None:
        for each in crew.shrunk(wait=wait, interrupted=interrupted):
            owner = next(one for one in searches if each.before in one.result.findings)
            try:
                owner.take_smaller(each)
            except ChangeoverError as error:
                on_error(owner, error)

    while going := [search for search in searches if not search.result.ended_by]:
        search = min(going, key=lambda each: each.spent_s)
        try:
            search.advance(crew, halted)
        except ChangeoverError as error:
            search.result.ended_by = "an error"
            on_error(search, error)
        collect(wait=False)
    collect(wait=True)


def explore(
    scenario: Scenario,
    plan: Plan,
    *,
    on_finding: Callable[[Finding, Finding | None], Finding] = lambda new, _: new,
    on_progress: Callable[[Campaign], None] = lambda _: None,
) -> Campaign:
    """Search one scenario in this process.

    ``on_finding(finding, unshrunk)`` is called when a finding is confirmed, before it is shrunk
    (``unshrunk`` is nothing then), and again with the smaller one; it saves, and returns the
    finding with where it was saved. ``on_progress`` is called after every schedule. Raises the
    :class:`~harness.errors.UntrustworthyError` of a run that cannot be judged.
    """
    interrupt = Interrupt()

    def refuse(search: Search, error: ChangeoverError) -> None:
        raise error

    with campaign(), interrupt.caught():
        search = Search(
            scenario,
            plan,
            on_finding=on_finding,
            on_trial=lambda trial, result: on_progress(result),
        )
        halted = lambda: INTERRUPTED if interrupt.pending else ""  # noqa: E731
        drive([search], Alone(), halted, on_error=refuse)
        if interrupt.pending and search.result.ended_by == FOUND:
            search.result.ended_by = INTERRUPTED
    return search.result
