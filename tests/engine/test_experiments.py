"""Experiments on a failing run: what is kept, what is left out, what it is compared with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.engine import Run, campaign, execute
from harness.experiments import Experiments
from harness.findings.finding import Constraint
from harness.schedule.orderings import by_constraints, holding_back
from harness.steps import Clocked
from tests.benchmarks.classics.catalogue import program_of
from tests.benchmarks.reasons import failing
from tests.engine.planted import PLANTED, Planted, failing_runs
from tests.engine.test_constraints import name
from tests.engine.worlds import run_of, task


@pytest.fixture(autouse=True)
def one_campaign() -> Iterator[None]:
    """Many runs in a row."""
    with campaign():
        yield


class Laboratory:
    """Experiments on one run, and all runs that they made."""

    def __init__(self, run: Run, *, hurry: bool = False, runs_max: int = 10**6) -> None:
        self.runs: list[Run] = []
        self.run = run
        self.experiments = Experiments(
            run, self.execute, lambda: len(self.runs) < runs_max, hurry=hurry
        )

    def execute(self, clocked: Clocked) -> Run:
        """One run."""
        seed = self.run.schedule.seed
        run = execute(self.run.scenario, seed=seed, clocked=clocked, until_violation=True)
        self.runs.append(run)
        return run


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.scenario.name)
def test_all_choices_kept_as_orders_are_the_same_run(planted: Planted) -> None:
    for run in failing_runs(planted, 3):
        laboratory = Laboratory(run)
        done = laboratory.experiments.kept(laboratory.experiments.every_choice())
        assert done.shown and not done.unkept
        until = run.violations[0].step
        assert laboratory.runs[-1].schedule.choices == {
            step: choice for step, choice in run.schedule.choices.items() if step <= until
        }


@pytest.mark.parametrize("program", ["reorder_10", "twostage_20", "WorkStealQueue"])
def test_the_orders_of_dependent_steps_are_enough_and_few_of_them_are_too(program: str) -> None:
    run = failing(program_of(program).scenario())
    laboratory = Laboratory(run, hurry=True)
    every = laboratory.experiments.every_order()
    assert laboratory.experiments.kept(every).shown
    few = laboratory.experiments.fewest(every)
    assert 1 <= len(few) < len(every) / 10 and laboratory.experiments.breaks(few)
    for each in few if len(few) > 1 else ():
        assert not laboratory.experiments.breaks([other for other in few if other is not each])
    shown = [len(each.deviations) for each in laboratory.runs if each.violated]
    assert min(shown) < len(run.deviations) / 2
    assert len(laboratory.runs) < 100, "a hundred runs for hundreds of orders"


@pytest.mark.parametrize("program", ["carter01", "lazy01", "deadlock01"])
def test_what_first_in_first_out_breaks_is_compared_with_somebody_held_back(program: str) -> None:
    run = run_of(program_of(program).scenario())
    assert run.violated
    experiments = Laboratory(run).experiments
    assert experiments.passing
    assert not experiments.kept([]).violated, "where nothing is asked for, it passes"
    first = [step.name for step in experiments.passing]
    assert experiments.take_another_order()
    assert [step.name for step in experiments.passing] != first


def test_without_a_run_left_nothing_is_found_out() -> None:
    run = failing_runs(PLANTED[0], 1)[0]
    experiments = Laboratory(run, runs_max=2).experiments
    assert experiments.every_order() == []
    assert not experiments.kept([]).shown


def test_whoever_starts_the_one_that_is_waited_for_is_hurried() -> None:
    first = Constraint(name("b: run"), name("a: run"))
    a, c, starts = task("a: run"), task("c: run"), task("main: story")
    hurry = {first.before: ("b: run", "main: story")}
    choose = by_constraints([first], hurry=hurry)(lambda: 0)
    assert choose([a, c, starts], 1) == 2
    assert choose([a, c, starts, task("b: run")], 2) == 3


def test_an_actor_that_is_held_back_goes_when_nobody_else_can() -> None:
    choose = holding_back("a: run")
    assert choose([task("a: run"), task("b: run")], 1) == 1
    assert choose([task("a: run")], 2) == 0


def test_a_step_that_nobody_asks_for_tells_what_it_was_made_possible_by() -> None:
    run = failing(program_of("reorder_3").scenario())
    steps = Laboratory(run).experiments.failing
    descents = {step.actor: step.descent for step in steps}
    assert descents["main: check"] == ("main: check", "main: story")
    assert all(step.descent[0] == step.actor for step in steps)
