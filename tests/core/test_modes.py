"""How the exchange closes and comes back, and what stays closed for a while after an outage."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from target_stub.core import (
    APRIL_2026,
    JANUARY_2026,
    LIQUIDATOR_VAULT,
    BeginAverages,
    ExchangeSpec,
    Liquidated,
    Missing,
    Mode,
    Pause,
    PauseMarket,
    Reason,
    Rejected,
    Reopening,
    RequestWithdrawal,
    Session,
    Side,
    Usdc,
    genesis,
)
from target_stub.core.modes import STAGES, unready
from target_stub.core.parameters import MarkRule
from tests.core.desk import ROUND, XYZ, limit, opened, place, refused

MINUTE_MS = 60_000
STAGED = replace(JANUARY_2026, reopening=Reopening())


def fresh(session: Session, at_ms: int) -> None:
    """New oracle prices and new published values."""
    session.at_ms = at_ms
    session.spot(XYZ, Decimal(100), usdc_price=Decimal(1), external_rates=(Decimal(0),))
    session.publish(XYZ, mark_usd=Decimal(100), index=Decimal(0))


def switch(session: Session, mode: Mode, at_ms: int) -> Reason | None:
    """Change the mode at a time; why that was refused, or None."""
    session.at_ms = at_ms
    return refused(session.mode(mode))


def test_release_sequence_cancel_only_post_only_open() -> None:
    """Maintenance and releases page: about two minutes in each mode."""
    session = opened(STAGED)
    assert switch(session, Mode.CANCEL_ONLY, 0) is None
    assert switch(session, Mode.POST_ONLY, 2 * MINUTE_MS - 1) is Reason.TOO_EARLY
    assert switch(session, Mode.POST_ONLY, 2 * MINUTE_MS) is None
    fresh(session, 4 * MINUTE_MS - 1)
    assert switch(session, Mode.OK, 4 * MINUTE_MS - 1) is Reason.TOO_EARLY
    assert switch(session, Mode.OK, 4 * MINUTE_MS) is None


@pytest.mark.parametrize("start", STAGES)
@pytest.mark.parametrize("wanted", STAGES)
def test_stages_may_be_skipped_on_the_way_down_only(start: Mode, wanted: Mode) -> None:
    session = opened(STAGED)
    session.state = replace(session.state, mode=start, mode_since_ms=0)
    fresh(session, 10 * MINUTE_MS)
    reason = switch(session, wanted, 10 * MINUTE_MS)
    steps = STAGES.index(wanted) - STAGES.index(start)
    assert reason is (Reason.SKIPS_A_STAGE if steps > 1 else None)


def test_staying_in_a_mode_counts_from_when_it_began() -> None:
    session = opened(STAGED)
    switch(session, Mode.CANCEL_ONLY, 0)
    assert switch(session, Mode.CANCEL_ONLY, MINUTE_MS) is None
    assert switch(session, Mode.POST_ONLY, 2 * MINUTE_MS) is None
    assert session.state.mode_since_ms == 2 * MINUTE_MS


def test_a_lost_time_of_the_last_change_is_missing_and_not_long_ago() -> None:
    session = Session(genesis(STAGED, [ROUND], mode=Mode.CANCEL_ONLY))
    with pytest.raises(Missing, match="time of the last mode change"):
        session.mode(Mode.POST_ONLY)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, None),
        ({"mark_usd": None}, "mark price is None"),
        ({"mark_usd": Decimal(0)}, "mark price is 0"),
        ({"funding_index": None}, "funding index is missing"),
        ({"premium_usdc": None}, "funding premium is missing"),
        ({"oracle_at_ms": None}, "not fresh"),
        ({"oracle_at_ms": 69_999}, "not fresh"),
        ({"funding_at_ms": 69_999}, "not fresh"),
        ({"pauses": (Pause.ORACLE,)}, "oracle in maintenance"),
        ({"pauses": (Pause.HALTED,), "mark_usd": None}, None),
    ],
)
def test_trading_opens_only_when_every_market_is_ready(
    changes: dict[str, Decimal], why: str | None
) -> None:
    session = opened(STAGED)
    fresh(session, 70_000)
    market = replace(session.state.market(XYZ), **changes)  # type: ignore[arg-type]
    found = unready(market, 100_000, 30_000, MarkRule.MEDIANS)
    assert found is None if why is None else found is not None and why in found
    session.state = replace(
        session.state, mode=Mode.POST_ONLY, mode_since_ms=-MINUTE_MS, markets={XYZ: market}
    )
    assert switch(session, Mode.OK, 100_000) is (Reason.NOT_READY if why else None)


def test_trading_does_not_open_on_averages_that_were_lost() -> None:
    session = opened(APRIL_2026, external_rates=(Decimal(0),))
    switch(session, Mode.POST_ONLY, 0)
    fresh(session, 2 * MINUTE_MS)
    assert switch(session, Mode.OK, 2 * MINUTE_MS) is Reason.NOT_READY
    session.must(BeginAverages(id="begin", at_ms=session.at_ms, market=XYZ))
    assert switch(session, Mode.OK, 2 * MINUTE_MS) is None


def test_without_staged_reopening_any_change_is_allowed() -> None:
    session = opened(JANUARY_2026)
    for mode in (Mode.MAINTENANCE, Mode.OK, Mode.CANCEL_ONLY, Mode.OK):
        assert switch(session, mode, 0) is None


def due(spec: ExchangeSpec) -> Session:
    """Alice is due for liquidation."""
    session = opened(spec, sizes={"alice": 1_000, "bob": -1_000}, balance=1_000)
    session.publish(XYZ, mark_usd=Decimal(99), index=Decimal(0))
    assert session.health("alice").is_due
    return session


@pytest.mark.parametrize("after_ms", [0, 9_999, 10_000])
def test_liquidation_grace_after_the_exchange_has_opened_again(after_ms: int) -> None:
    session = due(replace(JANUARY_2026, liquidation_grace_ms=10_000))
    switch(session, Mode.MAINTENANCE, 0)
    switch(session, Mode.OK, 5_000)
    session.at_ms = 5_000 + after_ms
    events = session.check_health()
    if after_ms < 10_000:
        assert refused(events) is Reason.LIQUIDATION_GRACE
        return
    assert [event.account for event in session.of(Liquidated)] == ["alice"]


def test_liquidation_grace_after_a_gap_that_no_mode_announced() -> None:
    """Funding stood still for more than 30 s: somebody was away, whatever the mode says."""
    session = due(replace(JANUARY_2026, liquidation_grace_ms=10_000))
    session.spot(XYZ, Decimal(99), usdc_price=Decimal(1), external_rates=(Decimal(0),))
    session.tick(XYZ, 30_000)
    assert session.state.outage_ended_at_ms is None
    session.tick(XYZ, 61_000)
    assert refused(session.check_health()) is Reason.LIQUIDATION_GRACE
    session.tick(XYZ, 71_000)
    assert refused(session.check_health()) is None


def test_an_exchange_that_never_stopped_knows_no_grace() -> None:
    session = due(replace(JANUARY_2026, liquidation_grace_ms=10**9))
    session.check_health()
    assert session.of(Liquidated)


def test_withdrawal_gate_by_mode_and_by_time() -> None:
    spec = replace(
        JANUARY_2026, withdrawals_paused_in=(Mode.CANCEL_ONLY,), withdrawal_gate_ms=50_000
    )
    session = opened(spec)
    assert refused(session.withdraw("alice", Usdc.of(1))) is None
    switch(session, Mode.CANCEL_ONLY, 0)
    assert refused(session.withdraw("alice", Usdc.of(1))) is Reason.WITHDRAWALS_CLOSED
    switch(session, Mode.OK, 1_000)
    session.at_ms = 50_999
    request = RequestWithdrawal(id="r", at_ms=50_999, account="alice", amount=Usdc.of(1))
    assert refused(session.do(request)) is Reason.WITHDRAWALS_CLOSED
    assert not isinstance(session.deposit("alice", Usdc.of(1))[-1], Rejected)
    session.at_ms = 51_000
    assert refused(session.withdraw("alice", Usdc.of(1))) is None


def test_b1_resting_orders_outside_the_band_go_in_cancel_only_mode_too() -> None:
    spec = replace(APRIL_2026, reopening=None)
    session = opened(spec, external_rates=(Decimal(0),))
    place(session, limit("in", "alice", Side.BUY, 1, "100.05"))
    place(session, limit("out", "bob", Side.BUY, 1, "100.06"))
    switch(session, Mode.CANCEL_ONLY, 0)
    left = [name for name in ("alice", "bob") if session.state.account(name).orders]
    assert left == ["alice"]


def test_pausing_one_market_stops_no_other_and_survives_a_change_of_mode() -> None:
    session = opened()
    session.must(PauseMarket(id="p", at_ms=0, market=XYZ, pause=Pause.USDC))
    session.must(PauseMarket(id="q", at_ms=0, market=XYZ, pause=Pause.HALTED))
    switch(session, Mode.CANCEL_ONLY, 0)
    assert session.state.market(XYZ).pauses == (Pause.HALTED, Pause.USDC)
    assert LIQUIDATOR_VAULT in session.state.accounts
