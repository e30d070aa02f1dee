"""The state machine holds the clean exchange and finds what was planted in it.

The same rules run against the exchange with all guards, against the bug of 19 January 2026, and
against a chain that forgets what it has done. Without restarts that first bug must not show.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import ClassVar
from unittest.mock import patch

import pytest
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants
from hypothesis.stateful import rule

from target_stub.bugs import BUGS, Bug
from target_stub.chain import Chain
from target_stub.core import Side, State
from target_stub.core.state import AppliedIds
from target_stub.guards import GUARDS
from tests.machine.exchange_machine import ExchangeMachine, RestartingExchangeMachine
from tests.machine.profiles import NIGHTLY, budget
from tests.machine.runs import falsify, survives, variant
from tests.machine.small_exchange import ACCOUNTS

NO_GUARDS: frozenset[str] = frozenset()


def test_the_guarded_exchange_holds_whatever_is_restarted() -> None:
    machine = variant(RestartingExchangeMachine)
    survives(machine, budget(examples=50, steps=40))
    for what in ("restarts", "writes during a restart", "deposits", "fills"):
        assert machine.tally[what] >= 10, machine.tally


def test_the_machine_finds_the_index_that_became_zero() -> None:
    machine = variant(
        RestartingExchangeMachine,
        bug="index_zero",
        guards=NO_GUARDS,
        restarted=("market_data",),
        durable=False,
    )
    # Made small only at night: that takes thirty times as long as to find it.
    found = falsify(machine, budget(examples=800, steps=25, shrinks=NIGHTLY))
    assert found.invariant == "funding_index_step_is_bounded"
    assert len(found.program) <= (10 if NIGHTLY else 25)


def test_without_a_restart_the_same_bug_does_not_show() -> None:
    machine = variant(ExchangeMachine, bug="index_zero", guards=NO_GUARDS, durable=False)
    survives(machine, budget(examples=50, steps=40))
    assert machine.tally["restarts"] == 0
    assert machine.tally["fills"] >= 10


class ForgetsWhatItApplied(Chain):
    """Keeps the balances but not the ids of the commands that made them."""

    @property
    def state(self) -> State:
        """The newest state, as if nothing had ever been applied."""
        return replace(super().state, applied=AppliedIds())


def test_the_machine_finds_a_chain_that_applies_a_command_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planted = Bug(
        text="the chain forgets which commands it has applied",
        breaks="chain_equals_model",
        incident="none",
        family="executed twice on redelivery",
        budget=0,
        also=("copies_agree",),
        replaces={Chain: ForgetsWhatItApplied},
    )
    monkeypatch.setitem(BUGS, "forgets_ids", planted)
    found = falsify(variant(ExchangeMachine, bug="forgets_ids"), budget(examples=100, steps=40))
    assert found.invariant in (planted.breaks, *planted.also)
    assert len(found.program) <= 6


def test_the_same_programs_run_the_same_steps_every_time() -> None:
    class Digesting(RestartingExchangeMachine):
        digests: ClassVar[list[str]] = []

        def teardown(self) -> None:
            super().teardown()
            self.digests.append(self.held.simulation.digest())

    runs = []
    for number in (3, 7):
        Digesting.digests.clear()
        # As if a module with this number in its source had been loaded by another test.
        seen = Constants(integers={number})
        with patch.object(providers, "_get_local_constants", lambda seen=seen: seen):
            survives(Digesting, budget(examples=15, steps=30))
        runs.append(tuple(Digesting.digests))
    assert len(set(runs[0])) > 1
    assert runs[0] == runs[1]


def test_a_machine_whose_rule_fails_leaves_no_simulation_open() -> None:
    class Failing(ExchangeMachine):
        @rule()
        def fail(self) -> None:
            raise AssertionError("on purpose")

    assert falsify(Failing, budget(examples=20, steps=10)).message == "on purpose"


def test_an_order_that_is_sent_again_after_a_restart_trades_its_size_once() -> None:
    machine = RestartingExchangeMachine()
    held, services = machine.held, machine.held.world.services
    held.restarted = ("matching",)
    try:
        machine.place(1, market=0, side=Side.SELL, lots=1, away=0, how="limit")
        machine.answer_everybody()
        machine.place(0, market=0, side=Side.BUY, lots=1, away=0, how="limit")
        while held.exchange.chain.state.account(ACCOUNTS[0]).size("BTC-USD-PERP") == 0:
            held.take_first(1)
        held.crash(services["matching"])
        machine.answer_everybody()
        machine.place(2, market=0, side=Side.SELL, lots=1, away=0, how="limit")
        machine.answer_everybody()
        bought = held.exchange.chain.state.account(ACCOUNTS[0]).size("BTC-USD-PERP")
    finally:
        held.close()
    assert bought == Decimal("0.020"), "one order for 0.020 bought it twice"


def test_every_guard_is_on_unless_a_test_says_otherwise() -> None:
    assert RestartingExchangeMachine.guards == frozenset(GUARDS)
