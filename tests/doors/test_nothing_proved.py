"""A campaign that proves nothing says why, and what would change that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from harness.doors.gate import UNKNOWN, VACUOUS, Result
from harness.doors.passage import search
from harness.doors.wordings import report
from harness.trial import Plan
from harness.world.service import Life
from harness.world.world import World
from tests.engine.worlds import crashes, told

PLAN = Plan(seed=1, schedules=12, shrink_budget=0, strategies=("sweep", "random"))


def ledger(*, ends: bool = True, writes: bool = False) -> Callable[[World], Awaitable[None]]:
    """A story of one service that may write, and that may not listen to who wants it to stop."""

    async def story(world: World) -> None:
        database = world.database("db")

        async def run(life: Life) -> None:
            life.enter("ready")
            if writes:
                await database.put("books", "usdc", {"n": 1})
            await (life.stop_requested() if ends else trio.sleep_forever())

        await world.service("ledger", run).ready()
        await trio.sleep(2)

    return story


def said(result: Result) -> str:
    """The report in one line."""
    return " ".join(report(result).split())


def test_a_fault_of_a_service_that_nobody_starts_is_named_with_who_was_meant(
    tmp_path: Path,
) -> None:
    result = search(told(ledger(writes=True), crashes("leger"), name="story"), PLAN, root=tmp_path)
    assert result.outcome == VACUOUS and result.exit_code(strict=True) == 1
    assert "VACUOUS story held, but nobody ever started 'leger'" in said(result)
    assert "unknown service in faults 'leger'; did you mean 'ledger'?" in said(result)


def test_one_fault_that_never_strikes_makes_the_others_no_proof(tmp_path: Path) -> None:
    faults = crashes("ledger"), crashes("vault")
    result = search(told(ledger(writes=True), *faults), PLAN, root=tmp_path)
    assert result.statistics.overlapped_runs
    assert result.outcome == VACUOUS
    assert "nobody ever started 'vault'" in said(result)


@pytest.mark.parametrize(
    ("kinds", "ends", "remedy"),
    [
        ("", True, "give it faults=[restart(...)], or let the story restart a service"),
        ("stop", False, "nobody came back: who is asked to stop has to end"),
        ("crash", True, "add steps to the workload, move the fault, or try more schedules"),
    ],
)
def test_the_remedy_fits_what_is_missing(
    kinds: str, ends: bool, remedy: str, tmp_path: Path
) -> None:
    faults = [crashes("ledger", kinds)] if kinds else []
    result = search(told(ledger(ends=ends), *faults), PLAN, root=tmp_path)
    assert result.outcome == VACUOUS
    assert remedy in said(result)


def test_a_crash_in_the_middle_of_a_write_is_no_vacuous_run(tmp_path: Path) -> None:
    result = search(told(ledger(writes=True), crashes("ledger")), PLAN, root=tmp_path)
    assert result.outcome != VACUOUS
    assert result.statistics.overlapped_runs


def test_a_rule_that_breaks_down_is_the_headline_with_its_place(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        @world.invariant(at_end=True)
        def divides() -> None:
            assert 1 / 0

        await ledger(writes=True)(world)

    result = search(told(story, crashes("ledger")), PLAN, root=tmp_path)
    assert result.outcome == UNKNOWN and result.exit_code(strict=True) == 1
    line = story.__code__.co_firstlineno + 3
    assert "UNKNOWN story: nobody knows whether this held: divides" in said(result)
    assert f"ZeroDivisionError: division by zero (tests/doors/{Path(__file__).name}:{line})" in (
        said(result)
    )

    calm = search(told(story), PLAN, root=tmp_path)
    assert calm.outcome == VACUOUS
    assert "broke no rule, but" in said(calm) and "nobody knows" in said(calm)
    assert " held, but" not in said(calm)
