"""The state machine passes on the clean exchange, and finds what is planted in it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis.stateful import run_state_machine_as_test

from target_stub.chain import Chain
from target_stub.core import Command, Event
from target_stub.core.state import AppliedIds
from tests.machine.exchange_machine import ExchangeMachine, RestartingExchangeMachine, RuleBroken
from tests.machine.profiles import budget


class ForgetsWhatItApplied(Chain):
    """A chain that books a command again whenever it is sent again."""

    def submit(self, command: Command) -> tuple[Event, ...]:
        """Apply a command as if it had never been seen."""
        if self.blocks:
            last = self.blocks[-1]
            self.blocks[-1] = replace(last, state=replace(last.state, applied=AppliedIds()))
        return super().submit(command)


class UnguardedMachine(RestartingExchangeMachine):
    """The exchange of the incident day."""

    guards = frozenset()
    bug = "index_zero"
    restarted = ("market_data",)


class UnguardedMachineWithoutRestarts(ExchangeMachine):
    """The same exchange, which nobody restarts."""

    guards = frozenset()
    bug = "index_zero"


class ForgetfulMachine(RestartingExchangeMachine):
    """An exchange whose chain knows no duplicates."""

    chain = ForgetsWhatItApplied


def test_the_clean_exchange_passes() -> None:
    run_state_machine_as_test(RestartingExchangeMachine, settings=budget(examples=100, steps=30))


def test_the_incident_is_found_by_restarting() -> None:
    with pytest.raises(RuleBroken, match="funding_index_step_is_bounded"):
        run_state_machine_as_test(UnguardedMachine, settings=budget(examples=400, steps=30))


def test_without_restarts_the_same_bug_sleeps() -> None:
    run_state_machine_as_test(
        UnguardedMachineWithoutRestarts, settings=budget(examples=60, steps=30)
    )


def test_a_chain_that_forgets_what_it_applied_is_found_by_the_model() -> None:
    with pytest.raises(RuleBroken):
        run_state_machine_as_test(ForgetfulMachine, settings=budget(examples=300, steps=30))
