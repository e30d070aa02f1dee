"""Liquidation by share and socialised losses, in every variant that the sources leave open."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from target_stub.core import (
    AFTER_INCIDENT,
    BTC_USD_PERP,
    ETH_USD_PERP,
    JANUARY_2026,
    LIQUIDATOR_VAULT,
    ExchangeSpec,
    Filled,
    FillType,
    Liquidate,
    Liquidated,
    MarketSpec,
    Mode,
    Reason,
    Rejected,
    SeedPosition,
    Session,
    Side,
    Usd,
    Usdc,
)
from target_stub.core.audit import conservation_gap, positions_by_market
from target_stub.core.events import Withdrawn
from target_stub.core.liquidation import plan_for_share, plan_liquidation
from target_stub.core.parameters import LossDenominator

BTC, ETH = BTC_USD_PERP.symbol, ETH_USD_PERP.symbol
FEE_50 = replace(JANUARY_2026, liquidation_fee=Decimal("0.5"))


def position(account: str, market: str, size: str, entry: int) -> SeedPosition:
    return SeedPosition(
        account=account,
        market=market,
        size=Decimal(size),
        entry_price_usdc=Decimal(entry),
        cached_funding_index=Decimal(0),
    )


def alice(spec: ExchangeSpec) -> Session:
    """The portfolio of the liquidations page."""
    return Session.opened(
        spec,
        [BTC_USD_PERP, ETH_USD_PERP],
        marks_usd={BTC: Decimal(54_800), ETH: Decimal(3_400)},
        usdc_price=Decimal(1),
        funding_index=Decimal(0),
        balances={
            "alice": Usdc.of(1_000),
            "bob": Usdc.of(100_000),
            LIQUIDATOR_VAULT: Usdc.of(10_000),
        },
        positions=[
            position("alice", BTC, "0.1", 60_000),
            position("bob", BTC, "-0.1", 60_000),
            position("alice", ETH, "-1", 3_000),
            position("bob", ETH, "1", 3_000),
        ],
    )


@pytest.mark.parametrize(
    ("share", "mmr", "penalty", "value", "ratio"),
    [
        ("0.2", "71.04", "8.88", "71.12", "99.9"),
        ("0.4", "53.28", "17.76", "62.24", "85.6"),
        ("0.6", "35.52", "26.64", "53.36", "66.6"),
        ("0.8", "17.76", "35.52", "44.48", "39.9"),
    ],
)
def test_l1_table_with_fee_50(share: str, mmr: str, penalty: str, value: str, ratio: str) -> None:
    plan = plan_for_share(
        Decimal(share), value_usd=Decimal(80), maintenance_usd=Decimal("88.8"), spec=FEE_50
    )
    left = 80 - plan.penalty_usd
    assert plan.penalty_usd == Decimal(penalty)
    assert left == Decimal(value)
    assert Decimal("88.8") * (1 - Decimal(share)) == Decimal(mmr)
    assert abs(Decimal(mmr) / left * 100 - Decimal(ratio)) <= Decimal("0.05")


def test_l1_liquidation_with_fee_50() -> None:
    exchange = alice(FEE_50)
    health = exchange.health("alice")
    assert health.account_value_usd == 80
    assert health.maintenance_usd == Decimal("88.8")
    exchange.check_health()
    (liquidated,) = exchange.of(Liquidated)
    assert liquidated.share == Decimal("0.4")
    assert liquidated.penalty == Usdc.of("17.76")
    assert (liquidated.account_value, liquidated.mmr) == (Usd.of(80), Usd.of("88.8"))
    fills = exchange.of(Filled)
    assert {fill.fill_type for fill in fills} == {FillType.LIQUIDATION}
    assert sum((fill.taker.realised_pnl.value for fill in fills), Decimal(0)) == -368
    account = exchange.state.account("alice")
    assert account.balance_usdc == Decimal("614.24")
    assert account.size(BTC) == Decimal("0.06")
    assert account.size(ETH) == Decimal("-0.6")
    vault = exchange.state.account(LIQUIDATOR_VAULT)
    assert (vault.size(BTC), vault.size(ETH)) == (Decimal("0.04"), Decimal("-0.4"))
    assert vault.balance_usdc == 10_000 + Decimal("17.76")
    ratio = exchange.health("alice").margin_ratio
    assert ratio == Decimal("0.85604113")
    assert set(positions_by_market(exchange.state).values()) == {0}
    assert conservation_gap(exchange.state) == Usdc.of(0)
    assert "alice liquidated by 40 %" in liquidated.describe()


def test_l1_liquidation_with_the_fee_70_of_the_text_takes_60_percent() -> None:
    exchange = alice(JANUARY_2026)
    exchange.check_health()
    (liquidated,) = exchange.of(Liquidated)
    assert liquidated.share == Decimal("0.6")
    assert liquidated.penalty == Usdc.of("37.296")


def test_l1_liquidation_with_the_parameters_of_the_api_example() -> None:
    api = replace(
        JANUARY_2026,
        liquidation_fee=Decimal("0.2"),
        liquidation_share_increment=Decimal("0.05"),
        partial_liquidation_buffer=Decimal("0.2"),
    )
    plan = plan_liquidation(value_usd=Decimal(80), maintenance_usd=Decimal("88.8"), spec=api)
    assert plan.share == Decimal("0.3")
    assert 80 - plan.penalty_usd >= Decimal("1.2") * Decimal("88.8") * (1 - plan.share)


def test_a_bankrupt_account_is_cut_completely() -> None:
    plan = plan_liquidation(value_usd=Decimal(-1), maintenance_usd=Decimal(100), spec=JANUARY_2026)
    assert plan.share == 1
    assert plan.penalty_usd == 70
    within = replace(JANUARY_2026, penalty_within_account_value=True)
    spared = plan_liquidation(value_usd=Decimal(-1), maintenance_usd=Decimal(100), spec=within)
    assert spared.penalty_usd == 0


def test_liquidate_is_refused_unless_the_own_values_say_so() -> None:
    exchange = alice(JANUARY_2026)
    exchange.publish(BTC, mark_usd=Decimal(60_000), index=Decimal(0))
    before = exchange.state.accounts
    (event,) = exchange.do(Liquidate(id="l", at_ms=0, account="alice"))
    assert isinstance(event, Rejected)
    assert event.reason is Reason.NOT_DUE
    assert exchange.state.accounts == before
    exchange.publish(BTC, mark_usd=Decimal(54_800), index=Decimal(0))
    exchange.must(Liquidate(id="m", at_ms=0, account="alice"))
    assert exchange.of(Liquidated)


def test_a_reset_index_liquidates_the_wrong_account() -> None:
    exchange = alice(JANUARY_2026)
    exchange.publish(BTC, mark_usd=Decimal(60_000), index=Decimal(0))
    exchange.publish(ETH, mark_usd=Decimal(3_000), index=Decimal(0))
    exchange.check_health()
    assert not exchange.of(Liquidated)
    exchange.publish(BTC, mark_usd=Decimal(60_000), index=Decimal(9_500))
    exchange.check_health()
    (liquidated,) = exchange.of(Liquidated)
    assert liquidated.account == "alice"
    assert conservation_gap(exchange.state) == Usdc.of(0)


@pytest.mark.parametrize("mode", [Mode.MAINTENANCE, Mode.CANCEL_ONLY, Mode.POST_ONLY])
def test_modes_pause_liquidations_only_since_february_2026(mode: Mode) -> None:
    for spec, paused in ((JANUARY_2026, False), (AFTER_INCIDENT, True)):
        exchange = alice(replace(spec, post_only_band=None))
        exchange.mode(mode)
        (event, *_) = exchange.check_health()
        assert isinstance(event, Rejected) is paused
        assert bool(exchange.of(Liquidated)) is not paused


def test_health_check_cancels_orders_of_accounts_below_initial_margin() -> None:
    """D1 as a command: the buy and the most passive sell go, 8 are left to sell."""
    exchange = Session.opened(
        JANUARY_2026,
        [ETH_USD_PERP],
        marks_usd={ETH: Decimal(2_000)},
        usdc_price=Decimal(1),
        funding_index=Decimal(0),
        balances={"alice": Usdc.of(600), "bob": Usdc.of(100_000)},
        positions=[position("alice", ETH, "10", 2_000), position("bob", ETH, "-10", 2_000)],
    )
    for side, size, price in (
        (Side.BUY, 2, 1900),
        (Side.SELL, 5, 2150),
        (Side.SELL, 3, 2100),
        (Side.SELL, 3, 2200),
    ):
        exchange.order("alice", side, Decimal(size), ETH, price=Decimal(price))
    assert len(exchange.state.account("alice").orders) == 4
    exchange.publish(ETH, mark_usd=Decimal(1_975), index=Decimal(0))
    exchange.check_health()
    kept = exchange.state.account("alice").orders.values()
    assert [(order.side, order.remaining, order.price) for order in kept] == [
        (Side.SELL, Decimal(5), Decimal(2150)),
        (Side.SELL, Decimal(3), Decimal(2100)),
    ]
    assert not exchange.of(Liquidated)


SMALL = MarketSpec(
    symbol="XYZ-USD-PERP",
    imf_base=Decimal("0.1"),
    mmf_factor=Decimal("0.5"),
    funding_period_hours=8,
    max_funding_rate=Decimal("0.05"),
    price_bands_width=Decimal("0.5"),
    price_tick=Decimal("0.01"),
    order_size_increment=Decimal(1),
    position_limit=Decimal(1000),
    max_order_size=Decimal(1000),
    ewma_weight=Decimal("0.2"),
)


@pytest.mark.parametrize(
    ("denominator", "mark", "paid", "to_fund"),
    [
        (LossDenominator.TOTAL, 40, "375", "125"),
        (LossDenominator.TOTAL_PLUS_BANKRUPTCY, 40, "400", "100"),
        (LossDenominator.TOTAL, 70, "500", "0"),
        (LossDenominator.TOTAL_PLUS_BANKRUPTCY, 70, "500", "0"),
    ],
)
def test_l4_socialised_loss(
    denominator: LossDenominator, mark: int, paid: str, to_fund: str
) -> None:
    exchange = Session.opened(
        replace(JANUARY_2026, loss_denominator=denominator),
        [SMALL],
        marks_usd={SMALL.symbol: Decimal(mark)},
        usdc_price=Decimal(1),
        funding_index=Decimal(0),
        balances={name: Usdc.of(1_000) for name in ("a", "b", "c", LIQUIDATOR_VAULT)},
        positions=[position("a", SMALL.symbol, "50", 100), position("b", SMALL.symbol, "-50", 100)],
    )
    exchange.withdraw("c", Usdc.of(500))
    (withdrawn,) = exchange.of(Withdrawn)
    assert (withdrawn.paid, withdrawn.socialised) == (Usdc.of(paid), Usdc.of(to_fund))
    assert exchange.state.account("c").balance_usdc == 500
    assert exchange.state.account(LIQUIDATOR_VAULT).balance_usdc == 1_000 + Decimal(to_fund)
    assert conservation_gap(exchange.state) == Usdc.of(0)


def test_a_share_is_rounded_up_to_whole_increments() -> None:
    exchange = Session.opened(
        replace(FEE_50, liquidation_target_ratio=Decimal(1)),
        [SMALL],
        marks_usd={SMALL.symbol: Decimal(100)},
        usdc_price=Decimal(1),
        funding_index=Decimal(0),
        balances={name: Usdc.of(14) for name in ("a", "b")},
        positions=[position("a", SMALL.symbol, "3", 100), position("b", SMALL.symbol, "-3", 100)],
    )
    exchange.must(Liquidate(id="l", at_ms=0, account="a"))
    (liquidated,) = exchange.of(Liquidated)
    assert liquidated.share == Decimal("0.2"), "20 % of 3 is 0.6, and 1 is the increment"
    assert dict(liquidated.moved) == {SMALL.symbol: Decimal(1)}
    assert exchange.state.account("a").size(SMALL.symbol) == 2
