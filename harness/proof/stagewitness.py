"""One run of a scenario that is not simulated, watched step by step by whoever proves.

What a step touched the stage says, when it has happened. There is no virtual time, so the bound
keeps nothing out but faults.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.invariants import Judge, Moment
from harness.proof.bounds import Bound
from harness.proof.resources import EVERYTHING, WRITE, Touch
from harness.scenario import Scenario
from harness.schedule.books import Ending
from harness.schedule.choices import Option
from harness.schedule.stage import Stage


class StageWitness:
    """What :class:`~harness.proof.witness.Witness` is for the simulation, for any other stage."""

    def __init__(self, scenario: Scenario, seed: int, variant: dict[str, str], bound: Bound):
        stage_of = scenario.stage
        assert stage_of is not None
        within = replace(scenario, faults_max=bound.restarts)
        self.stage: Stage = stage_of(within, seed=seed, variant=variant)
        self.options = self.stage.options

    def __enter__(self) -> StageWitness:
        self.stage.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stage.__exit__(*exception)

    def allows(self, options: Sequence[Option], stalled: int) -> list[tuple[int, Option]]:
        """Which of the options may be taken, with their places: all of them."""
        return list(enumerate(options))

    def stalls_by(self, option: Option, allowed: Sequence[tuple[int, Option]]) -> bool:
        """Whether taking this option lets time pass too early."""
        return False

    def apply(self, option: Option) -> None:
        """Make an option happen and let the rules judge it."""
        stage = self.stage
        mark = len(stage.history)
        stage.apply(option)
        events = stage.history.since(mark)
        stage.observe(events)
        if events or stage.judge.every_step:
            stage.judge.after_step(events, Moment(stage.steps, stage.now_ms))

    def watch(self, option: Option) -> tuple[list[Touch], list[Touch]]:
        """Make an option happen, let the rules judge it, and say what it touched."""
        mark = len(self.stage.history)
        self.apply(option)
        touches = list(self.stage.touched())
        if self.judge.every_step:
            touches.append(EVERYTHING)
        if len(self.stage.history) > mark:
            touches += [
                (f"rules/{rule.name}", WRITE)
                for rule in self.judge.invariants
                if rule.takes_history
            ]
        return touches, []

    def end(self) -> None:
        """Judge the ending of a run that is over."""
        stage, ending = self.stage, self.stage.ending
        if ending is not None and ending.kind in ("finished", "stuck"):
            stage.judge_ending(ending)
            stage.judge.at_end(stage.history, Moment(stage.steps, stage.now_ms))

    @property
    def end_matters(self) -> bool:
        """Whether some rule judges the state in which the run ends."""
        return any(rule.at_end for rule in self.judge.invariants)

    @property
    def ending(self) -> Ending | None:
        """How the run ended, if it has."""
        return self.stage.ending

    @property
    def judge(self) -> Judge:
        """The rules of the run."""
        return self.stage.judge

    @property
    def notes(self) -> tuple[str, ...]:
        """What the scenario says at the end."""
        return self.stage.summary().notes

    @property
    def overlapped(self) -> int:
        """How many writes a restart overlapped."""
        return self.stage.summary().overlapped

    @property
    def steps_max(self) -> int:
        """At how many steps the run is stopped."""
        return self.stage.limits.steps
