"""What a campaign tried, so that 'nothing found' says how much was looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from harness.coverage import is_cell
from harness.engine import Run
from harness.history import digest
from harness.schedule.choices import Schedule

#: How many names are remembered before only a share of them is; a night has millions.
NAMES_MAX = 100_000


def interleaving(schedule: Schedule) -> str:
    """A short name of the order that a schedule takes, to count distinct ones."""
    return digest([schedule.token])[:16]


class Distinct:
    """How many different hexadecimal names were added, in bounded memory.

    Exact up to :data:`NAMES_MAX`; from there on only names below a threshold are remembered and
    stand for the others (adaptive sampling, Flajolet 1990). The order of adding changes nothing.
    """

    __slots__ = ("_halvings", "_names", "names_max")

    def __init__(self, *, names_max: int = NAMES_MAX) -> None:
        self.names_max = names_max
        self._names: set[int] = set()
        self._halvings = 0

    def add(self, name: str) -> None:
        """Count a name, if it is new."""
        self._take({int(name, 16)}, 0)

    def absorb(self, other: Distinct) -> None:
        """Count everything that another one has counted."""
        self._take(other._names, other._halvings)

    def _take(self, names: set[int], halvings: int) -> None:
        if halvings > self._halvings:
            self._halvings = halvings
            self._thin_out()
        self._names.update(name for name in names if self._stands(name))
        while len(self._names) > self.names_max:
            self._halvings += 1
            self._thin_out()

    def _thin_out(self) -> None:
        self._names = {name for name in self._names if self._stands(name)}

    def _stands(self, name: int) -> bool:
        return not name & ((1 << self._halvings) - 1)

    def __len__(self) -> int:
        return len(self._names) << self._halvings

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Distinct):
            return NotImplemented
        return (self._halvings, self._names) == (other._halvings, other._names)

    __hash__ = None  # type: ignore[assignment]


@dataclass(slots=True)
class Statistics:
    """What a campaign tried, so that 'nothing found' says how much was looked at.

    ``reached`` counts marks, and those that must be reached also when they never were; ``covered``
    says in how many runs each cell was covered, and ``last_new`` after how many schedules the last
    cell came that none before had covered. ``places`` counts where one fault can strike;
    ``services`` in how many runs a service was there, 0 if faults name one that never was.
    """

    schedules: int = 0
    distinct: Distinct = field(default_factory=Distinct)
    steps_min: int = 0
    steps_max: int = 0
    steps_sum: int = 0
    restarts: int = 0
    overlapped_runs: int = 0
    faults: int = 0
    places: int = 0
    batch_legal: int = 0
    judged: dict[str, int] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    reached: dict[str, int] = field(default_factory=dict)
    covered: dict[str, int] = field(default_factory=dict)
    last_new: int = 0
    by_strategy: dict[str, int] = field(default_factory=dict)
    services: dict[str, int] = field(default_factory=dict)
    checked_twice: int = 0
    seconds: float = 0.0

    def add(self, run: Run, strategy: str) -> None:
        """Count one run."""
        self.absorb(of_run(run, strategy))

    def absorb(self, other: Statistics) -> None:
        """Count everything that another one has counted: numbers add up, dicts key by key."""
        least, most = self.steps_min, max(self.steps_max, other.steps_max)
        seconds = max(self.seconds, other.seconds)
        news = any(cell not in self.covered for cell in other.covered)
        last_new = self.schedules + other.last_new if news else self.last_new
        if other.schedules:
            least = min(least, other.steps_min) if self.schedules else other.steps_min
        for each in fields(self):
            mine, theirs = getattr(self, each.name), getattr(other, each.name)
            if isinstance(mine, (int, float)):
                setattr(self, each.name, mine + theirs)
            elif isinstance(mine, dict):
                _add_up(mine, theirs)
            else:
                mine.absorb(theirs)
        self.steps_min, self.steps_max, self.seconds = least, most, seconds
        self.last_new = last_new

    @property
    def never_judged(self) -> tuple[str, ...]:
        """The rules that never had anything to judge."""
        return tuple(name for name, count in self.judged.items() if not count)

    @property
    def unproved(self) -> dict[str, str]:
        """The rules about which nothing can be said, with the reason."""
        return {**dict.fromkeys(self.never_judged, "never had anything to judge"), **self.unknown}

    @property
    def never_reached(self) -> tuple[str, ...]:
        """The marks that had to be reached and never were."""
        return tuple(name for name, count in self.reached.items() if not count)

    @property
    def never_there(self) -> tuple[str, ...]:
        """The services that faults name and that no run ever had."""
        return tuple(name for name, count in self.services.items() if not count)

    def swept(self, strategy: str) -> bool:
        """Whether a sweep was at every place where a fault can strike."""
        return 0 < self.places == self.by_strategy.get(strategy, 0)

    @property
    def vacuous(self) -> bool:
        """Whether nothing was proved: no restart overlapped a write, or a mark was not reached.

        A fault of a service that nobody starts never strikes, whatever others do.
        """
        return not self.overlapped_runs or bool(self.never_reached or self.never_there)


def of_run(run: Run, strategy: str) -> Statistics:
    """The statistics of one run alone: plain data that can be sent to another process."""
    statistics = Statistics(
        schedules=1,
        steps_min=run.steps,
        steps_max=run.steps,
        steps_sum=run.steps,
        restarts=run.restarts,
        overlapped_runs=int(bool(run.overlapped)),
        faults=run.faults,
        places=len(run.profile.fault_points) if run.profile else 0,
        batch_legal=int(run.batch_legal),
        judged=dict(run.judged),
        unknown=dict(run.unknown),
        reached=dict(run.reached),
        covered={name: 1 for name in run.covered if is_cell(name)},
        last_new=int(any(map(is_cell, run.covered))),
        by_strategy={strategy: 1},
        services=_services(run),
    )
    statistics.distinct.add(interleaving(run.schedule))
    return statistics


def _services(run: Run) -> dict[str, int]:
    """Who was there, and 0 for who was not, though a fault of the scenario names it."""
    if not run.services:
        return {}
    named = (getattr(fault, "service", "") for fault in run.scenario.faults)
    return {**dict.fromkeys(filter(None, named), 0), **dict.fromkeys(run.services, 1)}


def _add_up(mine: dict[str, Any], theirs: Mapping[str, Any]) -> None:
    """Add the counts of the one to the other; texts are replaced by later ones."""
    for name, value in theirs.items():
        mine[name] = mine.get(name, 0) + value if isinstance(value, (int, float)) else value
