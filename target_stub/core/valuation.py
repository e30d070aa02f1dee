"""What one position says about itself: accrued funding, PnL, and where it would be liquidated.

Health is a matter of the whole account (see ``margin``); here is what the interface shows for each
position of it.
"""

from __future__ import annotations

from decimal import Decimal

from target_stub.core.margin import (
    MarketPrice,
    Prices,
    Rules,
    account_value,
    fee_provision,
    maintenance_margin,
)
from target_stub.core.money import ZERO, Usd, Usdc, divide_half_even8, exact
from target_stub.core.orders import Account, Position


@exact
def accrued_funding(position: Position, index: Decimal) -> Usdc:
    """What funding has come to since it was last settled: -size x (index - cached index).

    Paradex documentation, funding. Positive is received. In USDC; the page states it in USD, which
    is this times the USDC price.
    """
    return Usdc(-position.size * (index - position.cached_funding_index))


@exact
def unrealised(position: Position, price: MarketPrice, usdc_price: Decimal) -> Usd:
    """Size x mark - cost x USDC price + accrued funding, of one position in USD."""
    funding_usdc = accrued_funding(position, price.funding_index).value
    return Usd(position.size * price.mark_usd + (funding_usdc - position.cost_usdc) * usdc_price)


@exact
def average_entry(position: Position) -> Decimal:
    """The average entry price in USDC per unit, to the nearest 8th decimal."""
    return divide_half_even8(position.cost_usdc, position.size)


@exact
def liquidation_price(
    account: Account, market: str, prices: Prices, usdc_price: Decimal, rules: Rules
) -> Decimal | None:
    """The mark in USD at which the account value meets its maintenance margin, others unchanged.

    Both are linear in the mark of one market, so with d = value - margin at the mark of now the
    price is mark - d / (size - |size| x (IMF x MMF factor + fee)). To the nearest 8th decimal; None
    if no positive mark would do it. Raises KeyError if the account has no position there.
    """
    size = account.positions[market].size
    spec = rules.markets[market]
    fraction = spec.imf_base * spec.mmf_factor + fee_provision(account, rules)
    slope = size - abs(size) * fraction
    if not slope:
        return None
    value_usd = account_value(account, prices, usdc_price).value
    room_usd = value_usd - maintenance_margin(account, prices, rules).value
    mark_usd = prices[market].mark_usd
    price = divide_half_even8(mark_usd * slope - room_usd, slope)
    return price if price > ZERO else None
