"""Strategies that try everything of one kind: no fault at all, or one fault at every step."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from harness.schedule.choices import Chooser, Option
from harness.schedule.strategies.protocol import Seen, choose_first, spread


def fifo(number: int, rng: Random, seen: Seen) -> Chooser | None:
    """The one run in which everything happens in the order in which it became possible."""
    return choose_first if number == 0 else None


def sweep(number: int, rng: Random, seen: Seen) -> Chooser | None:
    """First-in-first-out with one fault, at every step where it can strike, coarse to fine."""
    count = len(seen.profile.fault_points)
    if number >= count:
        return None
    at_step, choice = seen.profile.fault_points[spread(number, count)]

    def choose(options: Sequence[Option], step: int) -> int:
        return choice if step == at_step and choice < len(options) else 0

    return choose
