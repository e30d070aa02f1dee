"""Orders that may only make a position smaller: reduce-only and TP/SL orders.

Their right to exist depends on the position, so they are looked at again after every change of a
position and after every new order of the account. None of them may ever open or flip a position.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from target_stub.core.draft import Draft
from target_stub.core.errors import Reason
from target_stub.core.money import ZERO, exact
from target_stub.core.orders import Order, Side


@exact
def oversized_reduce_only(position: Decimal, orders: Iterable[Order]) -> tuple[Order, ...]:
    """The reduce-only orders of one market that could do more than close the position.

    Orders of a side are counted from the most aggressive to the most passive; a reduce-only order
    goes when it and everything before it exceed the position. Paradex documentation, order
    instructions, common scenarios.
    """
    doomed: list[Order] = []
    room = {Side.BUY: max(ZERO, -position), Side.SELL: max(ZERO, position)}
    ahead = {Side.BUY: ZERO, Side.SELL: ZERO}
    for order in sorted(orders, key=_aggressive_first):
        total = ahead[order.side] + order.remaining
        if order.reduce_only and total > room[order.side]:
            doomed.append(order)
        else:
            ahead[order.side] = total
    return tuple(doomed)


def _aggressive_first(order: Order) -> tuple[Decimal, int]:
    if order.price is None:
        raise ValueError(f"order {order.id} has no price and cannot rest")
    return (order.price.copy_negate() if order.side is Side.BUY else order.price, order.sequence)


def reconcile(draft: Draft, account_id: str, market: str) -> None:
    """Cancel or shrink what the position of the account no longer supports.

    A TP/SL order of a working parent is left alone here: it follows its parent.
    """
    account = draft.account(account_id)
    if not account.orders:
        return
    position = account.size(market)
    working = tuple(account.working_orders(market))
    if any(order.reduce_only for order in working):
        for order in oversized_reduce_only(position, working):
            draft.cancel(order, Reason.NOT_REDUCING)
    for order in tuple(account.waiting_orders(market)):
        if not order.reduce_only or order.parent is not None:
            continue
        size = closable(order.side, position)
        if not size:
            draft.cancel(order, Reason.NOT_REDUCING)
        elif order.remaining > size:
            draft.put_order(replace(order, size=size, remaining=size))


def closable(side: Side, position: Decimal) -> Decimal:
    """How much an order of that side can reduce the position; 0 if it would increase it."""
    return max(ZERO, position if side is Side.SELL else position.copy_negate())
