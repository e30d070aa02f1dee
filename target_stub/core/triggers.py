"""Stop and TP/SL orders: waiting for the mark price, and what happens when it comes.

They are judged by the mark price alone, so whoever corrupts the mark fires them; that is why the
newer rules pause them outside normal operation. A fired TP/SL order never does more than close; a
fired stop order is judged as a new order. Where the market has gapped, a market order trades at
the next price within the band and a limit order stays behind, as the stop orders page warns.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from target_stub.core.draft import Draft
from target_stub.core.errors import Reason, Refusal
from target_stub.core.events import OrderCancelled, Triggered
from target_stub.core.gate import check_order
from target_stub.core.orders import Order, OrderKind, Side, Trigger
from target_stub.core.parameters import Pause
from target_stub.core.reduce_only import closable
from target_stub.core.state import Market, State
from target_stub.core.trading import cancel_siblings, execute


def has_fired(order: Order, mark_usd: Decimal) -> bool:
    """Whether the mark price has reached the trigger.

    Closing a long: take profit at or above, stop loss at or below; closing a short: mirrored. A
    stop order fires where a stop loss of its side would.
    """
    if order.trigger is None or order.trigger_price is None:
        return False
    waits_for_rise = (order.trigger is Trigger.TAKE_PROFIT) == (order.side is Side.SELL)
    if waits_for_rise:
        return mark_usd >= order.trigger_price
    return mark_usd <= order.trigger_price


def is_any_due(state: State) -> bool:
    """Whether a check of the triggers would fire at least one order now."""
    if state.mode in state.spec.triggers_paused_in:
        return False
    return any(
        bool(order.remaining) and may_fire(state.market(order.market), order)
        for name, account in state.accounts.items()
        if name not in state.resyncing
        for order in account.waiting_orders()
    )


def may_fire(market: Market, order: Order) -> bool:
    """Whether the mark price has reached the trigger in a market that is not halted.

    Raises Missing while nobody knows the mark price.
    """
    return Pause.HALTED not in market.pauses and has_fired(order, market.known("mark_usd"))


def check_triggers(draft: Draft) -> None:
    """Fire every order that is due, by account id and then by age."""
    if draft.mode in draft.spec.triggers_paused_in:
        raise Refusal(Reason.PAUSED, draft.mode)
    for account_id in sorted(draft.accounts):
        if account_id in draft.resyncing:
            continue
        for order_id in [order.id for order in draft.account(account_id).waiting_orders()]:
            # An earlier one may have cancelled or shrunk this one.
            order = draft.account(account_id).orders.get(order_id)
            if order is None or not order.remaining:
                continue
            market = draft.market(order.market)
            if may_fire(market, order):
                _fire(draft, order, market.known("mark_usd"))


def _fire(draft: Draft, order: Order, mark_usd: Decimal) -> None:
    draft.drop_order(order)
    draft.events.append(Triggered(order=order, mark=mark_usd))
    waits = order.kind is OrderKind.LIMIT and draft.spec.sibling_waits_for_full_fill
    if not waits:
        cancel_siblings(draft, order)
    size = order.remaining
    if order.reduce_only:
        size = min(size, closable(order.side, draft.account(order.account).size(order.market)))
    if not size:
        return
    draft.orders_placed += 1
    active = replace(
        order,
        trigger=None,
        trigger_price=None,
        parent=None,
        size=size,
        remaining=size,
        sequence=draft.orders_placed,
    )
    if not order.protects:
        try:
            check_order(draft, active)
        except Refusal as refusal:
            draft.events.append(OrderCancelled(order=active, reason=refusal.reason))
            return
    execute(draft, active)
