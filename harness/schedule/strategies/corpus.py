"""The runs worth building on: those that covered something that no run before had covered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: How many runs are kept; beyond that the one that shows the least goes.
ENTRIES_MAX = 64


@dataclass(frozen=True, slots=True)
class Entry:
    """A run that covered something new: its length, its choices, and all that it covered."""

    steps: int
    choices: tuple[tuple[int, int], ...]
    covered: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Corpus:
    """What was covered, or broken, in how many runs, and the runs that came there first."""

    entries: tuple[Entry, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    def after(self, entry: Entry, *, fit: bool) -> Corpus:
        """What is known when one more run is done; it is kept if it is ``fit`` and shows news."""
        if not entry.covered:
            return self
        counts = dict(self.counts)
        for name in entry.covered:
            counts[name] = counts.get(name, 0) + 1
        if not fit or all(name in self.counts for name in entry.covered):
            return Corpus(self.entries, counts)
        entries = (*self.entries, entry)
        if len(entries) > ENTRIES_MAX:
            least = min(entries, key=lambda each: energy(each, counts))
            entries = tuple(each for each in entries if each is not least)
        return Corpus(entries, counts)

    @property
    def energies(self) -> tuple[float, ...]:
        """How often each entry deserves to be built on, in proportion."""
        return tuple(energy(entry, self.counts) for entry in self.entries)


def energy(entry: Entry, counts: Mapping[str, int]) -> float:
    """How rare is what an entry covers: one for each cell that no other run has covered.

    The less often a place was visited, the more effort goes there (Böhme, Pham, Roychoudhury:
    Coverage-based greybox fuzzing as Markov chain, 2016).
    """
    return sum(1 / counts[name] for name in entry.covered)
