"""Probabilistic concurrency testing: random priorities and a few preemptions."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from harness.schedule.choices import Chooser, Option
from harness.schedule.strategies.misfortune import misfortune
from harness.schedule.strategies.protocol import Seen, Strategy, split_kinds


def pct(depth: int) -> Strategy:
    """Probabilistic concurrency testing with ``depth - 1`` preemptions (Burckhardt et al. 2010).

    Every actor gets a random priority and the highest one that can move does; at a few random
    steps the one that would move is preempted. Services never end and virtual time feeds them for
    ever, so a preempted actor is frozen for a bounded, random stretch in which even the clock goes
    before it, and then continues with the lowest priority.
    """

    def strategy(number: int, rng: Random, seen: Seen) -> Chooser | None:
        horizon = max(seen.steps, depth + 1)
        changes = sorted(rng.randrange(1, horizon) for _ in range(depth - 1))
        strike = misfortune(rng, horizon, 0.5)
        priorities: dict[str, float] = {}
        frozen: dict[str, int] = {}

        def priority(actor: str) -> float:
            if actor not in priorities:
                priorities[actor] = rng.random()
            return priorities[actor]

        def choose(options: Sequence[Option], step: int) -> int:
            moves, timers, optional = split_kinds(options)
            if optional and (struck := strike(options, optional, step)) is not None:
                return struck
            awake = [i for i in moves if frozen.get(options[i].actor, 0) < step]
            ticking = [i for i in timers if frozen.get(options[i].actor, 0) < step]
            best = max(awake, key=lambda i: priority(options[i].actor), default=-1)
            if best >= 0 and changes and step >= changes[0]:
                changes.pop(0)
                actor = options[best].actor
                frozen[actor] = step + round(4 ** (1 + 4 * rng.random()))
                priorities[actor] = -rng.random()
                awake = [i for i in awake if options[i].actor != actor]
                best = max(awake, key=lambda i: priority(options[i].actor), default=-1)
            if best >= 0:
                return best
            return ticking[0] if ticking else 0

        return choose

    return strategy
