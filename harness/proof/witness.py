"""What one step touched, as somebody sees who watches it: declared, told, and deduced.

Declared is the footprint of its option. Told is what the world says while the step goes on. The
rest follows from what the step left behind: tasks that woke, requests that were sent, events that
a rule judges, random numbers that were drawn. In doubt a step touches everything.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from harness.history import derive_seed
from harness.invariants import Judge, Moment
from harness.proof.bounds import Bound, is_ahead
from harness.proof.resources import ARRIVE, EVERYTHING, READ, STEP, WRITE, Touch
from harness.scenario import Scenario
from harness.schedule.choices import (
    DECISION,
    FAULT,
    NOTHING,
    OPERATION,
    ORPHAN,
    TASK,
    TIMER,
    Option,
)
from harness.schedule.lanes import Lane, TaskOption
from harness.schedule.operations import Idle, Operation
from harness.schedule.simulation import Ending, Limits, Simulation
from harness.simulated import endless_lanes, judge_ending
from harness.world.world import World


class Witness:
    """One run of a scenario that is stepped from outside, and what each step touched."""

    def __init__(self, scenario: Scenario, seed: int, variant: dict[str, str], bound: Bound):
        guards, bug = scenario.settings_of(variant)
        self.scenario = scenario
        self.bound = bound
        self.simulation = Simulation(
            seed=derive_seed(scenario.name, seed),
            limits=Limits(scenario.steps_max, scenario.time_max_s, scenario.step_wall_s),
            stall_s=scenario.stall_s,
            epoch_s=scenario.epoch_s,
        )
        self.simulation.touched = []
        self.world = World(self.simulation, seed=seed, guards=guards, bug=bug)
        self._rules = 0
        self._closing: list[TaskOption] = []

    def __enter__(self) -> Witness:
        simulation, scenario = self.simulation, self.scenario
        simulation.__enter__()
        simulation.faults_left = self.bound.restarts
        simulation.finish_hooks.append(self._finished)
        simulation.crash_hooks.append(self._struck)
        simulation.pause_hooks.append(self._struck)
        for fault in scenario.faults:
            fault.allow(self.world)
        simulation.spawn("main", scenario.story, self.world, main=True)
        return self

    def __exit__(self, *exception: object) -> None:
        self.simulation.touched = None
        self.simulation.__exit__(*exception)
        self.world.judge.violations += endless_lanes(self.simulation)

    def _finished(self, lane: Lane) -> None:
        self.simulation.touches(f"lane/{lane.name}")

    def _struck(self, lane: Lane) -> None:
        for touch in ((f"lane/{lane.name}", WRITE), (f"memory/{lane.name}/*", WRITE)):
            self.simulation.touches(*touch)
        self.simulation.touches(f"steps/{lane.name}", STEP)

    # --- one step ---------------------------------------------------------------------------

    def apply(self, option: Option) -> list[Touch]:
        """Make an option happen and let the rules judge it; which nurseries it closed."""
        simulation, judge = self.simulation, self.world.judge
        mark = len(simulation.history)
        simulation.apply(option)
        events = simulation.history.since(mark)
        self.world.observe(events)
        if events or judge.every_step:
            judge.after_step(events, Moment(simulation.steps, simulation.now_ms))
        return self._nursery(option)

    def watch(self, option: Option) -> tuple[list[Touch], list[Touch]]:
        """Make an option happen, let the rules judge it, and say what it touched.

        The second list is what only fixes an order, in which nobody has a choice.
        """
        simulation = self.simulation
        told = simulation.touched = []
        mark, readings = len(simulation.history), simulation.clock.readings
        drawn = random.getstate()
        waited = is_ahead(option) and not self.bound.is_near(simulation, option)
        ready = {each for each in simulation.awake() if each.kind == TASK}  # not all are options
        touches, order = self._expected(option), self._batch(option)
        self._rules = len(self.world.judge.invariants)
        order += self.apply(option)
        touches += told
        if random.getstate() != drawn:
            touches.append(("random", WRITE))
        if simulation.clock.readings != readings:
            touches.append(("clock", READ))  # a task that declared its memory did not declare this
        if waited:
            touches.append(EVERYTHING)
        if option.kind == DECISION and not told:
            touches.append(EVERYTHING)
        touches += self._woken(option, ready)
        touches += self._sent()
        touches += self._judged(mark)
        simulation.touched = []
        return touches, order

    def _expected(self, option: Option) -> list[Touch]:
        """What is known beforehand."""
        touches: list[Touch] = list(option.footprint)
        lane = option.lane
        if isinstance(option, TaskOption):
            ordinary = option.footprint == NOTHING
            if ordinary:
                touches += [(f"memory/{lane}/*", WRITE), ("clock", READ)]
            if ordinary or self.bound.order == "batch-legal":
                touches.append((f"steps/{lane}", STEP))
        elif isinstance(option, Operation):
            if option.owner is not None:
                touches.append((f"steps/{lane}", ARRIVE))
            else:
                if option.sender:  # before it was abandoned, it would have woken its sender
                    touches.append((option.flight, READ))
                if option.on_crash != "continue":
                    touches.append((f"lane/{lane}", READ))
        elif option.kind == TIMER:
            # It cancels: whether that comes before or after an answer makes a difference.
            touches += [(f"memory/{lane}/*", WRITE), (f"steps/{lane}", STEP)]
            # Who comes first of two moves the clock for both.
            touches.append(("clock", WRITE if is_ahead(option) else READ))
        elif option.kind == FAULT:
            touches.append(("faults", WRITE))
            # What strikes at the memory of a lane wakes and cancels, as a timer does.
            lanes = [place.split("/")[1] for place, _ in touches if place.startswith("memory/")]
            touches += [(f"steps/{lane}", STEP) for lane in lanes]
        if isinstance(option, Idle) or (
            option.kind in (FAULT, OPERATION, ORPHAN) and option.footprint == NOTHING
        ):
            touches.append(EVERYTHING)
        return touches

    def _batch(self, option: Option) -> list[Touch]:
        """Trio's lockstep runs one batch of a lane after the other."""
        if self.bound.order == "any" or not isinstance(option, TaskOption):
            return []
        return [(f"batch/{option.lane}", STEP if option.batch % 2 else ARRIVE)]

    def _nursery(self, option: Option) -> list[Touch]:
        """Who opened a nursery goes on when all tasks in it have ended, in whatever order."""
        if not isinstance(option, TaskOption):
            return []
        touches: list[Touch] = []
        if option in self._closing:
            self._closing.remove(option)
            touches.append((_nursery_of(option), STEP))
        nursery = option.task.parent_nursery
        parent = self.simulation.tasks.get(nursery.parent_task) if nursery is not None else None
        if parent is not None and option.task.coro.cr_frame is None:
            touches.append((_nursery_of(parent), ARRIVE))
            if parent in self.simulation.awake():
                self._closing.append(parent)
        return touches

    def _woken(self, option: Option, before: set[Option]) -> list[Touch]:
        """The step made tasks of other lanes ready."""
        return [
            (f"steps/{each.lane}", ARRIVE)
            for each in self.simulation.awake()
            if each.kind == TASK
            and each not in before
            and (option.kind != TASK or each.lane != option.lane)
        ]

    def _sent(self) -> list[Touch]:
        """The step sent requests that may have to wait: it sees what decides that."""
        simulation = self.simulation
        touches: list[Touch] = []
        if simulation.conditional:
            for each in simulation.ready:
                if (
                    each.kind == OPERATION
                    and each.since == simulation.steps
                    and each.enabled is not None
                ):
                    condition = [(resource, READ) for resource, _ in each.condition]
                    touches += condition or [EVERYTHING]
        return touches

    def _judged(self, mark: int) -> list[Touch]:
        """Rules and watchers looked at what the step did; they keep records of their own."""
        judge, touches = self.world.judge, list[Touch]()
        if len(judge.invariants) != self._rules:
            touches.append(("rules/*", WRITE))
        if judge.every_step:
            touches.append(EVERYTHING)
        events = self.simulation.history.since(mark)
        if events:
            touches += [("rules/in force", READ), ("watch/in force", READ)]
        for event in events:
            rules = judge.watching(event.resource)
            watchers = self.world.watching(event.resource)
            touches += [(f"rules/{rule.name}", WRITE) for rule in rules]
            touches += [(f"watch/{each}|", WRITE) for each in watchers]
            if rules:
                touches.append(("watch/*", READ))
            if rules or watchers:  # an event has a time
                touches.append(("clock", READ))
        told = [rule for rule in judge.invariants if rule.takes_history] if events else []
        touches += [(f"rules/{rule.name}", WRITE) for rule in told]
        if told:
            touches.append(("clock", READ))
        return touches

    # --- what a search asks -----------------------------------------------------------------

    def options(self) -> Sequence[Option]:
        """What could happen next."""
        return self.simulation.options()

    def allows(self, options: Sequence[Option], stalled: int) -> list[tuple[int, Option]]:
        """Which of the options the bound allows, with their places."""
        return self.bound.allows(self.simulation, options, stalled)

    def stalls_by(self, option: Option, allowed: Sequence[tuple[int, Option]]) -> bool:
        """Whether taking this timer uses up one of the stalls of the bound."""
        return self.bound.stalls_by(option, allowed)

    @property
    def ending(self) -> Ending | None:
        """How the run ended, if it has."""
        return self.simulation.ending

    @property
    def judge(self) -> Judge:
        """The rules of the run."""
        return self.world.judge

    @property
    def notes(self) -> tuple[str, ...]:
        """What the scenario says at the end."""
        return self.world.said()

    @property
    def overlapped(self) -> int:
        """How many writes a restart overlapped."""
        return self.world.overlapped

    @property
    def steps_max(self) -> int:
        """At how many steps the run is stopped."""
        return self.simulation.limits.steps

    # --- the end ----------------------------------------------------------------------------

    @property
    def end_matters(self) -> bool:
        """Whether some rule judges the state in which the run ends."""
        return any(rule.at_end for rule in self.world.judge.invariants)

    def end(self) -> None:
        """Judge the ending of a run that is over."""
        simulation, judge = self.simulation, self.world.judge
        ending = simulation.ending
        if ending is not None and ending.kind in ("finished", "stuck"):
            judge_ending(simulation, judge, ending)
            judge.at_end(simulation.history, Moment(simulation.steps, simulation.now_ms))


def _nursery_of(option: TaskOption) -> str:
    return f"nursery/{'.'.join(option.key)}"
