"""What lanes ask of other processes, what the nemesis may do, and what a crash leaves of it all.

Requests are kept here from the moment at which they are sent until the scheduler lets them take
effect. Which of them goes next is not decided here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from harness.schedule.books import Books
from harness.schedule.choices import NOTHING, OPERATION, ORPHAN, Footprint, Moves, Option
from harness.schedule.operations import Decision, Fault, Operation

if TYPE_CHECKING:
    from harness.schedule.kernel import Task
    from harness.schedule.lanes import Lane, TaskOption
    from harness.schedule.timers import Timers

T = TypeVar("T")


class Requests(Books, ABC):
    """Everything that could happen in one run; the part of a simulation that holds it."""

    __slots__ = (
        "arrivals",
        "conditional",
        "crash_hooks",
        "dead",
        "decisions",
        "faults",
        "faults_left",
        "finish_hooks",
        "numbers",
        "orphans",
        "pause_hooks",
        "paused",
        "ready",
        "tasks",
    )

    timers: Timers

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        #: What could happen now, in the order in which it became possible, and what became so in
        #: this step; how many of them ask first whether they may.
        self.ready = Moves()
        self.arrivals: list[Any] = []
        self.conditional = 0
        self.decisions: list[tuple[Decision, ...]] = []
        self.orphans: list[Operation] = []
        #: The lanes that are paused, by name.
        self.paused: dict[str, Lane] = {}
        self.faults: list[Fault] = []
        self.faults_left = 0
        #: Called with a lane that was just cut off, or that just ended by itself.
        self.crash_hooks: list[Callable[[Lane], None]] = []
        self.finish_hooks: list[Callable[[Lane], None]] = []
        #: Called with a lane that was just paused, or just goes on.
        self.pause_hooks: list[Callable[[Lane], None]] = []
        self.tasks: dict[Task, TaskOption] = {}
        #: Tasks of lanes that are no more; kept, or they would clean up before the verdict.
        self.dead: list[Task] = []
        self.numbers = 0

    @abstractmethod
    def admit(self) -> None:
        """Put what became possible in this step behind everything else."""

    async def operate(
        self,
        name: str,
        effect: Callable[[], T],
        *,
        footprint: Footprint = NOTHING,
        enabled: Callable[[], bool] | None = None,
        condition: Footprint | None = None,
        describe_wait: Callable[[], str] | None = None,
        on_crash: str = "orphan",
        boundary: bool = False,
    ) -> T:
        """Ask another process for something; ``effect`` runs at the moment the scheduler chooses.

        Its value is returned, an ``Exception`` from it is raised here. While ``enabled()`` is
        false the operation waits (for a lock, say) and ``describe_wait()`` tells for whom;
        ``condition`` is what decides that, if it is not what the operation touches. If the
        lane dies meanwhile the request becomes an orphan that may or may not still take effect;
        with ``on_crash='drop'`` it dies too, with ``'continue'`` it surely takes effect. A
        cancelled sender stops waiting, but what it had sent goes on. A ``boundary`` makes
        something durable or public.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if self.unwinding:  # it is refused below, and who tries again must not block the end
            await trio.lowlevel.cancel_shielded_checkpoint()
        owner = self.tasks[trio.lowlevel.current_task()]
        operation = self._issue(
            name,
            effect,
            lane=owner.lane,
            owner=owner,
            footprint=footprint,
            enabled=enabled,
            condition=condition,
            queue="",
            describe_wait=describe_wait,
            on_crash=on_crash,
            boundary=boundary,
        )

        def abort(_: Callable[[], None]) -> trio.lowlevel.Abort:
            operation.abandon()
            return trio.lowlevel.Abort.SUCCEEDED

        result: T = await trio.lowlevel.wait_task_rescheduled(abort)
        return result

    def post(
        self,
        name: str,
        effect: Callable[[], object],
        *,
        lane: str = "",
        footprint: Footprint = NOTHING,
        enabled: Callable[[], bool] | None = None,
        condition: Footprint | None = None,
        queue: str = "",
        on_crash: str = "continue",
        boundary: bool = False,
    ) -> Operation:
        """Let something happen later that nobody waits for, such as the arrival of a message.

        What is in one ``queue`` happens in the order in which it was posted: ``enabled`` keeps it.
        """
        return self._issue(
            name,
            effect,
            lane=lane or self.current_lane.name,
            owner=None,
            footprint=footprint,
            enabled=enabled,
            condition=condition,
            queue=queue,
            describe_wait=None,
            on_crash=on_crash,
            boundary=boundary,
        )

    def _issue(self, name: str, effect: Callable[[], Any], **details: Any) -> Operation:
        if self.unwinding:
            raise ConnectionError("the run is over")
        self.numbers += 1
        operation = Operation(self, name, effect, number=self.numbers, **details)
        self.give_birth(operation)
        self.arrivals.append(operation)
        if operation.enabled is not None:
            self.conditional += 1
        return operation

    def withdraw(self, operation: Operation) -> None:
        """Take an operation out of the options: it takes effect now, or never."""
        if operation.kind == ORPHAN:
            self.orphans.remove(operation)
            return
        for queue in (self.ready, self.arrivals):
            if operation in queue:
                queue.remove(operation)
                self.conditional -= operation.enabled is not None
                return

    def decide(self, lane: str, outcomes: Sequence[tuple[str, Callable[[], None]]]) -> None:
        """Leave something open to the scheduler: the next choice is among these outcomes only."""
        decisions = tuple(Decision(self, lane, name, then) for name, then in outcomes)
        for decision in decisions:
            self.give_birth(decision)
        self.decisions.append(decisions)

    def offer_fault(
        self,
        name: str,
        action: Callable[[], None],
        *,
        available: Callable[[], bool] = lambda: True,
        footprint: Footprint = NOTHING,
        condition: Footprint | None = None,
    ) -> Fault:
        """Let the nemesis do ``action`` whenever ``available()``; ``faults_left`` bounds it.

        ``condition`` is what decides whether it is available, if not what it touches.
        """
        fault = Fault(
            self, name, action, available=available, footprint=footprint, condition=condition
        )
        self.give_birth(fault)
        self.faults.append(fault)
        return fault

    def pause(self, lane: Lane) -> None:
        """Let nothing of this lane run until :meth:`go_on`; what it had sent takes effect."""
        if not lane.alive or lane.parked is not None:
            return
        self.paused[lane.name] = lane
        lane.parked = [option for option in self.ready if _waits_in(option, lane)]
        self.ready = Moves(option for option in self.ready if not _waits_in(option, lane))
        for hook in self.pause_hooks:
            hook(lane)

    def go_on(self, lane: Lane) -> None:
        """Let a lane that was paused run again; a lane that died meanwhile stays dead."""
        parked, lane.parked = lane.parked, None
        if parked is None:
            return
        del self.paused[lane.name]
        self.ready += parked
        for hook in self.pause_hooks:
            hook(lane)

    def awake(self) -> list[Any]:
        """What is ready, in lanes that are paused, too."""
        return [*self.ready, *(each for lane in self.paused.values() for each in lane.parked or ())]

    def crash(self, lane: Lane) -> None:
        """A power cut: nothing of this lane runs again; what it had sent may still take effect."""
        if not lane.alive:
            return
        self.go_on(lane)
        lane.alive = False
        self.timers.forget(lane.name)
        self.ready = Moves(option for option in self.ready if self._survives(option, lane))
        self.arrivals = [option for option in self.arrivals if self._survives(option, lane)]
        self.conditional = sum(
            option.kind == OPERATION and option.enabled is not None
            for option in (*self.ready, *self.arrivals)
        )
        for hook in self.crash_hooks:
            hook(lane)

    def _survives(self, option: Any, lane: Lane) -> bool:
        if option.lane != lane.name:
            return True
        if isinstance(option, Operation):
            if option.on_crash == "orphan":
                option.kind = ORPHAN
                option.abandon()
                self.orphans.append(option)
            elif option.on_crash == "continue":
                option.abandon()
                return True
        else:
            self.dead.append(option.task)
        return False


def _waits_in(option: Option, lane: Lane) -> bool:
    """Whether an option is a step of a lane itself, and not what others do for it."""
    return option.lane == lane.name and option.kind != OPERATION
