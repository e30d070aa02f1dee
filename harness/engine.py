"""Runs scenarios: one schedule, or as many as it takes.

The engine drives a :class:`~harness.schedule.choices.System` with a chooser, lets the judge look
after every step, and keeps what is needed to do it all again. After the first violation a run
goes on first-in-first-out to its end, so that a finding tells what followed.
"""

from __future__ import annotations

import gc
import shlex
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

from harness.errors import RefusedError, UntrustworthyError
from harness.findings.finding import Fact, Violation
from harness.history import History, derive_seed, relative
from harness.invariants import Judge, Moment
from harness.scenario import Scenario
from harness.schedule.choices import Chooser, Deviation, Option, Schedule, labels
from harness.schedule.sandbox import installed
from harness.schedule.simulation import Ending, Limits, Simulation
from harness.schedule.strategies.profiling import Profiler
from harness.schedule.strategies.protocol import Lesson, Profile, choose_first
from harness.schedule.workload import WITHOUT
from harness.world.world import World

#: How often the garbage collector runs, in runs of a campaign; never inside a run.
COLLECT_EVERY = 50
#: After this share of its limits a run goes on first-in-first-out: an unfair order can keep any
#: program from finishing, so only what fails to finish under a fair one is accused of it.
UNFAIR_SHARE = 0.5
#: The rules that every scenario has, in the words of a report.
LANE_FAILS = "A service or client that dies of an error of its own stops doing its job."
STUCK = "When no lane can run and no timer is pending, nothing will ever happen again."
LIMITED = "A run ends; one that goes on for ever makes no progress that anybody would see."


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

    @cached_property
    def deviations(self) -> tuple[Deviation, ...]:
        """The choices that are not first-in-first-out; of most runs nobody asks for them."""
        return tuple(Deviation(*departure) for departure in self.departures)

    @property
    def violated(self) -> bool:
        """Whether a rule was broken."""
        return bool(self.violations)

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
        with installed():
            yield
    finally:
        _uncollected.pop()
        gc.unfreeze()
        if enabled:
            gc.enable()


#: For each campaign that is going on, the runs since the garbage collector last ran.
_uncollected: list[int] = []


def _collect_now_and_then() -> None:
    """Between two runs of a campaign, never inside one: free what the runs before have left."""
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
    guards, bug = scenario.settings_of(variant)
    simulation = Simulation(
        seed=derive_seed(scenario.name, seed),
        limits=Limits(scenario.steps_max, scenario.time_max_s, scenario.step_wall_s),
        stall_s=scenario.stall_s,
        epoch_s=scenario.epoch_s,
    )
    world = World(simulation, seed=seed, guards=guards, bug=bug, without=variant.get(WITHOUT, ""))
    recorder = _Recorder(simulation, world, recorded=recorded, profiled=profiled)
    with simulation:
        simulation.faults_left = scenario.faults_max
        for fault in scenario.faults:
            fault.allow(world)
        simulation.spawn("main", scenario.story, world, main=True)
        recorder.until_violation = until_violation
        if clocked is not None:
            choose = clocked(lambda: simulation.now_ms)
        recorder.drive(choose, choices_min=1 if clocked else 2)
        ending = recorder.ending = simulation.ending or recorder.ending
        stopped = until_violation and world.judge.violations
        if ending.kind not in ("refused", "never yields") and not stopped:
            judge_ending(simulation, world.judge, ending)
            world.judge.at_end(simulation.history, Moment(simulation.steps, simulation.now_ms))
        recorder.covered = world.covered()
        recorder.notes = tuple(filter(None, (text() for text in world.notes.values())))
        world.take_measures()
        wanted = digested and (world.judge.violations or not until_violation)
        recorder.digest = simulation.digest() if wanted or recorded else ""
    choices = {step: choice for step, choice, *_ in recorder.departures}
    schedule = Schedule(scenario.name, seed, choices, variant)
    return _run_of(scenario, schedule, recorder)


def _run_of(scenario: Scenario, schedule: Schedule, recorder: _Recorder) -> Run:
    simulation, world = recorder.simulation, recorder.world
    judge = world.judge
    return Run(
        scenario=scenario,
        schedule=schedule,
        departures=tuple(recorder.departures),
        steps=simulation.steps,
        ended_at_ms=simulation.now_ms,
        ending=recorder.ending,
        violations=tuple(judge.violations),
        held=judge.held,
        unknown=dict(judge.unknown),
        judged=dict(judge.judged),
        notes=recorder.notes,
        blast_radius=world.blast_radius,
        restarts=world.restarts,
        writes=world.writes,
        overlapped=world.overlapped,
        faults=scenario.faults_max - simulation.faults_left,
        reached={**dict.fromkeys(scenario.must_reach, 0), **world.reached},
        batch_legal=simulation.batch_legal,
        history=simulation.history,
        digest=recorder.digest,
        taken=labels(simulation.applied) if recorder.recorded else (),
        offered=tuple(recorder.offered),
        profile=recorder.profiler.profile if recorder.profiler else None,
        covered=recorder.covered,
        operations=dict(world.workload.offered),
    )


