"""Strategies: who decides the next choice, each a small pure function.

A strategy is given the number of the run, a generator of its own and what the campaign has seen so
far, and returns the chooser of that run, or nothing when it has no more to try. The run it makes
is a pure function of the choices that were recorded, never of the strategy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from harness.errors import closest
from harness.history import derive_seed
from harness.schedule.choices import ORPHAN, TIMER, Chooser, Option


@dataclass(frozen=True, slots=True)
class Seen:
    """What the runs so far have shown: the longest, and where faults could strike under FIFO."""

    steps: int = 100
    fault_points: tuple[tuple[int, int], ...] = ()


Strategy = Callable[[int, Random, Seen], Chooser | None]


def choose_first(options: Sequence[Option], step: int) -> int:
    """First in, first out."""
    return 0


def fifo(number: int, rng: Random, seen: Seen) -> Chooser | None:
    """The one run in which everything happens in the order in which it became possible."""
    return choose_first if number == 0 else None


def sweep(number: int, rng: Random, seen: Seen) -> Chooser | None:
    """First-in-first-out with one fault, at every step where it can strike, coarse to fine."""
    count = len(seen.fault_points)
    if number >= count:
        return None
    at_step, choice = seen.fault_points[spread(number, count)]

    def choose(options: Sequence[Option], step: int) -> int:
        return choice if step == at_step and choice < len(options) else 0

    return choose


def spread(number: int, count: int) -> int:
    """The ``number``-th of ``count`` positions, visited once each, far apart first.

    A stride near the golden ratio, coprime to ``count``: every prefix is spread evenly.
    """
    stride = max(1, round(count * 0.6180339887498949))
    while _common_divisor(stride, count) != 1:
        stride += 1
    return number * stride % count


def _common_divisor(first: int, second: int) -> int:
    while second:
        first, second = second, first % second
    return first


def uniform(number: int, rng: Random, seen: Seen) -> Chooser | None:
    """A random walk: at every step any task or arrival, sometimes the clock, few faults a run.

    Uniform choice over all options would let the many sleepers drown the few who can run, and
    would spend every fault in the first steps. So time passes with a chance drawn for the run,
    and so do the faults.
    """
    patience = rng.choice((0.02, 0.1, 0.3))
    nearest = rng.random() < 0.5
    strike = _misfortune(rng, seen.steps, 0.7)

    def choose(options: Sequence[Option], step: int) -> int:
        moves, timers, optional = _split(options)
        if optional and (struck := strike(options, optional, step)) is not None:
            return struck
        if timers and (not moves or rng.random() < patience):
            return timers[0] if nearest else timers[int(rng.random() * len(timers))]
        return moves[int(rng.random() * len(moves))] if moves else 0

    return choose


def _misfortune(
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


def _split(options: Sequence[Option]) -> tuple[list[int], list[int], list[int]]:
    """The positions of what can move, of what waits for the clock, and of what is optional."""
    moves: list[int] = []
    timers: list[int] = []
    optional: list[int] = []
    for index, option in enumerate(options):
        kind = option.kind
        if kind == TIMER:
            timers.append(index)
        elif option.optional:
            optional.append(index)
        else:
            moves.append(index)
    return moves, timers, optional


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
        strike = _misfortune(rng, horizon, 0.5)
        priorities: dict[str, float] = {}
        frozen: dict[str, int] = {}

        def priority(actor: str) -> float:
            if actor not in priorities:
                priorities[actor] = rng.random()
            return priorities[actor]

        def choose(options: Sequence[Option], step: int) -> int:
            moves, timers, optional = _split(options)
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


def batch_legal(strategy: Strategy) -> Strategy:
    """The same strategy, kept to the orders that real trio's lockstep allows inside a lane."""

    def restricted(number: int, rng: Random, seen: Seen) -> Chooser | None:
        inner = strategy(number, rng, seen)
        if inner is None:
            return None

        def choose(options: Sequence[Option], step: int) -> int:
            legal = [index for index, option in enumerate(options) if option.batch_legal]
            if len(legal) == len(options):
                return inner(options, step)
            return legal[inner([options[index] for index in legal], step)] if legal else 0

        return choose

    return restricted


#: The strategies by name.
STRATEGIES: Mapping[str, Strategy] = {
    "fifo": fifo,
    "sweep": sweep,
    "random": uniform,
    **{f"pct({depth})": pct(depth) for depth in range(2, 11)},
}
#: What runs by default: first-in-first-out, then these in turn until each has no more to try.
PORTFOLIO = ("fifo", "sweep", "pct(2)", "random", "pct(3)", "sweep", "pct(5)", "random")


def parse_names(text: str) -> tuple[str, ...]:
    """The strategies that a comma list names; ``portfolio`` is the default, ``pct`` is pct(3)."""
    names: list[str] = []
    for part in (piece.strip() for piece in text.split(",")):
        if part == "portfolio":
            names += PORTFOLIO
        elif part == "pct":
            names.append("pct(3)")
        elif part in STRATEGIES:
            names.append(part)
        else:
            raise closest(part, (*STRATEGIES, "pct", "portfolio"), kind="strategy")
    return tuple(names)


class Rotation:
    """Turns a list of strategies into one run after the other; every second walk is batch-legal."""

    def __init__(self, names: Sequence[str], *, seed: int) -> None:
        self.names = list(names)
        if "sweep" in names and "fifo" not in self.names[: self.names.index("sweep")]:
            self.names.insert(0, "fifo")  # from which sweep learns where faults can strike
        self.seed = seed
        self._turn = 0
        self._count: dict[str, int] = {}

    def next(self, seen: Seen) -> tuple[str, Chooser] | None:
        """The next run: its strategy's name and chooser; nothing when all are exhausted."""
        while self.names:
            name = self.names[self._turn % len(self.names)]
            number = self._count.get(name, 0)
            rng = Random(derive_seed(self.seed, name, number))
            walk = name not in ("fifo", "sweep") and number % 2 == 1
            strategy = batch_legal(STRATEGIES[name]) if walk else STRATEGIES[name]
            chooser = strategy(number, rng, seen)
            if chooser is None:
                self.names = [other for other in self.names if other != name]
                continue
            self._count[name] = number + 1
            self._turn += 1
            return (f"{name}, batch-legal" if walk else name), chooser
        return None
