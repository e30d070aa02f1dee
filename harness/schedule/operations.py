"""World operations in flight: what a lane has asked of another process, and when it takes effect.

An operation is sent by a task, takes effect when the scheduler says so, and only then does its
task become ready again. The lane may die in between: what had already been sent may still take
effect (an orphan), as PostgreSQL commits the autocommit UPDATE of a killed client.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import trio
from outcome import Error, Outcome, Value

from harness.schedule.choices import DECISION, FAULT, NOTHING, OPERATION, ORPHAN, Footprint, Option

if TYPE_CHECKING:
    from harness.schedule.lanes import TaskOption
    from harness.schedule.requests import Requests
    from harness.schedule.simulation import Simulation

#: Arrivals of one step are ordered: woken tasks by age first, then new operations by age.
_AFTER_TASKS = 1 << 40


class Operation(Option):
    """A request that could take effect now."""

    __slots__ = (
        "boundary",
        "condition",
        "describe_wait",
        "effect",
        "enabled",
        "name",
        "on_crash",
        "order",
        "owner",
        "queue",
        "sender",
        "simulation",
        "since",
    )

    def __init__(
        self,
        simulation: Requests,
        name: str,
        effect: Callable[[], Any],
        *,
        lane: str,
        owner: TaskOption | None,
        footprint: Footprint,
        enabled: Callable[[], bool] | None,
        condition: Footprint | None,
        queue: str,
        describe_wait: Callable[[], str] | None,
        on_crash: str,
        boundary: bool,
        number: int,
    ) -> None:
        super().__init__(kind=OPERATION, lane=lane, footprint=footprint)
        self.boundary = boundary
        self.condition = footprint if condition is None else condition
        self.queue = queue
        self.simulation = simulation
        self.name = name
        self.effect = effect
        self.owner = owner
        self.sender = owner.name if owner else ""
        self.enabled = enabled
        self.describe_wait = describe_wait
        self.on_crash = on_crash
        self.order = _AFTER_TASKS + number
        self.since = simulation.steps

    @property
    def optional(self) -> bool:  # type: ignore[override]
        """An orphan never has to take effect."""
        return self.kind == ORPHAN

    @property
    def label(self) -> str:
        """Who asked for what."""
        mark = "orphan " if self.kind == ORPHAN else ""
        return f"{self.lane}: {mark}{self.name}"

    @property
    def actor(self) -> str:
        """The task that asked."""
        return f"{self.lane}: {self.sender}" if self.sender else self.label

    @property
    def flight(self) -> str:
        """What stands for the question whether somebody waits for this.

        For a proof: the key of an option is long in long runs.
        """
        return f"flight/{'.'.join(self.key)}"

    def abandon(self) -> None:
        """Its sender waits no longer, if one did; it goes on without."""
        if self.owner is not None and self.simulation.touched is not None:
            self.simulation.touches(self.flight)
        self.owner = None

    def perform(self) -> None:
        """Take effect, and wake the sender if it still waits."""
        simulation, owner = self.simulation, self.owner
        simulation.withdraw(self)
        simulation.acting = self
        result: Outcome[Any]
        try:
            result = Value(self.effect())
        except Exception as error:
            # The error is the sender's business; as an answer it must not drag our frames along.
            result = Error(error.with_traceback(None))
        simulation.acting = None
        if owner is not None and owner.lane_of.alive:
            trio.lowlevel.reschedule(owner.task, result)
        simulation.admit()


class Decision(Option):
    """One outcome of something that the world leaves open, such as which bytes a crash tore."""

    __slots__ = ("name", "simulation", "then")

    def __init__(self, simulation: Requests, lane: str, name: str, then: Callable[[], None]):
        super().__init__(kind=DECISION, lane=lane)
        self.simulation = simulation
        self.name = name
        self.then = then

    @property
    def label(self) -> str:
        """What would be decided."""
        return f"{self.lane}: {self.name}"

    def perform(self) -> None:
        """Make it so."""
        self.simulation.decisions.pop(0)
        self.then()
        self.simulation.admit()


class Fault(Option):
    """Something the nemesis could do now; it never has to."""

    __slots__ = ("action", "available", "condition", "name", "simulation")

    optional = True

    def __init__(
        self,
        simulation: Requests,
        name: str,
        action: Callable[[], None],
        *,
        available: Callable[[], bool],
        footprint: Footprint = NOTHING,
        condition: Footprint | None = None,
    ) -> None:
        super().__init__(kind=FAULT, lane="nemesis", footprint=footprint)
        self.simulation = simulation
        self.name = name
        self.action = action
        self.available = available
        self.condition = footprint if condition is None else condition

    @property
    def label(self) -> str:
        """What the nemesis would do."""
        return f"nemesis: {self.name}"

    def perform(self) -> None:
        """Strike."""
        simulation = self.simulation
        simulation.faults_left -= 1
        simulation.acting = self
        try:
            self.action()
        finally:
            simulation.acting = None
        simulation.admit()


class Idle(Option):
    """Everything is blocked: ``wait_all_tasks_blocked`` returns."""

    __slots__ = ("simulation", "tasks")

    def __init__(self, simulation: Simulation, tasks: tuple[Any, ...]) -> None:
        super().__init__(kind="idle", lane="clock")
        self.simulation = simulation
        self.tasks = tasks

    @property
    def label(self) -> str:
        """It has no more to say."""
        return "clock: all tasks are blocked"

    def perform(self) -> None:
        """Wake those who waited for that."""
        self.simulation.kernel.wake_idle(self.tasks)
        self.simulation.admit()
