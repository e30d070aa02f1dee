"""Placing, changing, matching and cancelling orders.

An order is judged before it touches the book: mode, size, band, position limit, margin. What is
left after matching rests, or is cancelled, and the book is never crossed when a command is done.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from target_stub.core.book import (
    Caps,
    Entry,
    average_cap,
    fillable,
    reaches,
    terminal_price,
)
from target_stub.core.commands import CancelAll, CancelOrder, ModifyOrder, PlaceOrder
from target_stub.core.draft import Draft
from target_stub.core.errors import Reason, Refusal
from target_stub.core.events import FillType, OrderAccepted, OrderCancelled
from target_stub.core.fees import TraderProfile
from target_stub.core.gate import (
    check_order,
    check_receive_window,
    check_trigger_price,
    check_waiting_order,
)
from target_stub.core.links import attach, check_attached
from target_stub.core.money import ZERO, exact
from target_stub.core.orders import Instruction, Order, OrderKind
from target_stub.core.parameters import LIQUIDATOR_VAULT, SelfTradePrevention
from target_stub.core.reduce_only import closable, reconcile
from target_stub.core.settlement import Leg, fee_rate, fill


def place_order(draft: Draft, command: PlaceOrder) -> None:
    """Take an order: match it, rest what is left, or let it wait for its trigger."""
    check_receive_window(command)
    check_attached(draft, command)
    order = _order_from(draft, command)
    if order.waits:
        check_waiting_order(draft, order)
        _wait(draft, order)
        return
    check_order(draft, order)
    attach(draft, execute(draft, order, command.slippage), command)


def modify_order(draft: Draft, command: ModifyOrder) -> None:
    """Change an open order; refused as a whole, and then the old order stays as it was.

    The size is the whole size, filled part included. The changed order goes to the end of the queue
    and may trade at once. An exit of another order has the size of that order and no price.
    """
    found = draft.account(command.account).orders.get(command.order_id)
    if found is None:
        raise Refusal(Reason.ORDER_ID_NOT_FOUND, command.order_id)
    if command.trigger_price is not None and not found.waits:
        raise Refusal(Reason.BAD_COMBINATION, "a working order has no trigger")
    if found.parent is not None and (command.size is not None or command.price is not None):
        raise Refusal(Reason.BAD_COMBINATION, "its size is that of the order it belongs to")
    at_usd = found.trigger_price if command.trigger_price is None else command.trigger_price
    draft.cancel(found, Reason.REPLACED)
    draft.orders_placed += 1
    changed = replace(found, trigger_price=at_usd, sequence=draft.orders_placed)
    if found.parent is not None:
        check_trigger_price(at_usd)
        draft.events.append(OrderAccepted(order=changed))
        draft.put_order(changed)
        return
    size = found.size if command.size is None else command.size
    if size <= found.filled:
        raise Refusal(Reason.BAD_SIZE, f"{size}, and {found.filled} is filled already")
    price = found.price if command.price is None else command.price
    left = size - found.filled
    changed = replace(changed, size=left, remaining=left, price=price)
    if changed.waits:
        check_waiting_order(draft, changed)
        _wait(draft, changed)
        return
    check_order(draft, changed)
    after = execute(draft, replace(changed, size=size))
    if after.id not in draft.account(after.account).orders:
        draft.ended.append(after)


def _wait(draft: Draft, order: Order) -> None:
    if order.protects:
        position = draft.account(order.account).size(order.market)
        size = min(order.size, closable(order.side, position))
        order = replace(order, size=size, remaining=size)
    draft.events.append(OrderAccepted(order=order))
    draft.put_order(order)


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
        reduce_only=command.reduce_only
        or (command.trigger is not None and command.trigger.protects),
        sequence=draft.orders_placed,
        client_id=command.client_id,
        trigger=command.trigger,
        trigger_price=command.trigger_price,
        pair=command.pair,
        self_trade_prevention=command.self_trade_prevention,
        profile=command.profile,
    )


@exact
def execute(draft: Draft, order: Order, slippage: Decimal | None = None) -> Order:
    """Match an order that was judged already, then rest or cancel what is left of it.

    Gives the order as it is afterwards; it rests if its account still has it.
    """
    if order.instruction.only_makes:
        first = _first(draft, order)
        if first is not None and reaches(order.side, order.price, first.price):
            draft.events.append(OrderCancelled(order=order, reason=Reason.POST_ONLY_WOULD_TRADE))
            return order
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
    return order


def _first(draft: Draft, order: Order) -> Entry | None:
    retail = order.profile is TraderProfile.RETAIL and order.instruction is not Instruction.RPI
    return draft.books[order.market].first(order.side.opposite, retail=retail)


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
    first = _first(draft, order)
    average = None
    if slippage is not None and first is not None:
        average = average_cap(
            order.side,
            best_usd=first.price,
            slippage=slippage,
            sell_below_bid=draft.spec.sell_vwap_below_bid,
        )
    return Caps(side=order.side, limit=limit, average=average)


def _match(draft: Draft, order: Order, caps: Caps) -> tuple[Order, Reason | None]:
    """Fill the order against the best of the other side until a cap, a lack or itself stops it."""
    filled = spent_usd = ZERO
    market = draft.market(order.market)
    while order.remaining:
        entry = _first(draft, order)
        if entry is None or not reaches(order.side, caps.limit, entry.price):
            break
        resting = draft.account(entry.account).orders[entry.order_id]
        if resting.account in draft.resyncing:
            # Nobody knows what it can still pay; the book must not stay crossed either.
            draft.cancel(resting, Reason.RESYNC)
            continue
        if resting.account == order.account:
            policy = order.self_trade_prevention or draft.spec.self_trade_prevention
            if policy is not SelfTradePrevention.EXPIRE_TAKER:
                draft.cancel(resting, Reason.SELF_TRADE)
            if policy is not SelfTradePrevention.EXPIRE_MAKER:
                return order, Reason.SELF_TRADE
            continue
        price = entry.price
        size = fillable(
            caps,
            price=price,
            wanted=min(order.remaining, resting.remaining),
            filled=filled,
            spent_usd=spent_usd,
            increment=market.spec.order_size_increment,
        )
        if not size:
            break
        _trade(draft, order, resting, price, size)
        order = replace(order, remaining=order.remaining - size)
        filled += size
        spent_usd += size * price
    if filled:
        market = draft.market(order.market)
        draft.put_market(replace(market, last_trade_usd=price))
    return order, None


def _trade(draft: Draft, order: Order, resting: Order, price: Decimal, size: Decimal) -> None:
    kind = FillType.RPI if resting.instruction is Instruction.RPI else FillType.FILL
    if LIQUIDATOR_VAULT in (order.account, resting.account):
        kind = FillType.UNWIND_TRANSFER
    maker_fee = fee_rate(draft, resting.account, resting.profile, against=None)
    taker_fee = fee_rate(draft, order.account, order.profile, against=resting.profile)
    fill(
        draft,
        market=order.market,
        price_usd=price,
        size=size,
        maker=Leg(resting.account, resting.id, maker_fee),
        taker=Leg(order.account, order.id, taker_fee),
        taker_side=order.side,
        fill_type=kind,
    )
    left = replace(resting, remaining=resting.remaining - size)
    if left.remaining:
        draft.put_order(left)
    else:
        draft.drop_order(left)
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
            if not (command.except_tpsl and order.protects):
                draft.cancel(order, Reason.ON_REQUEST)
