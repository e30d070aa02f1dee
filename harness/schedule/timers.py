"""Deadlines and virtual time: time passing is a choice like any other.

Every pending deadline of the target is an option; taking it moves the clock there, however much
else could have run, because a real process can stall for any time between two instructions.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from operator import itemgetter
from typing import TYPE_CHECKING

import trio
from trio.abc import Clock

from harness.schedule.choices import TIMER, Option
from harness.schedule.operations import Operation
from harness.schedule.purposes import is_limited_by, of_timer
from harness.schedule.sites import site_of_caller

if TYPE_CHECKING:
    from harness.history import Site
    from harness.schedule.kernel import Task
    from harness.schedule.simulation import Simulation


_deadline = itemgetter(0)


class VirtualClock(Clock):
    """The time of a run, in seconds since its start; it moves only when a timer is chosen."""

    def __init__(self) -> None:
        self.now = 0.0
        #: How often somebody looked at it.
        self.readings = 0

    def start_clock(self) -> None:
        """Nothing to start: this clock stands still by itself."""

    def current_time(self) -> float:
        """Seconds since the run began."""
        self.readings += 1
        return self.now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Nobody sleeps in real time here."""
        return 0.0 if deadline <= self.now else math.inf


class TimerOption(Option):
    """A deadline that could strike."""

    __slots__ = ("deadline", "due", "number", "owner", "scope", "since_s", "site", "task", "timers")

    def __init__(
        self, timers: Timers, deadline: float, scope: trio.CancelScope, *, number: int, owner: str
    ) -> None:
        super().__init__(kind=TIMER, lane="clock")
        self.timers = timers
        self.deadline = deadline
        self.due = False
        self.scope = scope
        self.number = number
        self.owner = owner
        #: The task that has set it, if it is not our own; where, and when.
        self.task: Task | None = None
        self.site: Site | None = None
        self.since_s = timers.simulation.clock.now

    @property
    def label(self) -> str:
        """When it is due, and for whom."""
        return f"clock -> {round(self.deadline * 1000)} ms for {self.owner}"

    @property
    def actor(self) -> str:
        """The task that sleeps."""
        return self.owner

    def purpose(self) -> str:
        """Which call, sleep or other wait of the target ends with it."""
        return of_timer(self.task, self) if self.task is not None else ""

    def cuts_short(self, other: Option) -> bool:
        """Whether somebody waits for the other one whose wait this deadline ends."""
        owner = other.owner if isinstance(other, Operation) else None
        return owner is not None and is_limited_by(owner.task, self.scope)

    def perform(self) -> None:
        """Move the clock to the deadline (never back) and let it strike."""
        self.timers.strike(self)


class Timers:
    """All pending deadlines in the order in which they are due, ties by age."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.pending: list[tuple[float, int, TimerOption]] = []
        #: How many stand in line already.
        self.due = 0
        self._by_scope: dict[trio.CancelScope, TimerOption] = {}
        self._count = 0

    def add(self, deadline: float, cancel_scope: trio.CancelScope) -> None:
        """A deadline of trio; it belongs to the task that is running."""
        running = self.simulation.running_task
        owner = running.label if running else "harness"
        self._count += 1
        option = TimerOption(self, deadline, cancel_scope, number=self._count, owner=owner)
        if running is not None:
            option.lane, option.task, option.site = running.lane, running.task, site_of_caller()
        self.simulation.give_birth(option)
        self._by_scope[cancel_scope] = option
        insort(self.pending, (deadline, option.number, option))

    def remove(self, deadline: float, cancel_scope: trio.CancelScope) -> None:
        """A deadline that trio does not need any more."""
        option = self._by_scope.pop(cancel_scope, None)
        if option is None:
            return
        if option.due:
            self.due -= 1
            if option in self.simulation.ready:
                self.simulation.ready.remove(option)
        else:
            index = bisect_left(self.pending, (option.deadline, option.number))
            del self.pending[index]

    def forget(self, lane: str) -> None:
        """A lane died: what it waited for never comes."""
        for scope in [scope for scope, option in self._by_scope.items() if option.lane == lane]:
            self.remove(0, scope)

    def next_deadline(self) -> float:
        """When the earliest timer is due; infinity without one."""
        return self.pending[0][0] if self.pending else math.inf

    def fall_due(self, now: float) -> None:
        """Timers whose time has come stand in line with everything else that can happen."""
        pending = self._heard()
        for each in pending[: bisect_right(pending, now, key=_deadline)]:
            self.pending.remove(each)
            option = each[2]
            option.due = True
            self.due += 1
            self.simulation.ready.append(option)

    def _heard(self) -> list[tuple[float, int, TimerOption]]:
        """The timers that may strike: not those of lanes that are paused."""
        paused = self.simulation.paused
        if not paused:
            return self.pending
        return [each for each in self.pending if each[2].lane not in paused]

    def coming(self, now: float, stall_s: float) -> list[Option]:
        """The timers still ahead: the next one, and all that are due within ``stall_s`` of now."""
        pending, horizon = self._heard(), now + stall_s
        if pending and pending[-1][0] > horizon:
            pending = pending[: max(1, bisect_right(pending, horizon, key=_deadline))]
        return [option for _, _, option in pending]

    def strike(self, option: TimerOption) -> None:
        """Let one deadline strike; the clock moves forward to it."""
        simulation = self.simulation
        simulation.advance_clock(max(simulation.clock.now, option.deadline))
        simulation.kernel.expire(option.deadline, option.scope)
        simulation.admit()
