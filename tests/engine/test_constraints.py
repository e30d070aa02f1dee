"""Ordering constraints: what makes a bug, each one checked, and replay by them after an edit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from harness.confirmation import finding_of
from harness.constraints import Explainer
from harness.doors.rerun import rerun
from harness.engine import Run, campaign, execute
from harness.findings.finding import Constraint, Finding, StepName
from harness.replay import DIVERGED, FIXED, STILL_FAILS, replay
from harness.schedule.choices import Option, writes
from harness.schedule.orderings import PATIENCE_STEPS, Names, by_constraints, timeless
from harness.shrink import shrink
from harness.steps import Clocked
from harness.world.world import World
from tests.engine.planted import PLANTED, Planted, bystanders, edited, failing_runs
from tests.engine.worlds import fault, orphan, task, timer

pytestmark = pytest.mark.usefixtures("one_campaign")


@pytest.fixture(scope="module")
def explained(planted: Planted) -> list[tuple[Run, Finding]]:
    """Some failing runs of it, shrunk, and their findings."""
    found = []
    with campaign():
        for run in failing_runs(planted, 2):
            small = shrink(run, budget_runs=800, wall_s=1e9)
            finding = finding_of(small.run)
            found.append((small.run, with_reason(finding, small.explanation.constraints)))
    return found


def with_reason(finding: Finding, constraints: tuple[Constraint, ...]) -> Finding:
    """The finding with its constraints."""
    return replace(finding, constraints=constraints)


def keeping(run: Run, constraints: Sequence[Constraint]) -> tuple[Run, list[Constraint]]:
    """A run that keeps constraints, and those that it could not keep."""
    unkept: list[Constraint] = []
    return (
        execute(run.scenario, seed=5, clocked=by_constraints(constraints, unkept=unkept)),
        unkept,
    )


# --- what it promises on every planted bug ------------------------------------------------------


def test_whoever_keeps_the_constraints_shows_the_bug(
    planted: Planted, explained: list[tuple[Run, Finding]]
) -> None:
    for run, finding in explained:
        assert 1 <= len(finding.constraints) <= len(planted.guide) + 2
        kept, unkept = keeping(run, finding.constraints)
        assert kept.violated and not unkept
        assert kept.violations[0].fingerprint == finding.violation.fingerprint


def test_without_any_one_of_them_the_rule_holds(explained: list[tuple[Run, Finding]]) -> None:
    for run, finding in explained:
        for each in finding.constraints:
            assert each.checked, each
            others = [other for other in finding.constraints if other is not each]
            turned, unkept = keeping(run, [*others, each.reversed])
            struck = {name for name in (each.before, each.after) if name.strikes}
            if turned.violated or unkept:
                assert struck, "what cannot be turned round needs a fault to be left out"
                rest = [one for one in others if not struck & {one.before, one.after}]
                turned, _ = keeping(run, rest)
            assert not turned.violated, each


def test_what_has_nothing_to_do_with_it_is_not_called_checked() -> None:
    run = failing_runs(PLANTED[0], 1)[0]
    small = shrink(run, budget_runs=800, wall_s=1e9)

    def executes(clocked: Clocked) -> Run:
        return execute(run.scenario, seed=5, clocked=clocked, until_violation=True)

    explainer = Explainer(small.run, executes, lambda: True)
    idle = Constraint(name("left: busy", 2), name("right: busy", 2))
    both = [*small.explanation.constraints, idle]
    assert not explainer.check(idle, both).checked
    assert explainer.check(both[0], both).checked


def test_the_bug_comes_back_by_its_constraints_after_an_edit(
    explained: list[tuple[Run, Finding]],
) -> None:
    for run, finding in explained:
        assert replay(finding, scenario=run.scenario).exact
        with edited():
            done = replay(finding, times=3, scenario=run.scenario)
        assert done.outcome == STILL_FAILS and done.same_bug and done.repeatable
        assert done.run is not None
        assert done.run.violations[0].fingerprint == finding.violation.fingerprint


def test_the_verdict_says_that_constraints_were_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = failing_runs(PLANTED[0], 1)[0]
    small = shrink(run, budget_runs=800, wall_s=1e9)
    finding = with_reason(finding_of(small.run), small.explanation.constraints)
    with edited():
        again = rerun(finding, run.scenario)
    assert again.code == 1 and again.finding is not None
    assert "replayed by its ordering constraints: the recorded steps have moved" in again.verdict
    assert again.finding.constraints == finding.constraints
    assert "put db/books/usdc" in again.report[again.report.index("WHY THIS ORDER") :]
    assert "by its ordering constraints" not in rerun(finding, run.scenario).verdict


def test_most_of_them_need_the_constraints_for_that() -> None:
    """Or else the test before this one proves nothing."""
    needed = 0
    for planted in PLANTED:
        run = failing_runs(planted, 1)[0]
        small = shrink(run, budget_runs=800, wall_s=1e9)
        finding = with_reason(finding_of(small.run), small.explanation.constraints)
        with edited():
            done = replay(finding, scenario=run.scenario)
            bare = replay(with_reason(finding, ()), scenario=run.scenario)
        if done.by_constraints:
            needed += 1
            exact = bare.outcome == STILL_FAILS and not bare.by_labels
            assert not (exact and bare.same_bug)
    assert needed >= len(PLANTED) - 3


# --- the chooser --------------------------------------------------------------------------------


def name(label: str, occurrence: int = 1, kind: str = "task") -> StepName:
    """A step by what it is."""
    return StepName(label, occurrence, kind)


def taken(
    constraints: Sequence[Constraint],
    *rounds: Sequence[Option],
    unkept: list[Constraint] | None = None,
) -> list[str]:
    """What the chooser takes of each round of options, one step after the other."""
    choose = by_constraints(constraints, unkept=unkept)(lambda: 0)
    return [options[choose(options, step)].label for step, options in enumerate(rounds, 1)]


def test_a_step_waits_for_what_must_come_before_it() -> None:
    first = Constraint(name("b: run"), name("a: run"))
    offered = [task("a: run"), task("c: run"), task("b: run")]
    assert taken([first], offered, offered[::2], offered[:2], offered[:2]) == [
        "c: run",
        "b: run",
        "a: run",
        "a: run",
    ]


def test_occurrences_are_counted_where_nothing_can_be_chosen_too() -> None:
    second = Constraint(name("b: run"), name("a: run", 2))
    a, b = task("a: run"), task("b: run")
    assert taken([second], [a], [a, b]) == ["a: run", "b: run"]
    assert taken([second], [a, b], [a, b]) == ["a: run", "b: run"]
    assert taken([second], [b], [a, b], [a, b]) == ["b: run", "a: run", "a: run"]


def test_a_fault_strikes_after_what_must_precede_it_or_just_before_what_must_follow() -> None:
    strike = name(fault().label, kind="fault")
    a, b = task("a: run"), task("b: run")
    after = Constraint(name("a: run"), strike)
    assert taken([after], [a, fault()], [a, b, fault()]) == ["a: run", fault().label]
    before = Constraint(strike, name("b: run"))
    assert taken([before], [a, b, fault()], [b, a, fault()]) == ["a: run", fault().label]
    assert taken([after, before], [b, a, fault()], [b, fault()], [b]) == [
        "a: run",
        fault().label,
        "b: run",
    ]
    other = Constraint(name("a: run"), name("b: run"))
    assert taken([other], [b, a, fault()], [b, fault()]) == ["a: run", "b: run"], "unnamed: never"


def test_an_orphan_lands_when_it_is_told_to() -> None:
    lands = name(orphan().label, kind="orphan")
    b, c = task("b: run"), task("c: run")
    assert taken([Constraint(name("b: run"), lands)], [b, c, orphan()], [c, orphan()]) == [
        "b: run",
        orphan().label,
    ]


def test_a_timer_is_named_without_its_time() -> None:
    assert timeless("clock -> 1200 ms for payer: pays") == "clock for payer: pays"
    strikes = name("clock for payer: pays", kind="timer")
    run, rings = task("payer: run"), timer("payer: pays")
    rings.lane = "payer"
    assert taken([Constraint(strikes, name("payer: run"))], [run, rings]) == [rings.label]


def test_nobody_waits_for_ever_and_what_was_not_kept_is_named() -> None:
    never = Constraint(name("b: run"), name("a: run"))
    unkept: list[Constraint] = []
    assert taken([never], [task("a: run")], unkept=unkept) == ["a: run"], "nothing else can run"
    assert unkept == [never]
    patient: list[Constraint] = []
    offered = [task("a: run"), task("c: run")]
    done = taken([never], *[offered] * (PATIENCE_STEPS + 2), unkept=patient)
    assert done.count("c: run") == PATIENCE_STEPS + 1 and done[-1] == "a: run"
    assert patient == [never]


def test_two_that_contradict_each_other_do_not_stop_a_run() -> None:
    one = Constraint(name("a: run"), name("b: run"))
    unkept: list[Constraint] = []
    assert taken([one, one.reversed], [task("a: run"), task("b: run")], unkept=unkept) == ["a: run"]
    assert unkept == [one.reversed]


def test_whoever_is_waited_for_can_be_hurried() -> None:
    first = Constraint(name("b: put", kind="operation"), name("a: run"))
    a, b, c = task("a: run"), task("b: run"), task("c: run")
    hurried = by_constraints([first], hurry={first.before: ("b: run",)})(lambda: 0)
    assert hurried([a, c, b], 1) == 2
    assert hurried([c, a, b], 2) == 0, "nobody waits yet"


def test_what_a_task_says_it_touches_is_part_of_its_name() -> None:
    names, step = Names(), task("a: run")
    assert names.take(step) == name("a: run")
    step.footprint = writes("memory/a/till")
    touching = StepName("a: run", 1, "task", "write memory/a/till")
    assert names.next(step) == names.take(step) == touching
    assert names.next(step).occurrence == 2


# --- replay by them -----------------------------------------------------------------------------


def test_a_repair_is_fixed_by_constraints_too(explained: list[tuple[Run, Finding]]) -> None:
    """Where the rule can no longer break, no order makes it."""
    for run, finding in explained:
        harmless = replace(run.scenario, story=idle_story)
        done = replay(finding, scenario=harmless)
        assert done.outcome in (FIXED, DIVERGED) and not done.by_constraints


async def idle_story(world: World) -> None:
    """Nothing happens here."""
    bystanders(world)
    await trio.sleep(0.5)
