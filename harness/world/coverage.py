"""Which writes met which phases of which restarts in one run.

Services say when the phase of a restart changes; nothing else is done while a run goes on. When it
is over, the steps and events that fell into restarts are looked at, and only those. So a run
without a restart costs nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from harness.coverage import DONE, MESSAGE, SENT, TOLD, cell, write_named
from harness.schedule.lanes import TaskOption
from harness.schedule.operations import Operation

if TYPE_CHECKING:
    from harness.history import Event
    from harness.schedule.simulation import Simulation
    from harness.world.service import Service

#: Where the requests to stop are, which are no writes.
LIFECYCLE = "lifecycle/"
#: How far the write is of which a message tells.
_PROGRESS_OF = {
    ("send", "call"): SENT,
    ("send", "send"): SENT,
    ("send", "publish"): SENT,
    ("receive", "request"): DONE,
    ("receive", "message"): DONE,
    ("receive", "answer"): TOLD,
}


class Stretch(NamedTuple):
    """A part of a run, from after ``step`` and event number ``mark`` on.

    ``restarts`` are the services that are restarting meanwhile, with the kind of restart and the
    phases of their living incarnations, oldest first.
    """

    step: int
    mark: int
    restarts: tuple[tuple[Service, str, str], ...]


class Coverage:
    """The restarts of one run, phase by phase, and what they met."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.stretches = [Stretch(-1, 0, ())]
        #: What lanes had asked for when their power was cut, with the step and the service.
        self._cut: list[tuple[Operation, int, Service]] = []
        self._cut_at: dict[str, int] = {}
        self._now: dict[str, tuple[Service, str, str]] = {}

    def changed(self, service: Service, kind: str, phase: str) -> None:
        """Another phase of a restart begins; with an empty kind, the restart is over."""
        if self.simulation.unwinding:
            return
        if not kind:
            if self._now.pop(service.name, None) is None:
                return
        elif self._now.get(service.name, (None, "", ""))[1:] == (kind, phase):
            return
        else:
            self._now[service.name] = (service, kind, phase)
        step, mark = self.simulation.steps, len(self.simulation.history)
        if self.stretches[-1].step == step:
            mark = self.stretches.pop().mark
        self.stretches.append(Stretch(step, mark, tuple(self._now.values())))

    def power_cut(self, service: Service, lane: str) -> None:
        """A lane is about to lose its power: what it has in flight may be forgotten."""
        simulation = self.simulation
        self._cut_at[lane] = simulation.steps
        self._cut += [
            (option, simulation.steps, service)
            for option in (*simulation.ready, *simulation.arrivals)
            if type(option) is Operation and option.lane == lane
        ]

    @property
    def overlapped(self) -> int:
        """How many writes a restart overlapped; a service that only ends is not restarted.

        They were done while it went on, or were on their way when their sender was cut off.
        """
        done = sum(
            event.kind == "write"
            for place, events in self._events()
            if any(service.interrupted for service, _, _ in self.stretches[place].restarts)
            for event in events
        )
        return done + sum(
            bool(_written(each)) and not self._lands_in_a_restart(each, step)
            for each, step, service in self._cut
            if service.interrupted
        )

    def _lands_in_a_restart(self, operation: Operation, cut_at: int) -> bool:
        """Whether what was on its way took effect after all, and was counted for that."""
        applied, steps = self.simulation.applied, [stretch.step for stretch in self.stretches]
        for step in range(cut_at, len(applied)):
            if applied[step] is operation:
                return bool(self.stretches[bisect_right(steps, step) - 1].restarts)
        return False

    def cells(self) -> tuple[str, ...]:
        """The cells that this run covered, sorted; to be asked before it is unwound."""
        if len(self.stretches) == 1:
            return ()
        met = _Meetings(self.stretches)
        for place, events in self._events():
            for event in events:
                if event.kind == "write":
                    met.add(write_named(event.operation, event.resource), DONE, place, place)
                elif progress := _PROGRESS_OF.get((event.kind, event.operation)):
                    met.add(write_named(MESSAGE, event.resource), progress, place, place)
        self._operations(met)
        return met.cells()

    def _events(self) -> Iterator[tuple[int, Sequence[Event]]]:
        """The events of every stretch in which something restarts, with its place."""
        history, stretches = self.simulation.history, self.stretches
        for place, stretch in enumerate(stretches):
            if stretch.restarts:
                events = history.since(stretch.mark)
                if place + 1 < len(stretches):
                    events = events[: stretches[place + 1].mark - stretch.mark]
                yield place, events

    def _operations(self, met: _Meetings) -> None:
        """How far the writes were that were asked of stores, from one of their steps to the next.

        A write is sent until the step in which it takes effect, and done until its sender goes on.
        """
        unanswered: dict[TaskOption, tuple[str, int]] = {}
        for step, option in enumerate(self.simulation.applied, 1):
            if type(option) is TaskOption:
                if unanswered and option in unanswered:
                    write, since = unanswered.pop(option)
                    met.add(write, DONE, since, met.place(step - 1))
                    met.add(write, TOLD, met.place(step - 1), met.place(step - 1))
            elif type(option) is Operation and (write := _written(option)):
                now = met.place(step - 1)
                met.add(write, SENT, met.place(option.since), now)
                if option.owner is not None:
                    unanswered[option.owner] = (write, now)
                else:
                    met.add(write, DONE, now, now)
        last = len(self.stretches) - 1
        for task, (write, since) in unanswered.items():
            died_at = self._cut_at.get(task.lane)
            met.add(write, DONE, since, last if died_at is None else met.place(died_at))
        for option in (*self.simulation.ready, *self.simulation.orphans):
            if type(option) is Operation and (write := _written(option)):
                met.add(write, SENT, met.place(option.since), last)
        for operation, step, _ in self._cut:
            if write := _written(operation):
                met.add(write, SENT, met.place(operation.since), met.place(step))


class _Meetings:
    """What was met in each stretch of a run."""

    def __init__(self, stretches: Sequence[Stretch]) -> None:
        self._stretches = stretches
        self._steps = [stretch.step for stretch in stretches]
        self._met: list[dict[tuple[str, str], None]] = [{} for _ in stretches]

    def place(self, step: int) -> int:
        """Which stretch a run is in after a step."""
        return bisect_right(self._steps, step) - 1

    def add(self, write: str, progress: str, first: int, last: int) -> None:
        """A write was that far in these stretches, the last one included."""
        for place in range(first, last + 1):
            self._met[place][write, progress] = None

    def cells(self) -> tuple[str, ...]:
        """The names of all of it, sorted; a service that only ends is not restarted."""
        names = {
            cell(service.name, kind, phase, *what): None
            for stretch, met in zip(self._stretches, self._met, strict=True)
            for service, kind, phase in stretch.restarts
            if service.interrupted
            for what in met
        }
        return tuple(sorted(names))


def _written(operation: Operation) -> str:
    """The write that an operation is; empty if it is none, or a message, or a request to stop."""
    if not operation.sender or not any(
        how == "write" and not resource.startswith(LIFECYCLE)
        for resource, how in operation.footprint
    ):
        return ""
    head, slash, key = operation.name.partition("/")
    if not slash:
        return write_named(operation.name, "")
    verb, _, store = head.rpartition(" ")
    return write_named(verb, f"{store}/{key}")
