"""When faults strike and orphans land in one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from harness.schedule.choices import ORPHAN, Option

#: For which share of a run a fault waits for a boundary at most.
WAITS_SHARE = 1 / 8


def misfortune(
    rng: Random, steps: int, chance: float
) -> Callable[[Sequence[Option], Sequence[int], int], int | None]:
    """When faults strike and orphans land in one run: which of the optional options, if any.

    With ``chance`` there is a fault, with half of it again another one; each has its step drawn
    evenly over a run. In half of the runs it then waits until something is under way that makes
    state durable or public, because that is where crash bugs are (Mohan et al., 'Finding
    crash-consistency bugs with bounded black-box crash testing', OSDI 2018).

    An orphan lands with a chance drawn for the run, or else it would never be overtaken by the
    incarnation that follows, which is what makes it dangerous. In half of the runs that is only
    while something is under way with which it conflicts: to land earlier, after what was there
    before, comes to the same.
    """
    strikes: list[int] = []
    while rng.random() < chance:
        strikes.append(rng.randrange(1, steps + 1))
        chance /= 2
    strikes.sort()
    lands = rng.choice((0.02, 0.1, 0.5))
    waits = rng.choice((0, int(steps * WAITS_SHARE)))
    overtakes = rng.random() < 0.5

    def strike(options: Sequence[Option], optional: Sequence[int], step: int) -> int | None:
        orphans = [index for index in optional if options[index].kind == ORPHAN]
        due = strikes and step >= strikes[0] and len(orphans) < len(optional)
        if due and (step >= strikes[0] + waits or any(map(_is_boundary, options))):
            del strikes[0]
            faults = [index for index in optional if options[index].kind != ORPHAN]
            return faults[int(rng.random() * len(faults))]
        if overtakes:
            orphans = [index for index in orphans if _is_contested(options[index], options)]
        if orphans and rng.random() < lands:
            return orphans[int(rng.random() * len(orphans))]
        return None

    return strike


def _is_boundary(option: Option) -> bool:
    """Whether this makes something durable or public, and surely takes effect."""
    return option.boundary and not option.optional


def _is_contested(orphan: Option, options: Sequence[Option]) -> bool:
    """Whether somebody is about to touch what the orphan will change."""
    return any(
        not option.optional and option.footprint.conflicts(orphan.footprint) for option in options
    )
