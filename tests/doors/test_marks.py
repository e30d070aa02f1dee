"""Marks that a campaign must reach: what was never reached was never put to the test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.campaign import explore
from harness.doors.gate import HELD, VACUOUS, Result
from harness.doors.passage import search
from harness.doors.wordings import as_data, report, statistics_text
from harness.errors import UsageError
from harness.scenario import scenario
from harness.trial import Plan
from harness.world.service import Life
from harness.world.world import World
from tests.engine.planted import amount
from tests.engine.worlds import crashes, told

PLAN = Plan(seed=3, schedules=40, strategies=("fifo", "sweep", "random"))


class Till:
    """A target that knows nothing of the harness, only that it is told whom to tell."""

    def __init__(self, on_empty: Callable[[], None]) -> None:
        self.on_empty = on_empty

    def pay(self, left: int) -> None:
        """Pay, and say so when nothing is left."""
        if left == 0:
            self.on_empty()


async def story(world: World) -> None:
    """A ledger that counts down in a database and may be struck."""
    database = world.database("db")
    database.load("books", {"usdc": {"amount": 3}})
    till = Till(world.reachable("the till is empty"))

    async def ledger(life: Life) -> None:
        row = await database.get("books", "usdc")
        left = amount(row)
        world.sometimes("it begins with less", left < 3)
        life.enter("ready")
        while left:
            left -= 1
            await database.put("books", "usdc", {"amount": left})
            till.pay(left)
        await life.stop_requested()

    @world.invariant(on=("db/",))
    def never_negative() -> None:
        assert amount(database.table("books")["usdc"]) >= 0

    service = world.service("ledger", ledger)
    await service.ready()
    for _ in range(8):
        await database.get("books", "usdc")
    await service.ready()


def result_of(tmp_path: Path, **details: Any) -> Result:
    """What a campaign comes to."""
    return search(told(story, crashes(delay_s=0), **details), PLAN, root=tmp_path)


def test_marks_that_are_reached_are_shown_with_their_counts(tmp_path: Path) -> None:
    result = result_of(tmp_path)
    statistics = result.statistics
    assert result.outcome == HELD and result.exit_code(strict=True) == 0
    assert statistics.reached["the till is empty"] > statistics.reached["it begins with less"] > 0
    text = statistics_text(result)
    for name, count in statistics.reached.items():
        assert f"{name} {count}" in " ".join(text.split())
    assert "not reached" not in text and statistics.never_reached == ()


def test_a_mark_that_is_never_reached_makes_a_campaign_vacuous_and_is_named(tmp_path: Path) -> None:
    result = result_of(tmp_path, must_reach=("two tills at once", "the till is empty"))
    assert result.outcome == VACUOUS and result.statistics.overlapped_runs
    assert result.exit_code() == 0 and result.exit_code(strict=True) == 1
    said = " ".join(report(result).split())
    assert "VACUOUS story held, but never reached: two tills at once in 40 schedules" in said
    assert "no restart overlapped" not in said
    assert "not reached two tills at once" in " ".join(statistics_text(result).split())
    data: Any = as_data(result)
    assert data["statistics"]["never_reached"] == ["two tills at once"]
    assert data["outcome"] == "vacuous"


def test_a_condition_that_never_holds_is_vacuous_like_a_mark_of_the_scenario() -> None:
    async def calm(world: World) -> None:
        await story(world)
        world.sometimes("pigs fly", False)

    result = explore(told(calm, crashes(delay_s=0)), PLAN)
    assert result.vacuous and result.statistics.never_reached == ("pigs fly",)


def test_a_finding_counts_more_than_a_mark_that_was_not_reached(tmp_path: Path) -> None:
    async def broken(world: World) -> None:
        world.sometimes("pigs fly", False)
        raise AssertionError("it never works")

    result = search(told(broken), PLAN, root=tmp_path)
    assert result.outcome == "violated" and not result.statistics.reached["pigs fly"]
    assert "VACUOUS" not in report(result)


def test_statistics_and_data_show_what_met_what(tmp_path: Path) -> None:
    result = result_of(tmp_path)
    statistics = result.statistics
    cells = len(statistics.covered)
    text = statistics_text(result)
    said = " ".join(text.split())
    assert cells > 3 and 0 < statistics.last_new <= 40
    assert (
        f"covered {cells} cells of restart phase x write step, the last new one at schedule "
        f"{statistics.last_new} of 40" in said
    )
    assert "ledger crash down" in said and "a put db/books" in said
    assert all(len(line) <= 80 for line in text.splitlines())
    data: Any = as_data(result)
    covered = data["statistics"]["covered"]
    assert covered["cells"] == cells and covered["last_new"] == statistics.last_new
    counts = [
        count
        for writes in covered["matrix"].values()
        for steps in writes.values()
        for count in steps.values()
    ]
    assert sorted(counts) == sorted(statistics.covered.values())


def test_a_lone_text_is_no_list_of_marks() -> None:
    with pytest.raises(UsageError, match="several marks"):
        scenario(must_reach="the end")(story)
