"""What an order must satisfy before it may touch the book.

Each check refuses the whole command. They read the state and change nothing, and none of them may
take an unknown price for a number.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from target_stub.core.book import Entry, band_edge, reaches, worst_price
from target_stub.core.commands import PlaceOrder
from target_stub.core.draft import Draft
from target_stub.core.errors import Missing, Reason, Refusal
from target_stub.core.margin import accepts_order, assess, within_position_limit
from target_stub.core.mark import external_fair_price
from target_stub.core.money import ZERO, exact, is_multiple
from target_stub.core.orders import Account, Instruction, Order, OrderKind, Side
from target_stub.core.parameters import LIQUIDATOR_VAULT, Mode, Pause
from target_stub.core.reduce_only import closable, oversized_reduce_only
from target_stub.core.state import Market, known_prices

RECEIVE_WINDOW_MS_MIN = 10
BAND_MODES = (Mode.CANCEL_ONLY, Mode.POST_ONLY)


def check_order(draft: Draft, order: Order) -> None:
    """Everything an order that goes to the book must satisfy."""
    account, market = draft.account(order.account), draft.market(order.market)
    _check_not_resyncing(draft, order.account)
    _check_mode(draft.mode, order)
    _check_open(market)
    _check_form(account, market, order)
    if order.reduce_only:
        _check_reduces(account, order)
    _check_notional(account, market, order)
    reason = outside_band(draft, market, order.side, order.price)
    if reason is not None:
        raise Refusal(Reason.OUTSIDE_BAND, reason)
    same_side = sum(
        (o.remaining for o in account.working_orders(order.market) if o.side is order.side), ZERO
    )
    if not within_position_limit(
        market.spec,
        side=order.side,
        size=order.size,
        position=account.size(order.market),
        same_side=same_side,
    ):
        raise Refusal(Reason.POSITION_LIMIT, f"limit {market.spec.position_limit}")
    if order.account != LIQUIDATOR_VAULT:
        _check_margin(draft, account, order)


def check_waiting_order(draft: Draft, order: Order) -> None:
    """What a stop or TP/SL order must satisfy when it is placed; margin is asked when it fires.

    A reduce-only one, which every TP/SL order is, needs a position to reduce.
    """
    account, market = draft.account(order.account), draft.market(order.market)
    _check_not_resyncing(draft, order.account)
    _check_mode(draft.mode, order)
    _check_open(market)
    _check_form(account, market, order)
    check_trigger_price(order.trigger_price)
    if order.reduce_only and not closable(order.side, account.size(order.market)):
        raise Refusal(Reason.NOT_REDUCING, order.id)


def check_trigger_price(price: Decimal | None) -> None:
    """A trigger is a price above zero."""
    if price is None or price <= 0:
        raise Refusal(Reason.BAD_PRICE, "a stop or TP/SL order needs a trigger price")


def check_receive_window(command: PlaceOrder) -> None:
    """Refuse an order that was under way longer than its sender allowed.

    Paradex documentation, receive window: 300,000 ms unless asked otherwise, at least 10 ms.
    """
    if command.receive_window_ms < RECEIVE_WINDOW_MS_MIN:
        raise Refusal(Reason.INVALID_TIMESTAMP, f"a window of {command.receive_window_ms} ms")
    if command.signed_at_ms is None:
        return
    age_ms = command.at_ms - command.signed_at_ms
    if age_ms > command.receive_window_ms:
        raise Refusal(Reason.INVALID_TIMESTAMP, f"signed {age_ms} ms ago")


def check_trading_open(draft: Draft, market: Market) -> None:
    """Refuse where nobody may take liquidity now."""
    if draft.mode is Mode.POST_ONLY:
        raise Refusal(Reason.POST_ONLY_MODE)
    _check_closed(draft.mode)
    _check_open(market)


def _check_not_resyncing(draft: Draft, account: str) -> None:
    if account in draft.resyncing:
        raise Refusal(Reason.RESYNC, account)


def _check_open(market: Market) -> None:
    if Pause.HALTED in market.pauses:
        raise Refusal(Reason.MARKET_NOT_OPEN, market.spec.symbol)


def _check_mode(mode: Mode, order: Order) -> None:
    _check_closed(mode)
    if mode is Mode.POST_ONLY and (not order.instruction.only_makes or order.waits):
        raise Refusal(Reason.POST_ONLY_MODE)


def _check_closed(mode: Mode) -> None:
    if mode is Mode.MAINTENANCE:
        raise Refusal(Reason.MAINTENANCE_MODE)
    if mode is Mode.CANCEL_ONLY:
        raise Refusal(Reason.CANCEL_ONLY_MODE)


def _check_form(account: Account, market: Market, order: Order) -> None:
    spec = market.spec
    if not 0 < order.size <= spec.max_order_size:
        raise Refusal(Reason.BAD_SIZE, f"{order.size}, at most {spec.max_order_size}")
    if not is_multiple(order.size, spec.order_size_increment):
        raise Refusal(Reason.BAD_SIZE, f"{order.size} in steps of {spec.order_size_increment}")
    if (order.price is None) != (order.kind is OrderKind.MARKET):
        raise Refusal(Reason.BAD_COMBINATION, f"{order.kind} order with price {order.price}")
    if order.kind is OrderKind.MARKET and order.instruction.only_makes:
        raise Refusal(Reason.BAD_COMBINATION, "a market order cannot be post-only")
    if order.instruction is Instruction.RPI and (order.waits or order.reduce_only):
        raise Refusal(Reason.BAD_COMBINATION, "an RPI order is nothing else besides")
    if order.price is not None and (
        order.price <= 0 or not is_multiple(order.price, spec.price_tick)
    ):
        raise Refusal(Reason.BAD_PRICE, f"{order.price} in ticks of {spec.price_tick}")
    mine = [o for o in account.orders.values() if o.market == order.market]
    if len(mine) >= spec.max_open_orders:
        raise Refusal(Reason.TOO_MANY_ORDERS, f"at most {spec.max_open_orders}")
    if order.client_id is not None and any(
        o.client_id == order.client_id for o in account.orders.values()
    ):
        raise Refusal(Reason.DUPLICATED_CLIENT_ID, order.client_id)


def _check_reduces(account: Account, order: Order) -> None:
    position = account.size(order.market)
    if order.size > closable(order.side, position):
        raise Refusal(Reason.NOT_REDUCING, f"position {position}")
    if order.price is not None:
        together = (*account.working_orders(order.market), order)
        if order in oversized_reduce_only(position, together):
            raise Refusal(Reason.NOT_REDUCING, f"position {position} less what is ahead of it")


@exact
def _check_notional(account: Account, market: Market, order: Order) -> None:
    closes_all = order.reduce_only and order.size == abs(account.size(order.market))
    notional_usd = order.size * market.known("mark_usd")
    if notional_usd < market.spec.min_notional_usd and not closes_all:
        raise Refusal(Reason.BAD_SIZE, f"worth less than {market.spec.min_notional_usd} USD")


def outside_band(draft: Draft, market: Market, side: Side, price: Decimal | None) -> str | None:
    """Why a price is too aggressive for its side, or None; a passive price or no price never is.

    Mark +- the width of the market; in cancel-only and post-only mode also the external fair price
    +- the post-only band, if the exchange has one. Paradex documentation, price bands, and
    maintenance and releases.
    """
    if price is None:
        return None
    mark_usd = market.known("mark_usd")
    tick = market.spec.price_tick
    edges = [
        band_edge(side, reference_usd=mark_usd, width=market.spec.price_bands_width, tick=tick)
    ]
    if draft.mode in BAND_MODES and draft.spec.post_only_band is not None:
        if not market.external_rates:
            raise Missing(market.spec.symbol, "external rates")
        own = () if market.own_basis is None else (market.own_basis,)
        fair_usd = external_fair_price(market.known("spot_usd"), (*market.external_rates, *own))
        edges.append(
            band_edge(side, reference_usd=fair_usd, width=draft.spec.post_only_band, tick=tick)
        )
    for edge in edges:
        if not reaches(side, edge, price):
            return f"{side} @ {price} beyond {edge}"
    return None


@exact
def _check_margin(draft: Draft, account: Account, order: Order) -> None:
    prices = known_prices(draft.markets)
    if draft.usdc_price is None:
        raise Missing("USDC", "price")
    before = assess(account, prices, draft.usdc_price, draft.state.rules)
    judged = order if order.price is not None else _at_worst_price(draft, order)
    including = replace(account, orders={**account.orders, order.id: judged})
    after = assess(including, prices, draft.usdc_price, draft.state.rules)
    if not accepts_order(before, after):
        raise Refusal(
            Reason.INITIAL_MARGIN, f"value {after.account_value_usd}, needs {after.initial_usd}"
        )


def _at_worst_price(draft: Draft, order: Order) -> Order:
    # A market order names no price; its open loss is judged by what the book would cost it now.
    def remaining(entry: Entry) -> Decimal:
        return draft.account(entry.account).orders[entry.order_id].remaining

    queue = draft.books[order.market].side(order.side.opposite)
    worst = worst_price(queue, order.size, remaining)
    return replace(order, price=worst)
