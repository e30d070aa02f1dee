"""The blast radius of the incident: what is owed is what clean values would have left everybody."""

from __future__ import annotations

from contextlib import closing
from decimal import Decimal

from harness.engine import Run
from scenarios.blast_radius import gaps, total
from scenarios.paradex import paradex
from tests.scenarios.searches import SEED, found, runs

NAMES = ["accounts touched", "wrongful liquidations", "moved", "refund owed", "worst account"]


def facts(run: Run) -> dict[str, str]:
    """The blast radius of a run by name."""
    return {fact.name: fact.value for fact in run.blast_radius}


def amount(text: str) -> Decimal:
    """The USDC of a fact."""
    return Decimal(text.removesuffix(" USDC").replace(",", ""))


def test_a_wrong_market_value_says_what_it_owes_to_whom() -> None:
    variant = paradex.variant(bug="index_zero")
    with closing(runs(seed=SEED, schedules=100, variant=variant)) as tried:
        run = next(run for run in tried if run.blast_radius)
    told = facts(run)
    assert list(told) == NAMES
    wronged = {
        account
        for violation in run.violations
        if violation.invariant == "liquidations_are_justified"
        for account in violation.accounts
    }
    assert int(told["wrongful liquidations"]) == len(wronged)
    assert int(told["accounts touched"].replace(",", "")) >= len(wronged)
    assert amount(told["moved"]) > 0
    assert amount(told["refund owed"]) >= 0
    if wronged:
        assert amount(told["refund owed"]) > 0
        assert told["worst account"].endswith(" USDC)")


def test_a_bug_that_touches_nobody_has_no_radius() -> None:
    run = found("epoch_checked_once")
    assert run is not None
    assert run.blast_radius == ()


def test_a_gap_is_what_somebody_is_short_of_and_rounding_is_none() -> None:
    should = {"ann": Decimal(10), "bob": Decimal(5), "eve": Decimal("1.0000001"), "new": Decimal(2)}
    has = {"ann": Decimal(7), "bob": Decimal(9), "eve": Decimal(1)}
    found_gaps = gaps(should, has)
    assert found_gaps == {"ann": Decimal(3), "bob": Decimal(-4), "new": Decimal(2)}
    assert total(gap for gap in found_gaps.values() if gap > 0) == Decimal(5)
