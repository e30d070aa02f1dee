"""How positions that nobody wants to keep leave: sold in the market, or settled with the market.

The liquidator vault and the accounts of leaving vault holders close what they took over by market
orders, a part at a time. A market that is delisted closes every position at its mark price.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from target_stub.core.commands import SettleMarket, Unwind
from target_stub.core.draft import Draft
from target_stub.core.errors import Missing, Reason, Refusal
from target_stub.core.events import MarketPaused, PositionSettled
from target_stub.core.gate import check_trading_open
from target_stub.core.money import (
    ZERO,
    Usd,
    Usdc,
    divide_down8,
    divide_up8,
    exact,
    round_up8,
    up_to_multiple,
)
from target_stub.core.orders import Account, Instruction, Order, OrderKind, Side
from target_stub.core.parameters import LIQUIDATOR_VAULT, Pause
from target_stub.core.settlement import change_position
from target_stub.core.state import Market
from target_stub.core.trading import execute


@exact
def unwind(draft: Draft, command: Unwind) -> None:
    """Close a share of one position by a reduce-only market order; what does not fill is dropped.

    Only the liquidator vault and auxiliary accounts are unwound; refused where nobody may take.
    """
    market = draft.market(command.market)
    check_trading_open(draft, market)
    leaving = draft.is_shared(command.account) and command.account not in draft.vaults
    size = draft.account(command.account).size(command.market)
    if not size or not (leaving or command.account == LIQUIDATOR_VAULT):
        raise Refusal(Reason.NOTHING_TO_UNWIND, command.account)
    if not 0 < command.share <= 1:
        raise Refusal(Reason.BAD_AMOUNT, f"a share of {command.share}")
    wanted = up_to_multiple(abs(size) * command.share, market.spec.order_size_increment)
    wanted = min(abs(size), wanted, market.spec.max_order_size)
    draft.orders_placed += 1
    order = Order(
        id=command.id,
        account=command.account,
        market=command.market,
        side=Side.SELL if size > 0 else Side.BUY,
        size=wanted,
        remaining=wanted,
        price=None,
        kind=OrderKind.MARKET,
        instruction=Instruction.IOC,
        reduce_only=True,
        sequence=draft.orders_placed,
    )
    execute(draft, order)


@exact
def settle_market(draft: Draft, command: SettleMarket) -> None:
    """Close every position of a market at its mark price, cancel its orders and halt it.

    Cash is rounded towards minus infinity and the fee up for everybody, the remainder is the
    protocol's. Paradex documentation, trading fees, settlement: 0.015 % of notional.
    """
    market = draft.market(command.market)
    mark_usd = market.known("mark_usd")
    if mark_usd <= 0:
        raise Refusal(Reason.BAD_PRICE, f"settlement at {mark_usd}")
    for account in _accounts(draft):
        for order in tuple(account.orders.values()):
            if order.market == command.market:
                draft.cancel(order, Reason.MARKET_NOT_OPEN)
    for account in _accounts(draft):
        if command.market in account.positions:
            _close(draft, account, market, mark_usd)
    if Pause.HALTED not in market.pauses:
        draft.put_market(replace(market, pauses=(Pause.HALTED, *market.pauses)))
        draft.events.append(MarketPaused(market=command.market, pause=Pause.HALTED, on=True))


def _accounts(draft: Draft) -> Iterator[Account]:
    return (draft.account(name) for name in sorted(draft.accounts))


@exact
def _close(draft: Draft, account: Account, market: Market, mark_usd: Decimal) -> None:
    if draft.usdc_price is None:
        raise Missing("USDC", "price")
    symbol = market.spec.symbol
    position = account.positions[symbol]
    # A long receives the notional, a short pays it: down for one, up for the other.
    divide = divide_down8 if position.size > 0 else divide_up8
    notional_usdc = divide(abs(position.size) * mark_usd, draft.usdc_price)
    change = change_position(
        position,
        -position.size,
        notional_usdc=notional_usdc,
        index=market.known("funding_index"),
        realisation=draft.spec.funding_realisation,
    )
    fee_usdc = ZERO
    if account.id != LIQUIDATOR_VAULT:
        fee_usdc = round_up8(notional_usdc * draft.spec.settlement_fee)
    balance_usdc = (
        account.balance_usdc + change.realised_pnl_usdc + change.realised_funding_usdc - fee_usdc
    )
    positions = {name: kept for name, kept in account.positions.items() if name != symbol}
    draft.put_account(replace(account, balance_usdc=balance_usdc, positions=positions))
    draft.fees_usdc += fee_usdc
    cash_usdc = notional_usdc if position.size > 0 else -notional_usdc
    draft.remainder_usdc += change.remainder_usdc - cash_usdc
    draft.events.append(
        PositionSettled(
            market=symbol,
            account=account.id,
            size=position.size,
            price=Usd(mark_usd),
            fee=Usdc(fee_usdc),
            realised_pnl=Usdc(change.realised_pnl_usdc),
            realised_funding=Usdc(change.realised_funding_usdc),
        )
    )
