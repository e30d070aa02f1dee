"""The real client in the simulation: repeatable, never lied to, and a bad gateway is found out."""

from __future__ import annotations

from functools import lru_cache

import pytest

from harness.campaign import Plan, explore
from harness.engine import Run, execute
from harness.invariants import Broken
from harness.scenario import Scenario, find
from scenarios import customer, real_client
from scenarios.real_client import NOT_TOLD, TRADED
from scenarios.rules.client import closed_orders_stay_closed
from target_stub.defects.gateway import BUGS
from tests.api.installed import needs_client
from tests.scenarios.searches import again, broken, runs, without

pytestmark = needs_client
#: The data seed of these searches; with it they are short.
SEED = 3
RULES = {bug.breaks for bug in BUGS.values()}


def scenario() -> Scenario:
    """The scenario, which is only there when the client is installed."""
    return find(real_client.NAME)


@lru_cache(maxsize=len(BUGS))
def found(name: str) -> Run:
    """The first run that shows a bug."""
    variant = scenario().variant(bug=name)
    tried = runs(seed=SEED, schedules=BUGS[name].budget, variant=variant, scenario=scenario())
    return next(run for run in tried if run.violations)


def test_first_in_first_out_is_clean_and_repeats_to_the_digit() -> None:
    first, second, third = (execute(scenario(), seed=1) for _ in range(3))
    assert not first.violations, first.violations
    assert first.digest == second.digest == third.digest
    assert first.reached[TRADED] == 1
    assert set(first.judged) == RULES
    assert min(first.judged.values()) == 1


def test_the_client_is_never_lied_to_and_is_put_to_the_test() -> None:
    plan = Plan(seed=SEED, schedules=10, shrink_budget=0)
    campaign = explore(scenario(), plan)
    assert not campaign.findings, campaign.findings[0].violations
    assert not campaign.statistics.unproved
    assert campaign.statistics.overlapped_runs > 1
    assert all(campaign.statistics.judged[rule] > 1 for rule in RULES)
    assert set(campaign.statistics.never_reached) <= {NOT_TOLD}


@pytest.mark.parametrize("name", BUGS)
def test_a_defect_of_the_gateway_is_a_race_and_is_found_by_its_rule(name: str) -> None:
    clean = execute(scenario(), seed=SEED, variant=scenario().variant(bug=name))
    assert not clean.violations, clean.violations
    bug, run = BUGS[name], found(name)
    assert bug.breaks in broken(run) <= {bug.breaks, *bug.also}
    blind = broken(again(run, without(bug.breaks, scenario())))
    assert blind <= set(bug.also)


def test_an_order_may_close_after_it_was_listed_and_not_before() -> None:
    listed = "GET /orders", {"id": "7", "status": "OPEN"}
    closed = "orders.ALL", {"id": "7", "status": "CLOSED"}
    closed_orders_stay_closed(customer.Testimony("alice", heard=[listed, closed])).check()
    with pytest.raises(Broken, match=r"GET /orders tells order 7 as OPEN after orders\.ALL"):
        closed_orders_stay_closed(customer.Testimony("alice", heard=[closed, listed])).check()
