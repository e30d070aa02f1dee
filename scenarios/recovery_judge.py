"""The judge's own counterfactual of a recovery drill, and his own arithmetic.

The inputs of the fork that was left are settled at the true values, which the premise knows; the
target has to find them out. All sums are fractions, so nothing is rounded here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from harness.invariants import Broken
from scenarios.outside import USDC_PRICE
from scenarios.recovery_premise import INDICES
from scenarios.recovery_world import RecoveringExchange
from target_stub.cloud import payouts
from target_stub.cloud.compensation import MARGIN_KEPT
from target_stub.core import (
    LIQUIDATOR_VAULT,
    Account,
    MarketPrice,
    PublishMarket,
    State,
    apply,
)
from target_stub.core.transfers import Direction, TransferStatus
from target_stub.ports import Row

#: The unit to which refunds are rounded, upwards: nobody ends below his counterfactual, nor a unit
#: or more above it.
UNIT_USDC = Fraction(1, 10**8)


def counterfactual(
    exchange: RecoveringExchange,
) -> tuple[dict[str, Fraction], Mapping[str, MarketPrice]]:
    """What everybody would be worth in USD without the fault, and the prices of that moment."""
    height = exchange.chain.abandoned[0].height
    if height >= exchange.premise.wrong_height:
        raise Broken(f"height {height} is no good snapshot: the fault came at its height or before")
    state = exchange.chain.blocks[height - 1].state if height else exchange.chain.genesis
    for step in exchange.steps:
        command = step.block.command
        if step.fork or step.block.height <= height:
            continue
        if isinstance(command, PublishMarket):
            command = replace(command, funding_index=INDICES[command.market])
        state, _ = apply(state, command)
    prices = state.known_prices()
    pending = [
        each for each in state.transfers.values() if each.status is not TransferStatus.FAILED
    ]
    wallets: dict[str, Fraction] = {}
    for each in pending:
        sign = 1 if each.direction is Direction.WITHDRAWAL else -1
        paid = sign * Fraction(each.amount.value)
        wallets[each.account] = wallets.get(each.account, Fraction(0)) + paid
    return worth_usd(state, prices, wallets), prices


def wallets_of(exchange: RecoveringExchange, state: State) -> dict[str, Fraction]:
    """What everybody got outside, less what the exchange credited, in USDC."""
    wallets: dict[str, Fraction] = {}

    def add(account: str, amount: Decimal) -> None:
        wallets[account] = wallets.get(account, Fraction(0)) + Fraction(amount)

    outside: Mapping[str, Row] = exchange.database.table(payouts.OUTSIDE)
    for name, row in outside.items():
        if row["direction"] == Direction.WITHDRAWAL.value and not paid_later(exchange, name):
            add(row["account"], row["amount"])
    for transfer in state.transfers.values():
        if transfer.direction is Direction.DEPOSIT:
            add(transfer.account, -transfer.amount.value)
        elif transfer.id not in outside:
            add(transfer.account, transfer.amount.value)
    return wallets


def paid_later(exchange: RecoveringExchange, transfer: str) -> bool:
    """Whether a withdrawal was asked for on the new fork only, after it had opened."""
    asked = [step.fork for step in exchange.steps if step.block.command.id == transfer]
    return bool(asked) and min(asked) > 0


def worth_usd(
    state: State, prices: Mapping[str, MarketPrice], wallets: Mapping[str, Fraction]
) -> dict[str, Fraction]:
    """What everybody has in USD, the shares of vaults included; the fund is left out."""
    rate = Fraction(USDC_PRICE)
    worth = {
        name: value_usd(account, prices) + wallets.get(name, Fraction(0)) * rate
        for name, account in state.accounts.items()
        if name != LIQUIDATOR_VAULT
    }
    for vault in state.vaults.values():
        shared = worth.pop(vault.id)
        supply = sum((Fraction(each.shares) for each in vault.holdings.values()), Fraction(0))
        for holder, holding in vault.holdings.items():
            worth[holder] += shared * Fraction(holding.shares) / supply
    return worth


def value_usd(account: Account, prices: Mapping[str, MarketPrice]) -> Fraction:
    """Balance, and every position at its mark less its cost and the funding since it settled."""
    rate = Fraction(USDC_PRICE)
    value = Fraction(account.balance_usdc) * rate
    for market, position in account.positions.items():
        size, price = Fraction(position.size), prices[market]
        funding = size * Fraction(price.funding_index - position.cached_funding_index)
        value += size * Fraction(price.mark_usd)
        value -= (Fraction(position.cost_usdc) + funding) * rate
    return value


def can_give_nothing(account: Account, state: State, prices: Mapping[str, MarketPrice]) -> bool:
    """Whether an account has no more than its initial margin and a tenth, or no cash."""
    needed = sum(
        (
            abs(Fraction(position.size))
            * Fraction(prices[market].mark_usd)
            * Fraction(state.markets[market].spec.imf_base)
            for market, position in account.positions.items()
        ),
        Fraction(0),
    )
    spare = value_usd(account, prices) - needed * Fraction(MARGIN_KEPT)
    return min(spare / Fraction(USDC_PRICE), Fraction(account.balance_usdc)) < UNIT_USDC
