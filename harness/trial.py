"""One schedule of a campaign by its number: who asks for it, in which process, changes nothing.

Schedules are numbered from 1. Number 1 is first in first out, whatever strategies are asked for,
because all of them learn from it; then come generations of a fixed size. Inside a generation nobody
learns; when it is over, every worker learns the same lessons. Numbers up to 0 are schedules of the
corpus.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from harness.confirmation import finding_of
from harness.engine import Misfit, Run, check_trustworthy, execute, follow
from harness.errors import ChangeoverError, UntrustworthyError, UsageError
from harness.findings.finding import Finding
from harness.knowledge import recalled, remembered
from harness.repeat import Difference, same_twice
from harness.scenario import Scenario
from harness.schedule.choices import Chooser, Schedule
from harness.schedule.strategies.portfolio import PORTFOLIO, Rotation
from harness.schedule.strategies.protocol import Lesson, Seen
from harness.statistics import Statistics, of_run

#: How many schedules make a generation; number 1 is one of its own.
GENERATION = 50
#: One run in so many is executed twice and compared.
CHECKED_SHARE = 20

#: What makes two violations the same bug: the invariant, the site's function, the phase.
Fingerprint = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to search and how: every limit is checked after every schedule.

    ``schedules`` is nothing when only time or Ctrl-C shall end it. ``share`` is ``(k, n)``: only
    every n-th schedule from the k-th on is run, by somebody who cannot talk to the others; then,
    and without ``learning``, only number 1 teaches anything. ``corpus`` are tokens to begin with,
    ``known`` the bugs that are no news, ``knowledge`` where an earlier search stood.
    """

    seed: int = 0
    schedules: int | None = 300
    time_limit_s: float | None = None
    strategies: tuple[str, ...] = PORTFOLIO
    shrink_budget: int = 500
    shrink_wall_s: float = 30.0
    keep_going: bool = False
    variant: Mapping[str, str] = field(default_factory=dict)
    profile: str = "dev"
    share: tuple[int, int] = (1, 1)
    learning: bool = True
    corpus: tuple[str, ...] = ()
    known: tuple[Fingerprint, ...] = ()
    knowledge: str = ""

    def takes(self, number: int) -> bool:
        """Whether the schedule of this number is in our share."""
        part, parts = self.share
        return number % parts == part % parts

    @property
    def learns(self) -> bool:
        """Whether generations teach the next ones; a share learns from number 1 alone."""
        return self.learning and self.share[1] == 1

    def generations(self, done: int) -> Iterator[range]:
        """The numbers of all generations after number ``done``, the corpus first."""
        if self.corpus:
            yield range(1 - len(self.corpus), 1)
        first = done + 1
        while self.schedules is None or first <= self.schedules:
            last = last_of_generation(first)
            yield range(first, (last if self.schedules is None else min(last, self.schedules)) + 1)
            first = last + 1


