"""``python -m tests.benchmarks.workers``: two workers, twice the schedules, the same findings.

Every scenario is searched by one worker and by several, with the same seed and without an end
before its schedules; what they ran and what they found must be the same, however fast they were.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import dataclass, replace

from harness.campaign import Plan
from harness.doors.gate import Result
from harness.doors.passage import search
from harness.engine import campaign
from harness.scenario import Scenario
from harness.statistics import Statistics
from scenarios.incidents import INCIDENTS
from scenarios.paradex import paradex
from tests.benchmarks.table import say

#: By name, what can be searched; the incident is the longest of them.
STORIES = {each.name: each for each in (paradex, *(each.scenario for each in INCIDENTS))}


@dataclass(frozen=True, slots=True)
class Compared:
    """What one worker and several made of one scenario."""

    alone: Result
    together: Result

    @property
    def same(self) -> bool:
        """Whether they ran the same schedules and found the same, in the same words."""
        return essence(self.alone) == essence(self.together)

    @property
    def ratio(self) -> float:
        """How many schedules a second several run for each of one."""
        return rate(self.together.statistics) / rate(self.alone.statistics)

    def __str__(self) -> str:
        found = len(self.alone.findings)
        verdict = "the same" if self.same else "DIFFERENT"
        return (
            f"{self.alone.scenario:<26}{self.alone.statistics.schedules:>10,}"
            f"{rate(self.alone.statistics):>10,.1f}{rate(self.together.statistics):>10,.1f}"
            f"{self.ratio:>7.2f}{found:>6}  {verdict}"
        )


def rate(statistics: Statistics) -> float:
    """Schedules a second."""
    return statistics.schedules / statistics.seconds


def essence(result: Result) -> tuple[object, ...]:
    """What must not depend on the workers: all but how long it took."""
    findings = [
        (each.token, each.digest, each.schedule_number, each.strategy, each.violations)
        for each in result.findings
    ]
    return replace(result.statistics, seconds=0.0), findings, result.ended_by, result.outcome


def compared(scenario: Scenario, plan: Plan, jobs: int) -> Compared:
    """The same search with one worker and with several, in folders of their own."""
    results = []
    for number in (1, jobs):
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            results.append(search(scenario, plan, jobs=number))
    return Compared(*results)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 when something was not the same."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.workers")
    parser.add_argument("--scenarios", nargs="+", choices=STORIES, default=list(STORIES))
    parser.add_argument("--schedules", type=int, default=600, help="of each scenario (600)")
    parser.add_argument("--jobs", type=int, default=2, help="compared with one worker (2)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--guards", default="none", help="none, all, or names")
    options = parser.parse_args(arguments)
    say(f"{'':<26}{'schedules':>10}{'1 job':>10}{f'{options.jobs} jobs':>10}{'ratio':>7} found")
    every: list[Compared] = []
    with campaign():
        for name in options.scenarios:
            plan = Plan(
                seed=options.seed,
                schedules=options.schedules,
                keep_going=True,
                shrink_budget=0,
                variant=STORIES[name].variant(guards=options.guards),
            )
            every.append(compared(STORIES[name], plan, options.jobs))
            say(str(every[-1]))
    mean = math.exp(sum(math.log(each.ratio) for each in every) / len(every))
    same = sum(each.same for each in every)
    say(f"{same} of {len(every)} the same; {mean:.2f} x the schedules/s, geometric mean")
    return 0 if same == len(every) else 1


if __name__ == "__main__":
    sys.exit(main())
