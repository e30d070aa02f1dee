"""JSON-RPC 2.0 as the WebSocket speaks it: from a frame to what it asks, and back to frames.

Orders over the WebSocket are the same requests as over REST, so they have the same answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from target_stub.api.messages import Answer, ApiRequest

PARSE_ERROR, INVALID_REQUEST, NO_METHOD = -32700, -32600, -32601
METHOD_ERROR, MALFORMED_TOKEN, INVALID_TOKEN = 100, 40110, 40111


@dataclass(frozen=True, slots=True)
class Frame:
    """One request of a client: ``id`` comes back with the answer."""

    id: Any
    method: str
    params: Any


class RpcError(Exception):
    """A refusal in the terms of JSON-RPC: code, short message, details."""

    def __init__(self, code: int, message: str, data: str = "", *, id: Any = None) -> None:
        super().__init__(code, message, data)
        self.code = code
        self.message = message
        self.data = data
        self.id = id

    def frame(self, frame_id: Any) -> str:
        """The refusal as a frame."""
        error = {"code": self.code, "message": self.message, "data": self.data}
        return json.dumps({"jsonrpc": "2.0", "error": error, "id": frame_id})


def parsed(text: str) -> Frame:
    """A frame from its text; RpcError if it is none."""
    try:
        said = json.loads(text)
    except ValueError:
        raise RpcError(PARSE_ERROR, "parse error") from None
    if not isinstance(said, dict) or not isinstance(said.get("method"), str):
        raise RpcError(INVALID_REQUEST, "invalid request")
    return Frame(said.get("id"), said["method"], said.get("params") or {})


def result(frame_id: Any, value: Mapping[str, Any]) -> str:
    """The answer to a frame."""
    return json.dumps({"jsonrpc": "2.0", "result": dict(value), "id": frame_id})


def told(channel: str, data: Mapping[str, Any]) -> str:
    """A message of a channel."""
    params = {"channel": channel, "data": dict(data)}
    return json.dumps({"jsonrpc": "2.0", "method": "subscription", "params": params})


def text_of(params: Any, name: str) -> str:
    """A parameter that must be a text; RpcError otherwise."""
    value = params.get(name) if isinstance(params, Mapping) else None
    if not isinstance(value, str) or not value:
        raise RpcError(-32602, "invalid parameters", f"{name} is missing")
    return value


def order_request(frame: Frame, *, id: str, at_ms: int, account: str | None) -> ApiRequest:
    """The REST request that an ``order.…`` method stands for; RpcError for an unknown method."""
    shape = _ORDERS.get(frame.method)
    if shape is None:
        raise RpcError(NO_METHOD, "method does not exist", frame.method)
    method, path, query, body = shape(frame.params)
    return ApiRequest(
        method=method, path=path, query=query, body=body, id=id, at_ms=at_ms, account=account
    )


def order_result(frame: Frame, answer: Answer, *, at_ms: int) -> dict[str, Any]:
    """What the answer of that request is over the WebSocket; RpcError if it was refused."""
    if answer.status >= 400:
        raise RpcError(METHOD_ERROR, answer.body["error"], answer.body["message"])
    if frame.method in ("order.create", "order.modify"):
        return {"order": answer.body, "created_at": at_ms, "received_at": at_ms}
    if frame.method == "order.cancel":
        named = {"order_id": frame.params.get("id"), "client_id": frame.params.get("client_id")}
        known = {name: value for name, value in named.items() if value}
        return {**known, "status": "QUEUED_FOR_CANCELLATION"}
    if frame.method == "order.cancel_all":
        return {"status": "QUEUED_FOR_CANCELLATION"}
    return dict(answer.body)


_Shape = tuple[str, str, Mapping[str, str], Any]


def _cancel(params: Any) -> _Shape:
    if params.get("id"):
        return "DELETE", f"orders/{text_of(params, 'id')}", {}, None
    return "DELETE", f"orders/by_client_id/{text_of(params, 'client_id')}", {}, None


def _cancel_all(params: Any) -> _Shape:
    query = {"market": text_of(params, "market")} if params.get("market") else {}
    return "DELETE", "orders", query, None


_ORDERS: Mapping[str, Callable[[Any], _Shape]] = {
    "order.create": lambda params: ("POST", "orders", {}, params),
    "order.create_batch": lambda params: ("POST", "orders/batch", {}, params),
    "order.modify": lambda params: ("PUT", f"orders/{text_of(params, 'id')}", {}, params),
    "order.cancel": _cancel,
    "order.cancel_all": _cancel_all,
    "order.cancel_batch": lambda params: ("DELETE", "orders/batch", {}, params),
}
