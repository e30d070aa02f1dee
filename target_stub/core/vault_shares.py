"""Founding a vault, buying its shares, giving them back, and being paid, as commands."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from target_stub.core.accounts import check_amount, withdrawable_now
from target_stub.core.commands import CreateVault, PayRedemption, RedeemShares, VaultDeposit
from target_stub.core.draft import Draft
from target_stub.core.errors import Missing, Reason, Refusal
from target_stub.core.events import SharesIssued, SharesPaid, SharesRedeemed
from target_stub.core.margin import account_value
from target_stub.core.money import (
    ZERO,
    Usdc,
    divide_down8,
    divide_half_even8,
    exact,
    round_down8,
)
from target_stub.core.orders import Account, Position
from target_stub.core.settlement import settle_funding
from target_stub.core.state import known_prices
from target_stub.core.vaults import Holding, Redemption, Vault

PROFIT_SHARE_MAX = Decimal("0.2")
DAY_MS = 86_400_000
LOCKUP_DAYS = (1, 4)
"""Shortest and longest: Paradex documentation, vaults, key features, as of January 2026."""
FIRST_DEPOSIT_MIN = Usdc(Decimal(100))


def create_vault(draft: Draft, command: CreateVault) -> None:
    """Open an account that is owned in shares; the founder buys the first at 1 USDC each."""
    if command.vault in draft.accounts:
        raise Refusal(Reason.ACCOUNT_EXISTS, command.vault)
    shortest, longest = LOCKUP_DAYS
    if not shortest * DAY_MS <= command.lockup_ms <= longest * DAY_MS:
        raise Refusal(Reason.BAD_AMOUNT, f"a lockup of {command.lockup_ms} ms")
    if not 0 <= command.profit_share <= PROFIT_SHARE_MAX:
        raise Refusal(Reason.BAD_AMOUNT, f"a profit share of {command.profit_share}")
    if command.amount < FIRST_DEPOSIT_MIN:
        raise Refusal(Reason.BAD_AMOUNT, f"{command.amount}, at least {FIRST_DEPOSIT_MIN}")
    draft.put_account(Account(command.vault, ZERO))
    vault = Vault(
        id=command.vault,
        owner=command.account,
        profit_share=command.profit_share,
        lockup_ms=command.lockup_ms,
        value_max=command.value_max,
    )
    _buy(draft, vault, command.account, command.amount, command.amount.value)


def vault_deposit(draft: Draft, command: VaultDeposit) -> None:
    """Buy shares at the value of the vault, rounded down, for at most what is withdrawable."""
    vault = _vault(draft, command.vault)
    value_usdc = _value_usdc(draft, vault.id)
    if value_usdc <= 0 or not vault.supply:
        raise Refusal(Reason.VAULT_BANKRUPT, vault.id)
    over = vault.value_max is not None and value_usdc + command.amount.value > vault.value_max.value
    if over:
        raise Refusal(Reason.VAULT_FULL, f"{vault.value_max}")
    shares = divide_down8(command.amount.value * vault.supply, value_usdc)
    if not shares:
        raise Refusal(Reason.BAD_AMOUNT, f"{command.amount} buys no share")
    _buy(draft, vault, command.account, command.amount, shares)


@exact
def _buy(draft: Draft, vault: Vault, account: str, amount: Usdc, shares: Decimal) -> None:
    check_amount(amount)
    limit = withdrawable_now(draft, account)
    if amount > limit:
        raise Refusal(Reason.NOT_WITHDRAWABLE, f"{amount}, at most {limit}")
    draft.change_balance(account, -amount.value)
    draft.change_balance(vault.id, amount.value)
    held = vault.holdings.get(account, Holding(ZERO, ZERO, draft.at_ms))
    holding = Holding(held.shares + shares, held.cost_usdc + amount.value, draft.at_ms)
    draft.put_vault(vault.with_holding(account, holding))
    draft.events.append(SharesIssued(vault=vault.id, account=account, amount=amount, shares=shares))


@exact
def redeem_shares(draft: Draft, command: RedeemShares) -> None:
    """Move the part of the balance and of every position that the shares stand for.

    It goes into an auxiliary account named after the command, sizes rounded down to the increment
    and cash towards minus infinity. Refused during the lockup.
    """
    vault = _vault(draft, command.vault)
    held = vault.holdings.get(command.account)
    if held is None or not 0 < command.shares <= held.shares:
        raise Refusal(Reason.NOT_ENOUGH_SHARES, f"{command.shares}")
    if draft.at_ms - held.since_ms < vault.lockup_ms:
        raise Refusal(Reason.LOCKED_UP, f"until {held.since_ms + vault.lockup_ms} ms")
    auxiliary = f"{vault.id}/{command.id}"
    if auxiliary in draft.accounts:
        raise Refusal(Reason.ACCOUNT_EXISTS, auxiliary)
    _split(draft, vault, auxiliary, command.shares)
    cost_usdc = divide_half_even8(held.cost_usdc * command.shares, held.shares)
    left = Holding(held.shares - command.shares, held.cost_usdc - cost_usdc, held.since_ms)
    redemption = Redemption(command.account, cost_usdc)
    draft.put_vault(
        replace(
            vault.with_holding(command.account, left),
            redemptions={**vault.redemptions, auxiliary: redemption},
        )
    )
    draft.events.append(
        SharesRedeemed(
            vault=vault.id, account=command.account, shares=command.shares, auxiliary=auxiliary
        )
    )


@exact
def _split(draft: Draft, vault: Vault, auxiliary: str, shares: Decimal) -> None:
    settle_funding(draft, draft.account(vault.id))
    account, supply = draft.account(vault.id), vault.supply
    kept: dict[str, Position] = {}
    moved: dict[str, Position] = {}
    for market, position in account.positions.items():
        increment = draft.market(market).spec.order_size_increment
        steps = abs(position.size) * shares // (supply * increment)
        size = (steps * increment).copy_sign(position.size)
        cost_usdc = divide_half_even8(position.cost_usdc * size, position.size)
        if size:
            moved[market] = Position(size, cost_usdc, position.cached_funding_index)
        if size != position.size:
            kept[market] = Position(
                position.size - size, position.cost_usdc - cost_usdc, position.cached_funding_index
            )
    cash_usdc = divide_down8(account.balance_usdc * shares, supply)
    draft.put_account(
        replace(account, balance_usdc=account.balance_usdc - cash_usdc, positions=kept)
    )
    draft.put_account(Account(auxiliary, cash_usdc, moved))


@exact
def pay_redemption(draft: Draft, command: PayRedemption) -> None:
    """Pay out an auxiliary account that has no positions left, less the owner's profit share.

    The owner's part is rounded down and is taken from a profit over what the shares cost only.
    """
    vault = _vault(draft, command.vault)
    redemption = vault.redemptions.get(command.auxiliary)
    if redemption is None:
        raise Refusal(Reason.UNKNOWN_TRANSFER, command.auxiliary)
    account = draft.account(command.auxiliary)
    if account.positions or account.balance_usdc < 0:
        raise Refusal(Reason.NOT_WITHDRAWABLE, "it is not unwound, or bankrupt")
    profit_usdc = max(ZERO, account.balance_usdc - redemption.cost_usdc)
    owned = redemption.holder == vault.owner
    share_usdc = ZERO if owned else round_down8(profit_usdc * vault.profit_share)
    paid_usdc = account.balance_usdc - share_usdc
    for order in tuple(account.orders.values()):
        draft.cancel(order, Reason.ON_REQUEST)
    draft.change_balance(command.auxiliary, -account.balance_usdc)
    draft.change_balance(vault.owner, share_usdc)
    draft.change_balance(redemption.holder, paid_usdc)
    left = {name: kept for name, kept in vault.redemptions.items() if name != command.auxiliary}
    draft.put_vault(replace(vault, redemptions=left))
    draft.events.append(
        SharesPaid(
            vault=vault.id,
            account=redemption.holder,
            amount=Usdc(paid_usdc),
            profit_share=Usdc(share_usdc),
        )
    )


def _vault(draft: Draft, vault: str) -> Vault:
    found = draft.vaults.get(vault)
    if found is None:
        raise Refusal(Reason.UNKNOWN_VAULT, vault)
    return found


def _value_usdc(draft: Draft, vault: str) -> Decimal:
    if draft.usdc_price is None:
        raise Missing("USDC", "price")
    value = account_value(draft.account(vault), known_prices(draft.markets), draft.usdc_price)
    return value.to_usdc_up8(draft.usdc_price).value
