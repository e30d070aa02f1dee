"""Stop orders, TP/SL pairs that follow their order, and what a gap in the mark price does to them.

Paradex documentation, stop orders and TP/SL, and release notes v1.124.0, v1.126.0 and v1.136.3.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from target_stub.core import (
    AFTER_INCIDENT,
    JANUARY_2026,
    CancelAll,
    CancelOrder,
    ExchangeSpec,
    Mode,
    ModifyOrder,
    OrderKind,
    OrderStatus,
    PlaceOrder,
    Reason,
    Session,
    Side,
    Trigger,
)
from target_stub.core.audit import conservation_gap
from target_stub.core.events import OrderCancelled, Triggered
from tests.core.desk import XYZ, limit, opened, orders, place, position, refused

PAUSING = replace(AFTER_INCIDENT, post_only_band=None)


def mark(session: Session, price: str | int) -> None:
    """A new mark price, and a look at the triggers."""
    session.publish(XYZ, mark_usd=Decimal(price), index=Decimal(0))
    session.check_triggers()


def stop(
    side: Side, size: int, at: int, *, price: int | None = None, account: str = "alice"
) -> PlaceOrder:
    """A stop-market order, or a stop-limit order with a price."""
    return PlaceOrder(
        id="stop",
        at_ms=0,
        account=account,
        market=XYZ,
        side=side,
        size=Decimal(size),
        price=None if price is None else Decimal(price),
        kind=OrderKind.MARKET if price is None else OrderKind.LIMIT,
        trigger=Trigger.STOP,
        trigger_price=Decimal(at),
    )


def entry(size: int = 10) -> PlaceOrder:
    """A buy of Alice's with exits at 120 and 90."""
    order = limit("entry", "alice", Side.BUY, size, 100)
    return replace(order, take_profit_at=Decimal(120), stop_loss_at=Decimal(90))


@pytest.mark.parametrize(("side", "before", "at"), [(Side.BUY, 104, 105), (Side.SELL, 96, 95)])
def test_a_stop_market_order_opens_a_position_at_a_breakout(
    side: Side, before: int, at: int
) -> None:
    session = opened()
    place(session, limit("offer", "bob", side.opposite, 10, at + side.sign))
    assert refused(place(session, stop(side, 10, at))) is None
    assert session.state.account("alice").status("stop") is OrderStatus.UNTRIGGERED
    mark(session, before)
    assert position(session, "alice") == 0
    mark(session, at)
    assert position(session, "alice") == 10 * side.sign
    assert session.state.account("alice").status("stop") is OrderStatus.CLOSED


def test_a_stop_limit_order_becomes_a_limit_order() -> None:
    session = opened()
    place(session, stop(Side.BUY, 10, 105, price=106))
    mark(session, 105)
    assert session.state.account("alice").status("stop") is OrderStatus.OPEN
    assert session.state.books[XYZ].best_bid == 106


def test_gap_a_stop_limit_order_is_left_behind_and_a_stop_market_order_is_not() -> None:
    """Stop orders page: the market may gap over the limit; a market order takes the next price."""
    for price, left, size in ((95, [("stop", 10)], 10), (None, [], 0)):
        session = opened(sizes={"alice": 10, "bob": -10})
        place(session, replace(stop(Side.SELL, 10, 95, price=price), reduce_only=True))
        place(session, limit("bid", "bob", Side.BUY, 10, 71))
        mark(session, 72)
        assert orders(session, "alice") == left
        assert position(session, "alice") == size


def test_a_fired_stop_order_is_judged_like_a_new_one() -> None:
    session = opened(balance=10)
    assert refused(place(session, stop(Side.BUY, 100, 105))) is None, "no margin is asked yet"
    place(session, limit("offer", "bob", Side.SELL, 1, 106))
    mark(session, 105)
    cancelled = session.of(OrderCancelled)
    assert [event.reason for event in cancelled] == [Reason.INITIAL_MARGIN]
    assert orders(session, "alice") == []


def test_a_reduce_only_stop_needs_a_position_and_never_flips_it() -> None:
    session = opened(sizes={"alice": 5, "bob": -5})
    closing = replace(stop(Side.SELL, 8, 95), reduce_only=True)
    assert refused(place(session, replace(closing, side=Side.BUY))) is Reason.NOT_REDUCING
    place(session, replace(closing, id="second"))
    place(session, limit("bid", "bob", Side.BUY, 8, 94))
    mark(session, 95)
    assert position(session, "alice") == 0


