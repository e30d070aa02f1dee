"""Properties of random command sequences: nothing minted, nothing mutated, nothing done twice."""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_UP, Context, Decimal, localcontext
from functools import cache

import pytest
from hypothesis import HealthCheck as Health
from hypothesis import given, settings
from hypothesis import strategies as st

from target_stub.core import (
    BTC_USD_PERP,
    JANUARY_2026,
    JUNE_2026,
    LIQUIDATOR_VAULT,
    PAXG_USD_PERP,
    AdvanceWithdrawal,
    BeginAverages,
    BridgeDeposit,
    CancelAll,
    Command,
    CreateVault,
    Deposit,
    Duplicate,
    ExchangeSpec,
    FundingTick,
    HealthCheck,
    Instruction,
    Liquidate,
    Missing,
    Mode,
    ModifyOrder,
    OracleUpdate,
    OrderKind,
    Pause,
    PauseMarket,
    PayRedemption,
    PlaceOrder,
    PublishMarket,
    RedeemShares,
    RequestWithdrawal,
    SeedPosition,
    SelfTradePrevention,
    Session,
    SetMode,
    SetStanding,
    SettleMarket,
    SettleTrade,
    Side,
    Standing,
    State,
    TraderProfile,
    TransferStatus,
    TransferUsdc,
    Trigger,
    TriggerCheck,
    Unwind,
    Usdc,
    VaultDeposit,
    Withdraw,
    apply,
    digest,
)
from target_stub.core.audit import (
    conservation_gap,
    crossed_books,
    positions_by_market,
    total_equity,
)
from target_stub.core.book import rebuilt
from target_stub.core.margin import MarketPrice
from target_stub.core.parameters import FundingProfile, FundingRealisation

PEOPLE = ("alice", "bob", "carol")
FUND = "fund"
MARKETS = {
    spec.symbol: replace(spec, price_bands_width=Decimal("0.5"))
    for spec in (BTC_USD_PERP, PAXG_USD_PERP)
}
SPECS = [
    replace(JANUARY_2026, taker_fee=Decimal("0.0002"), maker_fee=Decimal("0.00003")),
    ExchangeSpec(
        funding_profile=FundingProfile.APRIL_2026,
        funding_realisation=FundingRealisation.PROPORTIONAL,
        settle_funding_on_withdrawal=True,
        taker_fee=Decimal("0.000456"),
    ),
    replace(JUNE_2026, reopening=None, post_only_band=None, fund_takes_deficits=True),
]

people = st.sampled_from(PEOPLE)
traders = st.sampled_from((*PEOPLE, LIQUIDATOR_VAULT, FUND))
markets = st.sampled_from(tuple(MARKETS))
sides = st.sampled_from(tuple(Side))
sizes = st.integers(1, 4_000).map(lambda number: Decimal(number).scaleb(-3))
amounts = st.integers(1, 3 * 10**9).map(lambda number: Usdc(Decimal(number).scaleb(-8)))
prices = st.integers(940, 1_060).map(Decimal)
usdc_prices = st.integers(9_900, 10_100).map(lambda number: Decimal(number).scaleb(-4))
indices = st.integers(990 * 10**8, 1_010 * 10**8).map(lambda number: Decimal(number).scaleb(-8))


standings = st.builds(
    Standing,
    volume_usd=st.integers(0, 10**8).map(Decimal),
    discount=st.sampled_from([Decimal(0), Decimal("0.35")]),
    leverage=st.sampled_from([{}, dict.fromkeys(MARKETS, Decimal(7))]),
)


def _earlier(number: int, residue: int = 0, modulus: int = 1) -> st.SearchStrategy[str]:
    """The id of a command up to now whose number has a residue, so that it is often of one kind."""
    highest = max(0, number - residue) // modulus
    return st.integers(0, highest).map(lambda step: f"c{step * modulus + residue}")


Head = dict[str, st.SearchStrategy[str] | st.SearchStrategy[int]]


