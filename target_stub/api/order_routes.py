"""Orders of an account: placing, changing, cancelling, asking.

A command is sent at most once: whoever asks again asks with a request of its own.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from target_stub.api import orders
from target_stub.api.documents import Document
from target_stub.api.messages import (
    Answer,
    Answering,
    ApiError,
    ApiRequest,
    Look,
    Send,
    View,
    listed,
    look,
    refusal,
)
from target_stub.api.records import CANCEL_REASONS, OrderRecord
from target_stub.cloud.matching import ADDRESS as MATCHING
from target_stub.core import (
    CancelAll,
    CancelOrder,
    Command,
    Event,
    Order,
    OrderStatus,
    PlaceOrder,
    Reason,
    Rejected,
)

BATCH_MAX = 10
#: Refusals by which an order was taken and closed at once, as the public API tells them: the client
#: reads them as ``cancel_reason``.
CLOSED_AT_ONCE = (
    Reason.INITIAL_MARGIN,
    Reason.POSITION_LIMIT,
    Reason.OUTSIDE_BAND,
    Reason.NOT_REDUCING,
    Reason.TOO_MANY_ORDERS,
)


def open_orders(request: ApiRequest) -> Answering:
    """The caller's orders that are open or wait for a trigger."""
    caller = request.caller
    view = yield from look()
    wanted = request.query.get("market")
    return listed(
        orders.order(record, view)
        for record in view.records.orders.values()
        if record.order.account == caller
        and record.status is not OrderStatus.CLOSED
        and wanted in (None, record.order.market)
    )


def one_order(request: ApiRequest, order_id: str) -> Answering:
    """One order of the caller, open or closed."""
    view = yield from look()
    return Answer(200, orders.order(_own(request, view, order_id), view))


def order_of_client(request: ApiRequest, client_id: str) -> Answering:
    """One order of the caller by the id that he gave it."""
    view = yield from look()
    return Answer(200, orders.order(_own_by_client(request, view, client_id), view))


def place(request: ApiRequest) -> Answering:
    """Send an order; answered when it is done: open, closed, or refused."""
    view = yield from look()
    command = _placing(request, request.body, request.id, view)
    return Answer(201, (yield from _placed(command)))


def place_batch(request: ApiRequest) -> Answering:
    """Send up to ten orders one after the other; each has an order or an error of its own."""
    if not isinstance(request.body, list) or not 0 < len(request.body) <= BATCH_MAX:
        raise ApiError(400, "BATCH_SIZE_OUT_OF_RANGE", f"a batch has 1 to {BATCH_MAX} orders")
    view = yield from look()
    placed: list[Document | None] = []
    errors: list[Document | None] = []
    for number, body in enumerate(request.body):
        try:
            command = _placing(request, body, f"{request.id}-{number}", view)
            placed.append((yield from _placed(command)))
            errors.append(None)
        except ApiError as error:
            placed.append(None)
            errors.append(error.answer.body)
    return Answer(201, {"orders": placed, "errors": errors})


def _placing(request: ApiRequest, body: Any, order_id: str, view: View) -> PlaceOrder:
    return orders.placing(
        body,
        account=request.caller,
        order_id=order_id,
        at_ms=request.at_ms,
        epoch_ms=view.epoch_ms,
    )


def _placed(command: PlaceOrder) -> Generator[Look | Send, Any, Document]:
    events: tuple[Event, ...] = yield Send(MATCHING, "order", command)
    view = yield from look()
    for event in events:
        if isinstance(event, Rejected):
            if event.reason not in CLOSED_AT_ONCE:
                raise refusal(event.reason, event.detail)
            return orders.order(_closed_at_once(command, event.reason), view)
    record = view.records.orders.get(command.id)
    if record is None:
        raise ApiError(500, "INTERNAL_ERROR", f"{command.id} was accepted and is not known")
    return orders.order(record, view)


