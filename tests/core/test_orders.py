"""Orders, the book, bands, modes and TP/SL, against the examples of the Paradex documentation."""

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
    PAXG_USD_PERP,
    CancelAll,
    CancelOrder,
    Event,
    ExchangeSpec,
    Filled,
    FillType,
    Instruction,
    MarketSpec,
    Missing,
    Mode,
    OrderKind,
    PlaceOrder,
    PublishMarket,
    Reason,
    Rejected,
    SeedPosition,
    Session,
    SettleTrade,
    Side,
    Trigger,
    Usd,
    Usdc,
    apply,
    genesis,
)
from target_stub.core.book import Caps, band_edge, fillable, rebuilt
from target_stub.core.events import OrderCancelled, Triggered
from target_stub.core.parameters import SelfTradePrevention

BTC, ETH = BTC_USD_PERP.symbol, ETH_USD_PERP.symbol
HUNDRED = replace(
    BTC_USD_PERP,
    symbol="XYZ-USD-PERP",
    order_size_increment=Decimal(1),
    position_limit=Decimal(10_000),
    max_order_size=Decimal(10_000),
)
XYZ = HUNDRED.symbol


def opened(
    spec: ExchangeSpec = JANUARY_2026,
    market: MarketSpec = HUNDRED,
    mark: int = 100,
    long: int | None = None,
) -> Session:
    """Alice, Bob and Carol with much money; with ``long``, Alice holds that much of Bob's short."""
    positions = [
        SeedPosition(
            account=name,
            market=market.symbol,
            size=Decimal(size),
            entry_price_usdc=Decimal(mark),
            cached_funding_index=Decimal(0),
        )
        for name, size in (("alice", long), ("bob", -(long or 0)))
        if size
    ]
    return Session.opened(
        spec,
        [market],
        marks_usd={market.symbol: Decimal(mark)},
        usdc_price=Decimal(1),
        funding_index=Decimal(0),
        balances={
            name: Usdc.of(10_000_000) for name in ("alice", "bob", "carol", LIQUIDATOR_VAULT)
        },
        positions=positions,
    )


def reason_of(events: tuple[Event, ...]) -> Reason | None:
    """Why the last event refused or cancelled something, None if it did neither."""
    last = events[-1]
    return last.reason if isinstance(last, Rejected | OrderCancelled) else None


@pytest.mark.parametrize(
    ("side", "price", "expected"),
    [
        (Side.SELL, 94, Reason.OUTSIDE_BAND),
        (Side.SELL, 95, None),
        (Side.SELL, 200, None),
        (Side.BUY, 90, None),
        (Side.BUY, 105, None),
        (Side.BUY, 106, Reason.OUTSIDE_BAND),
    ],
)
def test_bands_are_one_sided(side: Side, price: int, expected: Reason | None) -> None:
    exchange = opened()
    events = exchange.order("alice", side, Decimal(10), XYZ, price=Decimal(price))
    assert reason_of(events) is expected


def test_bands_give_a_market_buy_its_limit() -> None:
    edge = band_edge(
        Side.BUY, reference_usd=Decimal(100), width=Decimal("0.05"), tick=Decimal("0.1")
    )
    assert edge == 105
    exchange = opened()
    exchange.order("bob", Side.SELL, Decimal(5), XYZ, price=Decimal(105))
    exchange.order("bob", Side.SELL, Decimal(5), XYZ, price=Decimal("105.1"))
    exchange.order("alice", Side.BUY, Decimal(10), XYZ)
    assert [fill.price for fill in exchange.of(Filled)] == [Usd.of(105)]
    assert exchange.state.account("alice").size(XYZ) == 5


def test_vwap_example_fills_25_at_20000() -> None:
    """10 @ 19,900, 10 @ 20,050 and 5 @ 20,100; the documentation prints 19,975 in another case."""
    market = replace(
        BTC_USD_PERP, order_size_increment=Decimal(1), price_bands_width=Decimal("0.0075")
    )
    exchange = opened(market=market, mark=20_000)
    for price in (19_900, 20_050, 20_100):
        exchange.order("bob", Side.SELL, Decimal(10), BTC, price=Decimal(price))
    to_20000 = (Decimal(20_000) / Decimal(19_900) - 1).quantize(Decimal("1e-20"))
    exchange.order("alice", Side.BUY, Decimal(50), BTC, slippage=to_20000)
    assert [fill.size for fill in exchange.of(Filled)] == [10, 10, 5]
    assert exchange.state.account("alice").size(BTC) == 25
    position = exchange.position("alice", BTC)
    assert position is not None
    assert position.cost_usdc / 25 == 20_000
    # Defect of the source: 10 @ 19,900 and 20 @ 20,050 average 20,000 and not 19,975.
    assert (10 * 19_900 + 20 * 20_050) / 30 == 20_000


