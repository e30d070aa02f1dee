"""Funding, against the worked numbers of the Paradex documentation and what follows from them."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import ROUND_DOWN, Decimal
from fractions import Fraction

import pytest

from target_stub.core import (
    BTC_USD_PERP,
    ETH_USD_PERP,
    JANUARY_2026,
    Account,
    ExchangeSpec,
    FundingProfile,
    MarketPrice,
    Missing,
    Position,
    SeedPosition,
    Session,
    Side,
    Usd,
    Usdc,
)
from target_stub.core.audit import conservation_gap, total_equity
from target_stub.core.funding import (
    accrued_usd,
    advance_index,
    funding_rate,
    premium,
    realise_usdc,
    smoothed_rate,
    smoothing_weight,
    step_bound,
)
from target_stub.core.margin import account_value

HOUR_MS = 3_600_000
APRIL_2026 = ExchangeSpec(funding_profile=FundingProfile.APRIL_2026)
BTC = "BTC-USD-PERP"
ROUND_NUMBERS = replace(BTC_USD_PERP, order_size_increment=Decimal("0.5"), price_tick=Decimal(1))


def long_50() -> Session:
    """The account of the January 2026 example: long 50 at an index of 1000, spot 100."""
    return Session.opened(
        JANUARY_2026,
        [ROUND_NUMBERS],
        marks_usd={BTC: Decimal(112)},
        usdc_price=Decimal(1),
        funding_index=Decimal(1000),
        balances={"long": Usdc.of(10_000), "short": Usdc.of(10_000)},
        positions=[
            SeedPosition(
                account=name,
                market=BTC,
                size=Decimal(size),
                entry_price_usdc=Decimal(112),
                cached_funding_index=Decimal(1000),
            )
            for name, size in (("long", 50), ("short", -50))
        ],
    )


def test_f1_index_accrual_and_settlement() -> None:
    def advance(index: Decimal, premium_usdc: int, hours: tuple[int, int]) -> Decimal:
        return advance_index(
            index,
            Decimal(premium_usdc),
            from_ms=hours[0] * HOUR_MS,
            to_ms=hours[1] * HOUR_MS,
            market=BTC_USD_PERP,
            exchange=JANUARY_2026,
        )

    after_one_hour = advance(Decimal(1000), 12, (0, 1))
    assert after_one_hour == Decimal("1001.5")
    assert accrued_usd(Decimal(50), Decimal(1000), after_one_hour, Decimal(1)) == Usd.of(-75)
    after_three_hours = advance(after_one_hour, 18, (1, 3))
    assert after_three_hours == Decimal(1006)
    assert accrued_usd(Decimal(50), Decimal(1000), after_three_hours, Decimal(1)) == Usd.of(-300)

    exchange = long_50()
    exchange.publish(BTC, mark_usd=Decimal(112), index=after_three_hours)
    exchange.order("short", Side.SELL, Decimal("0.5"), BTC, price=Decimal(112))
    exchange.order("long", Side.BUY, Decimal("0.5"), BTC, price=Decimal(112))
    assert exchange.state.account("long").balance_usdc == 10_000 - 300
    position = exchange.position("long", BTC)
    assert position is not None
    assert position.cached_funding_index == 1006


def test_f1_premium_of_the_example_is_above_its_own_cap() -> None:
    five_percent = replace(BTC_USD_PERP, max_funding_rate=Decimal("0.05"))
    uncapped = replace(BTC_USD_PERP, max_funding_rate=Decimal(1))
    assert funding_rate(Decimal("0.12"), uncapped, FundingProfile.JANUARY_2026) == Decimal("0.1195")
    rate = funding_rate(Decimal("0.12"), five_percent, FundingProfile.JANUARY_2026)
    assert rate == Decimal("0.05")
    assert premium(rate, Decimal(100), Decimal(1)) == 5


def test_f2_current_documentation_example() -> None:
    rate = funding_rate(Decimal("0.0008"), BTC_USD_PERP, FundingProfile.APRIL_2026)
    assert rate == Decimal("0.0003")
    per_period = premium(rate, Decimal(60_000), Decimal(1))
    assert per_period == 18
    index = Decimal(0)
    for second in range(60):
        index = advance_index(
            index,
            per_period,
            from_ms=second * 1000,
            to_ms=second * 1000 + 1000,
            market=BTC_USD_PERP,
            exchange=APRIL_2026,
        )
    assert index == Decimal("0.0375")
    assert accrued_usd(Decimal("0.5"), Decimal(0), index, Decimal(1)) == Usd.of("-0.01875")
    assert accrued_usd(Decimal("0.5"), Decimal(0), per_period, Decimal(1)) == Usd.of(-9)


def test_f4_incident_replay() -> None:
    exchange = long_50()
    before = total_equity(exchange.state, exchange.state.known_prices(), Decimal(1))
    exchange.publish(BTC, mark_usd=Decimal(112), index=Decimal("1001.5"))
    exchange.publish(BTC, mark_usd=Decimal(112), index=Decimal(0))
    balance = Usd.of(10_000)
    prices = exchange.state.known_prices()
    long, short = (exchange.state.account(name) for name in ("long", "short"))
    assert account_value(long, prices, Decimal(1)) - balance == Usd.of(50_000)
    assert account_value(short, prices, Decimal(1)) - balance == Usd.of(-50_000)
    assert total_equity(exchange.state, prices, Decimal(1)) == before
    assert conservation_gap(exchange.state) == Usdc.of(0)


@pytest.mark.parametrize(
    ("profile", "step"), [("2026-01", Decimal(1_105_500)), ("2026-04", Decimal(0))]
)
def test_f6_lost_timestamp(profile: str, step: Decimal) -> None:
    index = advance_index(
        Decimal(0),
        Decimal(18),
        from_ms=0,
        to_ms=1_768_800_000_000,
        market=BTC_USD_PERP,
        exchange=ExchangeSpec(funding_profile=FundingProfile(profile)),
    )
    assert index == step


@pytest.mark.parametrize(
    ("elapsed_ms", "five_percent", "two_percent"),
    [(1_000, "0.1615", "0.0646"), (5_000, "0.807", "0.323"), (30_000, "4.84", "1.94")],
)
def test_step_bound_of_bitcoin_at_93000(
    elapsed_ms: int, five_percent: str, two_percent: str
) -> None:
    for cap, expected in (("0.05", five_percent), ("0.02", two_percent)):
        spec = replace(BTC_USD_PERP, max_funding_rate=Decimal(cap))
        bound = step_bound(
            spec, spot_usd=Decimal(93_000), usdc_price=Decimal(1), elapsed_ms=elapsed_ms
        )
        decimals = len(expected.split(".")[1])
        assert abs(bound.value - Decimal(expected)) <= Decimal(1).scaleb(-decimals)


def test_a_reset_of_the_published_bitcoin_index_is_3500_times_the_bound() -> None:
    spec = replace(BTC_USD_PERP, max_funding_rate=Decimal("0.05"))
    bound = step_bound(spec, spot_usd=Decimal(93_000), usdc_price=Decimal(1), elapsed_ms=5_000)
    assert 3_490 < abs(Decimal("-2819.53434361")) / bound.value < 3_500


def test_every_legitimate_step_is_within_the_bound() -> None:
    random_source = random.Random(3)
    for _ in range(500):
        spot = Decimal(random_source.randint(1, 10**13)).scaleb(-8)
        usdc = Decimal(random_source.randint(90_000_000, 110_000_000)).scaleb(-8)
        basis = Decimal(random_source.randint(-(10**8), 10**8)).scaleb(-9)
        elapsed_ms = random_source.randint(0, 60_000)
        spec = random_source.choice([BTC_USD_PERP, ETH_USD_PERP])
        rate = funding_rate(basis, spec, FundingProfile.JANUARY_2026)
        index = advance_index(
            Decimal("-2819.53434361"),
            premium(rate, spot, usdc),
            from_ms=7,
            to_ms=7 + elapsed_ms,
            market=spec,
            exchange=JANUARY_2026,
        )
        bound = step_bound(spec, spot_usd=spot, usdc_price=usdc, elapsed_ms=elapsed_ms)
        assert abs(index - Decimal("-2819.53434361")) <= bound.value


@pytest.mark.parametrize(
    ("half_life_s", "weight"), [(1800, "0.00038500763"), (30, "0.02284003156")]
)
def test_smoothing_weights_of_april_2026(half_life_s: int, weight: str) -> None:
    exact_weight = smoothing_weight(1_000, half_life_s * 1_000)
    assert exact_weight.quantize(Decimal("1e-11"), ROUND_DOWN) == Decimal(weight)


def test_a_first_rate_is_not_mixed_with_zero_and_a_slow_average_still_moves() -> None:
    weight = smoothing_weight(1_000, 1_800_000)
    first = smoothed_rate(None, Decimal("0.0001"), weight)
    assert first == Decimal("0.0001")
    assert smoothed_rate(first, Decimal("0.0001000001"), weight) > first


@pytest.mark.parametrize(("elapsed_ms", "accrues"), [(30_000, True), (30_001, False)])
def test_gap_rule_of_april_2026(elapsed_ms: int, accrues: bool) -> None:
    index = advance_index(
        Decimal(1000),
        Decimal(18),
        from_ms=0,
        to_ms=elapsed_ms,
        market=BTC_USD_PERP,
        exchange=APRIL_2026,
    )
    assert (index > 1000) is accrues


def test_funding_time_never_runs_back() -> None:
    with pytest.raises(ValueError, match="runs back"):
        advance_index(
            Decimal(1), Decimal(1), from_ms=2, to_ms=1, market=BTC_USD_PERP, exchange=JANUARY_2026
        )


def test_realised_funding_has_no_price_factor_and_keeps_its_remainder() -> None:
    paid, kept = realise_usdc(Decimal("0.00001"), Decimal(0), Decimal("0.00000001"))
    assert (paid, kept) == (Usdc.of("-0.00000001"), Usdc.of("0.0000000099999"))


def test_a_tick_on_a_market_without_an_index_raises() -> None:
    exchange = Session.opened(
        JANUARY_2026,
        [BTC_USD_PERP],
        marks_usd={},
        usdc_price=Decimal(1),
        funding_index=Decimal(0),
        balances={},
    )
    exchange.spot(BTC, Decimal(93_000), usdc_price=Decimal(1), external_rates=(Decimal(0),))
    with pytest.raises(Missing, match="BTC-USD-PERP has no funding_at_ms yet"):
        exchange.tick(BTC, 5_000)


def test_the_tick_uses_the_premium_so_far() -> None:
    exchange = long_50()
    exchange.publish(BTC, mark_usd=Decimal(112), index=Decimal(1000), premium=Decimal(12))
    exchange.spot(BTC, Decimal(100), usdc_price=Decimal(1), external_rates=(Decimal("0.12"),) * 3)
    exchange.tick(BTC, HOUR_MS)
    market = exchange.state.market(BTC)
    assert market.funding_index == Decimal("1001.5")
    assert market.mark_usd == 112
    assert market.premium_usdc == 2, "2 % of 100: the cap of the market, not the example's 12"


def test_conservation_is_blind_to_a_reset_index() -> None:
    """2,000 exact random cases: any index leaves every total alone and moves money about."""
    random_source = random.Random(20260119)
    moved = 0
    for _ in range(2_000):
        people = random_source.randint(2, 6)
        sizes = [Decimal(random_source.randint(-(10**7), 10**7)).scaleb(-5) for _ in range(people)]
        sizes.append(-sum(sizes, Decimal(0)))
        index = Decimal(random_source.randint(-(10**12), 10**12)).scaleb(-8)
        mark = Decimal(random_source.randint(1, 10**7)).scaleb(-2)
        usdc = Decimal(random_source.randint(9_000, 11_000)).scaleb(-4)
        accounts = [
            Account(
                f"{number}",
                Decimal(random_source.randint(0, 10**12)).scaleb(-8),
                {BTC: Position(size, size * 100, index + random_source.randint(-50, 50))},
            )
            for number, size in enumerate(sizes)
        ]
        right, wrong = {BTC: MarketPrice(mark, index)}, {BTC: MarketPrice(mark, Decimal(0))}
        before = [Fraction(account_value(a, right, usdc).value) for a in accounts]
        after = [Fraction(account_value(a, wrong, usdc).value) for a in accounts]
        assert sum(before) == sum(after)
        moved += before != after
    assert moved > 1_990


def test_repairing_the_index_is_not_a_repair() -> None:
    """Whoever traded meanwhile cached the wrong index and pays the whole of it afterwards."""
    exchange = long_50()
    exchange.publish(BTC, mark_usd=Decimal(112), index=Decimal("1001.5"))
    undisturbed = exchange.health("long").account_value_usd
    exchange.publish(BTC, mark_usd=Decimal(112), index=Decimal(0))
    repaired = Session(exchange.state, exchange.at_ms)
    repaired.publish(BTC, mark_usd=Decimal(112), index=Decimal("1001.5"))
    assert repaired.health("long").account_value_usd == undisturbed, "nothing happened in between"

    exchange.order("short", Side.BUY, Decimal("0.5"), BTC, price=Decimal(112), reduce_only=True)
    exchange.order("long", Side.SELL, Decimal("0.5"), BTC, price=Decimal(112))
    assert exchange.state.account("long").balance_usdc == 10_000 + 50_000
    exchange.withdraw("long", Usdc.of(40_000))
    assert exchange.state.account("long").balance_usdc == 20_000, (
        "money that was never there is gone"
    )
    exchange.publish(BTC, mark_usd=Decimal(112), index=Decimal("1001.5"))
    position = exchange.position("long", BTC)
    assert position is not None
    assert position.cached_funding_index == 0
    charged = accrued_usd(position.size, Decimal(0), Decimal("1001.5"), Decimal(1))
    assert charged == Usd.of("-49574.25")
    assert exchange.health("long").is_due
    assert conservation_gap(exchange.state) == Usdc.of(0)
