"""The simulation: any trio program, one step at a time, in any order that can really happen.

It owns the run loop, virtual time, and everything that could make two runs differ. Lanes are
processes; their tasks, the operations they have in flight, their timers and the faults of the
nemesis are options, and :meth:`Simulation.apply` makes exactly one of them happen. It is the first
implementation of :class:`~harness.schedule.choices.System` and knows no strategy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Self

import trio

from harness.errors import ChangeoverError, RefusedError, StepNeverYieldsError
from harness.schedule import blocked, sandbox
from harness.schedule.books import Ending, Limits
from harness.schedule.choices import NOTHING, OPERATION, TASK, Option
from harness.schedule.kernel import Kernel, Task
from harness.schedule.lanes import Inbox, Lane, TaskOption
from harness.schedule.operations import Idle
from harness.schedule.requests import Requests
from harness.schedule.timers import Timers
from harness.schedule.unwinding import unwind

__all__ = ("Ending", "Limits", "Simulation")

_by_order = attrgetter("order")
#: Kernels of runs that ended cleanly, kept because making one costs as much as sixty steps.
_spare: list[Kernel] = []
#: trio's own tasks in an idle kernel: init, main and the queue of ``run_sync_soon``.
IDLE_TASKS = 3


class Simulation(Requests):
    """One run of one program; enter it, take options until there are none, leave it.

    ``seed`` decides every random value the target draws. ``stall_s`` is how far past the next
    timer a stalled process may sleep, in virtual seconds. ``epoch_s`` is the wall-clock time at
    which the run starts, in seconds since 1970.
    """

    __slots__ = (
        "_kernel",
        "_main",
        "_spawning",
        "_unstarted",
        "batch_legal",
        "epoch_s",
        "idle_tasks",
        "limits",
        "refusal",
        "stall_s",
        "timers",
        "wall_clocks",
        "world",
    )

    def __init__(
        self,
        *,
        seed: int = 0,
        limits: Limits | None = None,
        stall_s: float = 60.0,
        epoch_s: float = 1_767_225_600.0,
    ) -> None:
        super().__init__(seed)
        self.limits = limits or Limits()
        self.stall_s = stall_s
        self.epoch_s = epoch_s
        self.batch_legal = True
        self.refusal: RefusedError | None = None
        #: trio's own tasks that can run; they belong to no lane and are never a choice.
        self.idle_tasks: list[Task] = []
        self.timers = Timers(self)
        self.world = sandbox.Sandbox(self)
        #: By service, how many seconds the wall clock of its machine is ahead.
        self.wall_clocks: dict[str, float] = {}
        self._main: Lane | None = None
        self._spawning: Lane | None = None
        self._kernel: Kernel | None = None
        self._unstarted: list[tuple[Lane, str, Callable[[], Any]]] = []

    # --- the System protocol ---------------------------------------------------------------

    def __enter__(self) -> Self:
        self.kernel.enter()
        self.world.enter()
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self._unwind()
        finally:
            self.world.leave()
            self.kernel.leave()
            # Who looks back at us would keep us until the garbage collector comes.
            del self.timers.simulation, self.world.simulation

    @property
    def kernel(self) -> Kernel:
        """The trio of this run; one that is never stepped never has any."""
        if self._kernel is None:
            self._kernel = self._any_kernel()
            for lane, name, root in self._unstarted:
                self._start(lane, name, root)
            self._unstarted.clear()
        return self._kernel

    def _any_kernel(self) -> Kernel:
        if _spare:
            kernel = _spare.pop()
            kernel.rebind(ready=Inbox(self), deadlines=self.timers, clock=self.clock)
            return kernel
        kernel = Kernel(ready=Inbox(self), deadlines=self.timers, clock=self.clock)
        with kernel.running():
            self._settle(kernel)
        return kernel

    def options(self) -> Sequence[Option]:
        """What could happen next, first-in-first-out first; empty when the run is over."""
        if self.ending is not None:
            return ()
        if self.decisions:
            return self.decisions[0]
        main = self._main
        if main is not None and main.finished:
            return self._end("finished")
        ready, timers = self.ready, self.timers
        if not ready or timers.pending or timers.due:
            return self._all_options()
        if self.conditional or self.faults_left or self.orphans:
            return self._all_options()
        return ready

    def apply(self, option: Option) -> None:
        """Make one option happen and return when nothing moves any more without us."""
        kernel = self._kernel
        if kernel is None or not kernel.entered:
            with self.kernel.running(), self.world:
                self.apply(option)
            return
        if self.steps >= self.limits.steps:
            self._end("step limit", f"{self.limits.steps:,} steps without finishing")
            return
        self.steps += 1
        self.applied.append(option)
        try:
            if type(option) is TaskOption:
                self._run(option, kernel)
            else:
                option.perform()  # type: ignore[attr-defined]
        except StepNeverYieldsError:
            # Struck between two instructions of ours, just as the step ended after all.
            self.running_task = None
            self._end("never yields", option.label)

    def _run(self, option: TaskOption, kernel: Kernel) -> None:
        """Let one task run a step."""
        self.ready.remove(option)
        lane = option.lane_of
        if option.batch == lane.batch:
            lane.started = True
            lane.current -= 1
        else:
            lane.upcoming -= 1
            self.batch_legal = False
        option.footprint = NOTHING
        self.running_task = option
        if self.wall_clocks:
            self.world.show(lane.service)
        goes_on = kernel.advance(option.task)
        self.running_task = None
        if goes_on and lane.alive and not (self.arrivals or self.idle_tasks):
            # The commonest end of a step, as admit() would do it: this task is all that arrives,
            # and its lane is in the middle of a batch.
            option.batch = lane.batch + 1
            lane.upcoming += 1
            self.ready.append(option)
        else:
            option.last_step = self.steps
            if goes_on and lane.alive:
                self.arrivals.append(option)
            elif goes_on:
                self.dead.append(option.task)
            self.admit()
        if not lane.current and lane.started:
            lane.roll()

    def _all_options(self) -> Sequence[Option]:
        kernel = self._kernel or self.kernel  # the first time, it starts the lanes
        now, pending = self.clock.now, self.timers.pending
        if pending and pending[0][0] <= now:
            self.timers.fall_due(now)
        offered: list[Option] = list(self.ready)
        if self.conditional:
            offered = [
                option
                for option in offered
                if option.kind != OPERATION
                or (enabled := option.enabled) is None  # type: ignore[attr-defined]
                or enabled()
            ]
        if not offered and not self.paused and (idle := kernel.idle_waiters()):
            offered.append(Idle(self, idle))
        if pending:
            offered += self.timers.coming(now, self.stall_s)
        if not offered:
            return self._nothing_left()
        if self.orphans:
            offered += [one for one in self.orphans if one.enabled is None or one.enabled()]
        if self.faults_left:
            offered += [fault for fault in self.faults if fault.available()]
        return offered

    def _nothing_left(self) -> Sequence[Option]:
        lanes = self.lanes.values()
        if self._main is None and all(lane.finished or not lane.alive for lane in lanes):
            return self._end("finished")
        return self._end("stuck", blocked.describe(self))

    def _end(self, kind: str, detail: str = "") -> Sequence[Option]:
        if self.ending is None or self.ending.kind == "finished":
            self.ending = Ending(kind, detail)
        return ()

    # --- lanes -----------------------------------------------------------------------------

    def spawn(
        self,
        lane: str,
        async_function: Callable[..., Any],
        *arguments: object,
        incarnation: int = 0,
        main: bool = False,
    ) -> Lane:
        """Start a lane: ``async_function(*arguments)``; the run ends with its main lane."""
        actor = Lane(lane, incarnation)
        if actor.name in self.lanes:
            raise ChangeoverError(f"lane {actor.name!r} exists already; names are unique in a run")
        self.lanes[actor.name] = actor
        if main:
            self._main = actor

        async def root() -> None:
            with actor.scope:
                try:
                    actor.result = await async_function(*arguments)
                except trio.Cancelled:
                    raise
                except BaseException as error:
                    self._failed(actor, error)
                actor.finished = True
                for hook in self.finish_hooks:
                    hook(actor)

        name = getattr(async_function, "__name__", type(async_function).__name__)
        if self._kernel is None:
            # Not before somebody steps: what trio holds is never garbage.
            self._unstarted.append((actor, name, root))
        else:
            self._start(actor, name, root)
        if self.unwinding:
            actor.scope.cancel()  # too late to do anything but clean up
        return actor

    def _start(self, lane: Lane, name: str, root: Callable[[], Any]) -> None:
        kernel = self.kernel
        if not kernel.entered:
            with kernel.running():
                self._start(lane, name, root)
            return
        self._spawning = lane
        try:
            kernel.spawn(root, name=name)
        finally:
            self._spawning = None
        if self.running_task is None and self.acting is None:
            self.admit()

    def _failed(self, lane: Lane, error: BaseException) -> None:
        lane.error = error
        if self.ending is None:
            self.emit("fault", f"failed: {type(error).__name__}: {error}", lane=lane.name)

    def advance_clock(self, now_s: float) -> None:
        """Move virtual time forward."""
        if now_s > self.limits.time_s:
            self._end("time limit", f"{self.limits.time_s:,.0f} virtual seconds have passed")
        self.world.shift(now_s - self.clock.now)
        self.clock.now = now_s

    # --- what trio reports to us ---------------------------------------------------------------

    def arrive(self, task: Task) -> None:
        """A task can run, says trio."""
        option = self.tasks.get(task)
        if option is None:
            option = self._adopt(task)
            if option is None:
                self.idle_tasks.append(task)
                return
        if option.lane_of.alive and not self.unwinding:
            self.arrivals.append(option)
        else:
            self.dead.append(task)

    def admit(self) -> None:
        """Put what became possible in this step behind everything else, in canonical order."""
        if self.idle_tasks:
            self.settle_kernel()
        arrivals = self.arrivals
        if not arrivals:
            return
        if len(arrivals) > 1:
            # trio wakes several waiters in the order of a set, that is, of memory addresses.
            arrivals.sort(key=_by_order)
        for option in arrivals:
            if option.kind == TASK:
                option.lane_of.arrive(option)
        self.arrivals = []
        if self.paused:
            arrivals = self._park(arrivals)
        self.ready += arrivals

    def _park(self, arrivals: list[Any]) -> list[Any]:
        """Let what arrives in a lane that is paused wait there; the others."""
        for option in arrivals:
            if option.kind == TASK and option.lane_of.parked is not None:
                option.lane_of.parked.append(option)
        return [each for each in arrivals if each.kind != TASK or each.lane_of.parked is None]

    def _adopt(self, task: Task) -> TaskOption | None:
        lane = self._spawning
        if lane is None:
            nursery = task.parent_nursery
            parent = nursery and self.tasks.get(nursery.parent_task)
            if not parent and self.running_task is not None and self.running_task.task is not task:
                parent = self.running_task
            if not parent:
                return None
            lane = parent.lane_of
        self.numbers += 1
        name = lane.name_task(task.name.rpartition(".")[2])
        option = self.tasks[task] = TaskOption(lane, task, name=name, order=self.numbers)
        self.give_birth(option)
        return option

    def _settle(self, kernel: Kernel) -> None:
        """Run trio's own housekeeping tasks; they belong to no lane and are never a choice."""
        while self.idle_tasks:
            kernel.step(self.idle_tasks.pop(0))

    def settle_kernel(self) -> None:
        """Run trio's own housekeeping tasks."""
        self._settle(self.kernel)

    def overrun(self) -> None:
        """The watchdog is about to strike the running step down; the target may swallow that."""
        if self.running_task is not None:
            self._end("never yields", self.running_task.label)
        elif self.cleaning is not None:
            self._end("never yields", f"{self.label_of(self.cleaning)}, which was cancelled")

    def watch(self, task: Task) -> None:
        """Let the watchdog look at a task that is about to clean up after the verdict."""
        self.cleaning = task
        self.cleaned += 1

    def refuse(self, error: RefusedError) -> None:
        """The target reached for the real world: the run cannot be judged."""
        self.refusal = self.refusal or error
        self._end("refused", str(error))

    def living_tasks(self) -> list[TaskOption]:
        """The tasks that exist in lanes that are alive, by age."""
        return [
            option
            for option in self.tasks.values()
            if option.lane_of.alive and option.task.coro.cr_frame is not None
        ]

    def label_of(self, task: Task | None) -> str:
        """The stable name of a task; empty for trio's own."""
        option = self.tasks.get(task) if task is not None else None
        return option.label if option else ""

    # --- the end -----------------------------------------------------------------------------

    def _unwind(self) -> None:
        """After the verdict: cancel what is left and let it finish; nothing takes effect now."""
        self.ending = self.ending or Ending("left")
        clean = all(lane.finished for lane in self.lanes.values()) and not self.arrivals
        if clean or unwind(self):
            if self.kernel.tasks_alive == IDLE_TASKS:
                _spare.append(self.kernel)
            else:
                self.kernel.dispose()
