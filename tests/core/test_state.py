"""The state as a value: snapshots, digests, seeds and the memory for command ids."""

from __future__ import annotations

import copy
from dataclasses import FrozenInstanceError, replace
from decimal import Decimal

import pytest

from target_stub.core import (
    BTC_USD_PERP,
    JANUARY_2026,
    LIQUIDATOR_VAULT,
    PAXG_USD_PERP,
    CreateAccount,
    Deposit,
    Duplicate,
    InconsistentSeed,
    MarketSpec,
    Missing,
    Rejected,
    SeedPosition,
    Session,
    Usdc,
    Withdraw,
    apply,
    digest,
    genesis,
    seeded,
)
from target_stub.core.audit import conservation_gap
from target_stub.core.state import AppliedIds

BTC = BTC_USD_PERP.symbol


def seed(account: str, size: str, market: str = BTC, entry: str = "90000") -> SeedPosition:
    return SeedPosition(
        account=account,
        market=market,
        size=Decimal(size),
        entry_price_usdc=Decimal(entry),
        cached_funding_index=Decimal("-2819.53434361"),
    )


def test_nothing_is_known_at_genesis() -> None:
    state = genesis(JANUARY_2026, [BTC_USD_PERP, PAXG_USD_PERP])
    market = state.market(BTC)
    for name in ("spot_usd", "usdc_price", "mark_usd", "funding_index", "premium_usdc"):
        assert getattr(market, name) is None
        with pytest.raises(Missing, match=f"{BTC} has no {name} yet"):
            market.known(name)
    assert market.funding_at_ms is None
    assert state.at_ms is None
    with pytest.raises(Missing):
        state.known_usdc_price()
    with pytest.raises(Missing):
        _ = market.price
    assert list(state.accounts) == [LIQUIDATOR_VAULT]


def test_a_state_cannot_be_changed() -> None:
    state = genesis(JANUARY_2026, [BTC_USD_PERP])
    with pytest.raises(FrozenInstanceError):
        state.sequence = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    "positions",
    [
        [seed("alice", "1")],
        [seed("alice", "1"), seed("carol", "-1")],
        [seed("alice", "0.000001"), seed("bob", "-0.000001")],
        [seed("alice", "0"), seed("bob", "0")],
        [seed("alice", "1"), seed("alice", "1"), seed("bob", "-2")],
        [seed("alice", "1", "XRP-USD-PERP"), seed("bob", "-1", "XRP-USD-PERP")],
        [seed("alice", "0.00001", entry="0.00000001"), seed("bob", "-0.00001")],
    ],
    ids=["no sum", "nobody", "increment", "no size", "twice", "unlisted", "decimals"],
)
def test_an_impossible_seed_is_refused_loudly(positions: list[SeedPosition]) -> None:
    state = genesis(JANUARY_2026, [BTC_USD_PERP])
    with pytest.raises(InconsistentSeed):
        seeded(state, {"alice": Usdc.of(1), "bob": Usdc.of(1)}, positions)


def test_a_seed_is_conserved_whatever_the_entry_prices() -> None:
    state = genesis(JANUARY_2026, [BTC_USD_PERP])
    people = {"alice": Usdc.of(1), "bob": Usdc.of(1)}
    state = seeded(state, people, [seed("alice", "1"), seed("bob", "-1", entry="91000")])
    assert conservation_gap(state) == Usdc.of(0)
    with pytest.raises(InconsistentSeed, match="without accounts"):
        seeded(state, {}, [])


@pytest.mark.parametrize("field", ["imf_base", "price_tick", "funding_period_hours"])
def test_an_impossible_market_is_refused_loudly(field: str) -> None:
    spec: MarketSpec = BTC_USD_PERP
    kind = type(getattr(spec, field))
    with pytest.raises(ValueError, match=BTC):
        replace(spec, **{field: kind(0)})


def test_a_known_id_changes_nothing_at_all() -> None:
    state = genesis(JANUARY_2026, [BTC_USD_PERP])
    deposit = Deposit(id="d1", at_ms=1, account=LIQUIDATOR_VAULT, amount=Usdc.of(5))
    once, _ = apply(state, deposit)
    twice, events = apply(once, deposit)
    assert events == (Duplicate(command_id="d1"),)
    assert twice is once


def test_a_refused_command_stays_refused() -> None:
    """Told 'refused', a sender may rely on it: a late copy must not take effect after all."""
    state = genesis(JANUARY_2026, [BTC_USD_PERP])
    deposit = Deposit(id="d1", at_ms=1, account="alice", amount=Usdc.of(5))
    state, (refused,) = apply(state, deposit)
    assert isinstance(refused, Rejected)
    state, _ = apply(state, CreateAccount(id="c1", at_ms=2, account="alice"))
    state, (event,) = apply(state, deposit)
    assert event == Duplicate(command_id="d1")
    assert state.account("alice").balance_usdc == 0


def test_a_command_that_met_a_missing_value_counts_as_never_seen() -> None:
    state = genesis(JANUARY_2026, [BTC_USD_PERP])
    withdraw = Withdraw(id="w1", at_ms=1, account=LIQUIDATOR_VAULT, amount=Usdc.of(1))
    with pytest.raises(Missing):
        apply(state, withdraw)
    assert "w1" not in state.applied


def test_the_memory_for_ids_is_persistent() -> None:
    empty = AppliedIds()
    ids = [f"command-{number}" for number in range(1_000)]
    memory, reversed_memory = empty, empty
    for one, other in zip(ids, reversed(ids), strict=True):
        memory, reversed_memory = memory.added(one), reversed_memory.added(other)
    assert all(one in memory for one in ids)
    assert "command-1000" not in memory
    assert "command-0" not in empty
    assert len(memory.blocks) <= 10
    assert (memory.count, memory.checksum) == (reversed_memory.count, reversed_memory.checksum)


def test_equal_states_have_equal_digests_and_others_do_not() -> None:
    exchange = Session.opened(
        JANUARY_2026,
        [BTC_USD_PERP],
        marks_usd={BTC: Decimal(90_000)},
        usdc_price=Decimal(1),
        funding_index=Decimal(0),
        balances={"alice": Usdc.of("1.10"), "bob": Usdc.of(2)},
    )
    state = exchange.state
    assert digest(state) == digest(copy.deepcopy(state))
    turned = replace(state, accounts=dict(reversed(list(state.accounts.items()))))
    assert digest(state) == digest(turned)
    written = replace(
        state,
        accounts={
            **state.accounts,
            "alice": replace(state.account("alice"), balance_usdc=Decimal("1.1000")),
        },
    )
    assert digest(state) == digest(written)
    market = replace(state.market(BTC), funding_index=None)
    assert digest(state) != digest(replace(state, markets={BTC: market}))
    assert digest(state) != digest(replace(state, at_ms=1))


def test_a_snapshot_is_a_reference() -> None:
    exchange = Session(genesis(JANUARY_2026, [BTC_USD_PERP]))
    snapshot, name = exchange.state, digest(exchange.state)
    exchange.deposit(LIQUIDATOR_VAULT, Usdc.of(5))
    assert digest(snapshot) == name
    assert exchange.state.markets is snapshot.markets, "what was not touched is shared"
