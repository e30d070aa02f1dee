"""``python -m tests.benchmarks.detection``: how many schedules until the incident is found.

Every search starts cold: nothing is known of earlier ones. ``--shrink`` then makes the first
findings of the default search small and says how small.
"""

from __future__ import annotations

import argparse
import statistics
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from harness.engine import Run, campaign, execute
from harness.scenario import Scenario, find
from harness.schedule.strategies.portfolio import Rotation, parse_names
from harness.schedule.strategies.protocol import Lesson, Seen
from harness.shrink import shrink
from harness.trial import last_of_generation
from scenarios import paradex
from tests.benchmarks.table import WIDTH, say

STRATEGIES = ("portfolio", "random", "sweep", "pct(2)", "pct(3)", "pct(5)")


@dataclass(frozen=True, slots=True)
class Search:
    """What one search came to: how many schedules it ran, and the run that broke a rule."""

    seed: int
    schedules: int
    strategy: str = ""
    run: Run | None = None


def search(scenario: Scenario, strategies: str, *, seed: int, schedules: int) -> Search:
    """The schedules that the default search would run, until a rule is broken."""
    rotation, seen = Rotation(parse_names(strategies), seed=seed), Seen()
    lessons: list[Lesson] = []
    for number in range(1, schedules + 1):
        turn = rotation.next(seen)
        if turn is None:
            return Search(seed, number - 1)
        strategy, choose = turn
        run = execute(scenario, seed=seed, choose=choose, profiled=strategy == "fifo")
        if run.violated:
            return Search(seed, number, strategy, run)
        lessons.append(run.lesson(number, strategy))
        if number == last_of_generation(number):
            seen, lessons = seen.after(lessons), []
    return Search(seed, schedules)


def line_of(strategies: str, searches: Sequence[Search], spent_s: float) -> str:
    """One line of the table: how many found it, and after how many schedules."""
    found = [each.schedules for each in searches if each.run is not None]
    figures = f"{'-':>8}{'-':>8}{'-':>8}"
    if found:
        middle, mean = statistics.median(found), statistics.mean(found)
        figures = f"{middle:>8.1f}{mean:>8.1f}{max(found):>8}"
    share = f"{len(found)} of {len(searches)}"
    return f"{strategies:<14}{share:>12}{figures}{spent_s:>10.1f} s"


def breakdown(searches: Sequence[Search]) -> str:
    """Which strategies of a mixture found it, and which rules were broken first."""
    by_strategy: dict[str, int] = {}
    by_rule: dict[str, int] = {}
    for each in searches:
        if each.run is not None:
            rule = each.run.violations[0].invariant
            by_strategy[each.strategy] = by_strategy.get(each.strategy, 0) + 1
            by_rule[rule] = by_rule.get(rule, 0) + 1
    lines: list[str] = []
    for title, counted in (("found by", by_strategy), ("broken first", by_rule)):
        text = "; ".join(f"{name}: {count}" for name, count in sorted(counted.items()))
        lines += textwrap.wrap(f"  {title}  {text or '-'}", WIDTH, subsequent_indent="    ")
    return "\n".join(lines)


def shrunk_lines(searches: Sequence[Search], budget: int) -> list[str]:
    """What becomes of findings: choices and steps before and after, runs and seconds spent."""
    lines = [f"{'seed':>6}{'choices':>16}{'steps':>16}{'runs':>7}{'time':>9}  ended by"]
    for each in searches:
        if each.run is None:
            continue
        started = perf_counter()
        done = shrink(each.run, budget_runs=budget, wall_s=120.0).shrinking
        spent_s = perf_counter() - started
        choices, steps = ("{} -> {}".format(*pair) for pair in (done.choices, done.steps))
        figures = f"{each.seed:>6}{choices:>16}{steps:>16}{done.runs:>7}{spent_s:>7.1f} s"
        lines.append(f"{figures}  {done.ended_by}")
    return lines


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.detection")
    parser.add_argument("--scenario", default="paradex-2026-01-19")
    parser.add_argument("--seeds", type=int, default=50, help="how many searches (50)")
    parser.add_argument("--schedules", type=int, default=200, help="of each search at most (200)")
    parser.add_argument(
        "--strategies", nargs="+", default=STRATEGIES, help="one search for each; commas mix"
    )
    parser.add_argument("--shrink", type=int, default=0, help="how many findings to shrink (0)")
    parser.add_argument("--budget", type=int, default=500, help="runs to shrink one (500)")
    options = parser.parse_args()
    scenario = load(options.scenario)
    say(f"{scenario.name}, {options.seeds} cold starts, {options.schedules} schedules at most")
    say(f"{'strategy':<14}{'found':>12}{'median':>8}{'mean':>8}{'max':>8}{'time':>12}")
    with campaign():
        first: list[Search] = []
        for strategies in options.strategies:
            started = perf_counter()
            searches = [
                search(scenario, strategies, seed=seed, schedules=options.schedules)
                for seed in range(options.seeds)
            ]
            first = first or searches
            say(line_of(strategies, searches, perf_counter() - started))
            say(breakdown(searches))
        chosen = [each for each in first if each.run is not None][: options.shrink]
        if chosen:
            say("\n".join(shrunk_lines(chosen, options.budget)))


def load(name: str) -> Scenario:
    """A built-in scenario by its name."""
    assert paradex  # the import declares it
    return find(name)


if __name__ == "__main__":
    main()
