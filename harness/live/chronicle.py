"""What is written down of a run of real processes, in one order that is that of every equal run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, cast

from harness.history import Event, History
from harness.live.lanes import Completion, Lane
from harness.live.ports import Request
from harness.live.processes import Process
from harness.live.world import LiveWorld, Overheard

if TYPE_CHECKING:
    from harness.live.http1 import HttpAnswer

#: How much of a statement a label shows.
TEXT_MAX = 72


class Chronicle:
    """The history of a run, and how much of it was written; ``when`` tells step and time.

    A write that happens while ``restarting`` is one that a restart overlapped.
    """

    def __init__(
        self,
        world: LiveWorld,
        *,
        when: Callable[[], tuple[int, int]],
        restarting: Callable[[], bool],
    ) -> None:
        self.history = History()
        self.writes = self.overlapped = 0
        self._world = world
        self._when = when
        self._restarting = restarting
        self._ended: set[str] = set()

    def emit(self, kind: str, operation: str, *, lane: str, **details: object) -> None:
        """Write down what just happened."""
        event = Event(*self._when(), lane, kind, operation, **details)  # type: ignore[arg-type]
        self.history.append(event)
        if kind == "write":
            self.writes += 1
            self.overlapped += self._restarting()

    def asked(self, lane: Lane, request: Request) -> None:
        """A request goes to its peer, and those who listen in hear it."""
        self._hear(lane, Overheard(lane.process.name, request.target, request.body))

    def _hear(self, lane: Lane, said: Overheard) -> None:
        for function in self._world.listeners.get(lane.peer.name, ()):
            function(said)

    def answered(self, done: Iterable[Completion], first: str) -> None:
        """The requests that were answered in a step, those of lane ``first`` before all others."""
        for each in sorted(done, key=lambda one: (one.lane.name != first, one.lane.name)):
            if not each.request.visible:
                continue
            peer, target = each.lane.peer.name, each.request.target
            if each.heard and peer in self._world.listeners:
                answer, name = cast("HttpAnswer", each.answer), each.lane.process.name
                told = (answer.status, answer.body)
                self._hear(each.lane, Overheard(name, target, each.request.body, *told))
            self.emit(
                "write" if each.answer.wrote else "read",
                each.request.text[:TEXT_MAX],
                lane=each.lane.process.name,
                resource=f"{peer}/{target}" if target else peer,
                value=str(each.answer),
                peer=peer,
            )

    def blocked(self, lanes: Iterable[Lane]) -> None:
        """The lanes that have begun to wait for a lock, or for what is to come."""
        for lane in sorted(lanes, key=lambda one: one.name):
            if lane.blocked or lane.waits:
                what = "waits for a lock" if lane.blocked else "waits until something comes"
                self.emit("note", what, lane=lane.process.name, peer=lane.peer.name)

    def lives(self, processes: Iterable[Process]) -> list[Process]:
        """The phases that processes have told, and their ends; who has ended."""
        ended = []
        for process in processes:
            name = process.name
            for phase in process.new_phases():
                self._world.phases[name] = phase
                self.emit("phase", phase, lane=name, resource=f"lifecycle/{name}", after=phase)
            if not process.alive and name not in self._ended:
                self._ended.add(name)
                ended.append(process)
                self.emit("phase", "stopped", lane=name, resource=name, after="stopped")
        return ended

    def changes(self, lane: str) -> None:
        """What has changed of that which the scenario observes, by who moved."""
        for told in self._world.read_changes():
            self.emit(**told._replace(lane=told.lane or lane)._asdict())