def test_a_stop_order_that_may_open_does_not_depend_on_the_position() -> None:
    session = opened(sizes={"alice": 5, "bob": -5})
    place(session, stop(Side.SELL, 8, 95))
    place(session, limit("bid", "bob", Side.BUY, 5, 100))
    session.order("alice", Side.SELL, Decimal(5), XYZ, price=Decimal(100))
    assert position(session, "alice") == 0
    assert orders(session, "alice") == [("stop", 8)]


def test_a_forced_cancel_spares_tpsl_but_not_stop_orders() -> None:
    session = opened(sizes={"alice": 5, "bob": -5})
    place(session, stop(Side.BUY, 5, 105))
    protect = replace(stop(Side.SELL, 5, 95), trigger=Trigger.STOP_LOSS)
    place(session, protect, command_id="exit")
    session.must(CancelAll(id="force", at_ms=0, except_tpsl=True))
    assert orders(session, "alice") == [("exit", 5)]


def test_linked_exits_sleep_until_their_order_fills_and_grow_with_it() -> None:
    session = opened()
    place(session, entry())
    exits = ["entry/take_profit", "entry/stop_loss"]
    assert orders(session, "alice") == [("entry", 10), *((name, 0) for name in exits)]
    mark(session, 89)
    assert not session.of(Triggered), "there is nothing to protect yet"
    session.order("bob", Side.SELL, Decimal(4), XYZ, price=Decimal(100))
    assert orders(session, "alice") == [("entry", 6), *((name, 4) for name in exits)]
    session.order("bob", Side.SELL, Decimal(6), XYZ, price=Decimal(100))
    assert orders(session, "alice") == [(name, 10) for name in exits]


def test_linked_exits_follow_a_change_of_their_order() -> None:
    session = opened()
    place(session, entry())
    session.order("bob", Side.SELL, Decimal(4), XYZ, price=Decimal(100))
    session.must(ModifyOrder(id="m", at_ms=0, account="alice", order_id="entry", size=Decimal(5)))
    assert orders(session, "alice")[-1] == ("entry", 1)
    session.order("bob", Side.SELL, Decimal(1), XYZ, price=Decimal(100))
    assert sorted(size for _, size in orders(session, "alice")) == [5, 5]


def test_linked_exits_may_be_moved_but_not_resized() -> None:
    session = opened()
    place(session, entry())
    move = ModifyOrder(
        id="m",
        at_ms=0,
        account="alice",
        order_id="entry/stop_loss",
        trigger_price=Decimal(95),
    )
    session.must(move)
    assert session.state.account("alice").orders["entry/stop_loss"].trigger_price == 95
    assert refused(session.do(replace(move, id="n", size=Decimal(1)))) is Reason.BAD_COMBINATION
    assert refused(session.do(replace(move, id="o", trigger_price=Decimal(0)))) is Reason.BAD_PRICE
    place(session, limit("ask", "bob", Side.SELL, 10, 100))
    place(session, limit("bid", "bob", Side.BUY, 10, 94))
    mark(session, 95)
    assert position(session, "alice") == 0


def test_two_orders_of_an_account_never_have_one_name() -> None:
    session = opened()
    place(session, entry())
    again = limit("entry/stop_loss", "alice", Side.BUY, 1, 100)
    assert refused(place(session, again)) is Reason.DUPLICATED_ORDER_ID
    place(session, limit("late/take_profit", "alice", Side.BUY, 1, 100))
    assert refused(place(session, replace(entry(), id="late"))) is Reason.DUPLICATED_ORDER_ID


@pytest.mark.parametrize(("filled", "left"), [(0, []), (4, [4, 4])])
def test_linked_exits_of_a_cancelled_order_keep_what_was_filled(
    filled: int, left: list[int]
) -> None:
    session = opened()
    place(session, entry())
    if filled:
        session.order("bob", Side.SELL, Decimal(filled), XYZ, price=Decimal(100))
    session.must(CancelOrder(id="c", at_ms=0, account="alice", order_id="entry"))
    assert [size for _, size in orders(session, "alice")] == left
    reasons = [event.reason for event in session.of(OrderCancelled)]
    assert reasons.count(Reason.PARENT_ENDED) == (0 if filled else 2)


