"""The chain: every height is a snapshot, and a rollback returns to one exactly."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

import pytest
import trio

from target_stub.chain import Chain, ChainNode
from target_stub.core import (
    BTC_USD_PERP,
    JANUARY_2026,
    Command,
    Deposit,
    Duplicate,
    Event,
    Liquidate,
    Mode,
    OracleUpdate,
    PublishMarket,
    Reason,
    Rejected,
    SetMode,
    SettleTrade,
    Side,
    State,
    Usdc,
    digest,
    genesis,
    seeded,
)
from target_stub.core.audit import conservation_gap


def chain(*, mode_gate: bool = False) -> Chain:
    """A chain with one market and two people."""
    people = {"ann": Usdc(Decimal(10_000)), "bob": Usdc(Decimal(10_000))}
    ledger = Chain(
        seeded(genesis(JANUARY_2026, [BTC_USD_PERP]), people),
        mode_gate=mode_gate,
    )
    ledger.submit(
        OracleUpdate(
            id="oracle",
            at_ms=0,
            market="BTC-USD-PERP",
            spot_usd=Decimal(93_000),
            usdc_price=Decimal("0.9998"),
        )
    )
    ledger.submit(
        PublishMarket(
            id="opening",
            at_ms=0,
            market="BTC-USD-PERP",
            mark_price=Decimal(93_000),
            funding_index=Decimal("-2819.53434361"),
            premium=Decimal(0),
        )
    )
    return ledger


def deposit(number: int) -> Command:
    """One deposit of 50 USDC."""
    return Deposit(id=f"deposit-{number}", at_ms=number, account="ann", amount=Usdc(Decimal(50)))


def test_every_height_is_a_snapshot_that_a_rollback_returns_to() -> None:
    ledger = chain()
    digests = [digest(ledger.state)]
    for number in range(5):
        ledger.submit(deposit(number))
        digests.append(digest(ledger.state))
    assert len(set(digests)) == 6
    first = ledger.height - 5
    for height in range(ledger.height, first - 1, -1):
        assert digest(ledger.rollback(height)) == digests[height - first]
        assert conservation_gap(ledger.state) == Usdc(Decimal(0))


def test_what_was_rolled_back_never_happened_and_can_happen_again() -> None:
    ledger = chain()
    ledger.submit(deposit(1))
    assert isinstance(ledger.submit(deposit(1))[0], Duplicate)
    ledger.rollback(2)
    (event,) = ledger.submit(deposit(1))
    assert not isinstance(event, Duplicate)
    assert ledger.state.accounts["ann"].balance_usdc == Decimal(10_050)


@pytest.mark.parametrize("height", [-1, 99])
def test_a_height_that_never_was_is_refused(height: int) -> None:
    ledger = chain()
    with pytest.raises(ValueError, match="cannot roll back"):
        ledger.rollback(height)


def trade(name: str = "trade", *, buyer: str = "ann", after: tuple[str, ...] = ()) -> SettleTrade:
    """A tenth of a coin changes hands between ann and bob."""
    return SettleTrade(
        id=name,
        at_ms=1,
        market="BTC-USD-PERP",
        price=Decimal(93_000),
        size=Decimal("0.1"),
        buyer=buyer,
        seller="bob",
        taker_side=Side.BUY,
        after=after,
    )


def refused(events: tuple[Event, ...]) -> Reason | None:
    """Why the chain refused something, or None if it did not."""
    return next((event.reason for event in events if isinstance(event, Rejected)), None)


@pytest.mark.parametrize("mode_gate", [False, True])
def test_with_the_gate_a_trade_outside_ok_is_busted(mode_gate: bool) -> None:
    ledger = chain(mode_gate=mode_gate)
    ledger.submit(SetMode(id="mode", at_ms=1, mode=Mode.MAINTENANCE))
    reason = refused(ledger.submit(trade()))
    assert reason is (Reason.MAINTENANCE_MODE if mode_gate else None)


def test_a_busted_trade_is_busted_for_ever_even_if_it_comes_again_when_it_could_settle() -> None:
    ledger = chain(mode_gate=True)
    ledger.submit(SetMode(id="closed", at_ms=1, mode=Mode.MAINTENANCE))
    first = ledger.settle(trade())
    ledger.submit(SetMode(id="open", at_ms=2, mode=Mode.OK))
    height = ledger.height
    assert ledger.settle(trade()) == first
    assert ledger.height == height
    assert isinstance(ledger.submit(trade())[0], Duplicate)
    assert not ledger.state.accounts["ann"].positions
    assert refused(ledger.settle(trade("another"))) is None


def test_what_became_of_a_trade_is_said_again_in_the_same_words() -> None:
    ledger = chain()
    first = ledger.settle(trade())
    assert refused(first) is None
    assert ledger.settle(trade()) == first
    assert ledger.state.accounts["ann"].size("BTC-USD-PERP") == Decimal("0.1")


def test_a_trade_falls_with_the_one_that_it_was_matched_on_top_of() -> None:
    ledger = chain()
    assert refused(ledger.settle(trade("poor", buyer="nobody"))) is Reason.UNKNOWN_ACCOUNT
    assert refused(ledger.settle(trade("second", after=("poor",)))) is Reason.RESYNC
    assert refused(ledger.settle(trade("third", after=("second",)))) is Reason.RESYNC
    assert refused(ledger.settle(trade("fourth", after=("good",)))) is None


def test_a_head_after_a_rollback_is_newer_and_forgets_what_was_decided_later() -> None:
    ledger = chain()
    before = ledger.head
    ledger.settle(trade("poor", buyer="nobody"))
    later = ledger.head
    ledger.rollback(before.height)
    assert before.age < later.age < ledger.head.age
    assert refused(ledger.settle(trade("second", after=("poor",)))) is None


class OldMarks(Chain):
    """A chain whose marks are always too old."""

    def are_marks_old(self, state: State, command: SettleTrade | Liquidate) -> bool:
        """Freshness forbids everything."""
        return True


@dataclass
class Asked:
    """A call, with the answers that it got; also the network on which news would go."""

    payload: Command
    method: str = "submit"
    answers: list[object] = field(default_factory=list)
    news: list[object] = field(default_factory=list)

    async def reply(self, value: object) -> None:
        """Answer it."""
        self.answers.append(value)

    async def publish(self, topic: str, value: object) -> None:
        """Tell everybody."""
        self.news.append(value)


def test_what_makes_no_block_is_answered_and_not_announced() -> None:
    ledger = OldMarks(seeded(genesis(JANUARY_2026, [BTC_USD_PERP]), {"ann": Usdc(Decimal(1))}))
    asked = Asked(Liquidate(id="liquidation", at_ms=0, account="ann"))
    node = ChainNode(cast("Any", None), chain=ledger, network=cast("Any", asked))
    for _ in range(2):  # before there is any block, and with an old one that was told long ago
        trio.run(node.answer, cast("Any", asked))
        ledger.submit(deposit(1))
    refused = Rejected(command_id="liquidation", reason=Reason.NOT_READY)
    assert asked.answers == [(refused,), (refused,)] and not asked.news
