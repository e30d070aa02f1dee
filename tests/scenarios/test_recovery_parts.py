"""The parts of the recovery: forks, the counterfactual, who is owed what, projections, the gate."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from scenarios.outside import USDC_PRICE
from scenarios.people import population
from scenarios.recovery_judge import worth_usd as judged_worth
from scenarios.recovery_premise import BTC, INDICES, Premise, play
from scenarios.recovery_world import LISTINGS, PEOPLE, SNAPSHOT_EVERY, opening_chain
from target_stub.cloud.compensation import make_plan, to_usdc_up
from target_stub.cloud.counterfactual import (
    first_wrong,
    is_clean,
    replayed,
    valuation_of,
    wallets_of,
    worth_usd,
)
from target_stub.cloud.payouts import Payouts, gate
from target_stub.cloud.projections import Content, oversized, row_of
from target_stub.core import (
    LIQUIDATOR_VAULT,
    Deposit,
    Duplicate,
    Liquidated,
    Mode,
    PublishMarket,
    Reason,
    Rejected,
    SetMode,
    Usdc,
)
from target_stub.forks import Abandon, ForkingChain, OnFork

UNIT = Fraction(1, 10**8)


def played() -> tuple[ForkingChain, Premise]:
    """The chain after the premise: a clean morning, the fault, and what people did with it."""
    people = population(1, PEOPLE, LISTINGS)
    chain = opening_chain(ForkingChain, people)
    return chain, play(chain, people)


def deposit(name: str, *, at_ms: int = 1) -> Deposit:
    """A deposit of 50 USDC into the fund."""
    amount = Usdc(Decimal(50))
    return Deposit(id=name, at_ms=at_ms, account=LIQUIDATOR_VAULT, amount=amount)


def left(chain: ForkingChain, height: int) -> Abandon:
    """The order to leave the fork that counts."""
    return Abandon(fork=chain.fork, height=height, mode=Mode.MAINTENANCE, at_ms=1)


def reason(chain: ForkingChain, message: OnFork) -> Reason | None:
    """Why a message was refused, if it was."""
    events = chain.receive(message)
    return next((event.reason for event in events if isinstance(event, Rejected)), None)


# --- forks --------------------------------------------------------------------------------------


def test_a_message_of_a_fork_that_was_left_is_refused_and_changes_nothing() -> None:
    chain, premise = played()
    chain.abandon(left(chain, premise.wrong_height - 1))
    before = chain.height
    assert (
        reason(chain, OnFork(fork=0, command=deposit("late"), operator=True)) is Reason.STALE_FORK
    )
    assert chain.height == before
    assert reason(chain, OnFork(fork=1, command=deposit("late"), operator=True)) is None


def test_an_id_that_was_rolled_back_stays_used_but_the_operator_may_repeat_it() -> None:
    chain, premise = played()
    assert reason(chain, OnFork(fork=0, command=deposit("once"))) is None
    chain.abandon(left(chain, premise.wrong_height - 1))
    chain.submit(SetMode(id="open", at_ms=2, mode=Mode.CANCEL_ONLY))
    assert reason(chain, OnFork(fork=1, command=deposit("once"))) is Reason.ROLLED_BACK
    assert reason(chain, OnFork(fork=1, command=deposit("once"), operator=True)) is None
    assert isinstance(
        chain.receive(OnFork(fork=1, command=deposit("once"), operator=True))[0], Duplicate
    )


def test_leaving_a_fork_twice_leaves_it_once_and_the_next_one_begins_closed() -> None:
    chain, premise = played()
    height = premise.wrong_height - 1
    order, blocks = left(chain, height), len(chain.blocks)
    assert chain.abandon(order) == 1
    after = chain.height
    assert chain.abandon(order) == 1
    assert chain.height == after
    (branch,) = chain.abandoned
    assert (branch.height, len(branch.blocks)) == (height, blocks - height)
    assert chain.state.mode is Mode.MAINTENANCE
    orders = [
        order for account in chain.state.accounts.values() for order in account.orders.values()
    ]
    assert orders and all(order.protects for order in orders)
    assert reason(chain, OnFork(fork=1, command=deposit("x"))) is Reason.MAINTENANCE_MODE


# --- the counterfactual -------------------------------------------------------------------------


def test_the_first_wrong_value_is_found_in_the_log_alone() -> None:
    chain, premise = played()
    wrong = first_wrong(chain.genesis, chain.blocks)
    assert wrong is not None and wrong.height == premise.wrong_height
    assert first_wrong(chain.genesis, chain.blocks[: premise.wrong_height - 1]) is None


def test_the_same_inputs_without_the_fault_liquidate_nobody_and_keep_the_index() -> None:
    chain, premise = played()
    height = premise.wrong_height - 1
    inputs = [block.command for block in chain.blocks[height:]]
    clean, events = replayed(chain.blocks[height - 1].state, inputs)
    assert clean.markets[BTC].funding_index == INDICES[BTC]
    assert not [event for event in events if isinstance(event, Liquidated)]
    real = [event for block in chain.blocks for event in block.events]
    assert [event for event in real if isinstance(event, Liquidated)]
    assert all(
        position.cached_funding_index != 0
        for account in clean.accounts.values()
        for position in account.positions.values()
    )


def test_a_wrong_mark_is_replaced_as_a_wrong_index_is() -> None:
    chain, premise = played()
    state = chain.blocks[premise.wrong_height - 2].state
    market = state.markets[BTC]
    bad = PublishMarket(
        id="bad",
        at_ms=1,
        market=BTC,
        mark_price=Decimal(0),
        funding_index=INDICES[BTC],
        premium=Decimal(0),
    )
    assert not is_clean(state, bad)
    clean, _ = replayed(state, [bad])
    assert clean.markets[BTC].mark_usd == market.mark_usd


def test_what_everybody_is_worth_adds_up_whatever_the_index_and_agrees_with_the_judge() -> None:
    chain, premise = played()
    for height in (premise.wrong_height - 1, len(chain.blocks)):
        state = chain.blocks[height - 1].state
        at = valuation_of(chain.blocks[premise.wrong_height - 2].state)
        worth = worth_usd(state, at, wallets_of(state.transfers.values()))
        wallets = {
            name: Fraction(amount) for name, amount in wallets_of(state.transfers.values()).items()
        }
        assert worth == judged_worth(state, at.prices, wallets)
        assert "sparrow-vault" not in worth and LIQUIDATOR_VAULT not in worth


# --- who is owed what ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount_usd", "expected"),
    [
        (Fraction(1), "1.00020005"),
        (Fraction(-1), "-1.00020004"),
        (Fraction(0), "0"),
        (Fraction(1, 10**12), "0.00000001"),
        (Fraction(-1, 10**12), "0"),
    ],
)
def test_amounts_are_rounded_upwards_in_both_directions(
    amount_usd: Fraction, expected: str
) -> None:
    assert to_usdc_up(amount_usd, USDC_PRICE) == Decimal(expected)


def test_after_the_payments_of_either_way_nobody_is_short_and_nobody_a_unit_above() -> None:
    chain, premise = played()
    height = (premise.wrong_height - 1) // SNAPSHOT_EVERY * SNAPSHOT_EVERY
    snapshot, head = chain.blocks[height - 1].state, chain.state
    chain.abandon(left(chain, height))
    (branch,) = chain.abandoned
    plan = make_plan(branch, snapshot=snapshot, now=chain.state, outside=premise.outside)
    clean, _ = replayed(snapshot, [block.command for block in branch.blocks])
    at = valuation_of(clean)
    should = worth_usd(clean, at, wallets_of(clean.transfers.values()))
    for outcome, state in ((plan.rollback, chain.state), (plan.compensation, head)):
        known = {transfer.id for transfer in state.transfers.values()}
        unknown = [
            each
            for each in premise.outside
            if each.id not in known and each.direction == "WITHDRAWAL"
        ]
        has = worth_usd(state, at, wallets_of([*state.transfers.values(), *unknown]))
        paid = {payment.account: payment.amount_usdc for payment in outcome.payments}
        for name, wanted in should.items():
            kept = outcome.kept_usdc.get(name, Decimal(0))
            final = has[name] + Fraction(paid.get(name, Decimal(0))) * Fraction(USDC_PRICE)
            over = final - Fraction(kept) * Fraction(USDC_PRICE) - wanted
            assert 0 <= over < UNIT * Fraction(USDC_PRICE), name
    assert len(plan.compensation.payments) > 3


# --- projections and the gate -------------------------------------------------------------------


def test_every_projection_of_a_fork_shows_that_fork_and_remembers_the_ids_of_the_other() -> None:
    chain, premise = played()
    before = {name: row_of(chain.journal, name) for name in ("positions", "history", "client_ids")}
    chain.abandon(left(chain, premise.wrong_height - 1))
    after = {name: row_of(chain.journal, name) for name in before}
    assert after["positions"]["content"] != before["positions"]["content"]
    assert len(after["history"]["content"].rows) == chain.height
    ids = after["client_ids"]["content"].rows
    assert set(before["client_ids"]["content"].rows) <= set(ids)
    assert "rolled back with fork 0" in ids.values()


def test_an_exit_larger_than_its_position_is_named() -> None:
    rows = {
        "positions": {"content": Content({"ann BTC": "1"})},
        "triggers": {"content": Content({"ann BTC tp": "1", "ann BTC sl": "2", "bob BTC tp": "1"})},
    }
    assert [text.partition(":")[0] for text in oversized(rows)] == ["ann BTC sl", "bob BTC tp"]


def test_the_gate_lets_only_withdrawals_of_its_own_fork_through() -> None:
    payouts = Payouts.__new__(Payouts)
    assert payouts.may_pay(gate(opened=True, fork=1), 1)
    assert not payouts.may_pay(gate(opened=True, fork=1), 0)
    assert not payouts.may_pay(gate(opened=False, fork=1), 1)
    assert not payouts.may_pay(None, 1)