def test_vwap_cap_of_a_sell_is_a_floor() -> None:
    caps = Caps(side=Side.SELL, limit=Decimal(1), average=Decimal(100))
    at_90 = fillable(
        caps,
        price=Decimal(90),
        wanted=Decimal(50),
        filled=Decimal(10),
        spent_usd=Decimal(1_100),
        increment=Decimal(1),
    )
    assert at_90 == 10, "10 @ 110 and 10 @ 90 average 100"


@pytest.mark.parametrize(
    ("side", "price", "expected"),
    [
        (Side.BUY, 100_050, None),
        (Side.BUY, Decimal("100050.1"), Reason.OUTSIDE_BAND),
        (Side.SELL, 99_950, None),
        (Side.SELL, Decimal("99949.9"), Reason.OUTSIDE_BAND),
    ],
)
def test_b1_post_only_band(side: Side, price: Decimal | int, expected: Reason | None) -> None:
    for resting in (False, True):
        exchange = opened(AFTER_INCIDENT, BTC_USD_PERP, 100_000)
        exchange.spot(
            BTC, Decimal(100_000), usdc_price=Decimal(1), external_rates=(Decimal(0),) * 3
        )
        if not resting:
            exchange.mode(Mode.POST_ONLY)
        events = exchange.order(
            "alice",
            side,
            Decimal(1),
            BTC,
            price=Decimal(price),
            instruction=Instruction.POST_ONLY,
        )
        if resting:
            events = exchange.mode(Mode.POST_ONLY)
        assert reason_of(events) is expected
        assert bool(exchange.state.account("alice").orders) is (expected is None)


def test_price_time_priority_and_price_improvement() -> None:
    exchange = opened()
    exchange.order("bob", Side.SELL, Decimal(5), XYZ, price=Decimal(101))
    exchange.order("carol", Side.SELL, Decimal(5), XYZ, price=Decimal(101))
    exchange.order("bob", Side.SELL, Decimal(5), XYZ, price=Decimal(100))
    exchange.order("alice", Side.BUY, Decimal(12), XYZ, price=Decimal(102))
    fills = [(fill.maker.account, fill.price.value, fill.size) for fill in exchange.of(Filled)]
    assert fills == [
        ("bob", Decimal(100), Decimal(5)),
        ("bob", Decimal(101), Decimal(5)),
        ("carol", Decimal(101), Decimal(2)),
    ]
    assert exchange.state.market(XYZ).last_trade_usd == 101


def test_post_only_that_would_trade_is_cancelled() -> None:
    exchange = opened()
    exchange.order("bob", Side.SELL, Decimal(5), XYZ, price=Decimal(100))
    events = exchange.order(
        "alice", Side.BUY, Decimal(5), XYZ, price=Decimal(100), instruction=Instruction.POST_ONLY
    )
    assert reason_of(events) is Reason.POST_ONLY_WOULD_TRADE
    assert not exchange.state.account("alice").orders
    assert not exchange.of(Filled)


def test_immediate_or_cancel_never_rests() -> None:
    exchange = opened()
    exchange.order("bob", Side.SELL, Decimal(5), XYZ, price=Decimal(100))
    events = exchange.order(
        "alice", Side.BUY, Decimal(8), XYZ, price=Decimal(100), instruction=Instruction.IOC
    )
    assert reason_of(events) is Reason.NOT_FILLED
    assert exchange.state.account("alice").size(XYZ) == 5
    assert not exchange.state.account("alice").orders


@pytest.mark.parametrize(
    ("policy", "left", "bought"),
    [
        (SelfTradePrevention.EXPIRE_TAKER, 1, 0),
        (SelfTradePrevention.EXPIRE_MAKER, 0, 5),
        (SelfTradePrevention.EXPIRE_BOTH, 0, 0),
    ],
)
def test_self_trade_prevention(policy: SelfTradePrevention, left: int, bought: int) -> None:
    exchange = opened(replace(JANUARY_2026, self_trade_prevention=policy))
    exchange.order("alice", Side.SELL, Decimal(5), XYZ, price=Decimal(100))
    exchange.order("bob", Side.SELL, Decimal(5), XYZ, price=Decimal(101))
    exchange.order("alice", Side.BUY, Decimal(5), XYZ, price=Decimal(101))
    assert exchange.state.account("alice").size(XYZ) == bought
    assert len(exchange.state.account("alice").orders) == left
    assert any(event.reason is Reason.SELF_TRADE for event in exchange.of(OrderCancelled))