def _orders(head: Head, number: int) -> st.SearchStrategy[Command]:
    orders = st.builds(
        PlaceOrder,
        **head,
        account=traders,
        market=markets,
        side=sides,
        size=sizes,
        price=prices,
        instruction=st.sampled_from((Instruction.GTC, *Instruction)),
        reduce_only=st.sampled_from((False, False, False, True)),
        profile=st.sampled_from(TraderProfile),
        self_trade_prevention=st.none() | st.sampled_from(SelfTradePrevention),
        take_profit_at=st.none() | prices,
        stop_loss_at=st.none() | prices,
    )
    market_orders = st.builds(
        PlaceOrder,
        **head,
        account=traders,
        market=markets,
        side=sides,
        size=sizes,
        kind=st.just(OrderKind.MARKET),
        slippage=st.none() | st.just(Decimal("0.01")),
    )
    exits = st.builds(
        PlaceOrder,
        **head,
        account=people,
        market=markets,
        side=sides,
        size=sizes,
        kind=st.just(OrderKind.MARKET),
        trigger=st.sampled_from(tuple(Trigger)),
        trigger_price=prices,
        pair=st.just("exit"),
    )
    changes = st.builds(
        ModifyOrder,
        **head,
        account=people,
        order_id=_earlier(number),
        size=st.none() | sizes,
        price=st.none() | prices,
        trigger_price=st.none() | prices,
    )
    return st.one_of(orders, orders, orders, market_orders, exits, changes)


def _funds(head: Head, number: int) -> st.SearchStrategy[Command]:
    request = st.builds(RequestWithdrawal, **head, account=people, amount=amounts)
    redeem = st.builds(
        RedeemShares,
        **head,
        vault=st.just(FUND),
        account=people,
        shares=amounts.map(lambda amount: amount.value),
    )
    return st.one_of(
        *[request] * (number % 5 == 1),
        *[redeem] * (3 * (number % 5 == 0)),
        st.builds(Deposit, **head, account=people, amount=amounts),
        st.builds(Withdraw, **head, account=people, amount=amounts),
        st.builds(TransferUsdc, **head, account=people, to=people, amount=amounts),
        st.builds(
            BridgeDeposit,
            **head,
            account=people,
            amount=amounts,
            transaction=_earlier(number),
        ),
        st.builds(
            AdvanceWithdrawal,
            **head,
            transfer=_earlier(number, 1, 5),
            status=st.sampled_from(TransferStatus),
        ),
        st.builds(VaultDeposit, **head, vault=st.just(FUND), account=people, amount=amounts),
        st.builds(
            PayRedemption,
            **head,
            vault=st.just(FUND),
            auxiliary=_earlier(number, 0, 5).map(f"{FUND}/{{}}".format),
        ),
        st.builds(SetStanding, **head, account=people, standing=standings),
    )


@cache
def _commands(number: int) -> st.SearchStrategy[Command]:
    head: Head = {"id": st.just(f"c{number}"), "at_ms": st.just(number * 1_000)}
    return st.one_of(
        *[_orders(head, number)] * 5,
        *[_funds(head, number)] * 3,
        st.builds(CancelAll, **head, account=st.none() | people, except_tpsl=st.booleans()),
        st.builds(
            OracleUpdate,
            **head,
            market=markets,
            spot_usd=prices,
            usdc_price=usdc_prices,
            external_rates=st.just((Decimal("0.0003"),)),
        ),
        st.builds(FundingTick, **head, market=markets),
        st.builds(BeginAverages, **head, market=markets),
        st.builds(
            PauseMarket,
            **head,
            market=markets,
            pause=st.sampled_from(Pause),
            on=st.sampled_from((True, False, False)),
        ),
        st.builds(
            Unwind,
            **head,
            account=st.just(LIQUIDATOR_VAULT) | _earlier(number, 0, 5).map(f"{FUND}/{{}}".format),
            market=markets,
            share=st.sampled_from([Decimal(1), Decimal("0.3")]),
        ),
        st.builds(
            PublishMarket,
            **head,
            market=markets,
            mark_price=prices,
            funding_index=indices,
            premium=st.sampled_from([Decimal(0), Decimal("1.23456789")]),
        ),
        st.builds(
            SettleTrade,
            **head,
            market=markets,
            price=prices,
            size=sizes,
            buyer=traders,
            seller=traders,
            taker_side=sides,
        ),
        st.builds(HealthCheck, **head) | st.builds(Liquidate, **head, account=people),
        st.builds(TriggerCheck, **head),
        *[st.builds(SettleMarket, **head, market=markets)] * (number % 17 == 0),
        st.builds(SetMode, **head, mode=st.sampled_from((*[Mode.OK] * 6, *Mode))),
    )


