"""TP/SL orders: waiting for the mark price, and what happens when it comes.

They are judged by the mark price alone, so whoever corrupts the mark fires them; that is why the
newer rules pause them outside normal operation. A fired order never does more than close.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from target_stub.core.draft import Draft
from target_stub.core.errors import Reason, Refusal
from target_stub.core.events import Triggered
from target_stub.core.orders import Order, OrderKind, Side, Trigger
from target_stub.core.reduce_only import closable
from target_stub.core.trading import cancel_siblings, execute


def has_fired(order: Order, mark_usd: Decimal) -> bool:
    """Whether the mark price has reached the trigger.

    Closing a long: take profit at or above, stop loss at or below; closing a short: mirrored.
    """
    if order.trigger is None or order.trigger_price is None:
        return False
    waits_for_rise = (order.trigger is Trigger.TAKE_PROFIT) == (order.side is Side.SELL)
    if waits_for_rise:
        return mark_usd >= order.trigger_price
    return mark_usd <= order.trigger_price


def check_triggers(draft: Draft) -> None:
    """Fire every TP/SL order that is due, by account id and then by age."""
    if draft.mode in draft.spec.triggers_paused_in:
        raise Refusal(Reason.PAUSED, draft.mode)
    for account_id in sorted(draft.accounts):
        for order_id in [order.id for order in draft.account(account_id).waiting_orders()]:
            # An earlier one may have cancelled or shrunk this one.
            order = draft.account(account_id).orders.get(order_id)
            if order is None:
                continue
            mark_usd = draft.market(order.market).known("mark_usd")
            if has_fired(order, mark_usd):
                _fire(draft, order, mark_usd)


def _fire(draft: Draft, order: Order, mark_usd: Decimal) -> None:
    draft.drop_order(order)
    draft.events.append(Triggered(order=order, mark=mark_usd))
    waits = order.kind is OrderKind.LIMIT and draft.spec.sibling_waits_for_full_fill
    if not waits:
        cancel_siblings(draft, order)
    position = draft.account(order.account).size(order.market)
    size = min(order.remaining, closable(order.side, position))
    if not size:
        return
    draft.orders_placed += 1
    active = replace(
        order,
        trigger=None,
        trigger_price=None,
        size=size,
        remaining=size,
        sequence=draft.orders_placed,
    )
    execute(draft, active)
