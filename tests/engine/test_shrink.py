"""The shrinker on planted races: small, the same bug, honest about what it did and did not do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
import trio

from harness import budget as budget_module
from harness import shrink as shrink_module
from harness.confirmation import finding_of
from harness.engine import Misfit, Run, campaign, execute, follow
from harness.findings.finding import Finding
from harness.invariants import Broken
from harness.scenario import Scenario
from harness.schedule.choices import FAULT, ORPHAN, Deviation, Option
from harness.schedule.fragments import by_labels, by_lanes, by_steps, essence, lane_of
from harness.schedule.strategies.portfolio import Rotation
from harness.schedule.strategies.protocol import Seen
from harness.shrink import Shrunk, shrink
from harness.world.world import World
from tests.engine.planted import PLANTED, Planted, amount, bystanders, failing_runs, say
from tests.engine.worlds import (
    crashes,
    fault,
    idle_service,
    orphan,
    rerun_of,
    run_of,
    task,
    timer,
    told,
)

pytestmark = pytest.mark.usefixtures("one_campaign")

BUDGET = 800


@pytest.fixture(scope="module")
def shrunk(planted: Planted) -> list[tuple[Run, Shrunk]]:
    """Several noisy runs of it, and what became of them."""
    with campaign():
        runs = failing_runs(planted, 4)
        return [(run, shrink(run, budget_runs=BUDGET, wall_s=1e9)) for run in runs]


def same_bug(run: Run, other: Run) -> bool:
    """Whether two runs break the same rule at the same site in the same phase."""
    return run.violated and run.violations[0].fingerprint == other.violations[0].fingerprint


def without(run: Run, deviation: Deviation) -> Run | None:
    """The run in which one choice is first-in-first-out; nothing if the others do not fit then."""
    kept = [other for other in run.deviations if other is not deviation]
    schedule = run.schedule.with_choices({other.step: other.choice for other in kept})
    try:
        return execute(run.scenario, seed=run.schedule.seed, choose=follow(schedule))
    except Misfit:
        return None


# --- what it promises on every planted bug ------------------------------------------------------


def test_the_result_is_one_minimal(shrunk: list[tuple[Run, Shrunk]]) -> None:
    for run, small in shrunk:
        assert small.shrinking.ended_by == "one-minimal"
        for deviation in small.run.deviations:
            left = without(small.run, deviation)
            assert left is None or not same_bug(left, run), (small.run.token, deviation)
            others = [other for other in small.run.deviations if other is not deviation]
            moved = execute(run.scenario, seed=5, clocked=by_labels(others))
            assert not same_bug(moved, run), (small.run.token, deviation)


def test_the_result_is_nearly_what_the_bug_needs(
    planted: Planted, shrunk: list[tuple[Run, Shrunk]]
) -> None:
    """One-minimal is not minimal, but the smallest result is what the bug needs."""
    sizes = sorted(len(small.run.deviations) for _, small in shrunk)
    assert sizes[0] == len(planted.guide)
    assert sizes[-1] <= len(planted.guide) + 2
    assert {small.run.faults for _, small in shrunk} == {planted.faults}


def test_the_result_is_the_same_bug_and_never_worse(shrunk: list[tuple[Run, Shrunk]]) -> None:
    for run, small in shrunk:
        assert same_bug(small.run, run)
        assert small.run.faults <= run.faults
        assert len(small.run.deviations) <= len(run.deviations)
        assert small.shrinking.choices == (len(run.deviations), len(small.run.deviations))
        assert small.shrinking.faults == (run.faults, small.run.faults)
        assert small.shrinking.steps == (run.steps, small.run.steps)
    assert sum(len(run.deviations) for run, _ in shrunk) >= 12


def test_the_result_is_a_whole_run_that_its_token_repeats(shrunk: list[tuple[Run, Shrunk]]) -> None:
    for _, small in shrunk:
        assert small.run.digest
        assert rerun_of(small.run).digest == small.run.digest
        assert small.run.ending.kind in ("finished", "stuck")


def test_the_runs_that_were_spent_are_counted(
    shrunk: list[tuple[Run, Shrunk]], monkeypatch: pytest.MonkeyPatch
) -> None:
    executed: list[Run] = []

    def counting(*arguments: object, **details: object) -> Run:
        run = execute(*arguments, **details)  # type: ignore[arg-type]
        executed.append(run)
        return run

    monkeypatch.setattr(shrink_module, "execute", counting)
    run, small = shrunk[0]
    again = shrink(run, budget_runs=BUDGET, wall_s=1e9)
    assert len(executed) == again.shrinking.runs <= BUDGET
    assert again.run.token == small.run.token, "the result is deterministic"
    assert again.run.digest == small.run.digest
    assert again.shrinking == small.shrinking
    assert again.counterfactuals == small.counterfactuals


def test_counterfactuals_were_executed(shrunk: list[tuple[Run, Shrunk]]) -> None:
    for _, small in shrunk:
        assert [each.step for each in small.counterfactuals] == [
            deviation.step for deviation in small.run.deviations
        ]
        for told_so, deviation in zip(small.counterfactuals, small.run.deviations, strict=True):
            assert (told_so.ran, told_so.instead_of) == (deviation.taken, deviation.first)
            others = [other for other in small.run.deviations if other is not deviation]
            checked = execute(small.run.scenario, seed=5, clocked=by_labels(others))
            assert told_so.holds is not checked.violated
            if not others:
                assert told_so.holds is not run_of(small.run.scenario, seed=5).violated


def test_what_only_exists_under_any_order_says_so_and_nothing_else_does(
    planted: Planted, shrunk: list[tuple[Run, Shrunk]]
) -> None:
    needs_any = planted.scenario.name == "out_of_step"
    assert {small.run.batch_legal for _, small in shrunk} == {not needs_any}
    if needs_any:
        rotation = Rotation(("random",), seed=5)
        for _ in range(200):
            turn = rotation.next(Seen(30))
            assert turn is not None
            if turn[0] == "random, batch-legal":
                assert not execute(planted.scenario, seed=5, choose=turn[1]).violated


# --- budgets ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long_run() -> Run:
    """A run with many choices that takes many runs to shrink."""
    with campaign():
        found = failing_runs(PLANTED[6], 8)
    return max(found, key=lambda run: len(run.deviations))


@pytest.mark.parametrize("budget", [1, 2, 5, 12, 30])
def test_a_budget_of_runs_is_kept_and_named(long_run: Run, budget: int) -> None:
    small = shrink(long_run, budget_runs=budget, wall_s=1e9)
    assert small.shrinking.runs <= budget
    assert small.shrinking.budget == budget
    assert small.shrinking.ended_by == f"the budget of {budget} runs"
    assert same_bug(small.run, long_run)
    assert len(small.run.deviations) <= len(long_run.deviations)
    assert small.run.digest


def test_more_budget_is_never_worse(long_run: Run) -> None:
    sizes = [
        len(shrink(long_run, budget_runs=budget, wall_s=1e9).run.deviations)
        for budget in (5, 20, 60, 800)
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0]


def test_a_limit_of_real_time_is_kept_and_named(
    long_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(10**6))
    monkeypatch.setattr(budget_module, "_monotonic", lambda: float(next(clock)))
    small = shrink(long_run, budget_runs=800, wall_s=6.5)
    assert small.shrinking.ended_by == "the time limit"
    assert small.shrinking.runs < 40
    assert same_bug(small.run, long_run)


def test_an_interrupt_keeps_the_best_so_far(long_run: Run) -> None:
    asked: list[int] = []

    def pressed() -> bool:
        asked.append(1)
        return len(asked) > 25

    small = shrink(long_run, budget_runs=800, wall_s=1e9, interrupted=pressed)
    assert small.shrinking.ended_by == "an interrupt"
    assert same_bug(small.run, long_run)
    at_once = shrink(long_run, budget_runs=800, wall_s=1e9, interrupted=lambda: True)
    assert at_once.run.token == long_run.token
    assert at_once.shrinking.ended_by == "an interrupt"


def test_what_needs_no_choice_at_all_becomes_first_in_first_out() -> None:
    async def always(world: World) -> None:
        @world.invariant(on=("said/",))
        def never() -> None:
            raise Broken("no")

        bystanders(world)
        await trio.sleep(0.05)
        say(world, "it")

    def last(options: Sequence[Option], step: int) -> int:
        return len(options) - 1

    run = execute(told(always), seed=5, choose=last)
    small = shrink(run)
    assert small.run.deviations == () and small.counterfactuals == ()
    assert small.shrinking.ended_by == "one-minimal"


# --- going on ------------------------------------------------------------------------------------


def test_it_goes_on_where_a_budget_ended_it(long_run: Run) -> None:
    """What was tried is not tried again, and the runs add up."""
    whole = shrink(long_run, budget_runs=800, wall_s=1e9)
    part = shrink(long_run, budget_runs=40, wall_s=1e9)
    assert part.shrinking.ended_by == "the budget of 40 runs" and part.shrinking.tried
    found = finding_with(part)
    rest = shrink(part.run, budget_runs=800, wall_s=1e9, since=found)
    afresh = shrink(part.run, budget_runs=800, wall_s=1e9)
    assert rest.shrinking.ended_by == "one-minimal"
    assert len(rest.run.deviations) <= len(whole.run.deviations) + 1
    assert rest.shrinking.runs - part.shrinking.runs < afresh.shrinking.runs
    assert rest.shrinking.budget == 840
    assert rest.shrinking.choices[0] == len(long_run.deviations)
    assert rest.shrinking.tried[: len(part.shrinking.tried)] == part.shrinking.tried


def test_what_is_one_minimal_takes_hardly_a_run_to_see_again(
    shrunk: list[tuple[Run, Shrunk]],
) -> None:
    for _, small in shrunk:
        found = finding_with(small)
        again = shrink(small.run, budget_runs=BUDGET, wall_s=1e9, since=found)
        assert again.run.token == small.run.token
        assert again.shrinking.ended_by == "one-minimal"
        assert again.explanation == small.explanation
        spent = again.shrinking.runs - small.shrinking.runs
        assert spent <= 8 + len(small.run.deviations)
        assert again.shrinking.tried[: len(small.shrinking.tried)] == small.shrinking.tried


def finding_with(small: Shrunk) -> Finding:
    """The finding that is saved of what a shrinker has made."""
    return replace(
        finding_of(small.run),
        shrinking=small.shrinking,
        constraints=small.explanation.constraints,
        orders_tried=small.explanation.orders_tried,
    )


# --- programs that nobody made up -----------------------------------------------------------------


def generated(seed: int) -> Scenario:
    """Some clients with some steps between reading a row and writing it, a restart beside them.

    The first row is written by two of them at least.
    """
    generator = Random(seed)
    plans = [
        [(generator.choice("ab"), generator.randrange(3)) for _ in range(generator.randint(1, 2))]
        for _ in range(generator.randint(2, 4))
    ]
    for plan in plans[:2]:
        plan[0] = ("a", plan[0][1])

    async def program(world: World) -> None:
        database = world.database("db")
        database.load("rows", {"a": {"amount": 0}, "b": {"amount": 0}})

        async def adds(plan: list[tuple[str, int]], after_s: float) -> None:
            await trio.sleep(after_s)
            for row, steps in plan:
                seen = amount(await database.get("rows", row))
                for _ in range(steps):
                    await trio.lowlevel.checkpoint()
                await database.put("rows", row, {"amount": seen + 1})

        @world.invariant(name="nothing_is_lost", at_end=True)
        def rule() -> None:
            booked = sum(amount(row) for row in database.table("rows").values())
            if booked != sum(map(len, plans)):
                raise Broken(f"only {booked} are booked")

        world.service("idle", idle_service)
        lanes = [
            world.start_client(f"client {number}", adds, plan, number / 10)
            for number, plan in enumerate(plans)
        ]
        for lane in lanes:
            await world.finished(lane)

    return told(program, crashes("idle"), name=f"generated-{seed}")


@pytest.mark.parametrize("seed", range(12))
def test_generated_programs_shrink_to_what_is_one_minimal(seed: int) -> None:
    scenario = generated(seed)
    rotation = Rotation(("random", "pct(3)"), seed=seed)
    run = execute(scenario, seed=5)
    while not run.violated:
        turn = rotation.next(Seen(40))
        assert turn is not None
        run = execute(scenario, seed=5, choose=turn[1])
    small = shrink(run, budget_runs=BUDGET, wall_s=1e9)
    assert small.shrinking.ended_by == "one-minimal" and same_bug(small.run, run)
    assert small.run.faults == 0 and 1 <= len(small.run.deviations) <= 3
    for deviation in small.run.deviations:
        left = without(small.run, deviation)
        assert left is None or not same_bug(left, run)
    assert small.explanation.constraints
    assert all(each.checked for each in small.explanation.constraints)


# --- the same bug, not another one --------------------------------------------------------------


def two_bugs(*, by: str) -> Planted:
    """A rare bug and a common one that break one rule in two places or in two phases.

    Leaving a choice out of the rare one's schedule shows the common one: who only looks at the
    rule, slips.
    """

    async def slippery(world: World) -> None:
        first: list[str] = []

        @world.invariant(name="the_rule", on=("said/",))
        def rule() -> None:
            if first[:2] == ["b", "c"]:
                raise Broken("rare", site="till.py:1 rare" if by == "site" else "till.py:1 same")
            if first[:1] == ["b"] and len(first) > 1:
                raise Broken("common", site="till.py:2 common")

        async def goes(name: str, at_s: float) -> None:
            await trio.sleep(at_s)
            first.append(name)
            say(world, name)

        bystanders(world)
        for place, name in enumerate("abc"):
            world.start_client(name, goes, name, 0.1 * (place + 1))
        await trio.sleep(5)

    guide = (("", "for b: goes"), ("", "for c: goes"))
    return Planted(told(slippery, name=f"slippery_by_{by}"), guide)


def test_it_does_not_slip_to_another_bug_of_the_same_rule() -> None:
    planted = two_bugs(by="site")
    for run in failing_runs(planted, 6):
        if run.violations[0].message != "rare":
            continue
        slips = [
            left
            for deviation in run.deviations
            if (left := without(run, deviation)) is not None
            and left.violated
            and left.violations[0].message == "common"
        ]
        small = shrink(run, budget_runs=BUDGET, wall_s=1e9)
        assert small.run.violations[0].message == "rare"
        assert len(small.run.deviations) == 2
        assert [each.holds for each in small.counterfactuals].count(False) == 1
        alone = without(small.run, small.run.deviations[1])
        assert slips or (alone is not None and alone.violations[0].message == "common"), (
            "a naive shrinker has nowhere to slip to here"
        )
        return
    raise AssertionError("the rare bug was never shown")


def test_the_phase_is_part_of_what_is_kept() -> None:
    planted = two_bugs(by="site")
    run = next(one for one in failing_runs(planted, 6) if one.violations[0].message == "rare")
    in_another_phase = replace(
        run, violations=(replace(run.violations[0], phase="hydrate"), *run.violations[1:])
    )
    small = shrink(in_another_phase, budget_runs=60, wall_s=1e9)
    assert len(small.run.deviations) == len(run.deviations), "nothing else breaks in that phase"


# --- its parts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "short"),
    [
        ("clock -> 1200 ms for payer: pays", "clock for payer: pays"),
        ("payer: worker.3", "payer: worker"),
        ("payer: worker", "payer: worker"),
        ("payer: get v1.table", "payer: get v1.table"),
    ],
)
def test_the_essence_of_a_label_has_no_times_and_counters(label: str, short: str) -> None:
    assert essence(label) == short


def test_a_timer_belongs_to_the_lane_that_sleeps() -> None:
    assert lane_of("clock -> 5 ms for payer: pays") == "payer"
    assert lane_of("ledger#1: put db/a") == "ledger#1"


def options_of(*labels: str) -> list[Option]:
    """Tasks and timers by their labels."""
    return [timer(x.partition(" for ")[2]) if "clock" in x else task(x) for x in labels]


def test_labels_are_followed_where_their_situation_comes_up() -> None:
    wanted = Deviation(9, 1, taken="b: run", first="a: run", kind="task")
    choose = by_labels([wanted])(lambda: 0)
    assert choose(options_of("c: run", "b: run"), 1) == 0, "something else is due"
    assert choose(options_of("a: run", "c: run"), 2) == 0, "it cannot run"
    assert choose(options_of("a: run", "c: run", "b: run.2"), 3) == 2
    assert choose(options_of("a: run", "b: run"), 4) == 0, "once is enough"


def test_faults_are_followed_by_their_time_and_orphans_in_their_instant() -> None:
    strike = Deviation(9, 1, taken=fault().label, first="a: run", kind=FAULT, at_ms=50)
    land = Deviation(12, 1, taken=orphan().label, first="b: run", kind=ORPHAN, at_ms=60)
    now = [0]
    choose = by_labels([strike, land])(lambda: now[0])
    both: list[Option] = [task("a: run"), fault(), orphan()]
    assert choose(both, 1) == 0
    now[0] = 50
    assert choose(both, 2) == 1
    now[0] = 60
    assert choose(both, 3) == 0, "its instant, but not yet its situation"
    assert choose([task("b: run"), orphan()], 4) == 1


def test_numbers_are_followed_as_far_as_they_go() -> None:
    choose = by_steps([Deviation(2, 1), Deviation(3, 7)])
    offered = options_of("a: run", "b: run")
    assert [choose(offered, step) for step in (1, 2, 3)] == [0, 1, 0]


def test_the_order_of_some_lanes_is_kept_and_the_others_are_first_in_first_out() -> None:
    order = ["x: run", "b: run", "x: run", "a: run"]
    choose = by_lanes(order, ["a", "b"])(lambda: 0)
    assert choose(options_of("a: run", "x: run"), 1) == 1, "a is due too early"
    assert choose(options_of("a: run", "x: run", "b: run"), 2) == 2
    assert choose(options_of("a: run", "x: run"), 3) == 0
    assert choose(options_of("x: run", "a: run"), 4) == 0
