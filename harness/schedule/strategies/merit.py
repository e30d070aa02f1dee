"""Which strategy deserves more runs: the one whose runs show something new most often, of late.

The simplest of bandits: some runs go to the best so far, all others keep exploring in turn. What a
strategy showed long ago fades, because it may have shown all it can (Garivier and Moulines, 'On
upper-confidence bound policies for switching bandit problems', ALT 2011, discount for that reason).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

#: How much what was learned before a generation counts after it.
FADING = 0.5


@dataclass(frozen=True, slots=True)
class Merit:
    """How many runs a strategy had, and how many of them showed something new; both fade."""

    runs: float = 0.0
    news: float = 0.0

    @property
    def rate(self) -> float:
        """The share of runs with news; a few lucky ones are not taken for many."""
        return self.news / (self.runs + 1)

    def after(self, *, new: bool) -> Merit:
        """What is known when one more run is done."""
        return Merit(self.runs + 1, self.news + new)

    @property
    def faded(self) -> Merit:
        """What is left of it when a generation is over."""
        return Merit(self.runs * FADING, self.news * FADING)


def favourite(names: Iterable[str], merits: Mapping[str, Merit]) -> str:
    """Whose runs show something new most often, the first of equals; empty if nobody's do."""
    best, most = "", 0.0
    for name in names:
        if name in merits and merits[name].rate > most:
            best, most = name, merits[name].rate
    return best
