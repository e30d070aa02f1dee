"""What an account may ask about itself: worth, positions, fills, busts, transfers."""

from __future__ import annotations

from target_stub.api import documents, orders
from target_stub.api.documents import Document
from target_stub.api.messages import Answer, Answering, ApiRequest, View, listed, look


def account(request: ApiRequest) -> Answering:
    """What the caller's account is worth and must hold."""
    view = yield from look()
    return Answer(200, account_document(request.caller, view))


def account_document(name: str, view: View) -> Document:
    """The summary of one account at the settled marks."""
    at_ms = view.wall_ms(view.now_ms)
    return documents.account_summary(
        view.account(name), view.chain, seq_no=view.next_seq_no(), at_ms=at_ms
    )


def account_info(request: ApiRequest) -> Answering:
    """The fees of the caller."""
    view = yield from look()
    return Answer(200, documents.account_info(view.account(request.caller), view.chain))


def balances(request: ApiRequest) -> Answering:
    """The caller's USDC."""
    view = yield from look()
    at_ms = view.wall_ms(view.now_ms)
    return listed([documents.balance(view.account(request.caller), at_ms=at_ms)])


def positions(request: ApiRequest) -> Answering:
    """The caller's open positions."""
    view = yield from look()
    held = view.account(request.caller).positions
    return listed(position_document(request.caller, symbol, view) for symbol in held)


def position_document(name: str, symbol: str, view: View) -> Document:
    """One position of one account, a closed one included."""
    at_ms = view.wall_ms(view.now_ms)
    return documents.position(
        view.account(name), symbol, view.chain, seq_no=view.next_seq_no(), at_ms=at_ms
    )


def fills(request: ApiRequest) -> Answering:
    """The caller's parts of all fills, newest first."""
    caller = request.caller
    view = yield from look()
    wanted = request.query.get("market")
    return listed(
        orders.fill(record, role, side, view)
        for record in reversed(view.records.fills)
        for role, side in record.sides()
        if side.account == caller and wanted in (None, record.fill.market)
    )


def trade_busts(request: ApiRequest) -> Answering:
    """The caller's trades that the chain refused, newest first."""
    caller = request.caller
    view = yield from look()
    return listed(
        bust_document(told.id, told.account, told.at_ms, view)
        for told in reversed(view.records.busts)
        if told.account == caller
    )


def bust_document(trade: str, name: str, at_ms: int, view: View) -> Document:
    """One busted trade of one account."""
    return {"account": name, "busted_fill_id": trade, "created_at": view.wall_ms(at_ms)}


def transfers(request: ApiRequest) -> Answering:
    """The caller's transfers over the bridge, newest first."""
    caller = request.caller
    view = yield from look()
    return listed(
        documents.transfer(moved, at_ms=view.wall_ms(at_ms))
        for at_ms, moved in reversed(view.records.transfers.values())
        if moved.account == caller
    )


def liquidations(request: ApiRequest) -> Answering:
    """When the caller was liquidated, newest first."""
    caller = request.caller
    view = yield from look()
    return listed(
        {"created_at": view.wall_ms(told.at_ms), "id": told.id}
        for told in reversed(view.records.liquidations)
        if told.account == caller
    )