def last_of_generation(number: int) -> int:
    """The last number of the generation that a number belongs to."""
    return 1 + -(-(number - 1) // GENERATION) * GENERATION


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one schedule: plain data, the same from whichever process it comes.

    ``finding`` is confirmed; it is missing when the bug was known to who ran it. ``misfit`` says
    why a schedule of the corpus no longer fits the code, ``error`` why nothing can be judged.
    """

    number: int
    strategy: str
    token: str = ""
    tried: Statistics = field(default_factory=Statistics)
    lesson: Lesson | None = None
    fingerprint: Fingerprint | None = None
    finding: Finding | None = None
    difference: Difference | None = None
    misfit: str = ""
    error: ChangeoverError | None = None


@dataclass(frozen=True, slots=True)
class Closed:
    """A generation that is over: its last number, what it taught, and which bugs are known now."""

    last: int
    lessons: tuple[Lesson, ...]
    known: tuple[Fingerprint, ...]


class TrialRunner:
    """Runs schedules of one campaign by their numbers, which may only go up."""

    def __init__(self, scenario: Scenario, plan: Plan) -> None:
        self.scenario = scenario
        self.plan = plan
        self.known = set(plan.known)
        self.rotation = Rotation(plan.strategies, seed=plan.seed)
        self.seen = Seen()
        self.number = 0
        self.exhausted = False
        self._turn: tuple[str, Chooser] | None = None
        if plan.knowledge:
            self.number, self.seen = recalled(plan.knowledge, self.rotation)

    def knowledge(self) -> str:
        """Where it stands, as text; empty if that cannot be told."""
        return remembered(self.number, self.seen, self.rotation)

    def trial(self, number: int) -> Trial | None:
        """Run the schedule of a number; nothing when the strategies have no more to try."""
        if number <= 0:
            return self._retraced(number)
        self._go_to(number)
        if self._turn is None:
            return None
        strategy, choose = self._turn
        try:
            run = execute(
                self.scenario,
                seed=self.plan.seed,
                choose=choose,
                variant=self.plan.variant,
                profiled=strategy == "fifo",
            )
        except UsageError as error:
            return Trial(number, strategy, error=error)
        return self._judged(number, strategy, run)

    def close(self, generation: Closed) -> None:
        """Learn what a generation taught; whoever ran its schedules, all learn the same."""
        self._go_to(generation.last)
        self.known.update(generation.known)
        if self.plan.learns or generation.last == 1:
            self.seen = self.seen.after(generation.lessons)

    def _go_to(self, number: int) -> None:
        """Take the turns up to a number; those of others are only passed over."""
        while self.number < number and not self.exhausted:
            self._turn = self.rotation.next(self.seen)
            self.number += 1
            self.exhausted = self._turn is None

    def _retraced(self, number: int) -> Trial:
        """A schedule of the corpus; one that no longer fits the code says so."""
        token = self.plan.corpus[number - 1]
        schedule = Schedule.parse(token)
        try:
            run = execute(
                self.scenario,
                seed=schedule.seed,
                choose=follow(schedule),
                variant=schedule.variant,
            )
        except Misfit as misfit:
            return Trial(number, "corpus", token, misfit=str(misfit))
        except UsageError as error:
            return Trial(number, "corpus", token, error=error)
        made = {deviation.step for deviation in run.deviations}
        until = run.violations[0].step if run.violated else run.steps
        for step in sorted(schedule.choices):
            if step not in made and (step <= until or not run.violated):
                return Trial(number, "corpus", token, misfit=f"step {step} leaves no choice now")
        return self._judged(number, "corpus", run)

    def _judged(self, number: int, strategy: str, run: Run) -> Trial:
        """What a run comes to; a violation that is news is compared and confirmed first."""
        lesson = run.lesson(number, strategy)
        if not self.plan.takes(number):
            return Trial(number, strategy, run.token, lesson=lesson)
        tried = of_run(run, strategy)
        fingerprint = run.violations[0].fingerprint if run.violated else None
        new = fingerprint is not None and fingerprint not in self.known
        difference = finding = None
        try:
            check_trustworthy(run)
            if new or number % CHECKED_SHARE == 1:
                difference = same_twice(run)
            if new and difference is None:
                finding = finding_of(run)
        except Misfit as misfit:
            error: ChangeoverError = UntrustworthyError(f"{run.token} cannot be repeated: {misfit}")
            return Trial(number, strategy, run.token, error=error)
        except ChangeoverError as error:
            return Trial(number, strategy, run.token, error=error)
        if fingerprint is not None:
            self.known.add(fingerprint)
        return Trial(number, strategy, run.token, tried, lesson, fingerprint, finding, difference)


def lessons_of(trials: Iterable[Trial]) -> tuple[Lesson, ...]:
    """What these trials taught, in the order of their numbers."""
    return tuple(
        trial.lesson
        for trial in sorted(trials, key=lambda each: each.number)
        if trial.lesson is not None
    )
