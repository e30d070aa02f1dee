"""When faults strike and orphans land in one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from harness.schedule.choices import OPERATION, ORPHAN, Option

#: For which share of a run a fault waits for a boundary at most.
WAITS_SHARE = 1 / 8
#: The operations after which something is durable, or known to somebody else.
_BOUNDARIES = ("fsync ", "sync ", "commit", "put ", "rename ", "delete ", "publish", "answer ")


def is_boundary(option: Option) -> bool:
    """Whether this makes state durable, acknowledges or publishes it."""
    return option.kind == OPERATION and option.label.partition(": ")[2].startswith(_BOUNDARIES)


def misfortune(
    rng: Random, steps: int, chance: float
) -> Callable[[Sequence[Option], Sequence[int], int], int | None]:
    """When faults strike and orphans land in one run: which of the optional options, if any.

    With ``chance`` there is a fault, with half of it again another one; each has its step drawn
    evenly over a run. In half of the runs it then waits until something is under way that makes
    state durable or public, because that is where crash bugs are (Mohan et al., 'Finding
    crash-consistency bugs with bounded black-box crash testing', OSDI 2018). An orphan lands with
    a chance drawn for the run, or else it would never be overtaken by the incarnation that
    follows, which is what makes it dangerous.
    """
    strikes: list[int] = []
    while rng.random() < chance:
        strikes.append(rng.randrange(1, steps + 1))
        chance /= 2
    strikes.sort()
    lands = rng.choice((0.02, 0.1, 0.5))
    waits = rng.choice((0, int(steps * WAITS_SHARE)))

    def strike(options: Sequence[Option], optional: Sequence[int], step: int) -> int | None:
        orphans = [index for index in optional if options[index].kind == ORPHAN]
        due = strikes and step >= strikes[0] and len(orphans) < len(optional)
        if due and (step >= strikes[0] + waits or any(map(is_boundary, options))):
            del strikes[0]
            faults = [index for index in optional if options[index].kind != ORPHAN]
            return faults[int(rng.random() * len(faults))]
        if orphans and rng.random() < lands:
            return orphans[int(rng.random() * len(orphans))]
        return None

    return strike
