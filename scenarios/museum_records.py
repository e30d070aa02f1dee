"""What hunts in the museum came to: a small file of data, one line for each exhibit.

It is written after every hunt and replaced as a whole, so a command that is killed loses at most
the hunt that was going on.
"""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: The committed file.
RECORDS = Path(__file__).parents[1] / "docs" / "museum.jsonl"


@dataclass(frozen=True, slots=True)
class Caught:
    """One hunt: the schedule that found it, nothing if none did, and the strategy of that."""

    number: int | None
    strategy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """All hunts for one exhibit, by data seed; ``commit`` is that of the last one that found it."""

    name: str
    commit: str = ""
    hunts: Mapping[int, Caught] = field(default_factory=dict)

    @property
    def numbers(self) -> list[int]:
        """How many schedules the hunts that found it needed, fewest first."""
        return sorted(each.number for each in self.hunts.values() if each.number is not None)

    @property
    def median(self) -> float:
        """The middle of :attr:`numbers`; :class:`statistics.StatisticsError` if it is empty."""
        return statistics.median(self.numbers)

    @property
    def mean(self) -> float:
        """The mean of :attr:`numbers`."""
        return statistics.mean(self.numbers)

    @property
    def strategy(self) -> str:
        """The strategy that found it most often; of several the first by name."""
        counts = Counter(each.strategy for each in self.hunts.values() if each.strategy)
        return min(counts, key=lambda name: (-counts[name], name), default="")

    def after(self, seed: int, caught: Caught, commit: str) -> Record:
        """The record with one hunt more, or done again."""
        hunts = {**self.hunts, seed: caught}
        ordered = {number: hunts[number] for number in sorted(hunts)}
        kept = self.commit if caught.number is None else commit
        return Record(name=self.name, commit=kept, hunts=ordered)

    def line(self) -> str:
        """The record as a line of the file."""
        return json.dumps(
            {
                "name": self.name,
                "commit": self.commit,
                "hunts": [[seed, each.number, each.strategy] for seed, each in self.hunts.items()],
            }
        )


def of_line(line: str) -> Record:
    """A record as its line says."""
    told = json.loads(line)
    hunts = {seed: Caught(number, strategy) for seed, number, strategy in told["hunts"]}
    return Record(name=told["name"], commit=told["commit"], hunts=hunts)


def load(path: Path) -> dict[str, Record]:
    """All records by name; none if there is no file yet."""
    if not path.exists():
        return {}
    records = map(of_line, path.read_text().splitlines())
    return {record.name: record for record in records}


def save(records: Mapping[str, Record], path: Path) -> None:
    """Replace the file in one step; records come in the order of their names."""
    text = "".join(f"{records[name].line()}\n" for name in sorted(records))
    beside = path.with_suffix(".part")
    beside.write_text(text)
    beside.replace(path)
