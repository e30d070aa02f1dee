"""What a search has not seen, by runs that are drawn at random and not by the search.

A random run goes to one of the options that the bound allows, each as likely as the others. How
many of such runs are in an order that the search has made estimates how much of what a random
walk meets was seen; the interval is Wilson's (JASA 22, 1927). The product of the numbers of its
options estimates how many runs there are without any reduction, by Knuth's method (*Estimating
the efficiency of backtrack programs*, Mathematics of Computation 29, 1975).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from harness.history import derive_seed
from harness.proof.errands import CUT, Errand, observe
from harness.proof.explorer import Explorer
from harness.proof.happening import Happening

#: How many runs are drawn at most.
PROBES = 200
#: Of a normal distribution, how far 95 % lie on both sides.
_Z = 1.96


@dataclass(frozen=True, slots=True)
class Probes:
    """What random runs say: how many of them, how many in an order that was not seen.

    ``widths`` are their estimates of the number of all runs without reduction.
    """

    drawn: int = 0
    unseen: int = 0
    widths: tuple[int, ...] = ()

    @property
    def share(self) -> float:
        """The estimated share of unseen orders, as a random walk meets them."""
        return self.unseen / self.drawn if self.drawn else 1.0

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the share."""
        if not self.drawn:
            return 0.0, 1.0
        n, share = self.drawn, self.share
        middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        half = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
        # At a share of 0 or 1 the bound is that share, but for the last digit of a float.
        return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))

    @property
    def all_runs(self) -> int:
        """The estimated number of all runs without reduction."""
        return sum(self.widths) // len(self.widths) if self.widths else 0


def probe(
    explorer: Explorer, *, probes: int = PROBES, ended: Callable[[], bool] = lambda: False
) -> Probes:
    """Draw random runs, at least one and until ``ended()``, and look how many were not seen."""
    subject, vocabulary = explorer.subject, explorer.vocabulary
    unseen, widths = 0, list[int]()
    for number in range(probes):
        draw = random.Random(derive_seed(subject.seed, "probe", number))
        seen = observe(subject, Errand(), vocabulary, draw=draw, past_violations=True)
        happening = Happening(
            (),
            seen.steps,
            vocabulary,
            could=seen.could,
            ended=True,
            end_matters=explorer.end_matters or seen.end_matters,
        )
        unseen += seen.ending == CUT or happening.form not in explorer.forms
        widths.append(seen.width)
        if ended():
            break
    return Probes(len(widths), unseen, tuple(widths))


def count_all(explorer: Explorer, *, runs_max: int) -> int | None:
    """The exact number of runs without reduction, by making them; nothing if there are more."""
    subject, vocabulary, runs = explorer.subject, explorer.vocabulary, 0
    ahead: list[tuple[tuple[int, ...], tuple[int, ...]]] = [((), ())]
    while ahead:
        prefix, guide = ahead.pop()
        made = observe(subject, Errand(0, prefix, (), guide), vocabulary, past_violations=True)
        runs += 1
        for index, step in enumerate(made.steps):
            if index or not guide:
                others = [process for process, _ in step.could if process != step.process]
                ahead += [(prefix, (process,)) for process in others]
            prefix = (*prefix, step.choice)
        if runs + len(ahead) > runs_max:
            return None
    return runs
