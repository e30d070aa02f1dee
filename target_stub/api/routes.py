"""The REST routes: which generator answers which request.

Every entry of ``ROUTES`` is a method and a path of the public API below ``/v1``; a part in braces
is handed to the generator.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from target_stub.api import account_routes, market_routes, order_routes
from target_stub.api.messages import Answering, ApiError, ApiRequest


def respond(request: ApiRequest) -> Answering:
    """Answer a request; errors of the interface become answers."""
    try:
        for method, pattern, answering in ROUTES:
            found = pattern.fullmatch(request.path.strip("/"))
            if found and method == request.method:
                return (yield from answering(request, *found.groups()))
        raise ApiError(404, "NOT_FOUND", f"nothing at {request.method} {request.path}")
    except ApiError as error:
        return error.answer


def _route(
    method: str, path: str, answering: Callable[..., Answering]
) -> tuple[str, re.Pattern[str], Callable[..., Answering]]:
    return method, re.compile(re.sub(r"\{\w+\}", "([^/]+)", path)), answering


ROUTES = (
    _route("GET", "system/state", market_routes.system_state),
    _route("GET", "system/time", market_routes.system_time),
    _route("GET", "system/config", market_routes.system_config),
    _route("GET", "markets", market_routes.markets),
    _route("GET", "markets/summary", market_routes.markets_summary),
    _route("GET", "funding/data", market_routes.funding_data),
    _route("GET", "orderbook/{market}", market_routes.order_book),
    _route("GET", "bbo/{market}", market_routes.top_of_book),
    _route("GET", "trades", market_routes.trades),
    _route("GET", "liquidations", account_routes.liquidations),
    _route("GET", "account", account_routes.account),
    _route("GET", "account/info", account_routes.account_info),
    _route("GET", "balance", account_routes.balances),
    _route("GET", "positions", account_routes.positions),
    _route("GET", "fills", account_routes.fills),
    _route("GET", "tradebusts", account_routes.trade_busts),
    _route("GET", "transfers", account_routes.transfers),
    _route("GET", "orders", order_routes.open_orders),
    _route("GET", "orders/by_client_id/{client_id}", order_routes.order_of_client),
    _route("GET", "orders/{order_id}", order_routes.one_order),
    _route("POST", "orders", order_routes.place),
    _route("POST", "orders/batch", order_routes.place_batch),
    _route("PUT", "orders/{order_id}", order_routes.modify),
    _route("DELETE", "orders", order_routes.cancel_all),
    _route("DELETE", "orders/batch", order_routes.cancel_batch),
    _route("DELETE", "orders/by_client_id/{client_id}", order_routes.cancel_of_client),
    _route("DELETE", "orders/{order_id}", order_routes.cancel),
)
