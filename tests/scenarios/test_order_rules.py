"""The two rules about what matching believes and says: each sees what nobody else sees."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

import pytest
import trio

from harness.engine import Run, execute
from scenarios.rules.orders import matching_agrees_with_chain, updates_are_numbered_once
from scenarios.whole_exchange import whole_exchange
from target_stub.bugs import BUGS, Bug
from target_stub.chain import Block
from target_stub.cloud.durable_matching import DurableMatching
from target_stub.core import Command, Deposit, Withdraw
from tests.scenarios.searches import broken, runs

#: A data seed from which both are found soon; from others it takes up to a hundred schedules.
SEED = 3
SCHEDULES_MAX = 150


class TellsBeforeItIsDurable(DurableMatching):
    """Applies and tells first and writes the journal afterwards: it is nearly always written."""

    async def write(self, commands: Sequence[Command]) -> None:
        """What was told and never written gets its number from somebody else after a crash."""
        for command in commands:
            self.observer(command, self.apply(command))
        await self.tell()
        await self.journal.append(commands)
        self.progress.set()
        self.progress = trio.Event()


class HearsOfOrdersOnly(DurableMatching):
    """Follows the chain only for what it sent there itself; money comes with the next trade."""

    def follow_block(self, block: Block) -> None:
        """Somebody else's block is followed as if the money in it had not moved."""
        if isinstance(block.command, Deposit | Withdraw):
            self.followed = block.head
        super().follow_block(block)


def found(name: str, matching: type[DurableMatching], patch: pytest.MonkeyPatch) -> Run:
    """The first run of the default search in which that matching breaks a rule."""
    bug = Bug(
        text="a matching that does one thing wrong",
        breaks=name,
        incident="none",
        family="none",
        budget=SCHEDULES_MAX,
        scenario=whole_exchange.name,
        replaces={DurableMatching: matching},
    )
    patch.setitem(BUGS, "planted", bug)
    scenario = replace(whole_exchange, bugs={"planted": bug.text})
    variant = scenario.variant(bug="planted")
    first_in_first_out = execute(scenario, seed=SEED, variant=variant)
    if matching is TellsBeforeItIsDurable:
        assert not broken(first_in_first_out), "only a restart shows it"
    schedules = runs(seed=SEED, schedules=SCHEDULES_MAX, variant=variant, scenario=scenario)
    with closing(schedules) as tried:
        return next(run for run in tried if broken(run))


@pytest.mark.parametrize(
    ("rule", "matching"),
    [
        (updates_are_numbered_once, TellsBeforeItIsDurable),
        (matching_agrees_with_chain, HearsOfOrdersOnly),
    ],
)
def test_a_wrong_matching_is_found_and_only_its_rule_accuses_it(
    rule: object, matching: type[DurableMatching], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = getattr(rule, "__name__", "")
    assert broken(found(name, matching, monkeypatch)) == {name}
