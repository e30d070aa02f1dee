"""What each rule sees, and what nobody would see without it."""

from __future__ import annotations

from decimal import Decimal
from random import Random

import pytest

from harness.engine import Run
from harness.invariants import Broken
from scenarios.paradex import paradex
from scenarios.rules.accounts import check_payments
from target_stub.cloud.trader import Payment, Trader
from target_stub.core import Usdc
from tests.scenarios.searches import SEED, found


def run_of(name: str) -> Run:
    """The run that shows a planted bug."""
    run = found(name)
    assert run is not None
    return run


@pytest.mark.parametrize(("name", "field"), [("index_zero", "index"), ("price_zero", "price")])
def test_missing_becomes_zero_in_both_ways_in_which_that_day_was_told(
    name: str, field: str
) -> None:
    run = run_of(name)
    zeros = {
        violation.message.partition(" of ")[0]
        for violation in run.violations
        if violation.invariant == "nothing_reverts_to_a_default"
    }
    assert zeros == {"funding_index"} if field == "index" else zeros <= {"spot_usd", "mark_usd"}
    assert zeros


def test_conservation_is_blind_to_a_wrong_index_and_the_note_says_so() -> None:
    run = run_of("index_zero")
    assert {"positions_sum_to_zero", "cash_is_conserved"} <= set(run.held)
    (note,) = run.notes
    assert "Conservation held" in note
    assert "Balance checks cannot see this bug" in note


def test_no_note_where_conservation_does_see_the_bug() -> None:
    assert run_of("half_a_bust").notes == ()


def payer(*payments: Payment) -> Trader:
    """A client that ordered some payments and had them all acknowledged."""
    trader = Trader(
        "payer",
        network=None,  # type: ignore[arg-type]
        accounts=("a",),
        instruments=(),
        random=Random(SEED),
        every_s=1.0,
        until_s=0.0,
    )
    trader.ordered = list(payments)
    trader.acknowledged = list(payments)
    return trader


HUNDRED = Payment("a", Usdc(Decimal(100)))


def test_equal_payments_that_were_ordered_twice_count_twice() -> None:
    check_payments([payer(HUNDRED, HUNDRED)], {HUNDRED: 2})


@pytest.mark.parametrize(("ordered", "credited"), [(1, 2), (1, 0), (2, 1), (2, 3)])
def test_a_payment_credited_too_often_or_too_rarely_is_told(ordered: int, credited: int) -> None:
    with pytest.raises(Broken, match=f"{credited} times; it was ordered {ordered} times"):
        check_payments([payer(*[HUNDRED] * ordered)], {HUNDRED: credited})


def test_a_payment_under_way_may_have_been_credited_or_not() -> None:
    trader = payer(HUNDRED)
    trader.acknowledged = []
    check_payments([trader], {})
    check_payments([trader], {HUNDRED: 1})


def test_rules_that_need_a_guard_are_not_in_force_without_it() -> None:
    promised = {"older_incarnation_never_overwrites", "mode_gates_fills_and_liquidations"}
    assert not promised & set(run_of("index_zero").judged)
    assert promised & set(run_of("epoch_checked_once").judged)
    assert paradex.guards_default == ()
