"""The channels of the WebSocket: what is told on which of them when something has changed.

A channel is named as in the public API: ``orders.BTC-USD-PERP``, ``fills.ALL``, ``positions``. What
belongs to an account is told only to a connection that has said whose it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from target_stub.api import documents, orders
from target_stub.api.account_routes import account_document, bust_document, position_document
from target_stub.api.documents import Document
from target_stub.api.market_routes import market_summary
from target_stub.api.messages import ApiError, View
from target_stub.api.records import FillRecord, Told
from target_stub.chain import Block
from target_stub.core import SettleTrade
from target_stub.core.events import BridgeMoved

ALL = "ALL"


@dataclass(slots=True, kw_only=True)
class News:
    """What is new since the last time: ids, and the blocks and records that came in."""

    orders: list[str] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    accounts: list[str] = field(default_factory=list)
    fills: list[FillRecord] = field(default_factory=list)
    busts: list[Told] = field(default_factory=list)
    markets: tuple[str, ...] = ()
    books: bool = False


Telling = Callable[[News, View, str, str], Iterator[Document]]


def told_on(channel: str, news: News, view: View, account: str | None) -> Iterator[Document]:
    """The messages of one channel about some news, in their order."""
    name, _, rest = channel.partition(".")
    telling = _TELLING[name]
    if name in PRIVATE and account is None:
        return
    yield from telling(news, view, rest.partition(".")[0], account or "")


def check_channel(channel: str, view: View, account: str | None) -> None:
    """ApiError unless a channel exists and this connection may hear it."""
    name, _, rest = channel.partition(".")
    if name not in _TELLING:
        raise ApiError(404, "INVALID_REQUEST_PARAMETER", f"there is no channel {channel}")
    if name in PRIVATE and account is None:
        raise ApiError(401, "UNAUTHORIZED_ERROR", f"{channel} needs auth first")
    market = rest.partition(".")[0]
    if market and market != ALL:
        view.check_market(market)


def opening(channel: str, view: View) -> Iterator[Document]:
    """What a channel tells at once when it is subscribed: a book tells itself as a whole."""
    name, _, rest = channel.partition(".")
    if name == "order_book":
        yield _whole_book(rest.partition(".")[0], view)


def _account(news: News, view: View, _: str, account: str) -> Iterator[Document]:
    if account in news.accounts:
        yield account_document(account, view)


def _positions(news: News, view: View, _: str, account: str) -> Iterator[Document]:
    traded = [
        record.fill.market
        for record in news.fills
        for _, side in record.sides()
        if side.account == account
    ]
    for symbol in dict.fromkeys(traded):
        yield position_document(account, symbol, view)


def _orders(news: News, view: View, market: str, account: str) -> Iterator[Document]:
    for order_id in news.orders:
        record = view.records.orders[order_id]
        if record.order.account == account and market in (ALL, record.order.market):
            yield orders.order(record, view)


def _fills(news: News, view: View, market: str, account: str) -> Iterator[Document]:
    for record in news.fills:
        for role, side in record.sides():
            if side.account == account and market in (ALL, record.fill.market):
                yield orders.fill(record, role, side, view)


def _trades(news: News, view: View, market: str, _: str) -> Iterator[Document]:
    for record in news.fills:
        if market in (ALL, record.fill.market):
            yield orders.trade(record, view)


def _busts(news: News, view: View, _: str, account: str) -> Iterator[Document]:
    for told in news.busts:
        if told.account == account:
            yield bust_document(told.id, account, told.at_ms, view)


def _funding(news: News, view: View, market: str, _: str) -> Iterator[Document]:
    for symbol in news.markets:
        if market in (ALL, symbol):
            row, spec = view.rows[symbol], view.chain.rules.markets[symbol]
            at_ms = view.wall_ms(row["funding_at_ms"])
            yield documents.funding(symbol, row, spec, at_ms=at_ms)


def _summaries(news: News, view: View, market: str, _: str) -> Iterator[Document]:
    for symbol in news.markets:
        if market in (ALL, symbol):
            yield market_summary(symbol, view)


def _top(news: News, view: View, market: str, _: str) -> Iterator[Document]:
    if news.books:
        at_ms = view.wall_ms(view.now_ms)
        yield documents.top_of_book(market, view.cloud, seq_no=view.next_seq_no(), at_ms=at_ms)


def _books(news: News, view: View, market: str, _: str) -> Iterator[Document]:
    if news.books:
        yield _whole_book(market, view)


def _whole_book(market: str, view: View) -> Document:
    bids, asks = documents.levels(market, view.cloud, documents.DEPTH)
    sides = (("BUY", bids), ("SELL", asks))
    return {
        "deletes": [],
        "inserts": [
            {"side": side, "price": price, "size": size}
            for side, levels in sides
            for price, size in levels
        ],
        "last_updated_at": view.wall_ms(view.now_ms),
        "market": market,
        "seq_no": view.next_seq_no(),
        "update_type": "s",
        "updates": [],
    }


def _transactions(news: News, view: View, _: str, account: str) -> Iterator[Document]:
    for block in news.blocks:
        command = block.command
        if isinstance(command, SettleTrade) and account in (command.buyer, command.seller):
            settled = not any(told.id == command.id for told in news.busts)
            yield {
                "created_at": view.wall_ms(command.at_ms),
                "fills_count": int(settled),
                "hash": command.id,
                "id": command.id,
                "state": "ACCEPTED_ON_L2" if settled else "REVERTED",
                "type": "TRANSACTION_FILL",
            }


def _transfers(news: News, view: View, _: str, account: str) -> Iterator[Document]:
    for block in news.blocks:
        for event in block.events:
            if isinstance(event, BridgeMoved) and event.transfer.account == account:
                at_ms = view.wall_ms(block.command.at_ms)
                yield documents.transfer(event.transfer, at_ms=at_ms)


_TELLING: Mapping[str, Telling] = {
    "account": _account,
    "bbo": _top,
    "fills": _fills,
    "funding_data": _funding,
    "markets_summary": _summaries,
    "order_book": _books,
    "orders": _orders,
    "positions": _positions,
    "tradebusts": _busts,
    "trades": _trades,
    "transaction": _transactions,
    "transfers": _transfers,
}
PRIVATE = ("account", "fills", "orders", "positions", "tradebusts", "transaction", "transfers")