def _closed_at_once(command: PlaceOrder, reason: Reason) -> OrderRecord:
    refused = Order(
        id=command.id,
        account=command.account,
        market=command.market,
        side=command.side,
        size=command.size,
        remaining=command.size,
        price=command.price,
        kind=command.kind,
        instruction=command.instruction,
        reduce_only=command.reduce_only,
        sequence=0,
        client_id=command.client_id,
        trigger=command.trigger,
        trigger_price=command.trigger_price,
    )
    return OrderRecord(
        order=refused,
        status=OrderStatus.CLOSED,
        created_at_ms=command.at_ms,
        updated_at_ms=command.at_ms,
        cancel_reason=CANCEL_REASONS.get(reason, str(reason)),
    )


def modify(request: ApiRequest, order_id: str) -> Answering:
    """Change an open order under its id."""
    view = yield from look()
    _check_open(_own(request, view, order_id))
    yield from _sent(
        orders.modifying(
            request.body,
            account=request.caller,
            order_id=order_id,
            command_id=request.id,
            at_ms=request.at_ms,
        )
    )
    view = yield from look()
    return Answer(200, orders.order(_own(request, view, order_id), view))


def cancel(request: ApiRequest, order_id: str) -> Answering:
    """Cancel one order of the caller."""
    view = yield from look()
    yield from _cancel(request, _own(request, view, order_id))
    return Answer(204)


def cancel_of_client(request: ApiRequest, client_id: str) -> Answering:
    """Cancel one order of the caller by the id that he gave it."""
    view = yield from look()
    yield from _cancel(request, _own_by_client(request, view, client_id))
    return Answer(204)


def cancel_batch(request: ApiRequest) -> Answering:
    """Cancel several orders; each has a result of its own."""
    body = request.body if isinstance(request.body, Mapping) else {}
    view = yield from look()
    found = []
    for name in body.get("order_ids") or ():
        found.append(
            (yield from _cancel_listed(request, view.records.orders.get(name), "id", name))
        )
    for name in body.get("client_order_ids") or ():
        record = view.records.of_client(request.caller, name)
        found.append((yield from _cancel_listed(request, record, "client_id", name)))
    return listed(found)


def _cancel_listed(
    request: ApiRequest, record: OrderRecord | None, key: str, name: str
) -> Generator[Look | Send, Any, Document]:
    status = "NOT_FOUND"
    if record is not None and record.order.account == request.caller:
        status = "QUEUED_FOR_CANCELLATION"
        try:
            yield from _cancel(request, record)
        except ApiError as error:
            status = "ALREADY_CLOSED" if error.code == "ORDER_IS_CLOSED" else error.code
    return {key: name, "status": status}


def cancel_all(request: ApiRequest) -> Answering:
    """Cancel all orders of the caller, or those in one market."""
    view = yield from look()
    symbol = request.query.get("market")
    if symbol is None:
        yield from _sent(CancelAll(id=request.id, at_ms=request.at_ms, account=request.caller))
        return Answer(204)
    for record in list(view.records.orders.values()):
        mine = record.order.account == request.caller and record.order.market == symbol
        if mine and record.status is not OrderStatus.CLOSED:
            yield from _cancel(request, record)
    return Answer(204)


def _cancel(request: ApiRequest, record: OrderRecord) -> Generator[Look | Send, Any, None]:
    _check_open(record)
    yield from _sent(
        CancelOrder(
            id=f"{request.id}-{record.order.id}",
            at_ms=request.at_ms,
            account=request.caller,
            order_id=record.order.id,
        )
    )


def _sent(command: Command) -> Generator[Look | Send, Any, None]:
    events: tuple[Event, ...] = yield Send(MATCHING, "order", command)
    for event in events:
        if isinstance(event, Rejected):
            raise refusal(event.reason, event.detail)


def _check_open(record: OrderRecord) -> None:
    if record.status is OrderStatus.CLOSED:
        raise ApiError(400, "ORDER_IS_CLOSED", f"{record.order.id} is closed")


def _own(request: ApiRequest, view: View, order_id: str) -> OrderRecord:
    record: OrderRecord | None = view.records.orders.get(order_id)
    if record is None or record.order.account != request.caller:
        raise ApiError(404, "ORDER_ID_NOT_FOUND", f"no order {order_id}")
    return record


def _own_by_client(request: ApiRequest, view: View, client_id: str) -> OrderRecord:
    record = view.records.of_client(request.caller, client_id)
    if record is None:
        raise ApiError(404, "CLIENT_ORDER_ID_NOT_FOUND", f"no order with client id {client_id}")
    return record