def test_linked_exits_of_a_taker_are_there_at_once() -> None:
    session = opened()
    place(session, limit("offer", "bob", Side.SELL, 7, 100))
    market_order = replace(entry(), price=None, kind=OrderKind.MARKET)
    place(session, market_order)
    assert [size for _, size in orders(session, "alice")] == [7, 7], "7 of 10 were filled"
    mark(session, 120)
    place(session, limit("bid", "bob", Side.BUY, 7, 119))
    session.check_triggers()
    assert session.state.account("alice").status("entry/stop_loss") is OrderStatus.CLOSED


def test_linked_exits_are_capped_to_the_position_too() -> None:
    session = opened()
    place(session, entry())
    session.order("bob", Side.SELL, Decimal(8), XYZ, price=Decimal(100))
    place(session, limit("bid", "bob", Side.BUY, 5, 101))
    session.order("alice", Side.SELL, Decimal(5), XYZ, price=Decimal(101))
    sizes = dict(orders(session, "alice"))
    assert sizes == {"entry": 2, "entry/take_profit": 3, "entry/stop_loss": 3}


def test_linked_exits_belong_to_orders_that_may_open_a_position() -> None:
    session = opened(sizes={"alice": 10, "bob": -10})
    closing = replace(entry(), side=Side.SELL, reduce_only=True)
    assert refused(place(session, closing)) is Reason.BAD_COMBINATION
    bad = replace(entry(), id="bad", take_profit_at=Decimal(0))
    assert refused(place(session, bad)) is Reason.BAD_PRICE


def test_an_order_that_was_refused_leaves_no_exits() -> None:
    session = opened(balance=10)
    assert refused(place(session, entry(size=1_000))) is Reason.INITIAL_MARGIN
    assert orders(session, "alice") == []


def test_oco_gap_over_both_triggers_fires_one_of_the_pair() -> None:
    """Eight hours of market move: the mark jumps past the stop while triggers are paused."""
    session = opened(PAUSING)
    place(session, limit("offer", "bob", Side.SELL, 10, 100))
    place(session, entry())
    session.mode(Mode.POST_ONLY)
    mark(session, 60)
    assert not session.of(Triggered), "paused outside normal operation"
    session.mode(Mode.OK)
    place(session, limit("bid", "carol", Side.BUY, 10, 59))
    session.check_triggers()
    assert [event.order.id for event in session.of(Triggered)] == ["entry/stop_loss"]
    assert position(session, "alice") == 0
    assert orders(session, "alice") == []
    assert conservation_gap(session.state).value == 0


def test_oco_gap_with_a_thin_book_leaves_a_position_without_protection() -> None:
    """A market exit takes what is there; the pair is spent and the rest of the position stays."""
    session = opened()
    place(session, limit("offer", "bob", Side.SELL, 10, 100))
    place(session, entry())
    place(session, limit("bid", "carol", Side.BUY, 3, 80))
    mark(session, 82)
    assert position(session, "alice") == 7
    assert orders(session, "alice") == []


@pytest.mark.parametrize("waits", [False, True])
def test_oco_limit_sibling_goes_when_it_fires_or_when_it_is_filled(waits: bool) -> None:
    spec: ExchangeSpec = replace(JANUARY_2026, sibling_waits_for_full_fill=waits)
    session = opened(spec, sizes={"alice": 10, "bob": -10})
    for trigger, at, price in ((Trigger.TAKE_PROFIT, 120, 121), (Trigger.STOP_LOSS, 90, 89)):
        exit_order = stop(Side.SELL, 10, at, price=price)
        place(session, replace(exit_order, trigger=trigger, pair="exit"), command_id=f"{trigger}")
    mark(session, 120)
    names = [name for name, _ in orders(session, "alice")]
    assert names == (["stop_loss", "take_profit"] if waits else ["take_profit"])
    session.order("bob", Side.BUY, Decimal(4), XYZ, price=Decimal(121))
    assert ("stop_loss" in dict(orders(session, "alice"))) is waits
    session.order("bob", Side.BUY, Decimal(6), XYZ, price=Decimal(121))
    assert orders(session, "alice") == []
