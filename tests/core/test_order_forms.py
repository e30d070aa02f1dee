"""Changing orders, orders for retail takers, receive windows, and markets that stand still."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from target_stub.core import (
    AFTER_INCIDENT,
    CancelOrder,
    Filled,
    FillType,
    Instruction,
    Mode,
    ModifyOrder,
    Pause,
    PauseMarket,
    Reason,
    SelfTradePrevention,
    Session,
    Side,
    TraderProfile,
    Trigger,
)
from target_stub.core.book import rebuilt
from target_stub.core.events import OrderAccepted, Triggered
from tests.core.desk import PEOPLE, XYZ, limit, opened, orders, place, position, refused


def modify(session: Session, account: str, order_id: str, **changes: int) -> Reason | None:
    """Change an order; why that was refused, or None."""
    command = ModifyOrder(
        id=session.next_id(),
        at_ms=session.at_ms,
        account=account,
        order_id=order_id,
        **{name: Decimal(value) for name, value in changes.items()},
    )
    return refused(session.do(command))


def makers(session: Session) -> list[str | None]:
    """The resting orders that were met so far, in order."""
    return [event.maker.order_id for event in session.of(Filled)]


def test_a_changed_order_keeps_its_name_and_goes_to_the_end_of_the_queue() -> None:
    session = opened()
    place(session, limit("first", "alice", Side.SELL, 5, 100))
    place(session, limit("second", "bob", Side.SELL, 5, 100))
    assert modify(session, "alice", "first", size=6) is None
    session.order("carol", Side.BUY, Decimal(8), XYZ, price=Decimal(100))
    assert makers(session) == ["second", "first"]
    assert orders(session, "alice") == [("first", 3)]


def test_a_changed_size_counts_what_is_filled() -> None:
    session = opened()
    place(session, limit("ask", "alice", Side.SELL, 5, 100))
    session.order("bob", Side.BUY, Decimal(2), XYZ, price=Decimal(100))
    assert modify(session, "alice", "ask", size=2) is Reason.BAD_SIZE
    assert modify(session, "alice", "ask", size=4) is None
    assert orders(session, "alice") == [("ask", 2)]
    assert session.state.account("alice").orders["ask"].filled == 2


def test_a_changed_price_may_trade_at_once() -> None:
    session = opened()
    place(session, limit("bid", "bob", Side.BUY, 2, 99))
    place(session, limit("ask", "alice", Side.SELL, 5, 100))
    assert modify(session, "alice", "ask", price=99) is None
    assert position(session, "alice") == -2
    assert orders(session, "alice") == [("ask", 3)]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"price": 10}, Reason.OUTSIDE_BAND),
        ({"size": 20_000}, Reason.BAD_SIZE),
        ({"trigger_price": 90}, Reason.BAD_COMBINATION),
    ],
)
def test_a_refused_change_leaves_the_order_where_it_was(
    changes: dict[str, int], reason: Reason
) -> None:
    session = opened()
    place(session, limit("ask", "alice", Side.SELL, 5, 100))
    before = session.state.books[XYZ]
    assert modify(session, "alice", "ask", **changes) is reason
    assert session.state.books[XYZ] == before
    assert modify(session, "alice", "nothing", size=1) is Reason.ORDER_ID_NOT_FOUND


def place_rpi(session: Session, command_id: str, account: str, side: Side, price: int) -> None:
    """An order of 5 for retail takers."""
    order = limit(command_id, account, side, 5, price)
    assert refused(place(session, replace(order, instruction=Instruction.RPI))) is None


def test_rpi_orders_meet_retail_takers_only_and_last_at_their_price() -> None:
    """Paradex documentation, retail price improvement, matching rules 1 and 3."""
    session = opened()
    place_rpi(session, "improved", "alice", Side.SELL, 99)
    place_rpi(session, "equal", "alice", Side.SELL, 100)
    place(session, limit("public", "bob", Side.SELL, 5, 100))
    place(session, limit("pro", "carol", Side.BUY, 1, 100))
    assert makers(session) == ["public"]
    retail = replace(limit("retail", "carol", Side.BUY, 12, 100), profile=TraderProfile.RETAIL)
    place(session, retail)
    assert makers(session)[1:] == ["improved", "public", "equal"]
    kinds = [event.fill_type for event in session.of(Filled)]
    assert kinds == [FillType.FILL, FillType.RPI, FillType.FILL, FillType.RPI]


def test_rpi_orders_may_stand_crossed_with_a_book_that_is_not() -> None:
    session = opened()
    place_rpi(session, "offer", "alice", Side.SELL, 99)
    place(session, limit("bid", "bob", Side.BUY, 5, 100))
    book = session.state.books[XYZ]
    assert book.best_bid == 100
    assert book.best_ask is None
    assert not book.is_crossed()
    kept = [o for name in PEOPLE for o in session.state.account(name).working_orders()]
    assert book == rebuilt(kept)
    session.must(CancelOrder(id="c", at_ms=0, account="alice", order_id="offer"))
    assert not session.state.books[XYZ].retail_asks


def test_rpi_orders_are_post_only_and_nothing_else_besides() -> None:
    session = opened(sizes={"alice": 5, "bob": -5})
    place(session, limit("bid", "bob", Side.BUY, 5, 99))
    order = replace(limit("rpi", "alice", Side.SELL, 5, 99), instruction=Instruction.RPI)
    assert refused(place(session, order)) is Reason.POST_ONLY_WOULD_TRADE
    closing = replace(order, id="closing", price=Decimal(101), reduce_only=True)
    assert refused(place(session, closing)) is Reason.BAD_COMBINATION


def test_rpi_orders_are_taken_in_post_only_mode_and_kept_within_its_band() -> None:
    session = opened(AFTER_INCIDENT, external_rates=(Decimal(0),))
    session.mode(Mode.POST_ONLY)
    inside = replace(limit("in", "alice", Side.BUY, 5, "100.05"), instruction=Instruction.RPI)
    assert refused(place(session, inside)) is None
    outside = replace(inside, id="out", price=Decimal("100.06"))
    assert refused(place(session, outside)) is Reason.OUTSIDE_BAND
    session.spot(XYZ, Decimal("99.9"), usdc_price=Decimal(1))
    assert orders(session, "alice") == [], "the fair price moved away from the resting order"


def test_self_trade_prevention_is_chosen_by_the_order() -> None:
    session = opened()
    place(session, limit("old", "alice", Side.SELL, 5, 100))
    new = limit("new", "alice", Side.BUY, 5, 100)
    place(session, replace(new, self_trade_prevention=SelfTradePrevention.EXPIRE_MAKER))
    assert orders(session, "alice") == [("new", 5)]


@pytest.mark.parametrize(
    ("signed_at_ms", "window_ms", "reason"),
    [
        (None, 300_000, None),
        (700_000, 300_000, None),
        (699_999, 300_000, Reason.INVALID_TIMESTAMP),
        (999_990, 10, None),
        (1_000_000, 9, Reason.INVALID_TIMESTAMP),
    ],
)
def test_receive_window(signed_at_ms: int | None, window_ms: int, reason: Reason | None) -> None:
    session = opened()
    session.at_ms = 1_000_000
    order = limit("o", "alice", Side.BUY, 1, 99)
    late = replace(order, signed_at_ms=signed_at_ms, receive_window_ms=window_ms)
    assert refused(place(session, late)) is reason


def test_a_halted_market_takes_no_orders_and_lets_them_go() -> None:
    session = opened()
    place(session, limit("bid", "alice", Side.BUY, 5, 99))
    halt = PauseMarket(id="halt", at_ms=0, market=XYZ, pause=Pause.HALTED)
    session.must(halt)
    assert refused(place(session, limit("ask", "bob", Side.SELL, 5, 99))) is Reason.MARKET_NOT_OPEN
    session.must(CancelOrder(id="c", at_ms=0, account="alice", order_id="bid"))
    session.must(replace(halt, id="on", on=False))
    assert isinstance(place(session, limit("b", "alice", Side.BUY, 5, 99))[0], OrderAccepted)


def test_triggers_of_a_halted_market_wait() -> None:
    session = opened(sizes={"alice": 5, "bob": -5})
    stop = replace(
        limit("stop", "alice", Side.SELL, 5, 90),
        trigger=Trigger.STOP_LOSS,
        trigger_price=Decimal(95),
    )
    place(session, stop)
    session.publish(XYZ, mark_usd=Decimal(94), index=Decimal(0))
    halt = PauseMarket(id="halt", at_ms=0, market=XYZ, pause=Pause.HALTED)
    session.must(halt)
    session.check_triggers()
    assert not session.of(Triggered)
    session.must(replace(halt, id="on", on=False))
    session.check_triggers()
    assert len(session.of(Triggered)) == 1
