"""Orders and fills on their way in and out of the interface."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from target_stub.api.documents import Document
from target_stub.api.messages import ApiError, View
from target_stub.api.records import FillRecord, OrderRecord
from target_stub.core import (
    Instruction,
    ModifyOrder,
    OrderKind,
    PlaceOrder,
    SelfTradePrevention,
    Side,
    Trigger,
)
from target_stub.core.events import FillSide
from target_stub.core.money import EXACT, divide_half_even8, plain

#: ``type`` of the interface, with what the core says instead.
KINDS: Mapping[str, tuple[OrderKind, Trigger | None]] = {
    "MARKET": (OrderKind.MARKET, None),
    "LIMIT": (OrderKind.LIMIT, None),
    "STOP_MARKET": (OrderKind.MARKET, Trigger.STOP),
    "STOP_LIMIT": (OrderKind.LIMIT, Trigger.STOP),
    "TAKE_PROFIT_MARKET": (OrderKind.MARKET, Trigger.TAKE_PROFIT),
    "TAKE_PROFIT_LIMIT": (OrderKind.LIMIT, Trigger.TAKE_PROFIT),
    "STOP_LOSS_MARKET": (OrderKind.MARKET, Trigger.STOP_LOSS),
    "STOP_LOSS_LIMIT": (OrderKind.LIMIT, Trigger.STOP_LOSS),
}
_TYPES = {said: name for name, said in KINDS.items()}
REDUCE_ONLY = "REDUCE_ONLY"
#: How long an order may be under way unless its sender says otherwise.
RECEIVE_WINDOW_MS = 300_000


def _invalid(what: str) -> ApiError:
    return ApiError(400, "VALIDATION_ERROR", what)


def field_of(body: Any, name: str) -> Any:
    """A field that must be there; ApiError otherwise."""
    if not isinstance(body, Mapping):
        raise ApiError(400, "BINDING_ERROR", "the body is not a JSON object")
    value = body.get(name)
    if value is None or value == "":
        raise _invalid(f"{name} is missing")
    return value


def amount(body: Mapping[str, Any], name: str) -> Decimal | None:
    """A decimal string, None if it is missing or empty; ApiError if it is no finite number."""
    text = body.get(name)
    if text is None or text == "":
        return None
    try:
        value = Decimal(text) if isinstance(text, str) else None
    except InvalidOperation:
        value = None
    if value is None or not value.is_finite():
        raise _invalid(f"{name} is {text!r}, not a decimal string")
    return value


def choice(body: Mapping[str, Any], name: str, known: Mapping[str, Any]) -> Any:
    """A field with one of some values; ApiError otherwise."""
    said = field_of(body, name)
    if said not in known:
        raise _invalid(f"{name} is {said!r}, not one of {', '.join(known)}")
    return known[said]


_SIDES = {str(side).upper(): side for side in Side}
_INSTRUCTIONS = {str(instruction).upper(): instruction for instruction in Instruction}
_PREVENTIONS = {str(prevention).upper(): prevention for prevention in SelfTradePrevention}


def placing(body: Any, *, account: str, order_id: str, at_ms: int, epoch_ms: int) -> PlaceOrder:
    """The command for one entry of ``POST /orders``; ApiError if it says something impossible."""
    kind, trigger = choice(body, "type", KINDS)
    size = amount(body, "size")
    if size is None:
        raise _invalid("size is missing")
    limited = kind is OrderKind.LIMIT
    signed = body.get("signature_timestamp")
    window = body.get("recv_window")
    prevention = body.get("stp")
    return PlaceOrder(
        id=order_id,
        at_ms=at_ms,
        account=account,
        market=str(field_of(body, "market")),
        side=choice(body, "side", _SIDES),
        size=size,
        price=amount(body, "price") if limited else None,
        kind=kind,
        instruction=choice(body, "instruction", _INSTRUCTIONS),
        reduce_only=REDUCE_ONLY in (body.get("flags") or ()),
        client_id=body.get("client_id") or None,
        trigger=trigger,
        trigger_price=amount(body, "trigger_price"),
        self_trade_prevention=None if not prevention else choice(body, "stp", _PREVENTIONS),
        signed_at_ms=None if signed is None else int(signed) - epoch_ms,
        receive_window_ms=RECEIVE_WINDOW_MS if window is None else int(window),
    )


def modifying(
    body: Any, *, account: str, order_id: str, command_id: str, at_ms: int
) -> ModifyOrder:
    """The command for ``PUT /orders/{id}``: new size and price, a new trigger price if given."""
    field_of(body, "size")
    return ModifyOrder(
        id=command_id,
        at_ms=at_ms,
        account=account,
        order_id=order_id,
        size=amount(body, "size"),
        price=amount(body, "price"),
        trigger_price=amount(body, "trigger_price"),
    )


def order(record: OrderRecord, view: View) -> Document:
    """An order as the interface shows it now."""
    one = record.order
    filled = one.filled
    average = plain(divide_half_even8(record.spent_usd, filled)) if filled else ""
    return {
        "account": one.account,
        "avg_fill_price": average,
        "cancel_reason": record.cancel_reason,
        "client_id": one.client_id or "",
        "created_at": view.wall_ms(record.created_at_ms),
        "flags": [REDUCE_ONLY] if one.reduce_only else [],
        "id": one.id,
        "instruction": str(one.instruction).upper(),
        "last_updated_at": view.wall_ms(record.updated_at_ms),
        "market": one.market,
        "price": "0" if one.price is None else plain(one.price),
        "published_at": view.wall_ms(view.now_ms),
        "received_at": view.wall_ms(record.created_at_ms),
        "remaining_size": plain(one.remaining),
        "seq_no": view.next_seq_no(),
        "side": str(one.side).upper(),
        "size": plain(one.size),
        "status": str(record.status),
        "stp": (one.self_trade_prevention or view.chain.spec.self_trade_prevention).upper(),
        "trigger_price": "" if one.trigger_price is None else plain(one.trigger_price),
        "type": _TYPES[one.kind, one.trigger],
    }


def fill(record: FillRecord, role: str, side: FillSide, view: View) -> Document:
    """One account's part of a fill. ``order_id`` is left out where nobody remembers the order."""
    maker, taker = view.records.parties.get(record.id, (None, None))
    order_id = maker if role == "MAKER" else taker
    known = view.records.orders.get(order_id or "")
    return {
        "account": side.account,
        "client_id": (known.order.client_id or "") if known else "",
        "created_at": view.wall_ms(record.at_ms),
        "fee": plain(side.fee.value),
        "fee_currency": "USDC",
        "fill_type": str(record.fill.fill_type),
        "flags": [],
        "id": f"{record.id}-{role.lower()}",
        "liquidity": role,
        "market": record.fill.market,
        "orderbook_seq_no": record.height,
        "price": plain(record.fill.price.value),
        "realized_funding": plain(side.realised_funding.value),
        "realized_pnl": plain(EXACT.add(side.realised_pnl.value, side.realised_funding.value)),
        "side": str(side.side).upper(),
        "size": plain(record.fill.size),
        **({"order_id": order_id} if order_id else {}),
    }


def trade(record: FillRecord, view: View) -> Document:
    """A fill as everybody sees it: the side is the taker's."""
    return {
        "created_at": view.wall_ms(record.at_ms),
        "id": record.id,
        "market": record.fill.market,
        "price": plain(record.fill.price.value),
        "side": str(record.fill.taker.side).upper(),
        "size": plain(record.fill.size),
        "trade_type": str(record.fill.fill_type),
    }
