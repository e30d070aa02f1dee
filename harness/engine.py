"""Runs scenarios: one schedule, or as many as it takes.

The engine drives a :class:`~harness.schedule.stage.Stage` with a chooser, lets the judge look
after every step, and keeps what is needed to do it all again. After the first violation a run
goes on first-in-first-out to its end, so that a finding tells what followed.
"""

from __future__ import annotations

import gc
import shlex
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

from harness.errors import RefusedError, UntrustworthyError
from harness.findings.finding import Fact, Violation
from harness.history import History
from harness.invariants import Moment
from harness.scenario import Scenario
from harness.schedule.choices import Chooser, Deviation, Option, Schedule, labels
from harness.schedule.sandbox import installed
from harness.schedule.simulation import Ending
from harness.schedule.stage import Stage, Summary
from harness.schedule.strategies.profiling import Profiler
from harness.schedule.strategies.protocol import Lesson, Profile, choose_first
from harness.simulated import Simulated

#: How often the garbage collector runs, in runs of a campaign; never inside a run.
COLLECT_EVERY = 50
#: After this share of its limits a run goes on first-in-first-out: an unfair order can keep any
#: program from finishing, so only what fails to finish under a fair one is accused of it.
UNFAIR_SHARE = 0.5

#: The fields of a deviation, kept until somebody wants one.
Departure = tuple[int, int, str, str, str, str, int]


@dataclass(frozen=True)
class Run:
    """What one run did: its schedule, its verdict, and everything a finding is made of."""

    scenario: Scenario
    schedule: Schedule
    departures: tuple[Departure, ...]
    steps: int
    ended_at_ms: int
    ending: Ending
    violations: tuple[Violation, ...]
    held: tuple[str, ...]
    unknown: Mapping[str, str]
    judged: Mapping[str, int]
    notes: tuple[str, ...]
    blast_radius: tuple[Fact, ...]
    restarts: int
    writes: int
    overlapped: int
    faults: int
    reached: Mapping[str, int]
    batch_legal: bool
    history: History
    digest: str = ""
    taken: tuple[str, ...] = ()
    offered: tuple[tuple[str, ...], ...] = ()
    profile: Profile | None = None
    covered: tuple[str, ...] = ()
    operations: Mapping[str, int] = field(default_factory=dict)
    services: tuple[str, ...] = ()

    @cached_property
    def deviations(self) -> tuple[Deviation, ...]:
        """The choices that are not first-in-first-out; of most runs nobody asks for them."""
        return tuple(Deviation(*departure) for departure in self.departures)

    @property
    def violated(self) -> bool:
        """Whether a rule was broken."""
        return bool(self.violations)

    @property
    def order(self) -> str:
        """What the schedule needs: real processes, the lockstep of trio, or any order of tasks."""
        if self.scenario.stage is not None:
            return "real"
        return "batch-legal" if self.batch_legal else "any"

    @property
    def vacuous(self) -> bool:
        """Whether no restart overlapped a write: such a run proves nothing."""
        return not self.overlapped

    @property
    def token(self) -> str:
        """The run in one line."""
        return self.schedule.token

    def lesson(self, number: int, strategy: str) -> Lesson:
        """What this run, the ``number``-th of a campaign, teaches the strategies."""
        return Lesson(
            number=number,
            strategy=strategy,
            steps=self.steps,
            broken=tuple(violation.invariant for violation in self.violations),
            profile=self.profile,
            covered=self.covered,
            choices=tuple(sorted(self.schedule.choices.items())),
        )


class Misfit(UntrustworthyError):
    """A recorded choice that the code no longer offers.

    At ``step`` it should run ``expected`` (a label, or ``option N``) but only ``offered`` can.
    """

    def __init__(self, step: int, expected: str, offered: Sequence[str]) -> None:
        super().__init__(f"step {step} should run {expected}, which cannot run now")
        self.step = step
        self.expected = expected
        self.offered = tuple(offered)


@contextmanager
def campaign() -> Iterator[None]:
    """Many runs in a row: put the walls up once and keep the garbage collector out of them."""
    if _uncollected:  # inside another one, where all of this is done
        yield
        return
    enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    _uncollected.append(0)
    try:
        with installed(), _heard():
            yield
    finally:
        _uncollected.pop()
        gc.unfreeze()
        if enabled:
            gc.enable()


