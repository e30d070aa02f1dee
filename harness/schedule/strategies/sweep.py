"""Strategies that try everything of one kind: no fault at all, or one fault at every step."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from harness.schedule.choices import Chooser, Option
from harness.schedule.strategies.protocol import Seen, choose_first, spread

#: How many steps of a recovery pass before it is struck, one run after the other: most recoveries
#: are short, and the first steps of all are where most of them read what is durable.
PATIENCE = (0, 1, 2, 3, 5, 8, 13, 21, 34)


def fifo(number: int, rng: Random, seen: Seen) -> Chooser | None:
    """The one run in which everything happens in the order in which it became possible."""
    return choose_first if number == 0 else None


def sweep(number: int, rng: Random, seen: Seen) -> Chooser | None:
    """First-in-first-out with one fault, at every step where it can strike, coarse to fine."""
    point = _point(number, seen)
    if point is None:
        return None
    at_step, choice = point

    def choose(options: Sequence[Option], step: int) -> int:
        return choice if step == at_step and choice < len(options) else 0

    return choose


def sweep_twice(number: int, rng: Random, seen: Seen) -> Chooser | None:
    """The sweep, and something that only the fault made possible, later and later in its wake.

    That is a crash of the recovery, or an operation of the dead that still takes effect. Where
    nothing of that kind comes in time, another fault strikes.
    """
    point = _point(number, seen)
    if point is None:
        return None
    at_step, choice = point
    wait = PATIENCE[number % len(PATIENCE)]
    before: set[str] = set()
    struck = False

    def choose(options: Sequence[Option], step: int) -> int:
        nonlocal wait, struck
        if step == at_step and choice < len(options):
            before.update(option.label for option in options if option.optional)
            return choice
        if step <= at_step or struck:
            return 0
        optional = [index for index, option in enumerate(options) if option.optional]
        new = [index for index in optional if options[index].label not in before]
        if optional and wait <= 0 and (new or wait <= -PATIENCE[-1]):
            struck = True
            chosen = new or optional
            return chosen[number // len(PATIENCE) % len(chosen)]
        wait -= 1
        return 0

    return choose


def _point(number: int, seen: Seen) -> tuple[int, int] | None:
    """The step and the choice of a fault; nothing when every one has had its turn."""
    points = seen.profile.fault_points
    return points[spread(number, len(points))] if number < len(points) else None
