"""The bound of a proof: which orders are looked at. All of them, of those that a bound allows.

Every bound is a property of the state in which a choice is made, never of the way there, so that
trading independent steps does not lead out of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError, closest
from harness.schedule.choices import DECISION, TASK, TIMER, Option

if TYPE_CHECKING:
    from harness.schedule.simulation import Simulation

CLOCKS = ("idle", "any")
ORDERS = ("batch-legal", "any")


@dataclass(frozen=True, slots=True)
class Bound:
    """``clock`` says when time may pass, ``stalls`` how often it may pass too early.

    With the clock ``idle``, time passes only when nothing else can move, except for as many as
    ``stalls`` timers that strike while somebody could; with ``any``, each timer within the
    scenario's ``stall_s`` strikes whenever it likes. ``order`` says whether the tasks of one lane
    keep the lockstep of real trio. ``restarts`` is how many faults may strike.
    """

    clock: str = "idle"
    stalls: int = 0
    order: str = "batch-legal"
    restarts: int = 1

    @classmethod
    def parse(cls, text: str, *, restarts: int) -> Bound:
        """The bound of ``clock=idle,stalls=1,order=any``; :class:`UsageError` for anything else."""
        if restarts < 0:
            raise UsageError(f"--restarts must be 0 or more, not {restarts}")
        values = {"clock": "idle", "stalls": "0", "order": "batch-legal"}
        for part in filter(None, (each.strip() for each in text.split(","))):
            name, _, value = part.partition("=")
            if name not in values:
                raise closest(name, values, kind="bound")
            values[name] = value
        for name, known in (("clock", CLOCKS), ("order", ORDERS)):
            if values[name] not in known:
                raise closest(values[name], known, kind=f"value of the bound {name}")
        if not values["stalls"].isdecimal():
            raise UsageError(f"the bound stalls is a number, not {values['stalls']!r}")
        stalls = int(values["stalls"])
        if stalls and values["clock"] == "any":
            raise UsageError("with clock=any every timer may strike early; leave stalls away")
        return cls(values["clock"], stalls, values["order"], restarts)

    @property
    def waits(self) -> bool:
        """Whether time never passes while anything else can move."""
        return self.clock == "idle" and not self.stalls

    def __str__(self) -> str:
        stalls = f",stalls={self.stalls}" if self.stalls else ""
        return f"clock={self.clock}{stalls},order={self.order},restarts={self.restarts}"

    def describe(self) -> str:
        """The bound in a sentence."""
        if self.clock == "any":
            clock = "a timer within the scenario's stall_s strikes whenever it likes"
        else:
            clock = "time passes only when nothing else can move"
            if self.stalls:
                clock += f", except for {self.stalls} that strike early"
        order = (
            "tasks of a lane keep trio's lockstep"
            if self.order == "batch-legal"
            else "tasks of a lane run in any order"
        )
        return f"at most {self.restarts} fault(s); {clock}; {order}"

    def allows(
        self, simulation: Simulation, options: Sequence[Option], stalled: int
    ) -> list[tuple[int, Option]]:
        """Which of the options may be taken, with their places; ``stalled`` timers struck early."""
        if options and options[0].kind == DECISION:
            return list(enumerate(options))
        legal = self.order == "any"
        allowed: list[tuple[int, Option]] = []
        ahead: list[tuple[int, Option]] = []
        busy = False
        for place, option in enumerate(options):
            if is_ahead(option):
                ahead.append((place, option))
            elif legal or option.kind != TASK or option.batch_legal:
                allowed.append((place, option))
                busy |= not option.optional
        if not ahead:
            return allowed
        if busy and self.clock == "idle" and stalled >= self.stalls:
            return allowed
        until = 0.0 if busy else _earliest(ahead)
        if self.clock == "any" or stalled < self.stalls:
            until = max(until, simulation.clock.now + simulation.stall_s)
        near = [each for each in ahead if each[1].deadline <= until]  # type: ignore[attr-defined]
        return [*allowed, *near]

    def is_near(self, simulation: Simulation, option: Option) -> bool:
        """Whether this timer, which is ahead, may strike whatever else could move."""
        until = simulation.clock.now + simulation.stall_s
        return self.clock == "any" and option.deadline <= until  # type: ignore[attr-defined]

    def stalls_by(self, option: Option, allowed: Sequence[tuple[int, Option]]) -> bool:
        """Whether taking this timer uses up one of the stalls."""
        if self.clock == "any" or not is_ahead(option):
            return False
        return any(not other.optional and not is_ahead(other) for _, other in allowed) or (
            option.deadline > _earliest(allowed)  # type: ignore[attr-defined]
        )


def _earliest(options: Sequence[tuple[int, Option]]) -> float:
    """When the first of the timers among these is due; of lanes that are paused none is."""
    ahead: list[Any] = [each for _, each in options if is_ahead(each)]
    return float(min(each.deadline for each in ahead))


def is_ahead(option: Option) -> bool:
    """Whether this is a timer whose time has not come: taking it moves the clock."""
    return option.kind == TIMER and not option.due  # type: ignore[attr-defined]
