"""Running a machine as a test, and reading what Hypothesis says when it fails."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

from hypothesis import settings
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from harness.schedule import sandbox
from tests.machine.exchange_machine import ExchangeMachine


@dataclass(frozen=True, slots=True)
class Falsified:
    """A failure: what was broken, and the shortest program that Hypothesis found for it."""

    message: str
    program: tuple[str, ...]

    @property
    def invariant(self) -> str:
        """The name of the rule that was broken."""
        return self.message.partition(":")[0]

    def __str__(self) -> str:
        return "\n".join((f"{len(self.program)} rules: {self.message}", *self.program))


def variant(base: type[ExchangeMachine], **attributes: object) -> type[ExchangeMachine]:
    """A machine with other class attributes, and with numbers of its own."""
    return type(f"Other{base.__name__}", (base,), {"tally": Counter(), **attributes})


@contextmanager
def same_programs_everywhere() -> Iterator[None]:
    """Keep Hypothesis from drawing constants of the modules that are loaded already.

    A derandomized test would otherwise try other programs after other tests, and find a bug in
    its second program when it is alone and in its two-hundredth when it is not.
    """
    providers.CONSTANTS_CACHE.cache.clear()
    try:
        with patch.object(providers, "_get_local_constants", Constants):
            yield
    finally:
        providers.CONSTANTS_CACHE.cache.clear()


def survives(machine: type[RuleBasedStateMachine], budget: settings) -> None:
    """Run a machine that must hold, and see that nothing of it stays behind."""
    try:
        with same_programs_everywhere():
            run_state_machine_as_test(machine, settings=budget)
    finally:
        assert sandbox.active() is None
        assert time.monotonic is sandbox.real_monotonic


def falsify(machine: type[RuleBasedStateMachine], budget: settings) -> Falsified:
    """Run a machine that must fail."""
    try:
        survives(machine, budget)
    except AssertionError as failure:
        lines = [line for note in failure.__notes__ for line in note.splitlines()]
        rules = [line for line in lines if line.startswith("state.")]
        dull = ("state.every_rule_holds(", "state.teardown(")
        return Falsified(str(failure), tuple(line for line in rules if not line.startswith(dull)))
    raise LookupError(f"{machine.__name__} found nothing in {budget.max_examples} programs")
