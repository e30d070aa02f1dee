"""Lanes and their tasks: names that never change, and the lockstep that real trio would keep.

A lane is one process: its tasks wake each other in batches, every ready task once before any task
twice. The bookkeeping here only observes that; whether a batch-illegal step may be taken is the
strategy's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from harness.schedule.choices import NOTHING, TASK, Option
from harness.schedule.purposes import of_task

if TYPE_CHECKING:
    from harness.schedule.kernel import Task
    from harness.schedule.simulation import Simulation


class Lane:
    """One actor of a run: ``service`` names it, ``incarnation`` counts its lives (0: only one)."""

    __slots__ = (
        "alive",
        "batch",
        "current",
        "error",
        "finished",
        "incarnation",
        "name",
        "names",
        "parked",
        "result",
        "scope",
        "service",
        "started",
        "upcoming",
    )

    def __init__(self, service: str, incarnation: int = 0) -> None:
        self.service = service
        self.incarnation = incarnation
        self.name = f"{service}#{incarnation}" if incarnation else service
        self.alive = True
        self.finished = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.scope = trio.CancelScope()
        self.names: dict[str, int] = {}
        #: What could happen in it, in that order, if it were not paused; nothing if it is not.
        self.parked: list[Option] | None = None
        # The batch that runs now, how many of it are still ready, how many wait for the next.
        self.batch = 0
        self.current = 0
        self.upcoming = 0
        self.started = False

    def name_task(self, function: str) -> str:
        """A name for a task of this lane: its function, counted from the second one on."""
        count = self.names[function] = self.names.get(function, 0) + 1
        return function if count == 1 else f"{function}.{count}"

    def arrive(self, task: TaskOption) -> None:
        """A task became ready: it joins the batch that has not started, or the next one."""
        if self.started:
            task.batch = self.batch + 1
            self.upcoming += 1
        else:
            task.batch = self.batch
            self.current += 1

    def roll(self) -> None:
        """Open the next batch: the current one is used up."""
        self.batch += 1
        self.current, self.upcoming = self.upcoming, 0
        self.started = False

    def __repr__(self) -> str:
        return f"<lane {self.name}>"


class TaskOption(Option):
    """A task of the target that could run its next step; the same object for all its life."""

    __slots__ = ("batch", "label", "lane_of", "last_step", "name", "order", "task")
    label: str

    def __init__(self, lane: Lane, task: Task, *, name: str, order: int) -> None:
        # As Option does it; a call less for each task of each run.
        self.kind, self.lane, self.footprint = TASK, lane.name, NOTHING
        self.children = self.ordinal = 0
        self.parent = None
        self.label = f"{lane.name}: {name}"
        self.lane_of = lane
        self.task = task
        self.name = name
        self.order = order
        self.batch = 0
        self.last_step = 0

    def purpose(self) -> str:
        """Where in the target it goes on."""
        return of_task(self.task)

    @property
    def batch_legal(self) -> bool:
        """Whether real trio could run this task now, in some order of the batch."""
        return self.batch == self.lane_of.batch


class Inbox:
    """What trio sees as its queue of runnable tasks."""

    __slots__ = ("_simulation", "append")

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self.append = simulation.arrive

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        simulation = self._simulation
        return sum(option.kind == TASK for option in (*simulation.ready, *simulation.arrivals))
