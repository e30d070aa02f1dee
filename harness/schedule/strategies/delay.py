"""Delay-bounded search: first-in-first-out, but for a few delays, all of them in turn.

Emmi, Qadeer and Rakamaric, 'Delay-bounded scheduling', POPL 2011: most bugs need few delays of a
deterministic scheduler, and with a bound there are few schedules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import comb
from random import Random

from harness.schedule.choices import Chooser, Option
from harness.schedule.strategies.protocol import Seen, Strategy, spread


def delay(bound: int) -> Strategy:
    """Every schedule whose choices add up to at most ``bound``, the smaller sums first.

    A delay passes over what is first-in-first-out at one choice point; two delays at the same
    point pass over two. Points are counted in the first-in-first-out run: where a delay has
    opened more of them, or fewer, the count goes on as far as it can. Faults are not delays.
    """

    def strategy(number: int, rng: Random, seen: Seen) -> Chooser | None:
        points = len(seen.profile.widths)
        for total in range(1, bound + 1):
            count = comb(points + total - 1, total)
            if number < count:
                return _delaying(_positions(spread(number, count), total, points))
            number -= count
        return None

    return strategy


def _positions(rank: int, total: int, points: int) -> list[int]:
    """The ``rank``-th of all non-descending lists of ``total`` positions below ``points``.

    Such a list is a combination when the i-th position is raised by i; combinations are numbered
    by the combinatorial number system.
    """
    positions: list[int] = []
    highest = points + total - 1
    for chosen in range(total, 0, -1):
        while comb(highest, chosen) > rank:
            highest -= 1
        rank -= comb(highest, chosen)
        positions.append(highest - (chosen - 1))
    return positions[::-1]


def _delaying(positions: Sequence[int]) -> Chooser:
    delays = Counter(positions)
    point = -1

    def choose(options: Sequence[Option], step: int) -> int:
        nonlocal point
        width = sum(not option.optional for option in options)
        if width < 2:
            return 0
        point += 1
        wanted = delays.get(point, 0)
        return wanted if wanted < width else 0

    return choose
