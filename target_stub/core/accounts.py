"""Money in and out, and trades that were matched elsewhere.

A withdrawal is the one moment at which a wrong account value becomes real money, so it is judged
with every price known and after socialised losses.
"""

from __future__ import annotations

from dataclasses import replace

from target_stub.core.commands import CreateAccount, Deposit, SetStanding, SettleTrade, Withdraw
from target_stub.core.draft import Draft
from target_stub.core.errors import Missing, Reason, Refusal
from target_stub.core.events import AccountCreated, Deposited, FillType, StandingSet, Withdrawn
from target_stub.core.liquidation import loss_factor
from target_stub.core.margin import accepts_order, account_value, assess, initial_margin
from target_stub.core.modes import check_withdrawals_open
from target_stub.core.money import MONEY_UNIT, ZERO, Usdc, exact, is_multiple, round_up8
from target_stub.core.orders import Account, Side
from target_stub.core.parameters import LIQUIDATOR_VAULT
from target_stub.core.reduce_only import reconcile
from target_stub.core.settlement import Leg, fee_rate, fill, settle_funding
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
    check_amount(command.amount)
    draft.change_balance(command.account, command.amount.value)
    draft.net_deposits_usdc += command.amount.value
    draft.events.append(Deposited(account=command.account, amount=command.amount))


def withdraw(draft: Draft, command: Withdraw) -> None:
    """Pay out at once, less the socialised loss, which the liquidator vault keeps."""
    take_out(draft, command.account, command.amount)


@exact
def take_out(draft: Draft, account: str, amount: Usdc) -> Usdc:
    """Take an amount out of an account; what of it leaves the exchange.

    The rest is the account's share of a socialised loss, rounded up. Refused while withdrawals are
    closed and above what is withdrawable.
    """
    check_amount(amount)
    check_withdrawals_open(draft)
    limit = withdrawable_now(draft, account)
    if amount > limit:
        raise Refusal(Reason.NOT_WITHDRAWABLE, f"{amount}, at most {limit}")
    if draft.usdc_price is None:
        raise Missing("USDC", "price")
    prices = known_prices(draft.markets)
    factor = loss_factor(draft.accounts, prices, draft.usdc_price, draft.spec)
    kept = Usdc(round_up8(amount.value * factor))
    paid = amount - kept
    draft.change_balance(account, -amount.value)
    draft.change_balance(LIQUIDATOR_VAULT, kept.value)
    draft.net_deposits_usdc -= paid.value
    draft.events.append(Withdrawn(account=account, requested=amount, paid=paid, socialised=kept))
    return paid


def withdrawable_now(draft: Draft, account: str) -> Usdc:
    """What may leave an account; settles its funding first where the rules say so.

    Refused for an account that belongs to the holders of vault shares: they redeem those.
    """
    if draft.is_shared(account):
        raise Refusal(Reason.NOT_WITHDRAWABLE, f"{account} belongs to the holders of its shares")
    if draft.usdc_price is None:
        raise Missing("USDC", "price")
    if draft.spec.settle_funding_on_withdrawal:
        settle_funding(draft, draft.account(account))
    prices = known_prices(draft.markets)
    return assess(draft.account(account), prices, draft.usdc_price, draft.state.rules).withdrawable


def check_amount(amount: Usdc) -> None:
    """Refuse an amount that is not positive or has more than 8 decimals."""
    if amount.value <= 0 or not is_multiple(amount.value, MONEY_UNIT):
        raise Refusal(Reason.BAD_AMOUNT, str(amount))


@exact
def set_standing(draft: Draft, command: SetStanding) -> None:
    """Take over volume, discounts and leverage; refused if more margin is needed than is there.

    Paradex documentation, cross margin requirement: the owner may lower the leverage of a market.
    """
    before = draft.account(command.account)
    for symbol, leverage in command.standing.leverage.items():
        if leverage * draft.market(symbol).spec.imf_base > 1:
            raise Refusal(Reason.LEVERAGE, f"{leverage} in {symbol}")
    after = replace(before, standing=command.standing)
    draft.put_account(after)
    draft.events.append(StandingSet(account=command.account, standing=command.standing))
    if not (before.positions or before.orders):
        return
    if draft.usdc_price is None:
        raise Missing("USDC", "price")
    prices, rules = known_prices(draft.markets), draft.state.rules
    healths = [assess(account, prices, draft.usdc_price, rules) for account in (before, after)]
    if not accepts_order(*healths):
        raise Refusal(Reason.INITIAL_MARGIN, command.account)


@exact
def settle_trade(draft: Draft, command: SettleTrade) -> None:
    """Settle a trade matched elsewhere and judge both sides by the position IMR afterwards.

    A side passes if its value covers the position IMR or if the trade did not raise it; the vault
    always passes. A side whose order was reduce-only must have been reduced. Refused as a whole
    otherwise, which is what a trade bust is. Paradex documentation, trade flow and busts.
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
    maker_profile, taker_profile = command.maker_profile, command.taker_profile
    fill(
        draft,
        market=command.market,
        price_usd=command.price,
        size=command.size,
        maker=Leg(maker, None, fee_rate(draft, maker, maker_profile, against=None)),
        taker=Leg(taker, None, fee_rate(draft, taker, taker_profile, against=maker_profile)),
        taker_side=command.taker_side,
        fill_type=FillType.UNWIND_TRANSFER if LIQUIDATOR_VAULT in sides else FillType.FILL,
    )
    for name in command.reduce_only:
        if name in sides and not _reduced(before[name], draft.account(name), command.market):
            raise Refusal(Reason.NOT_REDUCING, name)
    for name in sides:
        if name != LIQUIDATOR_VAULT and not _still_covered(draft, before[name]):
            raise Refusal(Reason.INITIAL_MARGIN, name)
        size = abs(draft.account(name).size(command.market))
        if size > market.spec.position_limit and size > abs(before[name].size(command.market)):
            raise Refusal(Reason.POSITION_LIMIT, name)
    draft.put_market(replace(market, last_trade_usd=command.price))
    for name in sides:
        reconcile(draft, name, command.market)


def _reduced(before: Account, after: Account, market: str) -> bool:
    was, became = before.size(market), after.size(market)
    return abs(became) < abs(was) and was * became >= 0


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
