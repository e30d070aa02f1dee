"""Sums over the whole exchange, for invariants.

Conservation holds to the last digit. It says nothing about whether an index is right: signed sizes
sum to zero, so any index at all, a zero included, gives the same totals.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from target_stub.core.margin import Prices, account_value
from target_stub.core.money import ZERO, Usd, Usdc, exact
from target_stub.core.state import State


@exact
def positions_by_market(state: State) -> Mapping[str, Decimal]:
    """The sum of the signed positions of every market; each must be zero."""
    totals = dict.fromkeys(state.markets, ZERO)
    for account in state.accounts.values():
        for market, position in account.positions.items():
            totals[market] += position.size
    return totals


@exact
def total_usdc(state: State) -> Usdc:
    """All balances, the vault's among them, plus collected fees and rounding remainders."""
    balances = sum((account.balance_usdc for account in state.accounts.values()), ZERO)
    return Usdc(balances + state.fees_usdc + state.remainder_usdc)


@exact
def unsettled_usdc(state: State) -> Usdc:
    """What open positions will still turn into cash whatever the prices: size x index - cost."""
    total = ZERO
    for account in state.accounts.values():
        for position in account.positions.values():
            total += position.size * position.cached_funding_index - position.cost_usdc
    return Usdc(total)


@exact
def conservation_gap(state: State) -> Usdc:
    """Total USDC plus what is unsettled, less net deposits; exactly zero, always."""
    paid_in = Usdc(state.net_deposits_usdc)
    return total_usdc(state) + unsettled_usdc(state) - paid_in


@exact
def total_equity(state: State, prices: Prices, usdc_price: Decimal) -> Usd:
    """The sum of all account values plus fees and remainders, at the given marks and indices."""
    protocol = Usdc(state.fees_usdc + state.remainder_usdc).to_usd(usdc_price)
    values = (account_value(a, prices, usdc_price) for a in state.accounts.values())
    return sum(values, protocol)


def crossed_books(state: State) -> tuple[str, ...]:
    """The markets whose book is crossed at rest; always empty."""
    return tuple(symbol for symbol, book in sorted(state.books.items()) if book.is_crossed())
