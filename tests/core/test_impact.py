"""Funding of June 2026: the weighted median of the impact premiums of several venues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from target_stub.core import (
    BTC_USD_PERP,
    ETH_USD_PERP,
    JUNE_2026,
    PAXG_USD_PERP,
    BeginAverages,
    FundingProfile,
    Missing,
    OracleUpdate,
    Pause,
    PauseMarket,
    Reason,
    Session,
    Side,
    Venue,
    VenueQuote,
)
from target_stub.core.funding import funding_rate
from target_stub.core.impact import (
    impact_price,
    premium_rate,
    venue_premium,
    weighted_median,
)
from tests.core.desk import XYZ, limit, opened, place, refused

OTHERS = (Venue.BINANCE, Venue.BYBIT, Venue.OKX, Venue.HYPERLIQUID, Venue.LIGHTER)
JUNE = replace(JUNE_2026, reopening=None)


def quote(venue: Venue, bid: str | None, ask: str | None) -> VenueQuote:
    """Impact prices of one venue."""
    return VenueQuote(
        venue, None if bid is None else Decimal(bid), None if ask is None else Decimal(ask)
    )


@pytest.mark.parametrize(
    ("bid", "ask", "premium"),
    [
        ("101", "102", "0.01"),
        ("98", "99", "-0.01"),
        ("99", "101", "0"),
        ("101", None, "0.01"),
        (None, "99", "-0.01"),
        (None, None, "0"),
    ],
)
def test_a_thin_side_contributes_nothing(bid: str | None, ask: str | None, premium: str) -> None:
    assert venue_premium(quote(Venue.OKX, bid, ask), Decimal(100)) == Decimal(premium)


def test_an_impact_price_averages_what_the_notional_reaches() -> None:
    levels = [(Decimal(100), Decimal(5)), (Decimal(98), Decimal(100))]
    assert impact_price(levels, Decimal(500)) == 100
    # 500 at 100, and 490 at 98 buy 5 + 5 units for 990.
    assert impact_price(levels, Decimal(990)) == 99
    assert impact_price(levels[:1], Decimal(500)) == 100, "all of the book is just enough"
    assert impact_price(levels, Decimal(10_301)) is None
    assert impact_price([], Decimal(1)) is None


@given(
    levels=st.lists(
        st.tuples(
            st.integers(1, 10**6).map(lambda n: Decimal(n).scaleb(-2)),
            st.integers(1, 10**6).map(lambda n: Decimal(n).scaleb(-3)),
        ),
        min_size=1,
        max_size=6,
    ),
    notional=st.integers(1, 10**7).map(Decimal),
)
def test_an_impact_price_is_the_exact_average_rounded_once(
    levels: list[tuple[Decimal, Decimal]], notional: Decimal
) -> None:
    left, size = Fraction(notional), Fraction(0)
    for price, available in levels:
        taken = min(Fraction(available), left / Fraction(price))
        size, left = size + taken, left - taken * Fraction(price)
    found = impact_price(levels, notional)
    if left > 0:
        assert found is None
    else:
        assert found is not None
        assert abs(Fraction(found) - Fraction(notional) / size) <= Fraction(1, 2 * 10**8)


def test_the_weights_of_the_venues() -> None:
    assert Venue.PARADEX.score == Decimal("3.5")
    assert {venue.score for venue in OTHERS} == {Decimal("1.2")}
    multipliers = [venue.notional_multiplier for venue in Venue]
    assert multipliers == [1, 4, 4, 4, 4, 2]
    notionals = [m.impact_notional_usd for m in (BTC_USD_PERP, ETH_USD_PERP, PAXG_USD_PERP)]
    assert notionals == [5_000, 5_000, 1_000]


def test_the_own_vote_needs_the_support_of_one_other_venue() -> None:
    """3.5 of 9.5 is less than half: 1.2 more from the nearest other venue decides."""
    own = quote(Venue.PARADEX, "110", "111")
    others = [quote(venue, f"{100 + n}", "120") for n, venue in enumerate(OTHERS, 1)]
    assert premium_rate([own, *others], Decimal(100), XYZ) == Decimal("0.04")
    assert premium_rate([own, *others[3:]], Decimal(100), XYZ) == Decimal("0.1"), (
        "with two other venues the own vote is the majority"
    )


def test_a_missing_venue_makes_the_others_count_for_more() -> None:
    low, high = quote(Venue.BINANCE, None, "99"), quote(Venue.OKX, "101", "102")
    assert premium_rate([low, high], Decimal(100), XYZ) == 0, "the mean of two equal halves"
    assert premium_rate([high], Decimal(100), XYZ) == Decimal("0.01")


def test_no_venue_at_all_is_missing_and_not_zero() -> None:
    with pytest.raises(Missing, match="impact premium of any venue"):
        premium_rate([], Decimal(100), XYZ)
    with pytest.raises(ValueError, match="votes twice"):
        premium_rate([quote(Venue.OKX, "1", "2")] * 2, Decimal(100), XYZ)
    with pytest.raises(ValueError, match="unknown"):
        weighted_median([])


votes = st.lists(
    st.tuples(st.integers(-9, 9).map(Decimal), st.integers(0, 9).map(Decimal)), min_size=1
).filter(lambda pairs: any(weight for _, weight in pairs))


@given(votes)
def test_at_most_half_of_the_weight_lies_on_either_side_of_the_median(
    pairs: Sequence[tuple[Decimal, Decimal]],
) -> None:
    middle = weighted_median(pairs)
    half = sum(weight for _, weight in pairs) / 2
    assert sum(weight for value, weight in pairs if value < middle) <= half
    assert sum(weight for value, weight in pairs if value > middle) <= half
    assert weighted_median([(value, 3 * weight) for value, weight in pairs]) == middle


@given(votes)
def test_equal_weights_give_the_plain_median(pairs: Sequence[tuple[Decimal, Decimal]]) -> None:
    ordered = sorted(value for value, _ in pairs)
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    assert weighted_median([(value, Decimal("1.2")) for value, _ in pairs]) == (low + high) / 2


@pytest.mark.parametrize(
    ("premium", "multiplier", "cap", "rate"),
    [
        ("0.0008", "1", "0.02", "0.0003"),
        ("0.0008", "0.5", "0.005", "0.00015"),
        ("0.5", "1", "0.05", "0.05"),
        ("-0.5", "0.5", "0.005", "-0.005"),
    ],
)
def test_the_raw_rate_is_clamped_multiplied_and_capped(
    premium: str, multiplier: str, cap: str, rate: str
) -> None:
    """Caps of 2 % in BTC, ETH and SOL, 0.5 % in TradFi markets (multiplier 0.5), 5 % elsewhere."""
    spec = replace(
        BTC_USD_PERP, funding_multiplier=Decimal(multiplier), max_funding_rate=Decimal(cap)
    )
    assert funding_rate(Decimal(premium), spec, FundingProfile.JUNE_2026) == Decimal(rate)


def june(**quotes: tuple[str | None, str | None]) -> Session:
    """A market at 100 with averages, quotes of other venues, and an own book two dollars wide."""
    session = opened(JUNE, external_rates=(Decimal(0),))
    oracle = OracleUpdate(
        id="quotes",
        at_ms=0,
        market=XYZ,
        spot_usd=Decimal(100),
        usdc_price=Decimal(1),
        venue_quotes=tuple(quote(Venue(name), *prices) for name, prices in quotes.items()),
    )
    session.must(oracle)
    session.must(BeginAverages(id="begin", at_ms=0, market=XYZ))
    return session


def test_the_premium_of_the_own_book_counts_what_the_book_absorbs() -> None:
    session = june(okx=("103", "104"), bybit=("103", "104"))
    place(session, limit("bid", "alice", Side.BUY, 4, 102))
    place(session, limit("ask", "bob", Side.SELL, 100, 104))
    session.tick(XYZ, 1_000)
    thin = session.state.market(XYZ).known("rate")
    place(session, limit("more", "alice", Side.BUY, 100, 101))
    session.tick(XYZ, 2_000)
    deep = session.state.market(XYZ).known("rate")
    assert thin < deep, "408 of 1,000 USD is a thin side: nothing; then 1,000 USD at 101.4"


def test_quotes_must_be_of_other_venues_once_and_positive() -> None:
    session = june()
    for number, quotes in enumerate(
        [
            (quote(Venue.PARADEX, "1", "2"),),
            (quote(Venue.OKX, "1", "2"),) * 2,
            (quote(Venue.OKX, "0", "2"),),
        ]
    ):
        update = OracleUpdate(
            id=f"bad{number}",
            at_ms=1,
            market=XYZ,
            spot_usd=Decimal(100),
            usdc_price=Decimal(1),
            venue_quotes=quotes,
        )
        assert refused(session.do(update)) is Reason.BAD_PRICE


@pytest.mark.parametrize("pause", list(Pause))
def test_a_paused_market_accrues_no_funding_and_catches_nothing_up(pause: Pause) -> None:
    session = opened(JUNE, external_rates=(Decimal(0),))
    session.must(BeginAverages(id="begin", at_ms=0, market=XYZ))
    session.publish(XYZ, mark_usd=Decimal(100), index=Decimal(7), premium=Decimal(288))
    session.must(PauseMarket(id="pause", at_ms=0, market=XYZ, pause=pause))
    session.tick(XYZ, 1_000)
    session.tick(XYZ, 2_000)
    assert session.state.market(XYZ).funding_index == 7
    session.must(PauseMarket(id="on", at_ms=2_000, market=XYZ, pause=pause, on=False))
    premium = session.state.market(XYZ).known("premium_usdc")
    session.tick(XYZ, 3_000)
    assert session.state.market(XYZ).funding_index == 7 + round(premium / 28_800, 8)


@pytest.mark.parametrize(("elapsed_ms", "accrues"), [(30_000, True), (30_001, False)])
def test_the_gap_rule_holds_since_april(elapsed_ms: int, accrues: bool) -> None:
    session = june()
    session.publish(XYZ, mark_usd=Decimal(100), index=Decimal(7), premium=Decimal(288))
    session.tick(XYZ, elapsed_ms)
    assert (session.state.market(XYZ).funding_index == Decimal("7.3")) is accrues
