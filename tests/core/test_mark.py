"""The mark price and the averages behind it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from target_stub.core import BTC_USD_PERP, JANUARY_2026, Missing, Session, Side, Usdc
from target_stub.core.mark import (
    NO_AVERAGES,
    Averages,
    averaged,
    basis_rate,
    external_fair_price,
    fair_basis,
    mark_price,
    median,
    next_averages,
)

BTC = BTC_USD_PERP.symbol


def test_median_of_an_even_number_is_the_mean_of_the_middle() -> None:
    assert median([Decimal(3), Decimal(1), Decimal(2)]) == 2
    assert median([Decimal(4), Decimal(1), Decimal(2), Decimal(3)]) == Decimal("2.5")
    with pytest.raises(ValueError, match="unknown"):
        median([])


def test_fair_basis_is_the_median_of_book_mid_and_venues() -> None:
    averages = Averages(
        bid=Decimal("0.001"), ask=Decimal("0.003"), last=Decimal("0.002"), mid=Decimal("0.005")
    )
    external = [Decimal("0.004"), Decimal("0.009"), Decimal("0.003")]
    assert fair_basis(averages, external, BTC) == Decimal("0.004")
    assert fair_basis(averages, [], BTC) == Decimal("0.0035")
    assert fair_basis(NO_AVERAGES, external, BTC) == Decimal("0.004")


def test_no_basis_at_all_is_missing_and_not_zero() -> None:
    with pytest.raises(Missing, match="BTC-USD-PERP has no fair basis yet"):
        fair_basis(NO_AVERAGES, [], BTC)


def test_an_average_starts_from_its_first_value_and_keeps_it_without_news() -> None:
    weight = Decimal("0.2")
    assert averaged(None, Decimal("0.01"), weight) == Decimal("0.01")
    assert averaged(Decimal("0.01"), Decimal("0.02"), weight) == Decimal("0.012")
    assert averaged(Decimal("0.01"), None, weight) == Decimal("0.01")
    assert averaged(None, None, weight) is None


def test_an_average_seeded_with_zero_drags_the_mark() -> None:
    """The restart defect this guards against: the same tick, with and without the lost average."""
    kept = averaged(Decimal("0.01"), Decimal("0.01"), Decimal("0.2"))
    lost = averaged(Decimal(0), Decimal("0.01"), Decimal("0.2"))
    assert kept is not None
    assert lost is not None
    assert mark_price(Decimal(100), kept) - mark_price(Decimal(100), lost) == Decimal("0.8")


def test_one_sided_book_moves_only_its_side() -> None:
    averages = next_averages(
        NO_AVERAGES,
        bid=Decimal(99),
        ask=None,
        last=None,
        spot_usd=Decimal(100),
        weight=Decimal("0.2"),
    )
    assert averages == Averages(bid=Decimal("-0.01"))
    assert basis_rate(Decimal(101), Decimal(100)) == Decimal("0.01")


def test_external_fair_price() -> None:
    assert external_fair_price(Decimal(100_000), [Decimal(0), Decimal("0.001")]) == 100_050


def test_extreme_quotes_on_an_empty_book_move_the_mark() -> None:
    """The second wave of the incident: post-only quotes inside the band become the mark price."""
    exchange = Session.opened(
        JANUARY_2026,
        [BTC_USD_PERP],
        marks_usd={BTC: Decimal(100_000)},
        usdc_price=Decimal(1),
        funding_index=Decimal(0),
        balances={"alice": Usdc.of(1_000_000)},
    )
    exchange.spot(BTC, Decimal(100_000), usdc_price=Decimal(1), external_rates=(Decimal(0),) * 3)
    exchange.tick(BTC, 5_000)
    assert exchange.state.market(BTC).mark_usd == 100_000
    exchange.order("alice", Side.BUY, Decimal(1), BTC, price=Decimal(105_000))
    exchange.order("alice", Side.SELL, Decimal(1), BTC, price=Decimal(106_000))
    exchange.tick(BTC, 10_000)
    assert exchange.state.market(BTC).mark_usd == Decimal(105_500)
