"""Account value, margin and limits, against the worked numbers of the Paradex documentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import pytest

from target_stub.core import (
    BTC_USD_PERP,
    ETH_USD_PERP,
    JANUARY_2026,
    Account,
    ExchangeSpec,
    Instruction,
    MarketPrice,
    MarketSpec,
    Missing,
    Order,
    OrderKind,
    Position,
    Reason,
    Rejected,
    Rules,
    SeedPosition,
    Session,
    Side,
    Usd,
    Usdc,
    assess,
    is_due,
)
from target_stub.core.margin import (
    account_value,
    free_collateral,
    initial_margin,
    maintenance_margin,
    margin_ratio,
    open_size,
    orders_to_deleverage,
    unrealised_pnl,
    withdrawable,
    within_position_limit,
)
from target_stub.core.parameters import OpenSizeRule

BTC, ETH, XYZ = "BTC-USD-PERP", "ETH-USD-PERP", "XYZ-USD-PERP"
XYZ_MARKET = MarketSpec(
    symbol=XYZ,
    imf_base=Decimal("0.1"),
    mmf_factor=Decimal("0.5"),
    funding_period_hours=8,
    max_funding_rate=Decimal("0.05"),
    price_bands_width=Decimal("0.2"),
    price_tick=Decimal("0.01"),
    order_size_increment=Decimal(1),
    position_limit=Decimal(1000),
    max_order_size=Decimal(1000),
    ewma_weight=Decimal("0.2"),
)


def rules(taker_fee: str = "0", rule: OpenSizeRule = OpenSizeRule.NETTED) -> Rules:
    return Rules(
        markets={BTC: BTC_USD_PERP, ETH: ETH_USD_PERP, XYZ: XYZ_MARKET},
        exchange=ExchangeSpec(taker_fee=Decimal(taker_fee), open_size_rule=rule),
    )


def order(side: Side, size: str, price: str, number: int = 1, market: str = BTC) -> Order:
    return Order(
        id=f"order-{number}",
        account="alice",
        market=market,
        side=side,
        size=Decimal(size),
        remaining=Decimal(size),
        price=Decimal(price),
        kind=OrderKind.LIMIT,
        instruction=Instruction.GTC,
        reduce_only=False,
        sequence=number,
    )


def held(size: str, cost_usdc: str, index: str = "0") -> Position:
    return Position(Decimal(size), Decimal(cost_usdc), Decimal(index))


def at(market: str, mark: str, index: str = "0") -> Mapping[str, MarketPrice]:
    return {market: MarketPrice(Decimal(mark), Decimal(index))}


SHORT_ONE = Account(
    "alice",
    Decimal(0),
    {BTC: held("-1", "-90000")},
    {
        "order-1": order(Side.BUY, "3", "90000", 1),
        "order-2": order(Side.SELL, "2", "90000", 2),
    },
)


def test_m1_net_initial_margin() -> None:
    orders = tuple(SHORT_ONE.working_orders(BTC))
    buys = [o for o in orders if o.side is Side.BUY]
    sells = [o for o in orders if o.side is Side.SELL]
    assert open_size(Decimal(-1), buys, OpenSizeRule.NETTED) == 2
    assert open_size(Decimal(-1), sells, OpenSizeRule.NETTED) == 3
    assert initial_margin(SHORT_ONE, at(BTC, "90000"), rules()) == Usd.of(5_400)


def test_m2_fee_provision_and_maintenance() -> None:
    with_fee, prices = rules("0.0003"), at(BTC, "90000")
    initial = initial_margin(SHORT_ONE, prices, with_fee)
    assert initial - initial_margin(SHORT_ONE, prices, rules()) == Usd.of(81)
    assert maintenance_margin(SHORT_ONE, prices, with_fee) == Usd.of(927)
    no_orders = replace(SHORT_ONE, orders={})
    assert maintenance_margin(no_orders, prices, with_fee) == Usd.of(927)
    assert initial_margin(SHORT_ONE, prices, rules(), with_orders=False) == Usd.of(1_800)


def test_m2_open_loss_of_aggressive_orders() -> None:
    prices = at(BTC, "90000")
    base = initial_margin(SHORT_ONE, prices, rules())
    for side, price, loss in (
        (Side.BUY, "90010", 30),
        (Side.BUY, "89990", 0),
        (Side.SELL, "89990", 20),
        (Side.SELL, "90010", 0),
    ):
        orders = {
            key: replace(o, price=Decimal(price)) if o.side is side else o
            for key, o in SHORT_ONE.orders.items()
        }
        changed = initial_margin(replace(SHORT_ONE, orders=orders), prices, rules())
        assert changed - base == Usd.of(loss)


@pytest.mark.parametrize(
    ("rule", "last_is_refused"), [(OpenSizeRule.GROSS, True), (OpenSizeRule.NETTED, False)]
)
def test_m6_risk_check(rule: OpenSizeRule, last_is_refused: bool) -> None:
    """The example counts 5 + 8 = 13 sells as open size; the netting formula of M1 gives 10."""
    exchange = Session.opened(
        replace(JANUARY_2026, open_size_rule=rule),
        [XYZ_MARKET],
        marks_usd={XYZ: Decimal(100)},
        usdc_price=Decimal(1),
        funding_index=Decimal(0),
        balances={"alice": Usdc.of(100), "bob": Usdc.of(10_000)},
    )
    exchange.order("bob", Side.SELL, Decimal(10), XYZ, price=Decimal(100))
    exchange.order("alice", Side.BUY, Decimal(10), XYZ, price=Decimal(100))
    assert exchange.health("alice").initial_usd == 100
    exchange.publish(XYZ, mark_usd=Decimal(98), index=Decimal(0))
    health = exchange.health("alice")
    assert health.initial_usd == 98
    assert health.account_value_usd == 80
    assert unrealised_pnl(
        exchange.state.account("alice"), exchange.state.known_prices(), Decimal(1)
    ) == Usd.of(-20)
    events = exchange.order("alice", Side.SELL, Decimal(5), XYZ, price=Decimal(98))
    assert not any(isinstance(event, Rejected) for event in events)
    (event, *_) = exchange.order("alice", Side.SELL, Decimal(8), XYZ, price=Decimal(98))
    assert isinstance(event, Rejected) is last_is_refused
    if isinstance(event, Rejected):
        assert event.reason is Reason.INITIAL_MARGIN


def test_d1_order_level_deleveraging() -> None:
    orders = [
        order(Side.BUY, "2", "1900", 1, ETH),
        order(Side.SELL, "5", "2150", 2, ETH),
        order(Side.SELL, "3", "2100", 3, ETH),
        order(Side.SELL, "3", "2200", 4, ETH),
    ]
    doomed = orders_to_deleverage(Decimal(10), orders)
    assert [(o.side, o.remaining, o.price) for o in doomed] == [
        (Side.BUY, Decimal(2), Decimal(1900)),
        (Side.SELL, Decimal(3), Decimal(2200)),
    ]
    assert sum(o.remaining for o in orders if o not in doomed) == 8


@pytest.mark.parametrize(
    ("side", "size", "accepted"),
    [
        (Side.SELL, 100, True),
        (Side.SELL, 101, False),
        (Side.BUY, 1900, True),
        (Side.BUY, 1901, False),
    ],
)
def test_position_limit_example(side: Side, size: int, accepted: bool) -> None:
    eth = replace(ETH_USD_PERP, position_limit=Decimal(1000))
    assert accepted is within_position_limit(
        eth, side=side, size=Decimal(size), position=Decimal(-900), same_side=Decimal(0)
    )


def test_position_cost_examples_of_the_margin_terms() -> None:
    def entered(side: Side, usdc_price: str) -> Position:
        exchange = Session.opened(
            JANUARY_2026,
            [ETH_USD_PERP],
            marks_usd={ETH: Decimal(2000)},
            usdc_price=Decimal(usdc_price),
            funding_index=Decimal(0),
            balances={"alice": Usdc.of(10_000), "bob": Usdc.of(10_000)},
        )
        exchange.order("bob", side.opposite, Decimal(1), ETH, price=Decimal(2000))
        exchange.order("alice", side, Decimal(1), ETH, price=Decimal(2000))
        position = exchange.position("alice", ETH)
        assert position is not None
        return position

    assert entered(Side.BUY, "1") == held("1", "2000")
    assert entered(Side.SELL, "0.8") == held("-1", "-2500")


def test_trap_a_a_negative_ratio_does_not_make_a_bankrupt_account_healthy() -> None:
    bankrupt = Account("alice", Decimal(100), {BTC: held("1", "90000")})
    prices = at(BTC, "80000")
    assert account_value(bankrupt, prices, Decimal(1)) == Usd.of(-9_900)
    assert margin_ratio(Usd.of(-9_900), Usd.of(800)) is None
    assert is_due(bankrupt, prices, Decimal(1), rules())
    assert assess(bankrupt, prices, Decimal(1), rules()).is_due


def test_trap_b_a_mark_of_zero_hides_every_requirement() -> None:
    long = Account("long", Decimal(10_000), {BTC: held("1", "90000")})
    short = Account("short", Decimal(1), {BTC: held("-1", "-90000")})
    nobody = Account(
        "nobody", Decimal(0), {}, {"order-1": replace(order(Side.BUY, "300", "0.1"), price=None)}
    )
    zero = at(BTC, "0")
    assert is_due(long, zero, Decimal(1), rules())
    assert assess(short, zero, Decimal(1), rules()).account_value_usd == 90_001
    assert assess(short, zero, Decimal(1), rules()).margin_ratio == 0
    health = assess(nobody, zero, Decimal(1), rules())
    assert health.account_value_usd >= health.initial_usd == 0, "only the position limit is left"


def test_trap_c_artificial_funding_frees_locked_margin_up_to_the_balance() -> None:
    account = Account("long", Decimal(2_000), {BTC: held("1", "90000", "1000")})
    honest = assess(account, at(BTC, "90000", "1000"), Decimal(1), rules())
    assert honest.withdrawable == Usdc.of(200)
    reset = assess(account, at(BTC, "90000", "0"), Decimal(1), rules())
    assert reset.free_collateral == Usd.of(1_200)
    reset_more = assess(account, at(BTC, "90000", "-5000"), Decimal(1), rules())
    assert reset_more.withdrawable == Usdc.of(2_000)


def test_free_collateral_and_withdrawable() -> None:
    free = free_collateral(Usd.of(150), Usd.of(100), Usdc.of(30), Decimal("0.8"))
    assert free == Usd.of(24)
    assert withdrawable(free, Usdc.of(30), Decimal("0.8")) == Usdc.of(30)
    assert withdrawable(Usd.of(-1), Usdc.of(30), Decimal("0.8")) == Usdc.of(0)


def test_a_missing_price_is_never_a_zero() -> None:
    account = Account("alice", Decimal(100), {ETH: held("1", "2000")})
    with pytest.raises(Missing, match=r"ETH-USD-PERP has no mark price and funding index yet"):
        account_value(account, at(BTC, "90000"), Decimal(1))
    with pytest.raises(Missing):
        is_due(account, {}, Decimal(1), rules())


def test_withdrawing_more_than_is_free_is_refused() -> None:
    exchange = Session.opened(
        JANUARY_2026,
        [BTC_USD_PERP],
        marks_usd={BTC: Decimal(90_000)},
        usdc_price=Decimal(1),
        funding_index=Decimal(1000),
        balances={"long": Usdc.of(2_000), "short": Usdc.of(2_000)},
        positions=[
            SeedPosition(
                account=name,
                market=BTC,
                size=Decimal(size),
                entry_price_usdc=Decimal(90_000),
                cached_funding_index=Decimal(1000),
            )
            for name, size in (("long", 1), ("short", -1))
        ],
    )
    (refused,) = exchange.withdraw("long", Usdc.of("200.00000001"))
    assert isinstance(refused, Rejected)
    assert refused.reason is Reason.NOT_WITHDRAWABLE
    exchange.withdraw("long", Usdc.of(200))
    assert exchange.state.account("long").balance_usdc == 1_800
