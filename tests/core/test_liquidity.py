"""The fair basis of April 2026: the liquidity weight and averages that a restart must not lose."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from target_stub.core import (
    APRIL_2026,
    JUNE_2026,
    BeginAverages,
    ExchangeSpec,
    FundingTick,
    Market,
    Missing,
    Mode,
    Reason,
    Session,
    Side,
    apply,
)
from target_stub.core.liquidity import (
    RAMP_MS,
    is_liquid,
    liquidity_weighted_basis,
    next_liquidity,
    slow_average,
)
from target_stub.core.mark import NO_AVERAGES, Averages, external_rate
from tests.core.desk import XYZ, limit, opened, orders, place, refused

RATES = (Decimal("0.001"), Decimal("0.002"), Decimal("0.003"))
HALF_HOUR_S = 1_800


def begun(spec: ExchangeSpec = APRIL_2026) -> Session:
    """A market at 100 whose averages were begun, with an empty book."""
    session = opened(replace(spec, reopening=None), external_rates=RATES)
    session.must(BeginAverages(id="begin", at_ms=0, market=XYZ))
    return session


def tick(session: Session, seconds: int) -> Market:
    """Tick every second for a while."""
    for _ in range(seconds):
        session.tick(XYZ, session.at_ms + 1_000)
    return session.state.market(XYZ)


@pytest.mark.parametrize(
    ("bid", "ask", "liquid"),
    [
        ("99.5", "100.5", True),
        ("99.49", "100.51", False),
        (None, "100", False),
        ("100", None, False),
    ],
)
def test_a_tick_is_liquid_with_both_sides_within_one_percent(
    bid: str | None, ask: str | None, liquid: bool
) -> None:
    lower, upper = (None if price is None else Decimal(price) for price in (bid, ask))
    assert is_liquid(lower, upper, Decimal("0.01")) is liquid


def test_the_weight_takes_30_minutes_from_end_to_end() -> None:
    weight = Decimal(0)
    for _ in range(HALF_HOUR_S - 1):
        weight = next_liquidity(weight, liquid=True, elapsed_ms=1_000)
    assert Decimal("0.999") < weight < 1
    assert next_liquidity(weight, liquid=True, elapsed_ms=2_000) == 1
    assert next_liquidity(Decimal(1), liquid=False, elapsed_ms=RAMP_MS // 2) == Decimal("0.5")
    assert next_liquidity(Decimal("0.1"), liquid=False, elapsed_ms=RAMP_MS) == 0


def test_the_basis_is_blended_between_the_venues_and_the_own_book() -> None:
    averages = Averages(
        bid=Decimal("0.010"), ask=Decimal("0.012"), last=Decimal("0.011"), mid=Decimal("0.009")
    )
    for weight, expected in (("0", "0.002"), ("1", "0.009"), ("0.5", "0.0055")):
        basis = liquidity_weighted_basis(averages, RATES, Decimal(weight), XYZ)
        assert basis == Decimal(expected)


@pytest.mark.parametrize("lost", ["bid", "ask", "last", "mid"])
def test_a_lost_average_is_missing_and_never_zero(lost: str) -> None:
    session = begun()
    place(session, limit("ask", "bob", Side.SELL, 2, 101))
    place(session, limit("bid", "alice", Side.BUY, 1, 101))
    place(session, limit("rest", "alice", Side.BUY, 1, 100))
    tick(session, 3)
    market = session.state.market(XYZ)
    torn = replace(market, averages=replace(market.averages, **{lost: None}))
    state = replace(session.state, markets={XYZ: torn})
    with pytest.raises(Missing, match=lost):
        apply(state, FundingTick(id="after", at_ms=9_000, market=XYZ))


@pytest.mark.parametrize("lost", ["liquidity", "own_basis", "rate", "funding_index"])
def test_a_lost_value_of_the_market_is_missing_and_never_zero(lost: str) -> None:
    session = begun()
    tick(session, 3)
    nothing: Any = None
    torn = replace(session.state.market(XYZ), **{lost: nothing})
    with pytest.raises(Missing, match=lost):
        apply(
            replace(session.state, markets={XYZ: torn}),
            FundingTick(id="after", at_ms=9_000, market=XYZ),
        )


def test_averages_are_begun_once_and_only_from_something() -> None:
    session = begun()
    market = session.state.market(XYZ)
    assert market.averages == Averages(**dict.fromkeys(("bid", "ask", "last", "mid"), RATES[1]))
    again = session.do(BeginAverages(id="again", at_ms=0, market=XYZ))
    assert refused(again) is Reason.BAD_COMBINATION
    blank = opened(APRIL_2026)
    with pytest.raises(Missing, match="external rates"):
        blank.do(BeginAverages(id="begin", at_ms=0, market=XYZ))
    assert blank.state.market(XYZ).averages == NO_AVERAGES


def test_a_market_restored_from_its_values_goes_on_as_if_nothing_had_happened() -> None:
    """Equal at the restore point is not enough: a thousand ticks later they are equal still."""
    session = begun(JUNE_2026)
    place(session, limit("bid", "alice", Side.BUY, 100, 99))
    place(session, limit("ask", "bob", Side.SELL, 100, "99.5"))
    tick(session, 100)
    market = session.state.market(XYZ)
    copied = Market(**{name: getattr(market, name) for name in Market.__dataclass_fields__})
    restored = Session(replace(session.state, markets={XYZ: copied}), session.at_ms)
    assert tick(session, 1_000) == tick(restored, 1_000)


def test_extreme_quotes_on_an_empty_book_no_longer_make_the_mark() -> None:
    """The second wave of the incident, which the medians of January let through at once."""
    session = begun()
    assert tick(session, 1).mark_usd == Decimal("100.2")
    place(session, limit("bid", "alice", Side.BUY, 1, 119))
    place(session, limit("ask", "bob", Side.SELL, 1, 120))
    after = tick(session, 60)
    assert after.liquidity == Decimal("0.033333333333333360"), "60 of 1,800 liquid seconds"
    assert Decimal("100.2") < after.known("mark_usd") < Decimal(101)


def test_the_own_basis_has_a_half_life_of_one_hour() -> None:
    half = slow_average(Decimal(0), Decimal(1), 3_600_000)
    assert half == Decimal("0.5")
    assert slow_average(Decimal(1), Decimal(1), 5) == 1


def test_b1_the_fair_price_of_the_band_counts_the_own_basis_as_one_venue() -> None:
    """Maintenance and releases page: the median of four venues and of the own slow average."""
    session = opened(replace(APRIL_2026, reopening=None), external_rates=(Decimal(0), Decimal(1)))
    session.must(BeginAverages(id="begin", at_ms=0, market=XYZ))
    market = replace(session.state.market(XYZ), own_basis=Decimal("0.01"))
    session.state = replace(session.state, markets={XYZ: market})
    place(session, limit("in", "alice", Side.SELL, 1, "100.95"))
    place(session, limit("out", "alice", Side.SELL, 1, "100.94"))
    session.mode(Mode.CANCEL_ONLY)
    assert orders(session, "alice") == [("in", 1)], "101 less 5 basis points is 100.9495"


def test_external_rates_are_scaled_to_the_own_funding_period() -> None:
    rate = external_rate(Decimal(101), Decimal(100), venue_hours=4, own_hours=8)
    assert rate == Decimal("0.02")
