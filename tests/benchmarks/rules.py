"""``python -m tests.benchmarks.rules``: how much slower a run is with all rules than with none.

With none means without the judge's clean copy of the exchange, too. Then the cost of each rule on
its own, as a part of the run without any.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from unittest.mock import patch

from harness.engine import Run, campaign, execute
from harness.invariants import Invariant, Judge
from harness.scenario import Scenario
from harness.schedule.strategies.portfolio import STRATEGIES
from harness.schedule.strategies.protocol import Seen
from harness.world.world import World
from scenarios import records
from scenarios.clearing import pools
from scenarios.paradex import paradex
from scenarios.rules.view import Wronged
from scenarios.shadow import Shadow
from scenarios.whole_exchange import whole_exchange
from target_stub.chain import Block
from target_stub.core import Liquidated
from target_stub.ports import Row as MarketRow
from tests.benchmarks.table import Row, median, ratio, say, seconds, side_by_side

RATIO_MAX = 2.0
SCENARIOS = (paradex, whole_exchange, pools)


class Blind(Shadow):
    """A clean copy that is never asked and never kept."""

    def follow(self, block: Block) -> None:
        """Nobody will ask."""

    def explains(self, symbol: str, row: MarketRow) -> bool:
        """Everything is right."""
        return True

    def judge(self, event: Liquidated, *, step: int, at_ms: int) -> Wronged | None:
        """Nobody is wronged."""


class Choosy(Judge):
    """A judge who hears of some rules only."""

    def __init__(self, wanted: Callable[[str], bool]) -> None:
        super().__init__()
        self.wanted = wanted

    def add(self, invariant: Invariant) -> None:
        """Forget it, unless it is wanted."""
        if self.wanted(invariant.name):
            super().add(invariant)


def judged_by(scenario: Scenario, wanted: Callable[[str], bool]) -> Scenario:
    """The same story, judged by the rules whose names are wanted."""

    async def story(world: World) -> None:
        world.judge = Choosy(wanted)
        await scenario.story(world)

    return replace(scenario, story=story)


def run_once(scenario: Scenario, number: int, *, blind: bool = False) -> Run:
    """One random schedule, with all guards, so that every rule is in force."""
    chooser = STRATEGIES["random"](number, random.Random(number), Seen(1_000))
    assert chooser is not None
    variant = scenario.variant(guards="all" if scenario.guards else None, bug="none")
    with patch.object(records, "Shadow", Blind if blind else Shadow):
        return execute(scenario, seed=0, choose=chooser, variant=variant)


def spent(scenario: Scenario, runs: int, *, blind: bool = False) -> float:
    """Seconds of processor time for some schedules, the same ones every time."""

    def work() -> None:
        for number in range(runs):
            run_once(scenario, number, blind=blind)

    return seconds(work)


def rows(scenario: Scenario, *, quick: bool) -> Iterator[Row]:
    """All rules against none, then each rule on its own."""
    runs, repeats = (1, 1) if quick else (2, 5)
    # The first time prices are computed that are kept for all others.
    warm = [run_once(scenario, number) for number in range(runs)]
    names = tuple(warm[0].judged)
    none = judged_by(scenario, lambda name: False)
    subjects = {
        "no rules": partial(spent, none, runs, blind=True),
        "all rules": partial(spent, scenario, runs),
        "the clean copy alone": partial(spent, none, runs),
    }
    subjects |= {name: partial(spent, judged_by(scenario, name.__eq__), runs) for name in names}
    took = side_by_side(subjects, repeats)
    for name, figures in took.items():
        of = took["no rules"] if name in subjects and name not in names else None
        compared = ratio(figures, of or took["the clean copy alone"])
        target = f"< {RATIO_MAX:g} x" if name == "all rules" else ""
        figure = f"{median(figures) / runs * 1000:.1f} ms"
        yield Row(name[:31], figure, f"{compared:.2f} x", target, compared < RATIO_MAX)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.rules", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one repeat only: a smoke test")
    quick = parser.parse_args().quick
    with campaign():
        for scenario in SCENARIOS:
            say(f"\n{scenario.name} ".ljust(80, "-"))
            for row in rows(scenario, quick=quick):
                say(str(row))


if __name__ == "__main__":
    main()
