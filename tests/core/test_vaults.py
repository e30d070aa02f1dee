"""Vaults with shares, the unwinding of what nobody wants to keep, and markets that end."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from target_stub.core import (
    JANUARY_2026,
    LIQUIDATOR_VAULT,
    CreateAccount,
    CreateVault,
    ExchangeSpec,
    Filled,
    FillType,
    Liquidate,
    Liquidated,
    Mode,
    Pause,
    PayRedemption,
    Reason,
    RedeemShares,
    Session,
    SettleMarket,
    Side,
    TransferUsdc,
    Unwind,
    Usdc,
    Vault,
    VaultDeposit,
)
from target_stub.core.audit import conservation_gap, positions_by_market
from target_stub.core.events import PositionSettled, SharesPaid
from target_stub.core.liquidation import loss_factor
from tests.core.desk import XYZ, limit, opened, orders, place, position, refused

DAY_MS = 86_400_000
FUND = "fund"


def founded(spec: ExchangeSpec = JANUARY_2026, **more: Usdc) -> Session:
    """Alice owns a vault of 1,000 USDC in which she has all shares."""
    session = opened(spec, balance=10_000)
    session.must(
        CreateVault(
            id="found",
            at_ms=0,
            vault=FUND,
            account="alice",
            amount=Usdc.of(1_000),
            profit_share=Decimal("0.1"),
            lockup_ms=DAY_MS,
            value_max=more.get("value_max"),
        )
    )
    return session


def buy(session: Session, account: str, amount: int) -> Reason | None:
    """Buy shares; why that was refused, or None."""
    command = VaultDeposit(
        id=session.next_id(),
        at_ms=session.at_ms,
        vault=FUND,
        account=account,
        amount=Usdc.of(amount),
    )
    return refused(session.do(command))


def redeem(session: Session, account: str, shares: str, name: str = "r") -> Reason | None:
    """Give shares back; why that was refused, or None."""
    command = RedeemShares(
        id=name, at_ms=session.at_ms, vault=FUND, account=account, shares=Decimal(shares)
    )
    return refused(session.do(command))


def pay(session: Session, name: str = "r") -> Reason | None:
    """Pay an unwound redemption; why that was refused, or None."""
    command = PayRedemption(
        id=session.next_id(), at_ms=session.at_ms, vault=FUND, auxiliary=f"{FUND}/{name}"
    )
    return refused(session.do(command))


def the_vault(session: Session) -> Vault:
    """The one vault."""
    return session.state.vaults[FUND]


def long_ten(session: Session) -> None:
    """The vault is long 10 at 100, against Bob."""
    place(session, limit("ask", "bob", Side.SELL, 10, 100))
    place(session, limit("buy", FUND, Side.BUY, 10, 100))


def test_shares_cost_one_at_first_and_then_what_the_vault_is_worth() -> None:
    """The initial token price is 1 USD: Paradex documentation, vaults, questions and answers."""
    session = founded()
    long_ten(session)
    session.publish(XYZ, mark_usd=Decimal(150), index=Decimal(0))
    assert buy(session, "carol", 300) is None
    assert the_vault(session).holdings["carol"].shares == 200, "1,500 USDC for 1,000 shares"
    assert conservation_gap(session.state).value == 0


def test_shares_are_rounded_down_so_that_the_others_never_pay() -> None:
    session = founded()
    session.deposit(FUND, Usdc.of("0.00000007"))
    assert buy(session, "carol", 1) is None
    vault = the_vault(session)
    assert vault.holdings["carol"].shares == Decimal("0.99999999")
    worth = session.state.account(FUND).balance_usdc / vault.supply
    assert worth >= Decimal("1000.00000007") / 1_000


def test_a_redemption_takes_its_part_of_everything_and_pays_when_it_is_unwound() -> None:
    session = founded()
    buy(session, "carol", 1_000)
    long_ten(session)
    session.publish(XYZ, mark_usd=Decimal(140), index=Decimal(0))
    session.at_ms = DAY_MS
    assert redeem(session, "carol", "1000") is None
    auxiliary = f"{FUND}/r"
    assert (position(session, FUND), position(session, auxiliary)) == (Decimal(5), Decimal(5))
    assert session.health(FUND).account_value_usd == 1_200
    assert session.health(auxiliary).account_value_usd == 1_200
    assert pay(session) is Reason.NOT_WITHDRAWABLE, "it is not unwound yet"
    place(session, limit("bid", "bob", Side.BUY, 5, 130))
    session.must(Unwind(id="u", at_ms=DAY_MS, account=auxiliary, market=XYZ))
    assert session.health(FUND).account_value_usd == 1_200, "leaving costs nobody else"
    assert pay(session) is None
    (paid,) = session.of(SharesPaid)
    assert paid.profit_share == Usdc.of(15), "10 % of a profit of 150"
    assert paid.amount == Usdc.of(1_135)
    assert the_vault(session).redemptions == {}
    assert pay(session) is Reason.UNKNOWN_TRANSFER
    assert conservation_gap(session.state).value == 0
    assert positions_by_market(session.state)[XYZ] == 0


def test_the_owner_pays_no_share_of_the_own_profit_and_a_loss_has_none() -> None:
    session = founded()
    buy(session, "carol", 1_000)
    session.deposit(FUND, Usdc.of(200))
    session.at_ms = DAY_MS
    assert redeem(session, "alice", "1000") is None
    assert pay(session) is None
    (paid,) = session.of(SharesPaid)
    assert (paid.amount, paid.profit_share) == (Usdc.of(1_100), Usdc.of(0))
    assert "alice" not in the_vault(session).holdings


def test_parts_that_do_not_come_out_even_are_rounded_against_who_leaves() -> None:
    session = founded()
    buy(session, "carol", 500)
    long_ten(session)
    session.at_ms = DAY_MS
    before = session.state.account(FUND).balance_usdc
    assert redeem(session, "carol", "499.99999999") is None
    assert position(session, f"{FUND}/r") == 3, "a third of 10, down to the increment"
    moved = session.state.account(f"{FUND}/r").balance_usdc
    assert moved <= before * Decimal("499.99999999") / 1_500 < moved + Decimal("1e-8")
    assert conservation_gap(session.state).value == 0


@pytest.mark.parametrize(("at_ms", "reason"), [(DAY_MS - 1, Reason.LOCKED_UP), (DAY_MS, None)])
def test_shares_are_locked_up_from_the_last_deposit(at_ms: int, reason: Reason | None) -> None:
    session = founded()
    session.at_ms = at_ms
    assert redeem(session, "alice", "1000") is reason
    if reason is None:
        return
    buy(session, "alice", 1)
    session.at_ms = DAY_MS
    assert redeem(session, "alice", "1000", "again") is Reason.LOCKED_UP


def test_a_vault_refuses_what_it_cannot_take_or_give() -> None:
    session = founded(value_max=Usdc.of(2_000))
    assert buy(session, "carol", 1_001) is Reason.VAULT_FULL
    assert buy(session, "carol", 20_000) is Reason.VAULT_FULL
    assert buy(session, FUND, 1) is Reason.NOT_WITHDRAWABLE
    assert buy(session, "nobody", 1) is Reason.UNKNOWN_ACCOUNT
    assert redeem(session, "alice", "1000.1") is Reason.NOT_ENOUGH_SHARES
    assert redeem(session, "carol", "1", "s") is Reason.NOT_ENOUGH_SHARES
    long_ten(session)
    session.publish(XYZ, mark_usd=Decimal("0.01"), index=Decimal(1_000))
    assert buy(session, "carol", 1) is Reason.VAULT_BANKRUPT


@pytest.mark.parametrize(
    "changes",
    [
        {"profit_share": Decimal("0.21")},
        {"lockup_ms": DAY_MS - 1},
        {"lockup_ms": 4 * DAY_MS + 1},
        {"amount": Usdc.of(99)},
    ],
)
def test_a_vault_is_founded_within_the_published_limits(changes: dict[str, Decimal]) -> None:
    command = CreateVault(
        id="found",
        at_ms=0,
        vault=FUND,
        account="alice",
        amount=Usdc.of(1_000),
        profit_share=Decimal("0.1"),
        lockup_ms=DAY_MS,
    )
    session = opened()
    assert refused(session.do(replace(command, **changes))) is Reason.BAD_AMOUNT  # type: ignore[arg-type]
    assert refused(session.do(replace(command, id="v", vault="bob"))) is Reason.ACCOUNT_EXISTS


def test_what_belongs_to_holders_leaves_by_redemption_only() -> None:
    session = founded()
    session.must(CreateAccount(id="squat", at_ms=0, account=f"{FUND}/taken"))
    session.at_ms = DAY_MS
    assert redeem(session, "alice", "1", "taken") is Reason.ACCOUNT_EXISTS
    assert redeem(session, "alice", "500") is None
    for account in (FUND, f"{FUND}/r"):
        assert refused(session.withdraw(account, Usdc.of(1))) is Reason.NOT_WITHDRAWABLE
        move = TransferUsdc(
            id=session.next_id(), at_ms=DAY_MS, account=account, to="bob", amount=Usdc.of(1)
        )
        assert refused(session.do(move)) is Reason.NOT_WITHDRAWABLE


def taken_over(spec: ExchangeSpec = JANUARY_2026) -> Session:
    """The liquidator vault holds the long 50 of a bankrupt Alice."""
    session = opened(spec, sizes={"alice": 50, "bob": -50}, balance=1_000)
    session.publish(XYZ, mark_usd=Decimal(40), index=Decimal(0))
    session.must(Liquidate(id="l", at_ms=0, account="alice"))
    assert position(session, LIQUIDATOR_VAULT) == 50
    return session


def test_the_liquidator_vault_unwinds_in_the_market_part_by_part() -> None:
    session = taken_over()
    place(session, limit("bid", "carol", Side.BUY, 20, 39))
    unwind = Unwind(id="u", at_ms=0, account=LIQUIDATOR_VAULT, market=XYZ, share=Decimal("0.25"))
    session.must(unwind)
    assert position(session, LIQUIDATOR_VAULT) == 37, "a quarter of 50 is 13 whole units"
    session.must(replace(unwind, id="rest", share=Decimal(1)))
    assert position(session, LIQUIDATOR_VAULT) == 30, "no more than the book holds"
    kinds = [fill.fill_type for fill in session.of(Filled)]
    assert kinds[1:] == [FillType.UNWIND_TRANSFER] * 2
    assert orders(session, LIQUIDATOR_VAULT) == []


def test_only_what_was_taken_over_is_unwound_and_only_where_one_may_take() -> None:
    session = taken_over()
    unwind = Unwind(id="u", at_ms=0, account="bob", market=XYZ)
    assert refused(session.do(unwind)) is Reason.NOTHING_TO_UNWIND
    empty = replace(unwind, id="v", account="carol")
    assert refused(session.do(empty)) is Reason.NOTHING_TO_UNWIND
    vault = replace(unwind, id="x", account=LIQUIDATOR_VAULT)
    assert refused(session.do(replace(vault, share=Decimal(0)))) is Reason.BAD_AMOUNT
    for mode, reason in (
        (Mode.POST_ONLY, Reason.POST_ONLY_MODE),
        (Mode.CANCEL_ONLY, Reason.CANCEL_ONLY_MODE),
        (Mode.MAINTENANCE, Reason.MAINTENANCE_MODE),
    ):
        session.mode(mode)
        assert refused(session.do(replace(vault, id=f"{mode}"))) is reason


def test_l4_the_fund_takes_alice_over_and_recovers_with_the_mark() -> None:
    """The rest of the example: the bankruptcy stays 1,000; at 70 the fund has 2,000 - 1,500."""
    spec = replace(
        JANUARY_2026,
        liquidation_fee=Decimal(0),
        fund_takes_deficits=True,
        fund_counts_by_value=True,
    )
    session = taken_over(spec)

    def factor() -> Decimal:
        state = session.state
        return loss_factor(state.accounts, state.known_prices(), Decimal(1), spec)

    assert session.of(Liquidated)[0].deficit == Usdc.of(2_000)
    assert session.state.account("alice").balance_usdc == 0
    assert session.health(LIQUIDATOR_VAULT).account_value_usd == -1_000
    assert factor() == Decimal("0.5"), "1,000 missing of 1,000 + 1,000 USDC that are left"
    session.publish(XYZ, mark_usd=Decimal(70), index=Decimal(0))
    assert session.health(LIQUIDATOR_VAULT).account_value_usd == 500
    assert factor() == 0
    assert conservation_gap(session.state).value == 0


def test_a_debt_stays_with_the_account_unless_the_fund_takes_it() -> None:
    session = taken_over(replace(JANUARY_2026, liquidation_fee=Decimal(0)))
    assert session.state.account("alice").balance_usdc == -2_000
    assert session.health(LIQUIDATOR_VAULT).account_value_usd == 1_000


def test_settle_market_closes_everything_at_the_mark_for_a_fee() -> None:
    """SETTLE_MARKET: 0.015 % of notional on every position that is left."""
    session = opened(sizes={"alice": 10, "bob": -10}, balance=1_000)
    place(session, limit("bid", "carol", Side.BUY, 5, 90))
    session.publish(XYZ, mark_usd=Decimal(110), index=Decimal(1))
    session.must(SettleMarket(id="end", at_ms=0, market=XYZ))
    balances = {name: session.state.account(name).balance_usdc for name in ("alice", "bob")}
    assert balances == {
        "alice": Decimal(1_000) + 100 - 10 - Decimal("0.165"),
        "bob": Decimal(1_000) - 100 + 10 - Decimal("0.165"),
    }
    assert [event.account for event in session.of(PositionSettled)] == ["alice", "bob"]
    assert orders(session, "carol") == []
    assert session.state.market(XYZ).pauses == (Pause.HALTED,)
    assert conservation_gap(session.state).value == 0


def test_settle_market_never_mints_when_the_notional_does_not_divide() -> None:
    session = opened(sizes={"alice": 3, "bob": -1, "carol": -2}, balance=1_000)
    session.spot(XYZ, Decimal(100), usdc_price=Decimal("0.9997"))
    session.must(SettleMarket(id="end", at_ms=0, market=XYZ))
    assert session.state.remainder_usdc > 0
    assert conservation_gap(session.state).value == 0


def test_settle_market_at_a_mark_of_zero_is_refused() -> None:
    session = opened(sizes={"alice": 10, "bob": -10})
    session.publish(XYZ, mark_usd=Decimal(0), index=Decimal(0))
    end = SettleMarket(id="end", at_ms=0, market=XYZ)
    assert refused(session.do(end)) is Reason.BAD_PRICE
    assert position(session, "alice") == 10
