"""The recovery drill as a whole: it holds in random schedules, and each of its rules can fail."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from harness.engine import Run, execute
from harness.schedule.choices import FAULT, Deviation
from harness.schedule.fragments import by_labels
from scenarios.recovery_drill import (
    MUST_REACH,
    STILL_S,
    recovery_drill,
    recovery_latecomers,
)
from scenarios.recovery_table import main, markdown, plan_of, schedules
from scenarios.rules.recovery import RULES
from target_stub.bugs import BUGS
from target_stub.cloud.recovery import STEPS
from tests.scenarios.searches import runs

ROOT = Path(__file__).parents[2]
#: How many random schedules with crashes are tried here; ``python -m scenarios.recovery_table
#: --schedules 2000`` tries more.
SCHEDULES = 24


def restarts(run: Run, service: str) -> int:
    """How many incarnations of a service were cut off."""
    return sum(
        event.kind == "fault" and event.operation == "crash" and event.peer.startswith(service)
        for event in run.history
    )


def test_every_rule_of_the_drill_has_a_bug_that_it_must_catch() -> None:
    drills = (recovery_drill.name, recovery_latecomers.name)
    planted = {bug.breaks for bug in BUGS.values() if bug.scenario in drills}
    assert planted == {rule.__name__ for rule in RULES}


def test_first_in_first_out_goes_through_every_step_and_judges_every_rule() -> None:
    run = execute(recovery_drill, seed=1)
    assert not run.violations, run.violations
    assert not run.unknown
    assert all(run.judged[rule.__name__] for rule in RULES)
    assert all(run.reached[mark] for mark in MUST_REACH)
    done = [event.after for event in run.history if event.resource.endswith("recovery/progress")]
    assert f"{done[-1]}" == f"done={len(STEPS)}"


def test_random_schedules_with_up_to_three_crashes_hold() -> None:
    crashes, crashed = Counter[int](), Counter[str]()
    for run in schedules(SCHEDULES, seed=5):
        assert not run.violations, (run.token, run.violations)
        assert not run.unknown, (run.token, run.unknown)
        crashes[run.faults] += 1
        for service in ("operator", "chain", "projections", "publisher"):
            crashed[service] += restarts(run, service)
    assert set(crashes) >= {1, 2, 3}
    assert min(crashed.values()) >= 1, crashed


def test_a_bridge_may_stand_still_and_answers_get_lost_and_nobody_is_accused() -> None:
    stood_ms, taken, lost = [], 0, Counter[str]()
    for run in runs(seed=3, schedules=25, variant={}, scenario=recovery_latecomers):
        assert not run.violations, (run.token, run.violations)
        at_ms = [e.at_ms for e in run.history if e.operation in ("pause", "goes on")]
        stood_ms += [later - sooner for sooner, later in pairwise(at_ms)]
        taken += bool(at_ms)
        lost.update(e.operation for e in run.history if e.operation.startswith("dropped: "))
    assert taken >= 5
    assert lost
    assert max(stood_ms) >= STILL_S * 1000


def test_a_customer_whose_answer_got_lost_asks_again_and_is_answered_once() -> None:
    forgetful = recovery_latecomers.variant(bug="client_ids_forgotten")
    answer = "nemesis: drop chain#1: answer chain.submit to maker"
    lost = by_labels([Deviation(1, 1, taken=answer, kind=FAULT)])
    clean = execute(recovery_latecomers, seed=1, clocked=lost)
    assert clean.faults == 1
    assert not clean.violations, clean.violations
    broken = execute(recovery_latecomers, seed=1, clocked=lost, variant=forgetful)
    assert broken.faults == 1
    assert [each.invariant for each in broken.violations] == ["an_id_counts_on_one_fork"]


def test_both_ways_out_are_reported_with_what_they_leave() -> None:
    plan = plan_of(execute(recovery_drill, seed=1))
    assert markdown(plan) in (ROOT / "docs/recovery.md").read_text()
    back, stay = plan.rollback, plan.compensation
    assert back.refunded_usdc > 0 and stay.refunded_usdc > 0
    # The enriched account withdrew more than it can give back, and a rollback cannot fetch it.
    (kept,) = back.kept_usdc.values()
    assert kept > 0 and not stay.kept_usdc
    assert any("paid outside and cannot roll back; 1 could not" in text for text in back.leaves)
    assert any("cached it" in text for text in stay.leaves)
    assert any("liquidated on wrong values" in text for text in stay.leaves)
    assert back.worst is not None and back.worst.amount_usdc <= back.refunded_usdc


def test_the_command_prints_both_ways_and_says_what_held(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(("--seed", "1", "--schedules", "2")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("| roll back |")
    assert lines[3].startswith("| compensate without rollback |")
    assert lines[-1].startswith("2 of 2 schedules held; by crashes: ")
