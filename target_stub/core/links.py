"""TP/SL orders that belong to an order: they protect what of it has traded, and follow it.

While the parent works its exits are as large as its filled part, and nothing before the first
fill. When it has ended they stand alone as one pair, capped to the position like every TP/SL order;
if it ended without a fill they end with it. Paradex release notes v1.124.0 and v1.126.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from target_stub.core.commands import PlaceOrder
from target_stub.core.draft import Draft
from target_stub.core.errors import Reason, Refusal
from target_stub.core.events import OrderAccepted
from target_stub.core.gate import check_trigger_price
from target_stub.core.money import exact
from target_stub.core.orders import Account, Instruction, Order, OrderKind, Trigger
from target_stub.core.reduce_only import closable


def check_attached(draft: Draft, command: PlaceOrder) -> None:
    """Only an order that may open a position can bring exits of its own, under names of their own.

    Two orders of one account never have the same name.
    """
    wanted = _wanted(command)
    names = [command.id, *(exit_name(command.id, trigger) for trigger, _ in wanted)]
    taken = draft.account(command.account).orders
    if any(name in taken for name in names):
        raise Refusal(Reason.DUPLICATED_ORDER_ID, command.id)
    if wanted and (command.trigger is not None or command.reduce_only):
        raise Refusal(Reason.BAD_COMBINATION, "an exit has no exits")
    for _, price in wanted:
        check_trigger_price(price)


def exit_name(parent: str, trigger: Trigger) -> str:
    """The id of the take-profit or stop-loss order of another order."""
    return f"{parent}/{trigger}"


def _wanted(command: PlaceOrder) -> list[tuple[Trigger, Decimal]]:
    asked = (
        (Trigger.TAKE_PROFIT, command.take_profit_at),
        (Trigger.STOP_LOSS, command.stop_loss_at),
    )
    return [(trigger, price) for trigger, price in asked if price is not None]


def attach(draft: Draft, parent: Order, command: PlaceOrder) -> None:
    """Place the exits of an order that was just executed, as market orders of one pair."""
    account = draft.account(parent.account)
    works = parent.id in account.orders
    if not works and not parent.filled:
        return
    for trigger, price in _wanted(command):
        draft.orders_placed += 1
        exit_order = Order(
            id=exit_name(parent.id, trigger),
            account=parent.account,
            market=parent.market,
            side=parent.side.opposite,
            size=parent.size,
            remaining=parent.filled,
            price=None,
            kind=OrderKind.MARKET,
            instruction=Instruction.GTC,
            reduce_only=True,
            sequence=draft.orders_placed,
            trigger=trigger,
            trigger_price=price,
            pair=parent.id,
            profile=parent.profile,
            parent=parent.id,
        )
        draft.events.append(OrderAccepted(order=exit_order))
        draft.put_order(exit_order)
    if not works:
        draft.ended.append(parent)


def follow_parents(draft: Draft) -> None:
    """Give every exit of a parent the size that its parent has traded; the last step of a command.

    Exits of a parent that ended become ordinary TP/SL orders, or end too if nothing was filled.
    """
    for account in draft.touched():
        for exit_order in tuple(_linked(account)):
            parent = account.orders.get(exit_order.parent or "")
            if parent is not None:
                _resize(draft, exit_order, parent, works=True)
                continue
            ended = [order for order in draft.ended if order.id == exit_order.parent]
            if not ended or not ended[-1].filled:
                draft.cancel(exit_order, Reason.PARENT_ENDED)
            else:
                _resize(draft, exit_order, ended[-1], works=False)


def _linked(account: Account) -> Iterator[Order]:
    return (order for order in account.orders.values() if order.parent is not None)


@exact
def _resize(draft: Draft, exit_order: Order, parent: Order, *, works: bool) -> None:
    position = draft.account(exit_order.account).size(exit_order.market)
    size = min(parent.filled, closable(exit_order.side, position))
    if not works and not size:
        draft.cancel(exit_order, Reason.NOT_REDUCING)
        return
    changed = replace(
        exit_order,
        size=parent.size if works else size,
        remaining=size,
        parent=exit_order.parent if works else None,
    )
    if changed != exit_order:
        draft.put_order(changed)
