"""Every planted bug is a race: first-in-first-out order is clean, and the default search finds it.

And nobody else is accused: the exchange without a bug, and the exchange of the incident with all
of its guards, hold in every schedule that is tried here.
"""

from __future__ import annotations

import pytest

from harness.campaign import Plan, explore
from harness.equivalence import RULE
from harness.schedule.simulation import Simulation
from harness.world.world import World
from scenarios.money_rules import NUMBERS, PROMISED_BY
from scenarios.paradex import open_exchange, paradex
from scenarios.rules.catalogue import standing
from scenarios.view import view_of
from target_stub.bugs import BUGS
from target_stub.guards import GUARDS
from tests.scenarios.searches import again, broken, hunted, runs, scenario_of, without

#: The reference exchange has no pools and no projections; another scenario does.
ELSEWHERE = ("I16", "I17")


def test_every_rule_has_a_bug_that_it_must_catch() -> None:
    rules = {RULE, *(rule.__name__ for rule in NUMBERS.values())}
    assert rules <= {bug.breaks for bug in BUGS.values()}


def test_a_bug_runs_with_the_guard_that_promises_its_rule() -> None:
    promised = {NUMBERS[number].__name__: guard for number, guard in PROMISED_BY.items()}
    for name, bug in BUGS.items():
        assert promised.get(bug.breaks, "") in ("", *bug.guards), name


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_replaces_one_class_and_cites_its_incident(name: str) -> None:
    bug = BUGS[name]
    assert bug.incident
    assert bug.family
    assert len(bug.replaces) == 1
    for correct, defective in bug.replaces.items():
        assert issubclass(defective, correct)
        assert bug.variant(correct, incarnation=bug.since) is defective
        assert bug.variant(correct, incarnation=bug.since - 1) is correct


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_a_race_that_the_default_search_finds_and_only_its_rules_see(
    name: str,
) -> None:
    bug, search = BUGS[name], hunted(name)
    # Every search begins with first in first out, and that is clean whatever is planted.
    assert not search.first.violations, search.first.violations
    assert not search.first.unknown
    assert search.run is not None, f"not found in {bug.budget} schedules"
    assert broken(search.run) <= {bug.breaks, *bug.also}
    blind = broken(again(search.run, without(bug.breaks, scenario_of(name))))
    assert bug.breaks not in blind
    assert blind <= set(bug.also)


def test_the_incident_is_found_by_a_whole_campaign_and_repeats() -> None:
    plan = Plan(seed=2, schedules=BUGS["index_zero"].budget, shrink_budget=0)
    campaign = explore(paradex, plan)
    (finding,) = campaign.findings
    assert finding.violation.invariant == "funding_index_step_is_bounded"
    assert finding.replays == (3, 3)
    assert not campaign.statistics.unproved


def test_the_exchange_without_a_bug_is_never_accused() -> None:
    for seed in (1, 2):
        for run in runs(seed=seed, schedules=40, variant=paradex.variant(bug="none")):
            assert not run.violations, (run.token, run.violations)
            assert not run.unknown


def test_with_all_guards_the_incident_does_not_happen() -> None:
    view = view_of(open_exchange(World(Simulation(), guards=frozenset(GUARDS))))
    in_force = [each.name for each in standing(view) if each.is_in_force]
    assert len(in_force) == len(NUMBERS) - len(ELSEWHERE)
    overlapped, judged = 0, dict.fromkeys(in_force, 0)
    schedules = 0
    for seed in (1, 2, 3):
        for run in runs(seed=seed, schedules=50, variant=paradex.variant(guards="all")):
            assert not run.violations, (run.token, run.violations)
            assert not run.unknown
            schedules += 1
            overlapped += not run.vacuous
            for rule in judged:
                judged[rule] += bool(run.judged[rule])
    assert overlapped > schedules * 0.8
    # Books are empty in a run whose orders all trade at once; nobody is liquidated at old marks.
    assert judged.pop("books_are_never_crossed") > schedules * 0.6
    assert min(judged.values()) > schedules * 0.8, judged
