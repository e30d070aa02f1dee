"""The uniform random walk, and the restriction of any walk to real trio's lockstep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from harness.schedule.choices import Chooser, Moves, Option
from harness.schedule.strategies.misfortune import misfortune
from harness.schedule.strategies.protocol import Seen, Strategy, split_kinds

#: Picks one of the options at these positions, all of which have to happen sooner or later.
Pick = Callable[[Sequence[Option], Sequence[int]], int]


def wander(rng: Random, seen: Seen, pick: Pick) -> Chooser:
    """A walk that picks among tasks and arrivals, sometimes the clock, and few faults a run.

    Uniform choice over all options would let the many sleepers drown the few who can run, and
    would spend every fault in the first steps. So time passes with a chance drawn for the run,
    and so do the faults.
    """
    patience = rng.choice((0.02, 0.1, 0.3))
    nearest = rng.random() < 0.5
    strike = misfortune(rng, seen.steps, 0.7)

    def choose(options: Sequence[Option], step: int) -> int:
        if type(options) is Moves:
            return pick(options, range(len(options)))
        moves, timers, optional = split_kinds(options)
        if optional and (struck := strike(options, optional, step)) is not None:
            return struck
        if timers and (not moves or rng.random() < patience):
            return timers[0] if nearest else timers[int(rng.random() * len(timers))]
        return pick(options, moves) if moves else 0

    return choose


def uniform(number: int, rng: Random, seen: Seen) -> Chooser | None:
    """A random walk: at every step any task or arrival, each with the same chance."""
    return wander(rng, seen, lambda options, moves: moves[int(rng.random() * len(moves))])


def batch_legal(strategy: Strategy) -> Strategy:
    """The same strategy, kept to the orders that real trio's lockstep allows inside a lane."""

    def restricted(number: int, rng: Random, seen: Seen) -> Chooser | None:
        inner = strategy(number, rng, seen)
        if inner is None:
            return None

        def choose(options: Sequence[Option], step: int) -> int:
            legal = [option for option in options if option.batch_legal]
            if len(legal) == len(options):
                return inner(options, step)
            if not legal:
                return 0
            taken = inner(Moves(legal) if type(options) is Moves else legal, step)
            return options.index(legal[taken])

        return choose

    return restricted
