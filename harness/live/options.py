"""What the scheduler can choose between when processes are real."""

from __future__ import annotations

from collections.abc import Callable

from harness.live.footprints import Touch
from harness.schedule.choices import EVERYTHING, FAULT, ORPHAN, Option

#: What it touches is known when it has happened; before, it gets in the way of everything.
UNKNOWN = EVERYTHING


class Act(Option):
    """One thing that can happen: a request goes on, a process is started, a fault strikes.

    ``since`` is the step after which it was possible: what was possible first comes first.
    ``touches`` is what it touches in any case, besides what comes of it.
    """

    __slots__ = ("_label", "perform", "since", "touches")

    def __init__(
        self,
        label: str,
        perform: Callable[[], None],
        *,
        kind: str,
        lane: str,
        since: int,
        touches: tuple[Touch, ...] = tuple(EVERYTHING),
        parent: Option | None = None,
    ) -> None:
        super().__init__(kind=kind, lane=lane, footprint=UNKNOWN)
        self._label = label
        self.perform = perform
        self.since = since
        self.touches = touches
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
        return self.kind in (FAULT, ORPHAN)

    @property
    def place(self) -> tuple[bool, bool, int, str]:
        """Where it stands in the canonical order."""
        return (self.kind == FAULT, self.kind == ORPHAN, self.since, self._label)
