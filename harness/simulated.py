"""A run of a scenario in the simulation: its world, its story, and how it came to its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Self

from harness.errors import UsageError
from harness.findings.finding import Violation
from harness.history import derive_seed
from harness.invariants import Judge
from harness.raised import advice_for, failed_assertion, place_of, site_of, stack_of
from harness.scenario import Scenario
from harness.schedule.choices import EVERYTHING, Footprint, labels
from harness.schedule.simulation import Ending, Limits, Simulation
from harness.schedule.stage import ENDLESS, LANE_FAILS, Summary, bad_ending
from harness.schedule.workload import WITHOUT
from harness.world.world import World


class Simulated:
    """A :class:`~harness.schedule.stage.Stage` that is a simulation and its world."""

    def __init__(self, scenario: Scenario, *, seed: int, variant: Mapping[str, str]) -> None:
        guards, bug = scenario.settings_of(variant)
        self.scenario = scenario
        self.simulation = simulation = Simulation(
            seed=derive_seed(scenario.name, seed),
            limits=Limits(scenario.steps_max, scenario.time_max_s, scenario.step_wall_s),
            stall_s=scenario.stall_s,
            epoch_s=scenario.epoch_s,
        )
        without = variant.get(WITHOUT, "")
        self.world = World(simulation, seed=seed, guards=guards, bug=bug, without=without)
        self.judge, self.history = self.world.judge, simulation.history
        self.limits, self.clock = simulation.limits, simulation.clock
        self.applied = simulation.applied
        # What is asked at every step is asked without a detour.
        self.options, self.apply = simulation.options, simulation.apply
        self.observe, self.digest = self.world.observe, simulation.digest

    def __enter__(self) -> Self:
        simulation, scenario = self.simulation, self.scenario
        simulation.__enter__()
        simulation.faults_left = scenario.faults_max
        for fault in scenario.faults:
            fault.allow(self.world)
        simulation.spawn("main", scenario.story, self.world, main=True)
        return self

    def __exit__(self, *exception: object) -> None:
        self.simulation.__exit__(*exception)
        self.judge.violations += endless_lanes(self.simulation)

    def judge_ending(self, ending: Ending) -> None:
        """Add what went wrong with the run itself."""
        judge_ending(self.simulation, self.world.judge, ending)

    def summary(self) -> Summary:
        """What the run adds up to."""
        simulation, world = self.simulation, self.world
        world.take_measures()
        return Summary(
            restarts=world.restarts,
            writes=world.writes,
            overlapped=world.overlapped,
            faults=self.scenario.faults_max - simulation.faults_left,
            batch_legal=simulation.batch_legal,
            reached=world.reached,
            operations=world.workload.offered,
            covered=world.covered(),
            notes=world.said(),
            blast_radius=world.blast_radius,
            services=tuple(world.services),
        )

    def touched(self) -> Footprint:
        """Everything: who proves watches a simulation more closely than this."""
        return EVERYTHING

    @property
    def steps(self) -> int:
        """How many steps were made."""
        return self.simulation.steps

    @property
    def now_ms(self) -> int:
        """Virtual milliseconds since it began."""
        return self.simulation.now_ms

    @property
    def ending(self) -> Ending | None:
        """How it ended, if it has."""
        return self.simulation.ending


def judge_ending(simulation: Simulation, judge: Judge, ending: Ending) -> None:
    """What went wrong with the run itself: a lane that failed, a deadlock, a limit."""
    told: list[BaseException] = []
    failed = [lane for lane in simulation.lanes.values() if lane.error is not None]
    # The main lane comes last: what it raises is mostly what another lane has failed with.
    for lane in sorted(failed, key=lambda lane: lane.name == "main"):
        for error in _leaves(lane.error):
            if isinstance(error, KeyboardInterrupt):
                raise error
            if isinstance(error, UsageError):  # no defect of the target: its test asks for too much
                raise UsageError(f"{error} ({site_of(error)})") from error
            if not any(error is other for other in told):
                told.append(error)
                judge.violations.append(_failure(simulation, lane.name, error))
    last = labels(simulation.applied[-6:])
    judge.violations += bad_ending(
        ending, steps=simulation.steps, at_ms=simulation.now_ms, last=last
    )


def endless_lanes(simulation: Simulation) -> Iterator[Violation]:
    """The lanes that cannot be ended, one for each place in which their cancellation gets lost."""
    lanes = {one.site: one.lane for one in reversed(simulation.swallowed)}
    for site, lane in reversed(lanes.items()):
        place = f" at {site.partition(' ')[0]}" if site else ""
        yield Violation(
            invariant="finishes_within_limits",
            message=(
                f"{lane} swallows Cancelled{place}, so that only a kill would end it: "
                "catch Exception there, or raise it again"
            ),
            step=simulation.steps,
            at_ms=simulation.now_ms,
            describe=ENDLESS,
            lane=lane,
            site=site,
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
    return Violation(
        invariant="scenario_assertions" if assertion else "no_lane_fails",
        message=_said(lane, error),
        describe="" if assertion else LANE_FAILS,
        consequence=advice_for(error),
        lane=lane,
        site=site_of(error),
        step=died.step if died else simulation.steps,
        at_ms=died.at_ms if died else simulation.now_ms,
        stack=stack_of(error),
    )


def _said(lane: str, error: BaseException) -> str:
    """Who died of what, and at which line of the target."""
    text, place = str(error).strip(), place_of(error)
    if isinstance(error, AssertionError):
        where = f" (at {place})" if place else ""
        return f"{text}{where}" if text else failed_assertion(error) or f"{lane} failed{where}"
    where = f" at {place}" if place else ""
    return f"{lane} failed{where}: {type(error).__name__}: {text}".rstrip(": ")
