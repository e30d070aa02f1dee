"""When faults strike and orphans land in one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from harness.schedule.choices import ORPHAN, Option


def misfortune(
    rng: Random, steps: int, chance: float
) -> Callable[[Sequence[Option], Sequence[int], int], int | None]:
    """When faults strike and orphans land in one run: which of the optional options, if any.

    With ``chance`` there is a fault, with half of it again another one; each has its step drawn
    evenly over the longest run seen. An orphan lands with a chance drawn for the run, or else it
    would never be overtaken by the incarnation that follows, which is what makes it dangerous.
    """
    strikes: list[int] = []
    while rng.random() < chance:
        strikes.append(rng.randrange(1, steps + 1))
        chance /= 2
    strikes.sort()
    lands = rng.choice((0.02, 0.1, 0.5))

    def strike(options: Sequence[Option], optional: Sequence[int], step: int) -> int | None:
        orphans = [index for index in optional if options[index].kind == ORPHAN]
        if strikes and step >= strikes[0] and len(orphans) < len(optional):
            del strikes[0]
            faults = [index for index in optional if options[index].kind != ORPHAN]
            return faults[int(rng.random() * len(faults))]
        if orphans and rng.random() < lands:
            return orphans[int(rng.random() * len(orphans))]
        return None

    return strike
