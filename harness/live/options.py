"""What the scheduler can choose between when processes are real."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from harness.live.clock import Alarm
from harness.live.footprints import EVERYTHING, Touch, of_lane
from harness.live.lanes import Lane
from harness.live.ports import FOR_EVER, Request
from harness.schedule.choices import FAULT, OPERATION, ORPHAN, TIMER, Footprint, Option

NEMESIS = "nemesis"

#: What it touches is known when it has happened; before, it gets in the way of everything.
UNKNOWN = Footprint((EVERYTHING,))


class Act(Option):
    """One thing that can happen: a request goes on, a process is started, a fault strikes.

    ``since`` is the step after which it was possible: what was possible first comes first, and
    before any alarm that is yet to be ``due``, in seconds of the run. ``may_stay`` says that a run
    can end without it; ``touches`` is what it touches in any case, besides what comes of it.
    """

    __slots__ = ("_label", "due", "may_stay", "perform", "since", "touches")

    def __init__(
        self,
        label: str,
        perform: Callable[[], None],
        *,
        kind: str,
        lane: str,
        since: int,
        touches: tuple[Touch, ...] = (EVERYTHING,),
        parent: Option | None = None,
    ) -> None:
        super().__init__(kind=kind, lane=lane, footprint=UNKNOWN)
        self._label = label
        self.perform = perform
        self.since = since
        self.touches = touches
        self.may_stay = False
        self.due = 0.0
        if parent is not None:
            self.born_of(parent)

    @property
    def label(self) -> str:
        """What would happen."""
        return self._label

    @property
    def actor(self) -> str:
        """The lane: its requests come one after the other."""
        return self.lane

    @property
    def optional(self) -> bool:  # type: ignore[override]
        """Faults never have to happen, nor what a dead process had sent."""
        return self.kind in (FAULT, ORPHAN) or self.may_stay

    @property
    def place(self) -> tuple[bool, bool, float, int, str]:
        """Where it stands in the canonical order."""
        return (self.kind == FAULT, self.optional, self.due, self.since, self._label)


class Acts:
    """The options of one run: as long as something is possible, it is the same option."""

    def __init__(self, applied: Sequence[Option]) -> None:
        self._applied = applied
        self._known: dict[tuple[object, ...], Act] = {}
        #: What each connection did last.
        self.latest: dict[str, Act] = {}

    def of_lane(
        self, key: tuple[object, ...], lane: Lane, text: str, perform: Callable[[], None]
    ) -> Act:
        """What can happen to a connection."""
        if key not in self._known:
            self._known[key] = Act(
                f"{lane.name}: {text}",
                perform,
                kind=OPERATION,
                lane=lane.name,
                since=len(self._applied),
                touches=of_lane(lane),
                parent=self.latest.get(lane.name),
            )
        return self._known[key]

    def of_nemesis(
        self,
        key: tuple[object, ...],
        text: str,
        perform: Callable[[], None],
        touches: tuple[Touch, ...] = (EVERYTHING,),
        *,
        lane: str = NEMESIS,
    ) -> Act:
        """What can happen to a process; unless it is said, it touches everything."""
        if key not in self._known:
            self._known[key] = Act(
                f"{lane}: {text}",
                perform,
                kind=OPERATION,
                lane=lane,
                since=len(self._applied),
                touches=touches,
            )
        return self._known[key]

    def of_waiting(self, lane: Lane, request: Request) -> list[Act]:
        """The end of the time for which a command waits, unless it waits for ever."""
        if request.waits == FOR_EVER or lane.peer.waits is None:
            return []
        text = f"{lane.name} has waited for {request.waits}"
        unblock = partial(lane.peer.waits.unblock, lane.waits)
        act = self.of_nemesis(("waited", lane.name, lane.choices), text, unblock)
        act.may_stay = True
        return [act]

    def of_alarm(self, alarm: Alarm, ring: Callable[[], None], now: float) -> Act:
        """An alarm may ring; once it is overdue it stands in line with everything else."""
        text = f"clock -> {round(alarm.due * 1000)} ms"
        act = self.of_nemesis((alarm.name, alarm.rung, alarm.due), text, ring, lane=alarm.name)
        act.kind, act.due = TIMER, alarm.due if alarm.due > now else 0.0
        return act
