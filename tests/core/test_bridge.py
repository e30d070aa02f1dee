"""Transfers between accounts and over the bridge, and what a rollback leaves wrong outside."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from target_stub.core import (
    JANUARY_2026,
    AdvanceWithdrawal,
    BridgeDeposit,
    Direction,
    Reason,
    RequestWithdrawal,
    Session,
    Transfer,
    TransferStatus,
    TransferUsdc,
    Usdc,
    disagreements,
)
from target_stub.core.audit import conservation_gap
from target_stub.core.events import BridgeMoved, Transferred
from tests.core.desk import XYZ, opened, refused

DEPOSIT, WITHDRAWAL = Direction.DEPOSIT, Direction.WITHDRAWAL
PENDING, AVAILABLE = TransferStatus.PENDING, TransferStatus.AVAILABLE
COMPLETED, FAILED = TransferStatus.COMPLETED, TransferStatus.FAILED


def deposit(session: Session, transaction: str, amount: int = 50) -> Reason | None:
    """A deposit of Alice's that arrived outside; why it was refused, or None."""
    command = BridgeDeposit(
        id=session.next_id(),
        at_ms=0,
        account="alice",
        amount=Usdc.of(amount),
        transaction=transaction,
    )
    return refused(session.do(command))


def request(session: Session, amount: int = 50, name: str = "w") -> Reason | None:
    """A withdrawal of Alice's; why it was refused, or None."""
    command = RequestWithdrawal(id=name, at_ms=0, account="alice", amount=Usdc.of(amount))
    return refused(session.do(command))


def advance(session: Session, status: TransferStatus, name: str = "w") -> Reason | None:
    """The withdrawal came further; why that was refused, or None."""
    command = AdvanceWithdrawal(id=session.next_id(), at_ms=0, transfer=name, status=status)
    return refused(session.do(command))


def balance(session: Session, account: str = "alice") -> Decimal:
    """The USDC of an account."""
    return session.state.account(account).balance_usdc


def test_a_deposit_is_credited_once_whatever_the_command_ids() -> None:
    session = opened(balance=100)
    assert deposit(session, "0xa") is None
    assert deposit(session, "0xa") is Reason.CREDITED_BEFORE
    assert deposit(session, "0xb") is None
    assert balance(session) == 200
    assert conservation_gap(session.state).value == 0


def test_a_withdrawal_comes_through_step_by_step() -> None:
    session = opened(balance=100)
    assert request(session) is None
    assert balance(session) == 50
    assert advance(session, COMPLETED) is Reason.TRANSFER_ENDED, "not before it is available"
    assert advance(session, AVAILABLE) is None
    assert advance(session, COMPLETED) is None
    statuses = [event.transfer.status for event in session.of(BridgeMoved)]
    assert statuses == [PENDING, AVAILABLE, COMPLETED]
    assert session.state.net_deposits_usdc == 350
    assert conservation_gap(session.state).value == 0


def test_a_failed_withdrawal_comes_back_once() -> None:
    session = opened(balance=100)
    request(session)
    assert advance(session, FAILED) is None
    assert balance(session) == 100
    assert advance(session, FAILED) is Reason.TRANSFER_ENDED
    assert advance(session, AVAILABLE) is Reason.TRANSFER_ENDED
    assert advance(session, AVAILABLE, "other") is Reason.UNKNOWN_TRANSFER
    assert balance(session) == 100
    assert conservation_gap(session.state).value == 0


def test_a_withdrawal_request_is_judged_like_a_withdrawal() -> None:
    session = opened(sizes={"alice": 10, "bob": -10}, balance=100)
    assert request(session, 81) is Reason.NOT_WITHDRAWABLE
    assert request(session, 80) is None, "20 of 100 are initial margin"


