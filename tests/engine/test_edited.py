"""Choices followed by their labels, and orders asked what was kept, in code that was edited."""

from __future__ import annotations

from harness.findings.finding import Constraint, StepName
from harness.schedule.choices import FAULT, ORPHAN, Deviation, Option
from harness.schedule.fragments import Edited
from harness.schedule.orderings import Ordered
from tests.engine.worlds import fault, orphan, task

SWAP = Deviation(3, 1, taken="b: run", first="a: run", kind="task")
STRIKE = Deviation(2, 2, taken=fault().label, first="a: run", kind=FAULT)


def options_of(*labels: str) -> list[Option]:
    """Tasks by their labels."""
    return [task(label) for label in labels]


def test_a_choice_is_made_at_its_step_wherever_it_is_offered() -> None:
    choose = Edited([SWAP])
    assert choose(options_of("a: run", "b: run"), 2) == 0, "not yet"
    assert choose(options_of("c: run", "d: run", "b: run"), 3) == 2
    assert not choose.left


def test_what_cannot_run_at_its_step_waits_for_its_situation() -> None:
    choose = Edited([SWAP])
    assert choose(options_of("a: run", "c: run"), 3) == 0
    assert choose(options_of("c: run", "b: run"), 4) == 0, "something else is due"
    assert choose.offered == {3: ("a: run", "c: run")} and choose.seen == {"b: run"}
    assert choose(options_of("a: run", "b: run"), 5) == 1
    assert choose(options_of("a: run", "b: run"), 6) == 0, "once is enough"


def test_a_fault_strikes_as_soon_as_it_can() -> None:
    choose = Edited([STRIKE])
    at_work = task(fault().label)
    assert choose([task("c: run"), fault()], 1) == 0
    assert choose([task("c: run"), at_work], 2) == 0, "that is how one goes on which struck"
    assert choose([task("c: run"), fault()], 3) == 1


def test_situations_can_be_passed_over() -> None:
    choose = Edited([STRIKE, SWAP], situated=True, skipped=1)
    offered = [*options_of("a: run", "b: run"), fault()]
    assert [choose(offered, step) for step in (1, 2, 3, 4)] == [0, 2, 1, 0]


def test_only_loosely_another_orphan_of_the_lane_will_do() -> None:
    lands = Deviation(1, 1, taken="ledger#1: orphan put", kind=ORPHAN, lane="ledger#1")
    commit = orphan("ledger#1: orphan commit")
    commit.lane = "ledger#1"
    strict, loose = Edited([lands]), Edited([lands], loose=True)
    assert strict([task("a: run"), commit], 1) == 0 and strict.left == [lands]
    assert loose([task("a: run"), commit], 1) == 1 and not loose.left


def test_an_order_of_what_never_came_was_not_kept() -> None:
    gone = Constraint(StepName(fault().label, kind=FAULT), StepName("a: run"))
    came = Constraint(StepName("b: run"), StepName("c: run"))
    choose = Ordered([gone, came])
    assert choose(options_of("b: run", "a: run"), 1) == 0
    assert choose.never_came == (gone,)
