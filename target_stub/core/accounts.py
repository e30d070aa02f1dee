"""Money in and out, and trades that were matched elsewhere.

A withdrawal is the one moment at which a wrong account value becomes real money, so it is judged
with every price known and after socialised losses.
"""

from __future__ import annotations

from dataclasses import replace

from target_stub.core.commands import CreateAccount, Deposit, SettleTrade, Withdraw
from target_stub.core.draft import Draft
from target_stub.core.errors import Missing, Reason, Refusal
from target_stub.core.events import AccountCreated, Deposited, FillType, Withdrawn
from target_stub.core.liquidation import loss_factor
from target_stub.core.margin import account_value, assess, initial_margin
from target_stub.core.money import MONEY_UNIT, ZERO, Usdc, exact, is_multiple, round_up8
from target_stub.core.orders import Account, Side
from target_stub.core.parameters import LIQUIDATOR_VAULT
from target_stub.core.reduce_only import reconcile
from target_stub.core.settlement import Leg, fill, settle_funding
from target_stub.core.state import known_prices


def create_account(draft: Draft, command: CreateAccount) -> None:
    """Open an account; refused if the name is taken."""
    if command.account in draft.accounts:
        raise Refusal(Reason.ACCOUNT_EXISTS, command.account)
    draft.put_account(Account(command.account, ZERO))
    draft.events.append(AccountCreated(account=command.account))


@exact
def deposit(draft: Draft, command: Deposit) -> None:
    """Credit a deposit of a positive amount with at most 8 decimals."""
    _check_amount(command.amount)
    draft.change_balance(command.account, command.amount.value)
    draft.net_deposits_usdc += command.amount.value
    draft.events.append(Deposited(account=command.account, amount=command.amount))


@exact
def withdraw(draft: Draft, command: Withdraw) -> None:
    """Pay out, less the socialised loss, which the liquidator vault keeps."""
    _check_amount(command.amount)
    if draft.usdc_price is None:
        raise Missing("USDC", "price")
    prices = known_prices(draft.markets)
    if draft.spec.settle_funding_on_withdrawal:
        settle_funding(draft, draft.account(command.account))
    account = draft.account(command.account)
    limit = assess(account, prices, draft.usdc_price, draft.state.rules).withdrawable
    if command.amount > limit:
        raise Refusal(Reason.NOT_WITHDRAWABLE, f"{command.amount}, at most {limit}")
    factor = loss_factor(draft.accounts, prices, draft.usdc_price, draft.spec.loss_denominator)
    kept = Usdc(round_up8(command.amount.value * factor))
    paid = command.amount - kept
    draft.change_balance(command.account, -command.amount.value)
    draft.change_balance(LIQUIDATOR_VAULT, kept.value)
    draft.net_deposits_usdc -= paid.value
    draft.events.append(
        Withdrawn(account=command.account, requested=command.amount, paid=paid, socialised=kept)
    )


def _check_amount(amount: Usdc) -> None:
    if amount.value <= 0 or not is_multiple(amount.value, MONEY_UNIT):
        raise Refusal(Reason.BAD_AMOUNT, str(amount))


@exact
def settle_trade(draft: Draft, command: SettleTrade) -> None:
    """Settle a trade matched elsewhere and judge both sides by the position IMR afterwards.

    A side passes if its value covers the position IMR or if the trade did not raise it; the vault
    always passes. Refused as a whole otherwise, which is what a trade bust is.
    """
    market = draft.market(command.market)
    increment = market.spec.order_size_increment
    if command.size <= 0 or not is_multiple(command.size, increment):
        raise Refusal(Reason.BAD_SIZE, f"{command.size} in steps of {increment}")
    if command.price <= 0:
        raise Refusal(Reason.BAD_PRICE, f"{command.price}")
    sides = (command.buyer, command.seller)
    before = {name: draft.account(name) for name in sides}
    buys = command.taker_side is Side.BUY
    taker, maker = sides if buys else sides[::-1]
    fill(
        draft,
        market=command.market,
        price_usd=command.price,
        size=command.size,
        maker=Leg(maker, None, draft.spec.maker_fee),
        taker=Leg(taker, None, draft.spec.taker_fee),
        taker_side=command.taker_side,
        fill_type=FillType.UNWIND_TRANSFER if LIQUIDATOR_VAULT in sides else FillType.FILL,
    )
    for name in sides:
        if name != LIQUIDATOR_VAULT and not _still_covered(draft, before[name]):
            raise Refusal(Reason.INITIAL_MARGIN, name)
        size = abs(draft.account(name).size(command.market))
        if size > market.spec.position_limit and size > abs(before[name].size(command.market)):
            raise Refusal(Reason.POSITION_LIMIT, name)
    draft.put_market(replace(market, last_trade_usd=command.price))
    for name in sides:
        reconcile(draft, name, command.market)


def _still_covered(draft: Draft, before: Account) -> bool:
    rules = draft.state.rules
    prices = known_prices(draft.markets)
    if draft.usdc_price is None:
        raise Missing("USDC", "price")
    after = draft.account(before.id)
    needed = initial_margin(after, prices, rules, with_orders=False)
    if account_value(after, prices, draft.usdc_price) >= needed:
        return True
    return needed <= initial_margin(before, prices, rules, with_orders=False)