@pytest.mark.parametrize(
    ("mode", "plain", "post_only"),
    [
        (Mode.OK, None, None),
        (Mode.POST_ONLY, Reason.POST_ONLY_MODE, None),
        (Mode.CANCEL_ONLY, Reason.CANCEL_ONLY_MODE, Reason.CANCEL_ONLY_MODE),
        (Mode.MAINTENANCE, Reason.MAINTENANCE_MODE, Reason.MAINTENANCE_MODE),
    ],
)
def test_modes(mode: Mode, plain: Reason | None, post_only: Reason | None) -> None:
    exchange = opened()
    exchange.order("alice", Side.BUY, Decimal(1), XYZ, price=Decimal(99))
    (resting,) = exchange.state.account("alice").orders
    exchange.mode(mode)
    buy = exchange.order("bob", Side.BUY, Decimal(1), XYZ, price=Decimal(98))
    assert reason_of(buy) is plain
    quote = exchange.order(
        "bob", Side.BUY, Decimal(1), XYZ, price=Decimal(97), instruction=Instruction.POST_ONLY
    )
    assert reason_of(quote) is post_only
    exchange.must(CancelOrder(id="c", at_ms=0, account="alice", order_id=resting))
    assert not exchange.state.account("alice").orders


def test_client_ids_are_unique_among_open_orders() -> None:
    exchange = opened()
    order = PlaceOrder(
        id="p1",
        at_ms=0,
        account="alice",
        market=XYZ,
        side=Side.BUY,
        size=Decimal(1),
        price=Decimal(99),
        client_id="mine",
    )
    exchange.must(order)
    assert reason_of(exchange.do(replace(order, id="p2"))) is Reason.DUPLICATED_CLIENT_ID


def long_100_eth() -> Session:
    """Alice is long 100 ETH at 4,000 with bids of others far below."""
    wide = replace(ETH_USD_PERP, price_bands_width=Decimal("0.2"), order_size_increment=Decimal(1))
    exchange = opened(market=wide, mark=4_000, long=100)
    exchange.order("carol", Side.BUY, Decimal(500), ETH, price=Decimal(4_000))
    return exchange


def reduce_only_sell(exchange: Session, size: int, price: int) -> tuple[Event, ...]:
    """A reduce-only limit sell of Alice."""
    return exchange.order(
        "alice", Side.SELL, Decimal(size), ETH, price=Decimal(price), reduce_only=True
    )


def open_sells(exchange: Session) -> list[int]:
    """The prices of Alice's open sell orders."""
    orders = exchange.state.account("alice").working_orders(ETH)
    return sorted(int(order.price) for order in orders if order.price is not None)


def test_reduce_only_is_unchanged_by_an_increase() -> None:
    exchange = long_100_eth()
    reduce_only_sell(exchange, 100, 4_500)
    exchange.order("bob", Side.SELL, Decimal(7), ETH, price=Decimal(4_100))
    exchange.order("alice", Side.BUY, Decimal(7), ETH)
    assert exchange.state.account("alice").size(ETH) == 107
    assert open_sells(exchange) == [4_500]


@pytest.mark.parametrize(
    ("resting", "sold", "survives"),
    [(100, 1, False), (60, 39, True), (60, 40, True), (60, 41, False)],
)
def test_reduce_only_after_a_reduction(resting: int, sold: int, survives: bool) -> None:
    exchange = long_100_eth()
    reduce_only_sell(exchange, resting, 4_500)
    exchange.order("alice", Side.SELL, Decimal(sold), ETH)
    assert exchange.state.account("alice").size(ETH) == 100 - sold
    assert open_sells(exchange) == ([4_500] if survives else [])


@pytest.mark.parametrize(
    ("price", "reduce_only", "left"),
    [
        (4_400, False, [4_400, 4_500]),
        (4_700, False, [4_500, 4_600, 4_700]),
        (4_700, True, [4_500, 4_600]),
    ],
)
def test_reduce_only_and_other_limit_orders(price: int, reduce_only: bool, left: list[int]) -> None:
    exchange = long_100_eth()
    reduce_only_sell(exchange, 50, 4_500)
    reduce_only_sell(exchange, 50, 4_600)
    events = exchange.order(
        "alice", Side.SELL, Decimal(1), ETH, price=Decimal(price), reduce_only=reduce_only
    )
    assert open_sells(exchange) == left
    assert isinstance(events[-1], Rejected) is reduce_only


