"""Delay-bounded search: first-in-first-out, but for a few delays, all of them in turn.

Emmi, Qadeer and Rakamaric, 'Delay-bounded scheduling', POPL 2011: most bugs need few delays of a
deterministic scheduler, and with a bound there are few schedules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from math import comb
from random import Random

from harness.schedule.choices import Chooser, Option
from harness.schedule.strategies.protocol import Seen, Strategy, spread


def delay(bound: int) -> Strategy:
    """Every schedule with at most ``bound`` delays, those with fewer of them first.

    A delay puts whoever is first at one choice point behind all others, the clock included, and
    there it stays until only it can go; two delays at the same point put two there. Points are
    counted in the first-in-first-out run: where a delay has opened more of them, or fewer, the
    count goes on as far as it can. Faults are not delays.
    """

    def strategy(number: int, rng: Random, seen: Seen) -> Chooser | None:
        points = len(seen.profile.widths)
        for total in range(1, bound + 1):
            count = _count(points, total)
            if number < count:
                return _delaying(_positions(spread(number, count), total, points))
            number -= count
        return None

    return strategy


def whole_levels(seen: Seen, bound: int, *, count_max: int) -> int:
    """How many schedules have up to so many delays, ``bound`` at most, and are few enough."""
    counts = [_count(len(seen.profile.widths), total) for total in range(1, bound + 1)]
    return max(whole for whole in accumulate(counts, initial=0) if whole <= count_max)


def _count(points: int, total: int) -> int:
    """How many schedules have ``total`` delays at these points."""
    return comb(points + total - 1, total)


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
    #: Whom a delay has put behind all others, and since when.
    delayed: dict[str, int] = {}

    def choose(options: Sequence[Option], step: int) -> int:
        nonlocal point
        order = [index for index, option in enumerate(options) if not option.optional]
        if not order:
            return 0
        wanted = 0
        if len(order) > 1:
            point += 1
            order.sort(key=lambda index: delayed.get(options[index].actor, 0))
            wanted = delays.get(point, 0) if delays.get(point, 0) < len(order) else 0
        for passed in order[:wanted]:
            delayed[options[passed].actor] = step
        taken = order[wanted]
        delayed.pop(options[taken].actor, None)
        return taken

    return choose
