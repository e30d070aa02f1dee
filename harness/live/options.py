"""What the scheduler can choose between when processes are real."""

from __future__ import annotations

from collections.abc import Callable

from harness.schedule.choices import FAULT, ORPHAN, Footprint, Option

#: What nobody has analysed gets in the way of everything else.
UNKNOWN = Footprint((("*", "write"),))


class Act(Option):
    """One thing that can happen: a request goes on, a process is started, a fault strikes.

    ``since`` is the step after which it was possible: what was possible first comes first.
    """

    __slots__ = ("_label", "perform", "since")

    def __init__(
        self,
        label: str,
        perform: Callable[[], None],
        *,
        kind: str,
        lane: str,
        since: int,
        parent: Option | None = None,
    ) -> None:
        super().__init__(kind=kind, lane=lane, footprint=UNKNOWN)
        self._label = label
        self.perform = perform
        self.since = since
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
