"""What the engine runs: a system with its rules and its books, whatever it is made of.

The simulation is one, real processes are another. Nothing above this line asks which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

from harness.findings.finding import Fact, Violation
from harness.history import Event, History
from harness.invariants import Judge
from harness.schedule.books import Ending, Limits
from harness.schedule.choices import Footprint, Option

#: The rules that every scenario has, in the words of a report.
STUCK = "When no lane can run and no timer is pending, nothing will ever happen again."
LIMITED = "A run ends; one that goes on for ever makes no progress that anybody would see."
ENDLESS = "A task that is cancelled ends; one that goes on keeps its process from ever stopping."
LANE_FAILS = "A service or client that dies of an error of its own stops doing its job."


class Clock(Protocol):
    """The time of a run; ``now`` is in virtual seconds since it began."""

    now: float


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run adds up to; ``operations`` counts what each client came to do.

    ``overlapped`` counts the writes that a restart overlapped, ``faults`` those that struck;
    ``covered`` names the cells and marks that were covered, ``services`` who was there, if known.
    """

    restarts: int = 0
    writes: int = 0
    overlapped: int = 0
    faults: int = 0
    batch_legal: bool = True
    reached: Mapping[str, int] = field(default_factory=dict)
    operations: Mapping[str, int] = field(default_factory=dict)
    covered: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    blast_radius: tuple[Fact, ...] = ()
    services: tuple[str, ...] = ()


class Stage(Protocol):
    """One run of a scenario: a :class:`~harness.schedule.choices.System` and its books."""

    judge: Judge
    history: History
    limits: Limits
    applied: list[Option]

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    def options(self) -> Sequence[Option]:
        """What could happen next, first-in-first-out first; empty when the run is over."""

    def apply(self, option: Option) -> None:
        """Make one option happen."""

    def observe(self, events: tuple[Event, ...]) -> None:
        """Tell whoever watches what a step did."""

    def judge_ending(self, ending: Ending) -> None:
        """Add what went wrong with the run itself: a lane that failed, a deadlock, a limit."""

    def digest(self) -> str:
        """Equal digests are equal runs."""

    def summary(self) -> Summary:
        """What the run adds up to; asked before the system is left."""

    def touched(self) -> Footprint:
        """What the last step touched, with the rules that judged it, for those who trade places."""

    @property
    def clock(self) -> Clock:
        """The time of the run."""

    @property
    def steps(self) -> int:
        """How many steps were made."""

    @property
    def now_ms(self) -> int:
        """Virtual milliseconds since the run began."""

    @property
    def ending(self) -> Ending | None:
        """How the run ended, if it has."""


def bad_ending(
    ending: Ending, *, steps: int, at_ms: int, last: Sequence[str]
) -> tuple[Violation, ...]:
    """What is wrong with a run that ended like this; ``last`` are the labels of its last steps."""
    if ending.kind == "stuck":
        message = f"No lane can run and no timer is pending:\n{ending.detail}"
        return (Violation("never_stuck", message, steps, at_ms, STUCK),)
    if ending.kind in ("step limit", "time limit"):
        message = f"{ending.detail}; the last 6 steps: {'; '.join(last)}"
        return (Violation("finishes_within_limits", message, steps, at_ms, LIMITED),)
    return ()
