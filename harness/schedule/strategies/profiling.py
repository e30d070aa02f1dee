"""What the first-in-first-out run tells the strategies."""

from __future__ import annotations

from collections.abc import Sequence

from harness.schedule.choices import TASK, Option
from harness.schedule.strategies.protocol import Profile


class Profiler:
    """Notes what strategies want to know of a first-in-first-out run."""

    def __init__(self) -> None:
        self.fault_points: list[tuple[int, int]] = []
        self.widths: list[tuple[int, int]] = []
        self.touches: dict[str, dict[str, int]] = {}
        self.parents: dict[str, str] = {}

    def note(self, step: int, options: Sequence[Option], taken: Option) -> None:
        """A step that comes."""
        faults = [(step, index) for index, option in enumerate(options) if option.optional]
        self.fault_points += faults
        if len(options) - len(faults) > 1:
            self.widths.append((step, len(options) - len(faults)))
        if taken.kind == TASK and taken.parent is not None:
            self.parents.setdefault(taken.actor, taken.parent.actor)
        counts = self.touches.setdefault(taken.actor, {})
        for resource, _ in taken.footprint:
            counts[resource] = counts.get(resource, 0) + 1

    @property
    def profile(self) -> Profile:
        """All that was noted."""
        return Profile(tuple(self.fault_points), tuple(self.widths), self.touches, self.parents)
