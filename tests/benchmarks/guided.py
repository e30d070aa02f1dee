"""Does coverage help? Schedules to a bug that lies several restarts deep, per strategy.

Run it with ``python -m tests.benchmarks.guided``; it takes about two minutes.
"""

from __future__ import annotations

from harness.engine import campaign
from harness.schedule.strategies.portfolio import STRATEGIES
from tests.benchmarks.table import say
from tests.engine.deep import repairs, schedules_to_bug

SEEDS = range(20, 28)
#: Power cuts that the bug needs, and after how many schedules a strategy gives up.
DEPTHS = {1: 400, 2: 1500, 3: 2500}


def row(depth: int, name: str) -> tuple[str, ...]:
    """How often one strategy finds the bug, and how many schedules that takes on average."""
    most = DEPTHS[depth]
    needed = [schedules_to_bug(STRATEGIES[name], repairs(depth), seed, most=most) for seed in SEEDS]
    found = [count for count in needed if count <= most]
    mean = sum(min(count, most) for count in needed) / len(needed)
    at_least = "" if len(found) == len(needed) else "> "
    return str(depth), name, f"{len(found)} of {len(needed)}", f"{at_least}{mean:,.0f}"


if __name__ == "__main__":
    with campaign():
        rows = [row(depth, name) for depth in DEPTHS for name in ("random", "pct(3)", "guided")]
    for line in (("power cuts", "strategy", "found", "mean schedules"), *rows):
        say("{:<12}{:<10}{:<8}{:>15}".format(*line))
