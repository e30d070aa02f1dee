"""What the tests of the engine run: small scenarios, made without the registry.

A scenario here is a story and its faults, nothing else; options can be faked as well, for what
only looks at them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from harness.engine import Run, execute, follow
from harness.scenario import RestartFault, Scenario, restart
from harness.schedule.choices import FAULT, ORPHAN, TASK, TIMER, Chooser, Option, Schedule
from harness.world.service import Life
from harness.world.world import World

Story = Callable[[World], Awaitable[object]]


class Fake(Option):
    """An option that only looks like one."""

    __slots__ = ("_actor", "_label", "_legal", "_optional", "boundary")

    def __init__(
        self,
        label: str,
        *,
        kind: str = TASK,
        actor: str = "",
        batch_legal: bool = True,
        boundary: bool = False,
    ) -> None:
        super().__init__(kind=kind, lane=label.partition(":")[0])
        self.boundary = boundary
        self._label = label
        self._actor = actor or label
        self._legal = batch_legal
        self._optional = kind in (FAULT, ORPHAN)

    @property
    def label(self) -> str:
        return self._label

    @property
    def actor(self) -> str:
        return self._actor

    @property
    def batch_legal(self) -> bool:
        return self._legal

    @property
    def optional(self) -> bool:  # type: ignore[override]
        return self._optional


def task(label: str, *, batch_legal: bool = True) -> Fake:
    """A task that could run."""
    return Fake(label, batch_legal=batch_legal)


def timer(owner: str) -> Fake:
    """A deadline of a task that sleeps."""
    return Fake(f"clock -> 5 ms for {owner}", kind=TIMER, actor=owner)


def fault(label: str = "nemesis: crash restart of ledger") -> Fake:
    """Something the nemesis could do."""
    return Fake(label, kind=FAULT)


def orphan(label: str = "ledger#1: orphan put") -> Fake:
    """A request of a dead sender."""
    return Fake(label, kind=ORPHAN)


def told(story: Story, *faults: RestartFault, **details: Any) -> Scenario:
    """A scenario that is known to nobody but its test."""
    details.setdefault("name", getattr(story, "__name__", "story"))
    return Scenario(story=story, faults=faults, **details)


def crashes(service: str = "ledger", *kinds: str, delay_s: float = 0.1) -> RestartFault:
    """The nemesis may restart a service, by default with a power cut."""
    return restart(service, kinds=kinds or ("crash",), delay_s=delay_s)


def preferring(*endings: str) -> Chooser:
    """Take these options, each as soon as it is offered, in this order; else the first."""
    wanted = list(endings)

    def choose(options: Sequence[Option], step: int) -> int:
        for index, option in enumerate(options):
            if wanted and option.label.endswith(wanted[0]):
                del wanted[0]
                return index
        return 0

    return choose


def run_of(scenario: Scenario, choose: Chooser | None = None, *, seed: int = 1) -> Run:
    """One run with its digest."""
    if choose is None:
        return execute(scenario, seed=seed, digested=True)
    return execute(scenario, seed=seed, choose=choose, digested=True)


def rerun_of(run: Run, choices: Mapping[int, int] | None = None) -> Run:
    """The same run by its recorded choices, or by other ones."""
    schedule = run.schedule if choices is None else run.schedule.with_choices(choices)
    return execute(run.scenario, seed=run.schedule.seed, choose=follow(schedule), digested=True)


def schedule_of(scenario: Scenario, choices: Mapping[int, int], *, seed: int = 1) -> Schedule:
    """A bare schedule of a scenario."""
    return Schedule(scenario.name, seed, choices)


async def idle_service(life: Life) -> None:
    """A service that is ready at once and drains when it is asked to."""
    life.enter("ready")
    await life.stop_requested()
    life.enter("drain")