def test_a_reduce_only_maker_never_flips_its_position() -> None:
    exchange = long_100_eth()
    reduce_only_sell(exchange, 100, 4_200)
    exchange.must(CancelAll(id="c", at_ms=0, account="carol"))
    exchange.order("alice", Side.SELL, Decimal(60), ETH, price=Decimal(4_300))
    exchange.order("bob", Side.BUY, Decimal(200), ETH, price=Decimal(4_300))
    assert exchange.state.account("alice").size(ETH) == -60, "the plain sell may open a short"
    assert not open_sells(exchange)


def protect(exchange: Session, trigger: Trigger, at: int, size: int = 100) -> None:
    """One order of a TP/SL pair of Alice's long."""
    exchange.must(
        PlaceOrder(
            id=f"{trigger}",
            at_ms=0,
            account="alice",
            market=ETH,
            side=Side.SELL,
            size=Decimal(size),
            kind=OrderKind.MARKET,
            trigger=trigger,
            trigger_price=Decimal(at),
            pair="exit",
        )
    )


@pytest.mark.parametrize(
    ("mark", "fired"),
    [(4_200, "take_profit"), (4_199, None), (3_801, None), (3_800, "stop_loss")],
)
def test_tpsl_fires_on_the_mark_price_and_cancels_its_sibling(mark: int, fired: str | None) -> None:
    exchange = long_100_eth()
    protect(exchange, Trigger.TAKE_PROFIT, 4_200)
    protect(exchange, Trigger.STOP_LOSS, 3_800)
    exchange.check_triggers()
    assert not exchange.of(Triggered)
    exchange.publish(ETH, mark_usd=Decimal(mark), index=Decimal(0))
    exchange.check_triggers()
    assert [event.order.id for event in exchange.of(Triggered)] == ([fired] if fired else [])
    if fired:
        assert not exchange.state.account("alice").orders
        assert exchange.of(OrderCancelled)[0].reason is Reason.SIBLING
        assert exchange.state.account("alice").size(ETH) == 0


def test_tpsl_is_capped_to_the_position_and_ends_with_it() -> None:
    exchange = long_100_eth()
    protect(exchange, Trigger.STOP_LOSS, 3_800, size=500)
    assert exchange.state.account("alice").orders["stop_loss"].remaining == 100
    exchange.order("alice", Side.SELL, Decimal(30), ETH)
    assert exchange.state.account("alice").orders["stop_loss"].remaining == 70
    exchange.order("alice", Side.SELL, Decimal(70), ETH)
    assert not exchange.state.account("alice").orders


def test_tpsl_survives_a_forced_cancel_of_everything_else() -> None:
    exchange = long_100_eth()
    protect(exchange, Trigger.STOP_LOSS, 3_800)
    reduce_only_sell(exchange, 50, 4_500)
    exchange.must(CancelAll(id="force", at_ms=0, except_tpsl=True))
    assert list(exchange.state.account("alice").orders) == ["stop_loss"]
    assert not exchange.state.account("carol").orders
    exchange.must(CancelAll(id="all", at_ms=0))
    assert not exchange.state.account("alice").orders


def test_tpsl_is_paused_outside_normal_operation_since_february_2026() -> None:
    for spec, paused in ((JANUARY_2026, False), (AFTER_INCIDENT, True)):
        exchange = opened(replace(spec, post_only_band=None))
        exchange.mode(Mode.POST_ONLY)
        events = exchange.check_triggers()
        assert bool(events and isinstance(events[0], Rejected)) is paused


def test_a_trade_settled_elsewhere_is_busted_if_a_side_lacks_margin() -> None:
    exchange = opened(market=BTC_USD_PERP, mark=100_000)
    trade = SettleTrade(
        id="t1",
        at_ms=1,
        market=BTC,
        price=Decimal(100_000),
        size=Decimal(100),
        buyer="alice",
        seller="bob",
        taker_side=Side.BUY,
    )
    exchange.must(trade)
    assert exchange.state.account("alice").size(BTC) == 100
    exchange.withdraw("carol", Usdc.of(9_999_000))
    before = exchange.state.accounts
    (bust,) = exchange.do(replace(trade, id="t2", buyer="carol", seller="alice"))
    assert isinstance(bust, Rejected)
    assert (bust.reason, bust.detail) == (Reason.INITIAL_MARGIN, "carol")
    assert exchange.state.accounts == before


