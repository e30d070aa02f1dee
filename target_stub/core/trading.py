"""Placing, matching and cancelling orders.

An order is judged before it touches the book: mode, size, band, position limit, margin. What is
left after matching rests, or is cancelled, and the book is never crossed when a command is done.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from target_stub.core.book import (
    Caps,
    average_cap,
    fillable,
    reaches,
    terminal_price,
)
from target_stub.core.commands import CancelAll, CancelOrder, PlaceOrder
from target_stub.core.draft import Draft
from target_stub.core.errors import Reason, Refusal
from target_stub.core.events import FillType, OrderAccepted, OrderCancelled
from target_stub.core.gate import check_order, check_waiting_order
from target_stub.core.money import ZERO, exact
from target_stub.core.orders import Instruction, Order, OrderKind
from target_stub.core.parameters import LIQUIDATOR_VAULT, SelfTradePrevention
from target_stub.core.reduce_only import closable, reconcile
from target_stub.core.settlement import Leg, fill


def place_order(draft: Draft, command: PlaceOrder) -> None:
    """Take an order: match it, rest what is left, or let it wait for its trigger."""
    order = _order_from(draft, command)
    if order.waits:
        check_waiting_order(draft, order)
        size = min(
            order.size, closable(order.side, draft.account(order.account).size(order.market))
        )
        order = replace(order, size=size, remaining=size)
        draft.events.append(OrderAccepted(order=order))
        draft.put_order(order)
        return
    check_order(draft, order)
    execute(draft, order, command.slippage)


def _order_from(draft: Draft, command: PlaceOrder) -> Order:
    draft.orders_placed += 1
    return Order(
        id=command.id,
        account=command.account,
        market=command.market,
        side=command.side,
        size=command.size,
        remaining=command.size,
        price=command.price,
        kind=command.kind,
        instruction=command.instruction,
        reduce_only=command.reduce_only or command.trigger is not None,
        sequence=draft.orders_placed,
        client_id=command.client_id,
        trigger=command.trigger,
        trigger_price=command.trigger_price,
        pair=command.pair,
    )


@exact
def execute(draft: Draft, order: Order, slippage: Decimal | None = None) -> None:
    """Match an order that was judged already, then rest or cancel what is left of it."""
    opposite = draft.books[order.market].side(order.side.opposite)
    if order.instruction is Instruction.POST_ONLY:
        if opposite and reaches(order.side, order.price, opposite[0].price):
            draft.events.append(OrderCancelled(order=order, reason=Reason.POST_ONLY_WOULD_TRADE))
            return
        draft.events.append(OrderAccepted(order=order))
        draft.rest(order)
    else:
        draft.events.append(OrderAccepted(order=order))
        order, stopped = _match(draft, order, _caps(draft, order, slippage))
        if order.remaining:
            _finish(draft, order, stopped)
        else:
            cancel_siblings(draft, order)
    reconcile(draft, order.account, order.market)


def _finish(draft: Draft, order: Order, stopped: Reason | None) -> None:
    rests = order.kind is OrderKind.LIMIT and order.instruction is Instruction.GTC
    if stopped is None and rests:
        draft.rest(order)
    else:
        reason = stopped or Reason.NOT_FILLED
        draft.events.append(OrderCancelled(order=order, reason=reason))


def _caps(draft: Draft, order: Order, slippage: Decimal | None) -> Caps:
    if order.kind is OrderKind.LIMIT:
        return Caps(side=order.side, limit=order.price)
    market = draft.market(order.market)
    limit = terminal_price(
        order.side,
        mark_usd=market.known("mark_usd"),
        width=market.spec.price_bands_width,
        tick=market.spec.price_tick,
    )
    opposite = draft.books[order.market].side(order.side.opposite)
    average = None
    if slippage is not None and opposite:
        average = average_cap(
            order.side,
            best_usd=opposite[0].price,
            slippage=slippage,
            sell_below_bid=draft.spec.sell_vwap_below_bid,
        )
    return Caps(side=order.side, limit=limit, average=average)


def _match(draft: Draft, order: Order, caps: Caps) -> tuple[Order, Reason | None]:
    """Fill the order against the best of the other side until a cap, a lack or itself stops it."""
    filled = spent_usd = ZERO
    market = draft.market(order.market)
    while order.remaining:
        queue = draft.books[order.market].side(order.side.opposite)
        if not queue or not reaches(order.side, caps.limit, queue[0].price):
            break
        entry = queue[0]
        resting = draft.account(entry.account).orders[entry.order_id]
        if resting.account == order.account:
            policy = draft.spec.self_trade_prevention
            if policy is not SelfTradePrevention.EXPIRE_TAKER:
                draft.cancel(resting, Reason.SELF_TRADE)
            if policy is not SelfTradePrevention.EXPIRE_MAKER:
                return order, Reason.SELF_TRADE
            continue
        size = fillable(
            caps,
            price=entry.price,
            wanted=min(order.remaining, resting.remaining),
            filled=filled,
            spent_usd=spent_usd,
            increment=market.spec.order_size_increment,
        )
        if not size:
            break
        _trade(draft, order, resting, entry.price, size)
        order = replace(order, remaining=order.remaining - size)
        filled += size
        spent_usd += size * entry.price
    if filled:
        market = draft.market(order.market)
        draft.put_market(replace(market, last_trade_usd=entry.price))
    return order, None


def _trade(draft: Draft, order: Order, resting: Order, price: Decimal, size: Decimal) -> None:
    unwinds = LIQUIDATOR_VAULT in (order.account, resting.account)
    fill(
        draft,
        market=order.market,
        price_usd=price,
        size=size,
        maker=Leg(resting.account, resting.id, draft.spec.maker_fee),
        taker=Leg(order.account, order.id, draft.spec.taker_fee),
        taker_side=order.side,
        fill_type=FillType.UNWIND_TRANSFER if unwinds else FillType.FILL,
    )
    left = replace(resting, remaining=resting.remaining - size)
    if left.remaining:
        draft.put_order(left)
    else:
        draft.drop_order(resting)
        cancel_siblings(draft, resting)
    reconcile(draft, resting.account, order.market)


def cancel_siblings(draft: Draft, order: Order) -> None:
    """Cancel the other TP/SL orders of the pair that this order belongs to."""
    if order.pair is None:
        return
    for other in tuple(draft.account(order.account).waiting_orders(order.market)):
        if other.pair == order.pair and other.id != order.id:
            draft.cancel(other, Reason.SIBLING)


def cancel_order(draft: Draft, command: CancelOrder) -> None:
    """Cancel one order of the account; allowed in every mode."""
    order = draft.account(command.account).orders.get(command.order_id)
    if order is None:
        raise Refusal(Reason.ORDER_ID_NOT_FOUND, command.order_id)
    draft.cancel(order, Reason.ON_REQUEST)


def cancel_all(draft: Draft, command: CancelAll) -> None:
    """Cancel the orders of one account or of everybody, with or without the TP/SL orders."""
    names = sorted(draft.accounts) if command.account is None else [command.account]
    for name in names:
        for order in tuple(draft.account(name).orders.values()):
            if not (command.except_tpsl and order.waits):
                draft.cancel(order, Reason.ON_REQUEST)
