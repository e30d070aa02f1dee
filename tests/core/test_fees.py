"""Fees by profile, volume and discounts, and the leverage that an owner may lower.

Paradex documentation, trader profiles (January 2026) and trading fees (April 2026).
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from target_stub.core import (
    JANUARY_2026,
    Filled,
    Reason,
    Session,
    SetStanding,
    SettleTrade,
    Side,
    Standing,
    TraderProfile,
)
from target_stub.core.audit import conservation_gap
from target_stub.core.events import StandingSet
from target_stub.core.fees import (
    FEES_APRIL_2026,
    FEES_JANUARY_2026,
    FEES_JULY_2026,
    FeeSchedule,
    ProfileFees,
)
from tests.core.desk import XYZ, limit, opened, place, refused

RETAIL, PRO = TraderProfile.RETAIL, TraderProfile.PRO


def standing(volume: int = 0, discount: str = "0") -> Standing:
    """Volume and discounts of an account."""
    return Standing(volume_usd=Decimal(volume), discount=Decimal(discount))


@pytest.mark.parametrize(
    ("profile", "volume", "discount", "maker", "fee"),
    [
        (RETAIL, 10_000_000, "0.65", PRO, "0.000042"),
        (RETAIL, 100_000, "0.5", PRO, "0.0001"),
        (PRO, 1_000_000, "0.45", RETAIL, "0.000175"),
        (PRO, 25_000_000, "0.7", PRO, "0.000175"),
    ],
    ids=["retail a", "retail b", "pro a", "pro b"],
)
def test_fee_scenarios_of_april_2026(
    profile: TraderProfile, volume: int, discount: str, maker: TraderProfile, fee: str
) -> None:
    rate = FEES_APRIL_2026.taker_rate(profile, standing(volume, discount), maker=maker)
    assert rate == Decimal(fee)


def test_fee_without_its_floor_would_be_what_the_page_computes() -> None:
    """0.042 % x (1 - 75 %) = 0.0105 %, below the minimum of 0.0175 %."""
    pro = replace(FEES_APRIL_2026.pro, floor=Decimal(0))
    schedule = FeeSchedule(retail=FEES_APRIL_2026.retail, pro=pro)
    rate = schedule.taker_rate(PRO, standing(1_000_000, "0.45"), maker=RETAIL)
    assert rate == Decimal("0.000105")


@pytest.mark.parametrize(
    ("schedule", "profile", "maker", "expected"),
    [
        (FEES_JANUARY_2026, RETAIL, PRO, "0"),
        (FEES_JANUARY_2026, PRO, PRO, "0.0002"),
        (FEES_JANUARY_2026, PRO, RETAIL, "0.00005"),
        (FEES_JULY_2026, RETAIL, PRO, "0"),
        (FEES_JULY_2026, PRO, PRO, "0.00045"),
    ],
)
def test_fee_of_a_taker_without_volume(
    schedule: FeeSchedule, profile: TraderProfile, maker: TraderProfile, expected: str
) -> None:
    assert schedule.taker_rate(profile, standing(), maker=maker) == Decimal(expected)


def test_fee_of_a_maker() -> None:
    rates = [s.maker_rate(PRO) for s in (FEES_JANUARY_2026, FEES_APRIL_2026, FEES_JULY_2026)]
    assert rates == [Decimal("0.00003"), 0, Decimal("0.00003")]
    assert FEES_JANUARY_2026.maker_rate(RETAIL) == 0


def test_fee_tiers_begin_at_their_volume() -> None:
    rates = [FEES_APRIL_2026.pro.base_taker(Decimal(v)) for v in (999_999, 1_000_000, 10**9)]
    assert rates == [Decimal("0.00045"), Decimal("0.00042"), Decimal("0.00035")]
    with pytest.raises(ValueError, match="start at a volume of 0"):
        ProfileFees(maker=Decimal(0), takers=((Decimal(5), Decimal(0)),))


def test_fee_speed_bumps() -> None:
    bumps = [
        (s.retail.submission_delay_ms, s.retail.cancellation_delay_ms)
        for s in (FEES_JANUARY_2026, FEES_APRIL_2026)
    ]
    assert bumps == [(500, 300), (300, 300)]
    assert FEES_JANUARY_2026.pro.submission_delay_ms == 0


def test_fee_of_a_trade_follows_the_profiles_of_its_orders() -> None:
    session = opened(replace(JANUARY_2026, fees=FEES_JANUARY_2026))
    for maker, taker in ((PRO, PRO), (RETAIL, PRO), (PRO, RETAIL)):
        ask = limit(f"ask-{maker}-{taker}", "alice", Side.SELL, 10, 100)
        bid = limit(f"bid-{maker}-{taker}", "bob", Side.BUY, 10, 100)
        place(session, replace(ask, profile=maker))
        place(session, replace(bid, profile=taker))
    fees = [(f.maker.fee.value, f.taker.fee.value) for f in session.of(Filled)]
    assert fees == [
        (Decimal("0.03"), Decimal("0.2")),
        (Decimal(0), Decimal("0.05")),
        (Decimal("0.03"), Decimal(0)),
    ]
    assert session.state.fees_usdc == Decimal("0.31")
    assert conservation_gap(session.state).value == 0


def test_fee_of_a_trade_settled_elsewhere_is_the_same() -> None:
    session = opened(replace(JANUARY_2026, fees=FEES_JANUARY_2026))
    session.must(
        SettleTrade(
            id="t",
            at_ms=0,
            market=XYZ,
            price=Decimal(100),
            size=Decimal(10),
            buyer="alice",
            seller="bob",
            taker_side=Side.BUY,
            maker_profile=RETAIL,
        )
    )
    (fill,) = session.of(Filled)
    assert fill.maker.fee.value == 0
    assert fill.taker.fee.value == Decimal("0.05")


def set_standing(session: Session, **changes: Decimal) -> Reason | None:
    """Lower the leverage of Alice in the market; why that was refused, or None."""
    wanted = Standing(leverage={XYZ: changes["leverage"]})
    command = SetStanding(id=session.next_id(), at_ms=0, account="alice", standing=wanted)
    return refused(session.do(command))


def test_leverage_that_is_lowered_raises_the_initial_margin_only() -> None:
    """IMF = 1 / leverage: Paradex documentation, cross margin requirement."""
    session = opened(sizes={"alice": 10, "bob": -10})
    before = session.health("alice")
    assert before.initial_usd == 20
    assert before.maintenance_usd == 10
    assert set_standing(session, leverage=Decimal(3)) is None
    after = session.health("alice")
    assert after.initial_usd == Decimal("333.333333333333334"), "1,000 / 3, rounded up"
    assert after.maintenance_usd == before.maintenance_usd
    assert session.of(StandingSet)[0].describe().endswith("3x in XYZ-USD-PERP")


def test_leverage_stays_within_the_market_and_within_the_margin() -> None:
    session = opened(sizes={"alice": 10, "bob": -10}, balance=500)
    assert set_standing(session, leverage=Decimal(51)) is Reason.LEVERAGE
    assert set_standing(session, leverage=Decimal(1)) is Reason.INITIAL_MARGIN
    assert session.state.account("alice").standing == Standing()
    assert set_standing(session, leverage=Decimal(2)) is None
    assert refused(place(session, limit("o", "alice", Side.BUY, 1, 100))) is Reason.INITIAL_MARGIN


def test_an_impossible_standing_is_refused_loudly() -> None:
    with pytest.raises(ValueError, match="impossible discount"):
        standing(0, "1")
    with pytest.raises(ValueError, match="leverage"):
        Standing(leverage={XYZ: Decimal("0.5")})
    with pytest.raises(ValueError, match="volume"):
        standing(-1)


def test_margin_sets_the_highest_taker_fee_aside() -> None:
    session = opened(replace(JANUARY_2026, fees=FEES_APRIL_2026), sizes={"alice": 10, "bob": -10})
    assert session.health("alice").maintenance_usd == Decimal(10) + Decimal("0.45")
