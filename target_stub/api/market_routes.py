"""What anybody may ask: the system, its markets, their prices and books."""

from __future__ import annotations

from target_stub.api import documents, orders
from target_stub.api.documents import Document
from target_stub.api.messages import Answer, Answering, ApiError, ApiRequest, View, listed, look


def system_state(_: ApiRequest) -> Answering:
    """The mode that matching obeys."""
    view = yield from look()
    return Answer(200, documents.state_of_system(view.cloud.mode))


def system_time(request: ApiRequest) -> Answering:
    """The time in milliseconds since 1970, as a string."""
    view = yield from look()
    return Answer(200, {"server_time": str(view.wall_ms(request.at_ms))})


def system_config(_: ApiRequest) -> Answering:
    """The parameters of the exchange."""
    view = yield from look()
    return Answer(200, documents.system_config(view.chain.spec))


def markets(request: ApiRequest) -> Answering:
    """The rules of all markets, or of one."""
    view = yield from look()
    specs = view.chain.rules.markets
    return listed(
        documents.market(specs[symbol], view.chain.spec) for symbol in _symbols(request, view)
    )


def markets_summary(request: ApiRequest) -> Answering:
    """Prices of all markets, or of one."""
    view = yield from look()
    return listed(market_summary(symbol, view) for symbol in _symbols(request, view))


def market_summary(symbol: str, view: View) -> Document:
    """The newest values of one market: announced ones, or else the mark that is published."""
    row, published_usd = view.rows.get(symbol), view.chain.markets[symbol].mark_usd
    mark_usd = published_usd if row is None else row["mark_usd"]
    if mark_usd is None:
        raise ApiError(503, "SERVICE_UNAVAILABLE", f"no mark price of {symbol} is known")
    at_ms = view.wall_ms(view.now_ms if row is None else row["funding_at_ms"])
    return documents.summary(symbol, mark_usd, row, view.cloud, at_ms=at_ms)


def funding_data(request: ApiRequest) -> Answering:
    """Index, premium and rate of one market as they were published, newest first."""
    view = yield from look()
    symbol = request.query.get("market", "")
    view.check_market(symbol)
    first_ms = int(request.query.get("start_at", "0"))
    last_ms = int(request.query.get("end_at", str(2**62)))
    spec = view.chain.rules.markets[symbol]
    found = []
    for record in reversed(view.records.fundings):
        at_ms = view.wall_ms(record.at_ms)
        if record.published.market == symbol and first_ms <= at_ms <= last_ms:
            found.append(documents.published(record.published, spec, at_ms=at_ms))
    return listed(found)


def order_book(request: ApiRequest, symbol: str) -> Answering:
    """Both sides of one book."""
    view = yield from look()
    view.check_market(symbol)
    depth = int(request.query.get("depth", str(documents.DEPTH)))
    return Answer(200, _book(symbol, view, depth))


def _book(symbol: str, view: View, depth: int) -> Document:
    at_ms = view.wall_ms(view.now_ms)
    return documents.order_book(
        symbol, view.cloud, seq_no=view.next_seq_no(), at_ms=at_ms, depth=depth
    )


def top_of_book(_: ApiRequest, symbol: str) -> Answering:
    """Best bid and ask of one book."""
    view = yield from look()
    view.check_market(symbol)
    at_ms = view.wall_ms(view.now_ms)
    return Answer(
        200, documents.top_of_book(symbol, view.cloud, seq_no=view.next_seq_no(), at_ms=at_ms)
    )


def trades(request: ApiRequest) -> Answering:
    """What was traded in one market, newest first."""
    view = yield from look()
    symbol = request.query.get("market", "")
    view.check_market(symbol)
    return listed(
        orders.trade(record, view)
        for record in reversed(view.records.fills)
        if record.fill.market == symbol
    )


def _symbols(request: ApiRequest, view: View) -> list[str]:
    wanted = request.query.get("market", "ALL")
    if wanted == "ALL":
        return list(view.chain.markets)
    view.check_market(wanted)
    return [wanted]
