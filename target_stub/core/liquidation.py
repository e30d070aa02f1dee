"""Liquidation by share, order-level deleveraging, and the loss that is left for everybody else.

An account is cut by the smallest share that makes it healthy again, at the mark price, and pays a
penalty; positions and penalty go to the liquidator vault. Whoever calls this must have established
that the account is due: an unjustified liquidation cannot be taken back.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from target_stub.core.draft import Draft
from target_stub.core.errors import Missing, Reason, Refusal
from target_stub.core.events import FillType, Liquidated
from target_stub.core.margin import (
    Health,
    Prices,
    account_value,
    assess,
    is_due,
    orders_to_deleverage,
)
from target_stub.core.modes import check_liquidations_open
from target_stub.core.money import (
    ONE,
    ZERO,
    Usd,
    Usdc,
    divide_up8,
    exact,
    up_to_multiple,
)
from target_stub.core.orders import Account, Side
from target_stub.core.parameters import LIQUIDATOR_VAULT, ExchangeSpec, LossDenominator
from target_stub.core.reduce_only import reconcile
from target_stub.core.settlement import Leg, fill
from target_stub.core.state import known_prices


class LiquidationPlan(NamedTuple):
    """How much of every position goes, and what it costs the account."""

    share: Decimal
    penalty_usd: Decimal


@exact
def plan_for_share(
    share: Decimal, *, value_usd: Decimal, maintenance_usd: Decimal, spec: ExchangeSpec
) -> LiquidationPlan:
    """The penalty at a given share: share x liquidation fee x MMR, in USD."""
    penalty_usd = share * spec.liquidation_fee * maintenance_usd
    if spec.penalty_within_account_value:
        penalty_usd = min(penalty_usd, max(ZERO, value_usd))
    return LiquidationPlan(share, penalty_usd)


@exact
def plan_liquidation(
    *, value_usd: Decimal, maintenance_usd: Decimal, spec: ExchangeSpec
) -> LiquidationPlan:
    """The smallest multiple of the share increment that makes the account healthy again.

    Everything, if no smaller share does. Paradex documentation, liquidations.
    """
    share = ZERO
    while True:
        share = min(ONE, share + spec.liquidation_share_increment)
        plan = plan_for_share(
            share, value_usd=value_usd, maintenance_usd=maintenance_usd, spec=spec
        )
        left_usd = value_usd - plan.penalty_usd
        needed_usd = maintenance_usd * (ONE - share)
        if spec.partial_liquidation_buffer is None:
            healthy = needed_usd < spec.liquidation_target_ratio * left_usd
        else:
            healthy = left_usd >= (ONE + spec.partial_liquidation_buffer) * needed_usd
        if share == ONE or (healthy and left_usd > 0):
            return plan


def liquidate(draft: Draft, account_id: str) -> None:
    """Liquidate one account; refused unless the values of the draft say that it is due."""
    check_liquidations_open(draft)
    account = draft.account(account_id)
    prices, usdc_price = known_prices(draft.markets), _usdc_price(draft)
    if account_id == LIQUIDATOR_VAULT or not is_due(account, prices, usdc_price, draft.state.rules):
        raise Refusal(Reason.NOT_DUE, account_id)
    health = assess(account, prices, usdc_price, draft.state.rules)
    deleverage(draft, account, health)
    cut(draft, account_id, health, prices)


def check_health(draft: Draft) -> None:
    """Deleverage and liquidate every account that is due, in the order of the account ids."""
    check_liquidations_open(draft)
    prices, usdc_price = known_prices(draft.markets), _usdc_price(draft)
    rules = draft.state.rules
    for account_id in sorted(draft.accounts):
        account = draft.account(account_id)
        if account_id == LIQUIDATOR_VAULT or not (account.positions or account.orders):
            continue
        due = is_due(account, prices, usdc_price, rules)
        if due or account.orders:
            health = assess(account, prices, usdc_price, rules)
            deleverage(draft, account, health)
            if due:
                cut(draft, account_id, health, prices)


def deleverage(draft: Draft, account: Account, health: Health) -> None:
    """Cancel the orders that an account below its initial margin may not keep."""
    if not health.is_below_initial:
        return
    for market in sorted({order.market for order in account.working_orders()}):
        orders = tuple(account.working_orders(market))
        for order in orders_to_deleverage(account.size(market), orders):
            draft.cancel(order, Reason.DELEVERAGED)


@exact
def cut(draft: Draft, account_id: str, health: Health, prices: Prices) -> None:
    """Move the planned share of all positions, and the penalty, to the vault; it judges nothing."""
    plan = plan_liquidation(
        value_usd=health.account_value_usd,
        maintenance_usd=health.maintenance_usd,
        spec=draft.spec,
    )
    account = draft.account(account_id)
    moved: dict[str, Decimal] = {}
    for market, position in sorted(account.positions.items()):
        increment = draft.market(market).spec.order_size_increment
        whole = abs(position.size)
        size = min(whole, up_to_multiple(whole * plan.share, increment))
        side = Side.SELL if position.size > 0 else Side.BUY
        fill(
            draft,
            market=market,
            price_usd=prices[market].mark_usd,
            size=size,
            maker=Leg(LIQUIDATOR_VAULT, None, ZERO),
            taker=Leg(account_id, None, ZERO),
            taker_side=side,
            fill_type=FillType.LIQUIDATION,
        )
        moved[market] = -size * side.sign
    penalty_usdc = divide_up8(plan.penalty_usd, _usdc_price(draft))
    draft.change_balance(account_id, -penalty_usdc)
    draft.change_balance(LIQUIDATOR_VAULT, penalty_usdc)
    deficit_usdc = _take_deficit(draft, account_id)
    draft.events.append(
        Liquidated(
            account=account_id,
            share=plan.share,
            penalty=Usdc(penalty_usdc),
            account_value=Usd(health.account_value_usd),
            mmr=Usd(health.maintenance_usd),
            moved=moved,
            deficit=Usdc(deficit_usdc),
        )
    )
    for market in moved:
        reconcile(draft, account_id, market)
        reconcile(draft, LIQUIDATOR_VAULT, market)


def _take_deficit(draft: Draft, account_id: str) -> Decimal:
    account = draft.account(account_id)
    if not draft.spec.fund_takes_deficits or account.positions or account.balance_usdc >= 0:
        return ZERO
    deficit_usdc = -account.balance_usdc
    draft.change_balance(account_id, deficit_usdc)
    draft.change_balance(LIQUIDATOR_VAULT, -deficit_usdc)
    return deficit_usdc


def _usdc_price(draft: Draft) -> Decimal:
    if draft.usdc_price is None:
        raise Missing("USDC", "price")
    return draft.usdc_price


@exact
def loss_factor(
    accounts: Mapping[str, Account],
    prices: Prices,
    usdc_price: Decimal,
    spec: ExchangeSpec,
) -> Decimal:
    """The share of a withdrawal that is kept back to cover bankruptcies, as a fraction.

    max(0, bankruptcies of users - fund) / (all USDC + that), or / all USDC in the variant of the
    worked example; the fund counts by its balance or by its value. Paradex documentation,
    socialised losses. 0 while nobody is bankrupt.
    """
    bankrupt_usd = ZERO
    total_usd = ZERO
    for account in accounts.values():
        total_usd += account.balance_usdc * usdc_price
        if account.id != LIQUIDATOR_VAULT:
            bankrupt_usd += max(ZERO, -account_value(account, prices, usdc_price).value)
    fund = accounts[LIQUIDATOR_VAULT]
    fund_usd = fund.balance_usdc * usdc_price
    if spec.fund_counts_by_value:
        fund_usd = account_value(fund, prices, usdc_price).value
    uncovered_usd = max(ZERO, bankrupt_usd - fund_usd)
    if not uncovered_usd:
        return ZERO
    if spec.loss_denominator is LossDenominator.TOTAL_PLUS_BANKRUPTCY:
        total_usd += uncovered_usd
    return min(ONE, divide_up8(uncovered_usd, total_usd)) if total_usd > 0 else ONE
