"""All strategies by name, and how a campaign takes turns among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from harness.errors import closest
from harness.history import derive_seed
from harness.schedule.choices import Chooser
from harness.schedule.strategies.delay import delay
from harness.schedule.strategies.guided import guided
from harness.schedule.strategies.pct import pct
from harness.schedule.strategies.pos import pos
from harness.schedule.strategies.protocol import Seen, Strategy
from harness.schedule.strategies.surw import surw
from harness.schedule.strategies.sweep import fifo, sweep
from harness.schedule.strategies.walks import batch_legal, uniform

#: The strategies by name.
STRATEGIES: Mapping[str, Strategy] = {
    "fifo": fifo,
    "sweep": sweep,
    "random": uniform,
    "pos": pos,
    "surw": surw,
    "guided": guided,
    **{f"delay({bound})": delay(bound) for bound in range(1, 4)},
    **{f"pct({depth})": pct(depth) for depth in range(2, 11)},
}
#: What runs by default: first-in-first-out, then these in turn until each has no more to try.
PORTFOLIO = (
    "fifo",
    "sweep",
    "surw",
    "random",
    "pct(3)",
    "surw",
    "sweep",
    "delay(2)",
    "random",
    "pos",
    "surw",
    "pct(2)",
    "random",
    "pct(5)",
)
#: Walks every second of which is kept to the lockstep of real trio. The others promise something
#: about all orders, which they could not keep under a restriction.
LOCKSTEP = ("random", "pct")
#: What learns from the first-in-first-out run and therefore comes after it.
LEARNERS = ("sweep", "surw", "delay")


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
    """Turns a list of strategies into one run after the other; some of them batch-legal."""

    def __init__(self, names: Sequence[str], *, seed: int) -> None:
        self.names = list(names)
        learner = next((i for i, name in enumerate(names) if name.startswith(LEARNERS)), None)
        if learner is not None and "fifo" not in self.names[:learner]:
            self.names.insert(0, "fifo")
        self.seed = seed
        self._turn = 0
        self._count: dict[str, int] = {}

    def next(self, seen: Seen) -> tuple[str, Chooser] | None:
        """The next run: its strategy's name and chooser; nothing when all are exhausted."""
        while self.names:
            name = self.names[self._turn % len(self.names)]
            number = self._count.get(name, 0)
            rng = Random(derive_seed(self.seed, name, number))
            walk = name.startswith(LOCKSTEP) and number % 2 == 1
            strategy = batch_legal(STRATEGIES[name]) if walk else STRATEGIES[name]
            chooser = strategy(number, rng, seen)
            if chooser is None:
                self.names = [other for other in self.names if other != name]
                continue
            self._count[name] = number + 1
            self._turn += 1
            return (f"{name}, batch-legal" if walk else name), chooser
        return None
