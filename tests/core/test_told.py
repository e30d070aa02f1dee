"""What one part of the exchange tells another: the book, published averages, decided modes."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from target_stub.core import (
    APRIL_2026,
    JANUARY_2026,
    JUNE_2026,
    BeginAverages,
    FundingTick,
    Liquidate,
    Mode,
    OwnBook,
    PublishMarket,
    Reason,
    Reopening,
    Session,
    SetMode,
    Side,
    Venue,
    VenueQuote,
)
from target_stub.core.impact import UNKNOWN_BOOK
from target_stub.core.market_data import own_book
from tests.core.desk import XYZ, limit, opened, place, refused

RATES = (Decimal("0.001"), Decimal("0.002"), Decimal("0.003"))
TOLD = OwnBook(
    bid_usd=Decimal(104),
    ask_usd=Decimal(106),
    last_usd=Decimal(105),
    impact=VenueQuote(Venue.PARADEX, Decimal(104), Decimal(106)),
)


def ticked(session: Session, book: OwnBook | None) -> Session:
    """The same session one second later, after a tick with that book."""
    session.at_ms += 1_000
    session.must(FundingTick(id=session.next_id(), at_ms=session.at_ms, market=XYZ, book=book))
    return session


def test_a_tick_uses_the_book_that_it_is_told_and_not_its_own() -> None:
    session = opened(JANUARY_2026, external_rates=RATES)
    place(session, limit("bid", "alice", Side.BUY, 1, 99))
    averages = ticked(session, TOLD).state.market(XYZ).averages
    assert (averages.bid, averages.ask, averages.mid, averages.last) == (
        Decimal("0.04"),
        Decimal("0.06"),
        Decimal("0.05"),
        Decimal("0.05"),
    )


def test_a_book_of_which_nothing_is_known_moves_no_average_and_is_illiquid() -> None:
    session = opened(replace(APRIL_2026, reopening=None), external_rates=RATES)
    session.must(BeginAverages(id="begin", at_ms=0, market=XYZ, liquidity=Decimal("0.5")))
    before = session.state.market(XYZ)
    after = ticked(session, UNKNOWN_BOOK).state.market(XYZ)
    assert after.averages == before.averages
    assert after.liquidity is not None and after.liquidity < Decimal("0.5")


def test_the_own_vote_of_june_is_the_book_that_is_told() -> None:
    premiums = []
    for book in (TOLD, UNKNOWN_BOOK):
        session = opened(replace(JUNE_2026, reopening=None), external_rates=RATES)
        session.must(BeginAverages(id="begin", at_ms=0, market=XYZ))
        premiums.append(ticked(session, book).state.market(XYZ).known("rate"))
    assert premiums[0] > premiums[1]


def test_what_matching_tells_is_what_a_tick_would_have_read() -> None:
    session = opened(JANUARY_2026, external_rates=RATES)
    place(session, limit("bid", "alice", Side.BUY, 60, 99))
    place(session, limit("ask", "bob", Side.SELL, 5, 101))
    book = own_book(session.state, XYZ)
    assert (book.bid_usd, book.ask_usd) == (Decimal(99), Decimal(101))
    assert book.last_usd is None
    assert book.impact == VenueQuote(Venue.PARADEX, Decimal(99), None)


def publish(at_ms: int, *, liquidity: str | None = None) -> PublishMarket:
    """Published values that change nothing but the liquidity weight."""
    return PublishMarket(
        id=f"publish-{at_ms}",
        at_ms=at_ms,
        market=XYZ,
        mark_price=Decimal(100),
        funding_index=Decimal(0),
        premium=Decimal(0),
        liquidity=None if liquidity is None else Decimal(liquidity),
        own_basis=None if liquidity is None else Decimal("0.001"),
    )


def test_published_averages_are_taken_over_and_stay_when_nothing_is_said() -> None:
    session = opened(APRIL_2026)
    session.must(publish(1_000, liquidity="0.25"))
    session.must(publish(2_000))
    market = session.state.market(XYZ)
    assert (market.liquidity, market.own_basis) == (Decimal("0.25"), Decimal("0.001"))


def test_a_gap_between_published_values_is_an_outage_with_its_grace() -> None:
    spec = replace(JANUARY_2026, liquidation_grace_ms=5_000)
    session = opened(spec, sizes={"alice": 1, "bob": -1})
    session.must(publish(1_000))
    session.must(publish(31_000))
    ended = [session.state.outage_ended_at_ms]
    session.must(publish(61_001))
    assert [*ended, session.state.outage_ended_at_ms] == [None, 61_001]
    early = session.do(Liquidate(id="early", at_ms=66_000, account="alice"))
    assert refused(early) is Reason.LIQUIDATION_GRACE
    late = session.do(Liquidate(id="late", at_ms=66_001, account="alice"))
    assert refused(late) is Reason.NOT_DUE


def test_a_decision_that_was_overtaken_changes_nothing() -> None:
    session = opened(JANUARY_2026)
    session.must(SetMode(id="close", at_ms=1, mode=Mode.MAINTENANCE, sequence=5))
    late = session.do(SetMode(id="open", at_ms=2, mode=Mode.OK, sequence=4))
    assert refused(late) is Reason.OVERTAKEN
    assert (session.state.mode, session.state.mode_sequence) == (Mode.MAINTENANCE, 5)
    session.must(SetMode(id="again", at_ms=3, mode=Mode.CANCEL_ONLY, sequence=5))
    session.must(SetMode(id="uncounted", at_ms=4, mode=Mode.OK))
    assert session.state.mode_sequence == 5


def test_who_follows_a_decision_checks_no_stage() -> None:
    session = opened(replace(JANUARY_2026, reopening=Reopening()))
    session.must(SetMode(id="close", at_ms=1, mode=Mode.MAINTENANCE))
    skipped = session.do(SetMode(id="skip", at_ms=2, mode=Mode.POST_ONLY))
    assert refused(skipped) is Reason.SKIPS_A_STAGE
    session.must(SetMode(id="told", at_ms=3, mode=Mode.POST_ONLY, is_decided=True))
    assert session.state.mode is Mode.POST_ONLY
