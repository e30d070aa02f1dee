"""What a trade does to the two accounts in it.

Whatever one side pays the other side gets, to the last digit; what rounding keeps back goes to the
protocol and is booked exactly, so that nothing is ever minted. Cost and balance move together:
balance minus cost changes by the cash of the trade and by nothing else.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from target_stub.core.draft import Draft
from target_stub.core.errors import Missing, Reason, Refusal
from target_stub.core.events import Filled, FillSide, FillType
from target_stub.core.fees import TraderProfile
from target_stub.core.money import (
    ZERO,
    Usd,
    Usdc,
    divide_half_even8,
    exact,
    round_down8,
    round_up8,
)
from target_stub.core.orders import Account, Position, Side
from target_stub.core.parameters import FundingRealisation


class PositionChange(NamedTuple):
    """A position after a trade and what became cash because of it, all in USDC."""

    position: Position | None
    realised_pnl_usdc: Decimal
    realised_funding_usdc: Decimal
    remainder_usdc: Decimal
    """Funding that rounding kept back from the account; never negative."""


class Leg(NamedTuple):
    """Who stands on one side of a fill, with which order and at which fee."""

    account: str
    order_id: str | None
    fee_rate: Decimal


def fee_rate(
    draft: Draft, account: str, profile: TraderProfile, *, against: TraderProfile | None
) -> Decimal:
    """What an account pays of the notional: as a taker ``against`` a maker, or as a maker (None).

    Without a fee schedule everybody pays the two rates of the exchange.
    """
    fees = draft.spec.fees
    if fees is None:
        return draft.spec.maker_fee if against is None else draft.spec.taker_fee
    if against is None:
        return fees.maker_rate(profile)
    return fees.taker_rate(profile, draft.account(account).standing, maker=against)


@exact
def change_position(
    position: Position | None,
    change: Decimal,
    *,
    notional_usdc: Decimal,
    index: Decimal,
    realisation: FundingRealisation,
) -> PositionChange:
    """Trade a signed quantity for ``notional_usdc`` (>= 0) at the given funding index.

    PnL is realised on the reduced part only, in proportion to its cost. Funding is realised on the
    whole previous size, or with PROPORTIONAL on a reduction only on the reduced part.
    """
    cash_usdc = -notional_usdc if change > 0 else notional_usdc
    if position is None:
        return PositionChange(Position(change, -cash_usdc, index), ZERO, ZERO, ZERO)
    size = position.size
    reduces = (size > 0) != (change > 0)
    closes = reduces and abs(change) >= abs(size)
    partly = reduces and not closes
    keeps_index = partly and realisation is FundingRealisation.PROPORTIONAL
    settled = -change if keeps_index else size
    due_usdc = -settled * (index - position.cached_funding_index)
    paid_usdc = round_down8(due_usdc)
    cached = position.cached_funding_index if keeps_index else index
    pnl_usdc = ZERO
    if not reduces:
        after: Position | None = Position(size + change, position.cost_usdc - cash_usdc, cached)
    elif partly:
        cost_gone_usdc = divide_half_even8(position.cost_usdc * -change, size)
        pnl_usdc = cash_usdc - cost_gone_usdc
        after = Position(size + change, position.cost_usdc - cost_gone_usdc, cached)
    else:
        # A trade through zero closes the old position and opens a new one with the rest.
        closing_cash_usdc = divide_half_even8(cash_usdc * abs(size), abs(change))
        pnl_usdc = closing_cash_usdc - position.cost_usdc
        left = size + change
        after = Position(left, closing_cash_usdc - cash_usdc, index) if left else None
    return PositionChange(after, pnl_usdc, paid_usdc, due_usdc - paid_usdc)


@exact
def fill(
    draft: Draft,
    *,
    market: str,
    price_usd: Decimal,
    size: Decimal,
    maker: Leg,
    taker: Leg,
    taker_side: Side,
    fill_type: FillType,
) -> None:
    """Settle one fill on both sides, collect fees and remainders, and report it.

    Raises Missing without a funding index or a USDC price: settling needs both.
    """
    if maker.account == taker.account:
        raise Refusal(Reason.SELF_TRADE, taker.account)
    found = draft.market(market)
    index = found.known("funding_index")
    if draft.usdc_price is None:
        raise Missing("USDC", "price")
    notional_usdc = divide_half_even8(price_usd * size, draft.usdc_price)
    sides = [
        _settle_leg(draft, market, leg, side, size=size, notional_usdc=notional_usdc, index=index)
        for leg, side in ((maker, taker_side.opposite), (taker, taker_side))
    ]
    draft.events.append(
        Filled(
            market=market,
            fill_type=fill_type,
            price=Usd(price_usd),
            size=size,
            maker=sides[0],
            taker=sides[1],
        )
    )


def _settle_leg(
    draft: Draft,
    market: str,
    leg: Leg,
    side: Side,
    *,
    size: Decimal,
    notional_usdc: Decimal,
    index: Decimal,
) -> FillSide:
    account = draft.account(leg.account)
    change = change_position(
        account.positions.get(market),
        size * side.sign,
        notional_usdc=notional_usdc,
        index=index,
        realisation=draft.spec.funding_realisation,
    )
    fee_usdc = round_up8(notional_usdc * leg.fee_rate)
    positions = dict(account.positions)
    if change.position is None:
        del positions[market]
    else:
        positions[market] = change.position
    balance_usdc = (
        account.balance_usdc + change.realised_pnl_usdc + change.realised_funding_usdc - fee_usdc
    )
    draft.put_account(
        Account(account.id, balance_usdc, positions, account.orders, account.standing)
    )
    draft.fees_usdc += fee_usdc
    draft.remainder_usdc += change.remainder_usdc
    return FillSide(
        account=leg.account,
        order_id=leg.order_id,
        side=side,
        fee=Usdc(fee_usdc),
        realised_pnl=Usdc(change.realised_pnl_usdc),
        realised_funding=Usdc(change.realised_funding_usdc),
        position=positions[market].size if market in positions else ZERO,
    )


@exact
def settle_funding(draft: Draft, account: Account) -> None:
    """Turn all accrued funding of one account into cash at the current indices."""
    balance_usdc = account.balance_usdc
    positions: dict[str, Position] = {}
    for symbol, position in account.positions.items():
        index = draft.market(symbol).known("funding_index")
        due_usdc = -position.size * (index - position.cached_funding_index)
        paid_usdc = round_down8(due_usdc)
        balance_usdc += paid_usdc
        draft.remainder_usdc += due_usdc - paid_usdc
        positions[symbol] = Position(position.size, position.cost_usdc, index)
    draft.put_account(
        Account(account.id, balance_usdc, positions, account.orders, account.standing)
    )