class _Recorder:
    """Keeps the books of one run while it is driven."""

    def __init__(
        self, simulation: Simulation, world: World, *, recorded: bool, profiled: bool
    ) -> None:
        self.simulation = simulation
        self.world = world
        self.recorded = recorded
        self.profiler = Profiler() if profiled else None
        self.until_violation = False
        self.departures: list[Departure] = []
        self.offered: list[tuple[str, ...]] = []
        self.ending = Ending("finished")
        self.notes: tuple[str, ...] = ()
        self.covered: tuple[str, ...] = ()
        self.digest = ""

    def drive(self, choose: Chooser, *, choices_min: int) -> None:
        """Run to the end, judging every step; ask where there are so many options at least."""
        simulation, world, judge = self.simulation, self.world, self.world.judge
        apply, clock, history = simulation.apply, simulation.clock, simulation.history
        told, violations = history.events, judge.violations
        fair_from = simulation.limits.steps * UNFAIR_SHARE
        fair_from_s = simulation.limits.time_s * UNFAIR_SHARE
        step, mark = 0, len(told)
        while options := simulation.options():
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
            if len(told) > mark or judge.every_step:
                events = history.since(mark)
                world.observe(events)
                judge.after_step(events, Moment(step, simulation.now_ms))
                mark = len(told)
            if violations or step >= fair_from or clock.now >= fair_from_s:
                if violations and self.until_violation:
                    return
                choose = choose_first


def judge_ending(simulation: Simulation, judge: Judge, ending: Ending) -> None:
    """What went wrong with the run itself: a lane that failed, a deadlock, a limit."""
    step, at_ms = simulation.steps, simulation.now_ms
    told: list[BaseException] = []
    failed = [lane for lane in simulation.lanes.values() if lane.error is not None]
    # The main lane comes last: what it raises is mostly what another lane has failed with.
    for lane in sorted(failed, key=lambda lane: lane.name == "main"):
        for error in _leaves(lane.error):
            if isinstance(error, KeyboardInterrupt):
                raise error
            if not any(error is other for other in told):
                told.append(error)
                judge.violations.append(_failure(simulation, lane.name, error))
    if ending.kind == "stuck":
        judge.violations.append(
            Violation(
                invariant="never_stuck",
                message=f"No lane can run and no timer is pending:\n{ending.detail}",
                describe=STUCK,
                step=step,
                at_ms=at_ms,
            )
        )
    elif ending.kind in ("step limit", "time limit"):
        last = labels(simulation.applied[-6:])
        judge.violations.append(
            Violation(
                invariant="finishes_within_limits",
                message=f"{ending.detail}; the last 6 steps: {'; '.join(last)}",
                describe=LIMITED,
                step=step,
                at_ms=at_ms,
            )
        )


def _leaves(error: BaseException | None) -> Iterator[BaseException]:
    """The errors in an error: those of the tasks of a nursery come wrapped in a group."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    elif error is not None:
        yield error


def _failure(simulation: Simulation, lane: str, error: BaseException) -> Violation:
    """A lane that died of an error, at the step and the time at which it did."""
    died = next(
        (
            event
            for event in simulation.history
            if event.kind == "fault" and event.lane == lane and event.operation.startswith("failed")
        ),
        None,
    )
    assertion = isinstance(error, AssertionError)
    text = str(error).strip() or "an assertion failed"
    if not assertion:
        text = f"{lane} failed: {type(error).__name__}: {str(error).strip()}".rstrip(": ")
    return Violation(
        invariant="scenario_assertions" if assertion else "no_lane_fails",
        message=text,
        describe="" if assertion else LANE_FAILS,
        lane=lane,
        site=_site_of(error),
        step=died.step if died else simulation.steps,
        at_ms=died.at_ms if died else simulation.now_ms,
    )


def _site_of(error: BaseException) -> str:
    """Where the target raised, innermost, as ``path:line function``."""
    place = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if "/trio/" not in frame.filename and "/harness/" not in frame.filename:
            place = f"{relative(frame.filename)}:{frame.lineno} {frame.name}"
    return place


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