def test_the_vault_unwinds_in_the_market() -> None:
    exchange = opened()
    exchange.order("bob", Side.BUY, Decimal(5), XYZ, price=Decimal(100))
    exchange.order(LIQUIDATOR_VAULT, Side.SELL, Decimal(5), XYZ, price=Decimal(100))
    (fill,) = exchange.of(Filled)
    assert fill.fill_type is FillType.UNWIND_TRANSFER


def test_fees_are_charged_on_notional_and_rounded_up() -> None:
    pro = replace(JANUARY_2026, taker_fee=Decimal("0.0002"), maker_fee=Decimal("0.00003"))
    exchange = opened(pro)
    exchange.order("bob", Side.SELL, Decimal(5), XYZ, price=Decimal("100.1"))
    exchange.order("alice", Side.BUY, Decimal(5), XYZ, price=Decimal("100.1"))
    (fill,) = exchange.of(Filled)
    assert fill.taker.fee == Usdc.of("0.1001")
    assert fill.maker.fee == Usdc.of("0.015015")
    assert exchange.state.fees_usdc == Decimal("0.115115")


def test_published_markets_carry_the_values_of_january_2026() -> None:
    assert PAXG_USD_PERP.imf_base == Decimal("0.02")
    assert PAXG_USD_PERP.funding_period_hours == 4
    assert PAXG_USD_PERP.position_limit == 1480
    assert BTC_USD_PERP.price_bands_width == Decimal("0.05")


def test_an_order_before_the_first_mark_price_raises() -> None:
    exchange = Session(genesis(JANUARY_2026, [HUNDRED]))
    before = exchange.state
    with pytest.raises(Missing, match="XYZ-USD-PERP has no mark_usd yet"):
        exchange.order(LIQUIDATOR_VAULT, Side.BUY, Decimal(1), XYZ, price=Decimal(100))
    assert exchange.state is before


def test_the_book_can_be_rebuilt_from_the_orders() -> None:
    exchange = opened()
    for number in range(6):
        side = Side.BUY if number % 2 else Side.SELL
        price = Decimal(100 - number) if side is Side.BUY else Decimal(100 + number)
        exchange.order("alice", side, Decimal(3), XYZ, price=price)
    orders = [o for a in exchange.state.accounts.values() for o in a.working_orders(XYZ)]
    assert rebuilt(reversed(orders)) == exchange.state.books[XYZ]


def test_a_published_mark_of_zero_is_taken_as_it_comes() -> None:
    exchange = opened(long=100)
    state, _ = apply(
        exchange.state,
        PublishMarket(
            id="zero",
            at_ms=1,
            market=XYZ,
            mark_price=Decimal(0),
            funding_index=Decimal(0),
            premium=Decimal(0),
        ),
    )
    zeroed = Session(state)
    assert zeroed.health("bob").margin_ratio == 0
    assert zeroed.health("alice").maintenance_usd == 0


def test_tpsl_shrinks_when_a_resting_order_of_its_account_fills() -> None:
    exchange = long_100_eth()
    protect(exchange, Trigger.STOP_LOSS, 3_800)
    exchange.order("alice", Side.SELL, Decimal(60), ETH, price=Decimal(4_300))
    exchange.order("bob", Side.BUY, Decimal(60), ETH, price=Decimal(4_300))
    assert exchange.state.account("alice").orders["stop_loss"].remaining == 40


@pytest.mark.parametrize(
    ("trigger", "side", "waits_for_rise"),
    [
        (Trigger.TAKE_PROFIT, Side.SELL, True),
        (Trigger.STOP_LOSS, Side.SELL, False),
        (Trigger.TAKE_PROFIT, Side.BUY, False),
        (Trigger.STOP_LOSS, Side.BUY, True),
    ],
)
def test_tpsl_triggers_are_mirrored_for_shorts(
    trigger: Trigger, side: Side, waits_for_rise: bool
) -> None:
    exchange = long_100_eth()
    exchange.must(
        PlaceOrder(
            id="exit",
            at_ms=0,
            account="alice" if side is Side.SELL else "bob",
            market=ETH,
            side=side,
            size=Decimal(1),
            kind=OrderKind.MARKET,
            trigger=trigger,
            trigger_price=Decimal(4_000),
        )
    )
    exchange.publish(ETH, mark_usd=Decimal(3_999 if waits_for_rise else 4_001), index=Decimal(0))
    exchange.check_triggers()
    assert not exchange.of(Triggered)
    exchange.publish(ETH, mark_usd=Decimal(4_000), index=Decimal(0))
    exchange.check_triggers()
    assert len(exchange.of(Triggered)) == 1