sequences = st.integers(1, 50).flatmap(
    lambda length: st.tuples(*(_commands(number) for number in range(length)))
)


def _start(spec: ExchangeSpec) -> State:
    session = Session.opened(
        spec,
        MARKETS.values(),
        marks_usd=dict.fromkeys(MARKETS, Decimal(1_000)),
        usdc_price=Decimal("0.9998"),
        funding_index=Decimal("1000.5"),
        balances={name: Usdc.of(60) for name in (*PEOPLE, LIQUIDATOR_VAULT)},
        positions=[
            SeedPosition(
                account=name,
                market=market,
                size=Decimal(size),
                entry_price_usdc=Decimal(1_000),
                cached_funding_index=Decimal("1000.5"),
            )
            for market in MARKETS
            for name, size in (("alice", "1.234"), ("bob", "-2.345"), ("carol", "1.111"))
        ],
    )
    founding = CreateVault(
        id="found",
        at_ms=-2 * 86_400_000,
        vault=FUND,
        account=LIQUIDATOR_VAULT,
        amount=Usdc.of("111.11111111"),
        profit_share=Decimal("0.15"),
        lockup_ms=86_400_000,
    )
    session.deposit(LIQUIDATOR_VAULT, Usdc.of(200))
    session.must(founding)
    for name in PEOPLE:
        session.deposit(name, Usdc.of(80))
        session.must(
            VaultDeposit(
                id=f"{name} in {FUND}",
                at_ms=founding.at_ms,
                vault=FUND,
                account=name,
                amount=Usdc.of(40),
            )
        )
    return session.state


def _check(state: State) -> None:
    assert conservation_gap(state) == Usdc.of(0)
    assert set(positions_by_market(state).values()) == {0}
    assert not crossed_books(state)
    assert state.remainder_usdc >= 0
    assert state.fees_usdc >= 0
    for symbol, book in state.books.items():
        orders = [o for a in state.accounts.values() for o in a.working_orders(symbol)]
        assert book == rebuilt(orders), "book and accounts tell the same story"
        assert all(order.remaining > 0 for order in orders)
    for vault in state.vaults.values():
        assert all(holding.shares > 0 for holding in vault.holdings.values())
        assert set(vault.redemptions) <= set(state.accounts)
    for account in state.accounts.values():
        assert account.balance_usdc == account.balance_usdc.quantize(Decimal("1e-8"))
        for order in account.orders.values():
            if order.reduce_only and order.remaining:
                position = account.size(order.market)
                assert order.remaining <= abs(position)
                assert order.side.sign * position < 0


@pytest.mark.parametrize("spec", SPECS, ids=["2026-01", "2026-04", "2026-06"])
@given(sequence=sequences)
@settings(max_examples=60, deadline=None, suppress_health_check=list(Health))
def test_random_sequences(spec: ExchangeSpec, sequence: tuple[Command, ...]) -> None:
    state = _start(spec)
    for command in sequence:
        before = digest(state)
        try:
            after, events = apply(state, command)
        except Missing:
            continue
        assert digest(state) == before, "the state that went in is untouched"
        with localcontext(Context(prec=3, rounding=ROUND_UP)):
            again, same_events = apply(state, command)
        assert digest(again) == digest(after)
        assert same_events == events
        assert apply(after, command) == (after, (Duplicate(command_id=command.id),))
        assert all(event.describe() for event in events)
        _check(after)
        state = after
    _equity_does_not_depend_on_any_index(state)


def _equity_does_not_depend_on_any_index(state: State) -> None:
    totals = {
        total_equity(
            state, {name: MarketPrice(Decimal(1_000), index) for name in MARKETS}, Decimal(1)
        ).value
        for index in (Decimal(0), Decimal("1000.5"), Decimal("-2819.53434361"))
    }
    assert len(totals) == 1
