"""What a campaign tried, so that 'nothing found' says how much was looked at."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.engine import Run
from harness.history import digest
from harness.schedule.choices import Schedule


def interleaving(schedule: Schedule) -> str:
    """A short name of the order that a schedule takes, to count distinct ones."""
    return digest([schedule.token])[:16]


@dataclass(slots=True)
class Statistics:
    """What a campaign tried, so that 'nothing found' says how much was looked at."""

    schedules: int = 0
    distinct: set[str] = field(default_factory=set)
    steps: list[int] = field(default_factory=list)
    restarts: int = 0
    overlapped_runs: int = 0
    faults: int = 0
    batch_legal: int = 0
    judged: dict[str, int] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    reached: dict[str, int] = field(default_factory=dict)
    by_strategy: dict[str, int] = field(default_factory=dict)
    checked_twice: int = 0
    seconds: float = 0.0

    def add(self, run: Run, strategy: str) -> None:
        """Count one run."""
        self.schedules += 1
        self.distinct.add(interleaving(run.schedule))
        self.steps.append(run.steps)
        self.restarts += run.restarts
        self.overlapped_runs += bool(run.overlapped)
        self.faults += run.faults
        self.batch_legal += run.batch_legal
        self.by_strategy[strategy] = self.by_strategy.get(strategy, 0) + 1
        for name, count in run.judged.items():
            self.judged[name] = self.judged.get(name, 0) + count
        for mark, count in run.reached.items():
            self.reached[mark] = self.reached.get(mark, 0) + count
        self.unknown.update(run.unknown)

    @property
    def never_judged(self) -> tuple[str, ...]:
        """The rules that never had anything to judge."""
        return tuple(name for name, count in self.judged.items() if not count)
