"""What a run keeps of itself: its time, its randomness, its history, and who acts at the moment.

Nothing here decides what happens next.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from harness.history import Event, History, Site, derive_seed, digest
from harness.schedule.lanes import Lane, TaskOption
from harness.schedule.timers import VirtualClock

if TYPE_CHECKING:
    from harness.schedule.choices import Option
    from harness.schedule.kernel import Task
    from harness.schedule.operations import Fault, Operation
    from harness.schedule.unwinding import Swallowed

_NO_LANE = Lane("harness")
_NEMESIS = Lane("nemesis")


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a run is stopped: ``steps``, virtual ``time_s``, real ``step_wall_s`` for one step."""

    steps: int = 20_000
    time_s: float = 86_400.0
    step_wall_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended: finished, stuck, step limit, time limit, never yields, refused, failed."""

    kind: str
    detail: str = ""


class _Told(random.Random):
    """A generator that says whenever somebody draws from it."""

    def __init__(self, seed: int, books: Books, purpose: str) -> None:
        super().__init__(seed)
        self._tell = partial(books.touches, f"random/{purpose}")

    def random(self) -> float:
        self._tell()
        return super().random()

    def getrandbits(self, k: int, /) -> int:
        self._tell()
        return super().getrandbits(k)


class Books:
    """What is known of one run; the part of a simulation that only writes down."""

    __slots__ = (
        "__weakref__",
        "_random_of",
        "acting",
        "applied",
        "cleaned",
        "cleaning",
        "clock",
        "ending",
        "history",
        "lanes",
        "running_task",
        "seed",
        "steps",
        "swallowed",
        "touched",
        "unwinding",
    )

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.clock = VirtualClock()
        self.history = History()
        self.steps = 0
        self.applied: list[Option] = []
        self.ending: Ending | None = None
        self.lanes: dict[str, Lane] = {}
        self.running_task: TaskOption | None = None
        self.acting: Operation | Fault | None = None
        #: The verdict is spoken: tasks that still run are only cleaning up.
        self.unwinding = False
        #: Which of them does at this moment, and how many steps of that there were.
        self.cleaning: Task | None = None
        self.cleaned = 0
        #: The lanes that went on nevertheless, and where.
        self.swallowed: Sequence[Swallowed] = ()
        self._random_of: dict[str, random.Random] = {}
        #: What the step that goes on has touched so far, for whoever wants to know; else nothing.
        self.touched: list[tuple[str, str]] | None = None

    @property
    def now_ms(self) -> int:
        """Virtual milliseconds since the run began."""
        return round(self.clock.now * 1000)

    def touches(self, resource: str, how: str = "write") -> None:
        """Say that the step which goes on touches something that its footprint does not name."""
        if self.touched is not None:
            self.touched.append((resource, how))

    def random(self, purpose: str) -> random.Random:
        """A generator of its own for each purpose, derived from the seed of the run."""
        if purpose not in self._random_of:
            seed = derive_seed(self.seed, purpose)
            self._random_of[purpose] = (
                random.Random(seed) if self.touched is None else _Told(seed, self, purpose)
            )
        return self._random_of[purpose]

    @property
    def current_lane(self) -> Lane:
        """The lane that acts at this moment; a stand-in named harness between steps."""
        if self.running_task is not None:
            return self.running_task.lane_of
        if self.acting is not None:
            return self.lanes.get(self.acting.lane, _NEMESIS)
        return _NO_LANE

    def give_birth(self, option: Option) -> None:
        """Note that the step which goes on has made this option possible."""
        if self.applied:
            option.born_of(self.applied[-1])

    def emit(
        self,
        kind: str,
        operation: str,
        *,
        lane: str = "",
        resource: str = "",
        value: object = "",
        before: object = "",
        after: object = "",
        peer: str = "",
        site: Site | None = None,
    ) -> None:
        """Append what just happened to the history; what happens after the verdict is not told."""
        if self.unwinding:
            return
        self.history.append(
            Event(
                self.steps,
                round(self.clock.now * 1000),
                lane or self.current_lane.name,
                kind,
                operation,
                resource,
                value,
                before,
                after,
                peer,
                site,
            )
        )

    def digest(self) -> str:
        """The sha256 of every step taken and every event: equal digests are equal runs."""
        return digest(
            [option.label for option in self.applied]
            + [event.canonical() for event in self.history]
            + [f"{self.ending}"]
        )