@contextmanager
def _heard() -> Iterator[None]:
    """Remember Ctrl-C, which the target may catch as it catches everything else."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def remember(number: int, frame: object) -> None:
        _interrupts.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        _interrupts.clear()
        signal.signal(signal.SIGINT, signal.default_int_handler)


_interrupts: list[int] = []

#: For each campaign that is going on, the runs since the garbage collector last ran.
_uncollected: list[int] = []


def _collect_now_and_then() -> None:
    """Between two runs of a campaign, never inside one: free what the runs before have left."""
    if _interrupts:
        raise KeyboardInterrupt
    if _uncollected:
        _uncollected[-1] += 1
        if _uncollected[-1] >= COLLECT_EVERY:
            gc.collect()
            _uncollected[-1] = 0


def execute(
    scenario: Scenario,
    *,
    seed: int,
    choose: Chooser = choose_first,
    variant: Mapping[str, str] | None = None,
    digested: bool = False,
    recorded: bool = False,
    profiled: bool = False,
    until_violation: bool = False,
    clocked: Callable[[Callable[[], int]], Chooser] | None = None,
) -> Run:
    """Run one schedule of a scenario and judge it.

    ``digested`` asks for the digest, ``recorded`` for the labels of all steps and options,
    ``profiled`` for the profile that strategies learn from; each costs time. ``until_violation``
    ends the run at the first violation, and a run without one then has no digest. ``clocked``
    makes a chooser that also sees the virtual time in milliseconds, instead of ``choose``; it is
    asked at every step, even where only one thing can happen.
    """
    _collect_now_and_then()
    variant = dict(variant or {})
    stage = (scenario.stage or Simulated)(scenario, seed=seed, variant=variant)
    recorder = _Recorder(stage, recorded=recorded, profiled=profiled)
    with stage:
        recorder.until_violation = until_violation
        if clocked is not None:
            choose = clocked(lambda: stage.now_ms)
        recorder.drive(choose, choices_min=1 if clocked else 2)
        ending = recorder.ending = stage.ending or recorder.ending
        stopped = until_violation and stage.judge.violations
        if ending.kind not in ("refused", "never yields") and not stopped:
            stage.judge_ending(ending)
            stage.history.fair_from_ms = round(recorder.fair_from_s * 1000)
            stage.judge.at_end(stage.history, Moment(stage.steps, stage.now_ms))
        recorder.summary = stage.summary()
        wanted = digested and (stage.judge.violations or not until_violation)
        recorder.digest = stage.digest() if wanted or recorded else ""
    if stage.ending is not None and stage.ending.kind == "never yields":
        recorder.ending = stage.ending  # it may be cleaning up that never does
    choices = {step: choice for step, choice, *_ in recorder.departures}
    schedule = Schedule(scenario.name, seed, choices, variant)
    return _run_of(scenario, schedule, recorder)


def _run_of(scenario: Scenario, schedule: Schedule, recorder: _Recorder) -> Run:
    stage, summary = recorder.stage, recorder.summary
    judge = stage.judge
    return Run(
        scenario=scenario,
        schedule=schedule,
        departures=tuple(recorder.departures),
        steps=stage.steps,
        ended_at_ms=stage.now_ms,
        ending=recorder.ending,
        violations=tuple(judge.violations),
        held=judge.held,
        unknown=dict(judge.unknown),
        judged=dict(judge.judged),
        notes=summary.notes,
        blast_radius=summary.blast_radius,
        restarts=summary.restarts,
        writes=summary.writes,
        overlapped=summary.overlapped,
        faults=summary.faults,
        reached={**dict.fromkeys(scenario.must_reach, 0), **summary.reached},
        batch_legal=summary.batch_legal,
        history=stage.history,
        digest=recorder.digest,
        taken=labels(stage.applied) if recorder.recorded else (),
        offered=tuple(recorder.offered),
        profile=recorder.profiler.profile if recorder.profiler else None,
        covered=summary.covered,
        operations=dict(summary.operations),
        services=summary.services,
    )


class _Recorder:
    """Keeps the books of one run while it is driven."""

    def __init__(self, stage: Stage, *, recorded: bool, profiled: bool) -> None:
        self.stage = stage
        self.recorded = recorded
        self.profiler = Profiler() if profiled else None
        self.until_violation = False
        self.departures: list[Departure] = []
        self.offered: list[tuple[str, ...]] = []
        #: When the last choice that was not first-in-first-out had been made; it may be the clock.
        self.fair_from_s = 0.0
        self.ending = Ending("finished")
        self.summary = Summary()
        self.digest = ""

    def drive(self, choose: Chooser, *, choices_min: int) -> None:
        """Run to the end, judging every step; ask where there are so many options at least."""
        stage, judge = self.stage, self.stage.judge
        apply, clock, history = stage.apply, stage.clock, stage.history
        told, violations = history.events, judge.violations
        fair_from = stage.limits.steps * UNFAIR_SHARE
        fair_from_s = stage.limits.time_s * UNFAIR_SHARE
        step, mark = 0, len(told)
        while options := stage.options():
            step += 1
            index = choose(options, step) if len(options) >= choices_min else 0
            option = options[index]
            if index:
                first, at_ms = options[0].label, round(clock.now * 1000)
                departure = (step, index, option.label, first, option.lane, option.kind, at_ms)
                self.departures.append(departure)
            if self.recorded:
                self.offered.append(labels(options))
            if self.profiler:
                self.profiler.note(step, options, option)
            apply(option)
            if index:
                self.fair_from_s = clock.now
            if len(told) > mark or judge.every_step:
                events = history.since(mark)
                stage.observe(events)
                judge.after_step(events, Moment(step, stage.now_ms))
                mark = len(told)
            if violations or step >= fair_from or clock.now >= fair_from_s:
                if violations and self.until_violation:
                    return
                choose = choose_first


def follow(schedule: Schedule, deviations: Sequence[Deviation] = ()) -> Chooser:
    """The chooser of a recorded schedule.

    Raises :class:`Misfit` at a step where the recorded choice cannot run, or (when the deviations
    are known with their labels) where another option stands in its place.
    """
    wanted = {deviation.step: deviation.taken for deviation in deviations}

    def choose(options: Sequence[Option], step: int) -> int:
        index = schedule.choices.get(step, 0)
        expected = wanted.get(step, "")
        if index >= len(options) or (expected and options[index].label != expected):
            raise Misfit(step, expected or f"option {index}", labels(options))
        return index

    return choose


def check_trustworthy(run: Run) -> None:
    """Raise when a run cannot be judged here: the target left the simulation, or never yields."""
    again = f"changeover replay {shlex.quote(run.token)}"
    if run.ending.kind == "refused":
        raise RefusedError(f"{run.ending.detail}\n{again}")
    if run.ending.kind == "never yields":
        raise UntrustworthyError(
            f"a step never yielded within {run.scenario.step_wall_s:g} s of real time "
            f"({run.ending.detail or 'step ' + str(run.steps)}); a loop without await blocks every "
            f"other task: add a checkpoint to it, or raise step_wall_s if it is only slow\n{again}"
        )
