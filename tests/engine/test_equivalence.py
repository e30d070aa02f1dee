"""Twins, milestones and what a run must come to: with the ledger of the documentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from harness.campaign import Campaign, Plan, explore
from harness.engine import execute
from harness.equivalence import RULE, VACUITY, Equivalence
from harness.errors import UsageError
from harness.scenario import Scenario
from harness.world.service import Life
from harness.world.world import World
from tests.engine.worlds import crashes, idle_service, preferring, run_of, told

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "statements_equivalence.py"
LOST, KEPT = (
    "    unstated = 0  # what was paid in since the last statement\n",
    '    unstated = total - (await database.get("rows", "statement"))["total"]\n',
)


def example(change: Callable[[str], str] = lambda text: text) -> Scenario:
    """The scenario of the documentation, as it is or changed."""
    code = compile(change(EXAMPLE.read_text()), EXAMPLE, "exec")
    names: dict[str, Any] = {"__name__": "example"}
    exec(code, names)  # noqa: S102  (it is our own file)
    found: Scenario = names["statements"]
    return found


def mended(text: str) -> str:
    """The ledger reads what it needs when it boots."""
    assert text.count(LOST) == 1
    return text.replace(LOST, KEPT)


def swept(scenario: Scenario, **details: Any) -> Campaign:
    """All single faults of a scenario, and as many pairs."""
    plan = Plan(
        seed=1, schedules=None, strategies=("sweep", "sweep(2)"), shrink_budget=0, **details
    )
    return explore(scenario, plan)


def test_what_was_lost_is_found_when_it_is_used_and_not_before() -> None:
    campaign = swept(example())
    (finding,) = campaign.findings
    assert finding.violation.invariant == RULE
    assert finding.violation.resource == "ledger/statement"
    restarted = next(deviation.step for deviation in finding.deviations)
    assert finding.violation.step > restarted + 10


def test_after_every_crash_the_mended_ledger_is_what_it_would_have_been() -> None:
    campaign = swept(example(mended))
    statistics = campaign.statistics
    assert not campaign.findings
    assert not campaign.vacuous
    assert not statistics.unknown
    assert campaign.ended_by == "every strategy has tried all it had"
    assert statistics.places > 40
    assert statistics.swept("sweep") and statistics.swept("sweep(2)")
    assert statistics.judged[VACUITY] == 2 * statistics.places
    assert statistics.faults > 2.5 * statistics.places


def test_a_sweep_that_was_cut_short_is_not_complete() -> None:
    statistics = explore(
        example(mended), Plan(seed=1, schedules=20, strategies=("sweep",), shrink_budget=0)
    ).statistics
    assert statistics.places > 40
    assert not statistics.swept("sweep")


# --- milestones -----------------------------------------------------------------------------------

Story = Callable[[World, Equivalence], Any]


def runs_on(world: World, *, actual: Callable[[], Mapping[str, object] | None]) -> Equivalence:
    """A world with a service, one milestone that comes every second, and one twin."""
    equivalence = Equivalence(world, milestones=["second"])
    equivalence.twin(
        "counter",
        0,
        lambda state, command: state + command,
        expected=lambda state: {"count": state},
        actual=actual,
        on=["seconds"],
    )
    world.service("ledger", idle_service)

    async def tick() -> None:
        while True:
            await trio.sleep(1)
            world.simulation.emit("write", "tick", resource="seconds")
            equivalence.twins["counter"].durable(1)
            equivalence.passed("second")

    world.start_client("clock", tick)
    return equivalence


def test_a_run_goes_on_until_everything_has_come_after_the_last_restart() -> None:
    counts: list[int] = []

    async def story(world: World) -> None:
        equivalence = runs_on(world, actual=lambda: {"count": equivalence.twins["counter"].state})
        await trio.sleep(0.5)
        await equivalence.run_on()
        counts.append(equivalence.twins["counter"].fed)
        await world.services["ledger"].restart("crash", delay_s=2.1)
        assert equivalence.missing == ("second", "counter")
        await equivalence.run_on()
        counts.append(equivalence.twins["counter"].fed)

    run = run_of(told(story))
    assert not run.violated, run.violations
    assert counts == [1, 4]
    assert run.judged[VACUITY] == 1
    assert run.reached == {"second after a restart": 3}


@pytest.mark.parametrize("kind", ["crash", "stop", "rolling"])
@pytest.mark.parametrize("before_the_end", [0, 1, 2])
def test_a_restart_at_the_last_moment_is_waited_for_as_well(kind: str, before_the_end: int) -> None:
    async def story(world: World) -> None:
        equivalence = runs_on(world, actual=lambda: {"count": equivalence.twins["counter"].state})
        await trio.sleep(0.5)
        await equivalence.run_on()
        assert not equivalence.missing

    calm = run_of(told(story))
    late = execute(
        told(story, crashes("ledger", kind)),
        seed=1,
        choose=lambda options, step: (
            len(options) - 1 if step == calm.steps - before_the_end and options[-1].optional else 0
        ),
    )
    assert late.faults == 1
    assert not late.violated, late.violations
    assert late.ended_at_ms > calm.ended_at_ms
    assert late.judged[VACUITY] == 1


def test_a_restart_after_which_nothing_came_is_unknown_and_says_what_is_missing() -> None:
    async def story(world: World) -> None:
        equivalence = runs_on(world, actual=lambda: {"count": equivalence.twins["counter"].state})
        await world.services["ledger"].ready()
        await world.services["ledger"].restart("crash")

    run = run_of(told(story))
    assert "second, counter did not come after the last restart" in run.unknown[VACUITY]


def test_without_the_rule_only_the_milestones_are_waited_for() -> None:
    async def story(world: World) -> None:
        equivalence = runs_on(world, actual=lambda: None)
        world.judge.invariants = [rule for rule in world.judge.invariants if rule.name != RULE]
        await equivalence.run_on()

    run = run_of(told(story))
    assert not run.violated, run.violations


def test_a_run_without_a_restart_says_nothing_of_restarts() -> None:
    async def story(world: World) -> None:
        equivalence = runs_on(world, actual=lambda: {"count": equivalence.twins["counter"].state})
        await equivalence.run_on()

    run = run_of(told(story))
    assert run.judged[VACUITY] == 0
    assert run.judged[RULE] > 0


def test_what_can_not_be_compared_yet_is_not_judged_and_the_run_goes_on() -> None:
    async def story(world: World) -> None:
        def actual() -> Mapping[str, object] | None:
            count = equivalence.twins["counter"].state
            return {"count": count} if count >= 3 else None

        equivalence = runs_on(world, actual=actual)
        await equivalence.run_on()
        assert equivalence.twins["counter"].fed >= 3

    run = run_of(told(story))
    assert not run.violated, run.violations


# --- differences ----------------------------------------------------------------------------------


def compared(actual: Mapping[str, object], **details: Any) -> Any:
    """A run in which a service shows something and its twin expects ``a=1`` and ``b/x=2``."""

    async def story(world: World) -> None:
        equivalence = Equivalence(world, milestones=(), **details)
        equivalence.twin(
            "books",
            {"a": 1, "b/x": 2},
            lambda state, command: state,
            expected=lambda state: state,
            actual=lambda: actual,
            on=("books",),
        )
        world.simulation.emit("write", "put", resource="books/a")
        await equivalence.run_on()

    return run_of(told(story))


@pytest.mark.parametrize(
    ("actual", "part"),
    [
        ({"a": 3, "b/x": 2}, "books/a"),
        ({"a": 1, "b/x": None}, "books/b/x"),
        ({"a": 1}, "books/b/x"),
        ({"a": 1, "b/x": 2, "c": 0}, "books/c"),
    ],
)
def test_every_part_must_be_equal_and_none_may_be_missing(
    actual: Mapping[str, object], part: str
) -> None:
    (violation,) = compared(actual).violations
    assert (violation.invariant, violation.resource) == (RULE, part)


def test_the_parts_that_differ_are_all_named() -> None:
    (violation,) = compared({"a": 3}).violations
    assert "At books, a is 3" in violation.message
    assert "has 1. b/x differ, too." in violation.message


@pytest.mark.parametrize("volatile", ["books/b/x", "books/b/"])
def test_a_volatile_part_may_be_lost_and_nothing_else(volatile: str) -> None:
    assert not compared({"a": 1}, volatile={volatile: "nobody needs it"}).violated
    assert compared({"b/x": 2}, volatile={volatile: "nobody needs it"}).violated


def test_a_name_that_only_begins_like_a_volatile_one_is_compared() -> None:
    assert compared({"a": 1}, volatile={"books/b": "nobody needs it"}).violated


def test_names_are_checked() -> None:
    async def story(world: World) -> None:
        equivalence = Equivalence(world, milestones=["trade"], volatile={"boks/a": "a typo"})
        with pytest.raises(UsageError, match="trade"):
            equivalence.passed("trad")
        details: Any = {
            "expected": lambda state: {},
            "actual": lambda: None,
        }
        with pytest.raises(UsageError, match="trade"):
            equivalence.twin("trade", 0, max, on=("x",), **details)
        with pytest.raises(UsageError, match="several resources"):
            equivalence.twin("books", 0, max, on="x", **details)
        equivalence.twin("books", 0, max, on=("x",), **details)
        with pytest.raises(UsageError, match="books"):
            await equivalence.run_on()

    run = run_of(told(story))
    assert not run.violated, run.violations


# --- crashes in the middle of a restart -----------------------------------------------------------


async def slow_ledger(life: Life) -> None:
    """An incarnation that takes a while to come, and a while to go."""
    await trio.sleep(0.2)
    life.enter("ready")
    await life.stop_requested()
    life.enter("drain")
    await trio.sleep(0.2)


async def restarted(world: World) -> None:
    """A service and a while in which it may be struck; in the end it must be there, and alone."""
    service = world.service("ledger", slow_ledger)
    await service.ready()
    await trio.sleep(5)
    assert [life.phase for life in service.alive] == ["ready"], [
        (life.name, life.phase) for life in service.lives
    ]


def pair(kind: str, wait: int) -> Callable[[Any, int], int]:
    """Strike when the service is ready, and its recovery as many steps later as asked for."""
    since = -1

    def choose(options: Any, step: int) -> int:
        nonlocal since
        for index, option in enumerate(options):
            if option.label.endswith(f"{kind} restart of ledger") and since < 0 and step > 4:
                since = 0
                return index
            if option.label.endswith("crash of ledger in recovery"):
                since += 1
                if since == wait:
                    return index
        return 0

    return choose


@pytest.mark.parametrize("kind", ["crash", "stop", "rolling", "failover"])
def test_a_restart_that_is_cut_short_is_done_after_all(kind: str) -> None:
    fault = replace(crashes("ledger", kind), in_recovery=True)
    cut_short = 0
    for wait in range(1, 12):
        run = run_of(told(restarted, fault, faults_max=2), pair(kind, wait))
        assert not run.violated, (wait, run.violations)
        cut_short += run.faults == 2
    assert cut_short >= 3


@pytest.mark.parametrize("kind", ["crash", "stop", "rolling", "failover"])
def test_it_may_be_cut_short_again_and_again(kind: str) -> None:
    fault = replace(crashes("ledger", kind), in_recovery=True)

    def strike(options: Any, step: int) -> int:
        last = len(options) - 1
        return last if options[last].optional and step > 4 and step % 3 == 0 else 0

    run = run_of(told(restarted, fault, faults_max=5), strike)
    assert run.faults == 5
    assert not run.violated, run.violations


def test_nothing_is_cut_short_unless_the_scenario_allows_it() -> None:
    run = run_of(
        told(restarted, crashes("ledger", "crash"), faults_max=2),
        preferring("crash restart of ledger", "crash of ledger in recovery"),
    )
    assert run.faults == 1
