"""Partial-order sampling: a random priority for every step, drawn anew when it is raced.

Yuan, Yang and Gu, 'Partial order aware concurrency sampling', CAV 2018: what is drawn is nearer to
a partial order than to one of its many linearizations, of which a random walk sees the same few.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from harness.schedule.choices import Chooser, Option
from harness.schedule.strategies.protocol import Seen
from harness.schedule.strategies.walks import wander


def pos(number: int, rng: Random, seen: Seen) -> Chooser | None:
    """The step with the highest priority; it and all that conflict with it then draw again."""
    priorities: dict[str, float] = {}

    def pick(options: Sequence[Option], moves: Sequence[int]) -> int:
        for index in moves:
            priorities.setdefault(options[index].actor, rng.random())
        best = max(moves, key=lambda index: priorities[options[index].actor])
        taken = options[best]
        for index in moves:
            if index == best or options[index].footprint.conflicts(taken.footprint):
                priorities.pop(options[index].actor, None)
        return best

    return wander(rng, seen, pick)
