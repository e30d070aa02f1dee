"""``python -m tests.benchmarks.incidents``: how soon every incident is found, and whether it holds.

Every search starts cold and has the budget of its incident; ``--held`` then runs each set of
guards that is enough for so many schedules and says what was found, which should be nothing.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence

from harness.campaign import Campaign, Plan, explore
from harness.errors import closest
from scenarios.incidents import INCIDENTS
from scenarios.incidents.incident import Incident
from tests.benchmarks.table import say


def search(incident: Incident, guards: Sequence[str], *, seed: int, schedules: int) -> Campaign:
    """A search with default settings, which shrinks nothing."""
    variant = incident.scenario.variant(guards=",".join(guards))
    plan = Plan(seed=seed, schedules=schedules, shrink_budget=0, variant=variant)
    return explore(incident.scenario, plan)


def found_line(incident: Incident, seeds: int) -> str:
    """How many searches found it, and after how many schedules."""
    searches = [
        search(incident, (), seed=seed, schedules=incident.budget) for seed in range(1, seeds + 1)
    ]
    found = sorted(each.statistics.schedules for each in searches if each.findings)
    figures = f"{statistics.median(found):>8.1f}{found[-1]:>6}" if found else f"{'-':>8}{'-':>6}"
    share = f"{len(found)} of {seeds}"
    return f"{incident.scenario.name:<24}{share:>10}{figures}{incident.budget:>8}"


def held_line(incident: Incident, guards: Sequence[str], schedules: int) -> str:
    """What a set of guards that is enough let through, and how much that was put to the test."""
    campaign = search(incident, guards, seed=1, schedules=schedules)
    tried = campaign.statistics
    verdict = campaign.findings[0].token if campaign.findings else "held"
    verdict = "vacuous" if campaign.vacuous else verdict
    share = f"{tried.overlapped_runs} of {tried.schedules}"
    names = " + ".join(guards)
    return f"{incident.scenario.name:<24}{share:>14}  {verdict}\n{'':>4}{names}"


def chosen(names: Sequence[str]) -> list[Incident]:
    """The incidents of these names, or all."""
    known = {incident.scenario.name: incident for incident in INCIDENTS}
    for name in names:
        if name not in known:
            raise closest(name, known, kind="incident")
    return [known[name] for name in names or known]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.incidents")
    parser.add_argument("names", nargs="*", help="scenarios (all of them)")
    parser.add_argument("--seeds", type=int, default=20, help="how many searches of each (20)")
    parser.add_argument("--held", type=int, default=0, help="schedules with enough guards (0)")
    options = parser.parse_args(arguments)
    incidents = chosen(options.names)
    if options.seeds:
        say(f"{'schedules to find it':<24}{'found':>10}{'median':>8}{'max':>6}{'budget':>8}")
        for incident in incidents:
            say(found_line(incident, options.seeds))
    if options.held:
        say(f"{'enough guards':<24}{'overlapped':>14}  verdict")
        for incident in incidents:
            for guards in incident.enough:
                say(held_line(incident, guards, options.held))


if __name__ == "__main__":
    main()
