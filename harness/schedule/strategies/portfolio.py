"""All strategies by name, and how a campaign takes turns among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from harness.errors import UsageError, closest
from harness.history import derive_seed
from harness.schedule.choices import Chooser
from harness.schedule.strategies.delay import delay, whole_levels
from harness.schedule.strategies.guided import guided
from harness.schedule.strategies.merit import favourite
from harness.schedule.strategies.pct import pct
from harness.schedule.strategies.pos import pos
from harness.schedule.strategies.protocol import Seen, Strategy
from harness.schedule.strategies.surw import surw
from harness.schedule.strategies.sweep import fifo, sweep, sweep_twice
from harness.schedule.strategies.walks import batch_legal, uniform

#: The strategies by name.
STRATEGIES: Mapping[str, Strategy] = {
    "fifo": fifo,
    "sweep": sweep,
    "sweep(2)": sweep_twice,
    "random": uniform,
    "pos": pos,
    "surw": surw,
    "guided": guided,
    **{f"delay({bound})": delay(bound) for bound in range(1, 4)},
    **{f"pct({depth})": pct(depth) for depth in range(2, 11)},
}
#: Those that come to an end by themselves.
FINITE = ("fifo", "sweep", "sweep(2)", *(name for name in STRATEGIES if name.startswith("delay(")))
#: What takes turns by default, until each has no more to try. Half of it goes by what steps touch;
#: the rest is for programs that do not say so, for faults alone, and for what covers something new.
PORTFOLIO = (
    "fifo",
    "surw",
    "pos",
    "sweep",
    "surw",
    "random",
    "pos",
    "surw",
    "pct(3)",
    "sweep",
    "delay(2)",
    "surw",
    "pos",
    "guided",
    "surw",
    "pct(10)",
)
#: Walks every second of which is kept to the lockstep of real trio. The others promise something
#: about all orders, which they could not keep under a restriction.
LOCKSTEP = ("random", "pct")
#: What comes before the rotation if no fault can strike, as far as it is few runs.
SYSTEMATIC, SYSTEMATIC_MAX = "delay(2)", 10
#: One run in so many is given to the strategy that showed most of late.
FAVOURED_SHARE = 3


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
            raise _unknown(part)
    return tuple(names)


def _unknown(part: str) -> UsageError:
    """The error for a strategy that there is not; of a family it names the first and the last."""
    family = part.partition("(")[0]
    members = [name for name in STRATEGIES if name.startswith(f"{family}(")]
    if "(" in part and members:
        which = " to ".join(dict.fromkeys((members[0], members[-1])))
        return UsageError(f"unknown strategy {part!r}; there is {which}")
    return closest(part, (*STRATEGIES, "pct", "portfolio"), kind="strategy")


class Rotation:
    """Turns a list of strategies into one run after the other; some of them batch-legal.

    The first run is first-in-first-out whatever the list says: what it shows (how long a run is,
    where faults can strike, who touches what) is what all others begin with.
    """

    def __init__(self, names: Sequence[str], *, seed: int) -> None:
        self.names = list(names)
        self.seed = seed
        self._turn = 0
        self._count: dict[str, int] = {}

    def next(self, seen: Seen) -> tuple[str, Chooser] | None:
        """The next run: its strategy's name and chooser; nothing when all are exhausted."""
        while self.names:
            early = self._out_of_turn(seen)
            name = early or self.names[self._turn % len(self.names)]
            number = self._count.get(name, 0)
            rng = Random(derive_seed(self.seed, name, number))
            walk = name.startswith(LOCKSTEP) and number % 2 == 1
            strategy = batch_legal(STRATEGIES[name]) if walk else STRATEGIES[name]
            chooser = strategy(number, rng, seen)
            if chooser is None:
                self.names = [other for other in self.names if other != name]
                continue
            self._count[name] = number + 1
            self._turn += not early
            return (f"{name}, batch-legal" if walk else name), chooser
        return None

    def _out_of_turn(self, seen: Seen) -> str:
        """Who goes first whosever turn it is; empty if nobody does."""
        if not self._count:
            return "fifo"
        if SYSTEMATIC in self.names and not seen.profile.fault_points:
            few = whole_levels(seen, 2, count_max=SYSTEMATIC_MAX)
            if self._count.get(SYSTEMATIC, 0) < few:
                return SYSTEMATIC
        favoured = sum(self._count.values()) % FAVOURED_SHARE == 0
        return favourite(dict.fromkeys(self.names), seen.merits) if favoured else ""