def test_a_failed_withdrawal_gives_back_what_left_and_not_what_was_socialised() -> None:
    session = opened(sizes={"bob": -50, "carol": 50}, balance=1_000)
    session.publish(XYZ, mark_usd=Decimal(40), index=Decimal(0))
    request(session, 500)
    assert session.state.transfers["w"].amount == Usdc.of(400), "20 % of 500 stays with the fund"
    advance(session, FAILED)
    assert balance(session) == 900
    assert conservation_gap(session.state).value == 0


def test_a_transfer_between_accounts_pays_no_socialised_loss() -> None:
    session = opened(sizes={"bob": -50, "carol": 50}, balance=1_000)
    session.publish(XYZ, mark_usd=Decimal(40), index=Decimal(0))
    move = TransferUsdc(id="t", at_ms=0, account="alice", to="bob", amount=Usdc.of(500))
    session.must(move)
    assert balance(session, "bob") == 1_500
    assert len(session.of(Transferred)) == 1
    too_much = replace(move, id="u", amount=Usdc.of(501))
    assert refused(session.do(too_much)) is Reason.NOT_WITHDRAWABLE
    assert refused(session.do(replace(move, id="v", to="nobody"))) is Reason.UNKNOWN_ACCOUNT
    assert refused(session.do(replace(move, id="x", to="alice"))) is Reason.BAD_COMBINATION
    assert conservation_gap(session.state).value == 0


def test_a_transfer_settles_funding_where_the_rules_say_so() -> None:
    for settles, cash in ((False, 1_000 - 1), (True, 1_000 - 1 - 30)):
        spec = replace(JANUARY_2026, settle_funding_on_withdrawal=settles)
        session = opened(spec, sizes={"alice": 10, "bob": -10}, balance=1_000)
        session.publish(XYZ, mark_usd=Decimal(100), index=Decimal(3))
        session.must(TransferUsdc(id="t", at_ms=0, account="alice", to="bob", amount=Usdc.of(1)))
        assert balance(session) == cash


def paid(name: str, direction: Direction, amount: int = 50) -> Transfer:
    """What the outside says of a transfer of Alice's."""
    return Transfer(name, "alice", direction, Usdc.of(amount), COMPLETED)


def test_a_rollback_forgets_what_the_outside_remembers() -> None:
    """Deposits and withdrawals of the window, after the state went back to before both."""
    session = opened(balance=100)
    before = session.state
    deposit(session, "0xa")
    request(session)
    advance(session, AVAILABLE)
    advance(session, COMPLETED)
    outside = [paid("0xa", DEPOSIT), paid("w", WITHDRAWAL)]
    assert disagreements(session.state.transfers, outside) == ()
    found = disagreements(before.transfers, outside)
    assert [(each.id, each.amount.value, each.why) for each in found] == [
        ("0xa", Decimal(50), "deposited and not credited"),
        ("w", Decimal(-50), "paid out and not debited"),
    ]


def test_the_outside_may_also_know_less() -> None:
    session = opened(balance=100)
    deposit(session, "0xa")
    request(session)
    advance(session, AVAILABLE)
    assert [each.why for each in disagreements(session.state.transfers, [])] == [
        "credited and not deposited"
    ], "what is only under way is no disagreement"
    advance(session, COMPLETED)
    found = disagreements(session.state.transfers, [])
    assert [(each.id, each.amount.value) for each in found] == [
        ("0xa", Decimal(-50)),
        ("w", Decimal(50)),
    ]
    assert found[1].why == "completed and not paid out"


def test_a_failed_withdrawal_that_was_paid_all_the_same_is_found() -> None:
    session = opened(balance=100)
    request(session)
    advance(session, FAILED)
    (found,) = disagreements(session.state.transfers, [paid("w", WITHDRAWAL)])
    assert found.amount == Usdc.of(-50)


def test_one_name_with_two_amounts_is_an_error() -> None:
    session = opened(balance=100)
    deposit(session, "0xa")
    with pytest.raises(ValueError, match="0xa is"):
        disagreements(session.state.transfers, [paid("0xa", DEPOSIT, 51)])
