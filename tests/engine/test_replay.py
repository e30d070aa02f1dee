"""A recorded schedule run again: it still fails, is fixed, or no longer fits the code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trio

from harness.campaign import finding_of
from harness.doors.regressions import DOES_NOT_FIT, HOLDS, rehearsed
from harness.doors.rerun import rerun
from harness.engine import execute
from harness.errors import RefusedError, UsageError
from harness.findings.finding import Finding
from harness.invariants import Broken
from harness.replay import DIVERGED, FIXED, STILL_FAILS, replay
from harness.scenario import Scenario
from harness.schedule.choices import Option, Schedule
from harness.world.world import World
from tests.engine.worlds import told


@dataclass
class Target:
    """A till with a lost update, and what may change about it."""

    fixed: bool = False
    clients: tuple[str, ...] = ("ann", "bob")
    rule: str = "every_payment_counts"
    place: str = "till.py:7 pay"
    #: How many steps somebody else takes before all of that.
    steps_before: int = 0


def scenario_of(target: Target) -> Scenario:
    """Two clients pay in; the second may overwrite what the first has paid."""

    async def pays(world: World) -> None:
        till = {"usdc": 0}

        async def pay(name: str) -> None:
            seen = till["usdc"]
            await trio.lowlevel.checkpoint()
            if target.fixed:
                seen = till["usdc"]
            till["usdc"] = seen + 1
            world.simulation.emit("write", name, resource="till", after=seen + 1)

        @world.invariant(name=target.rule, at_end=True)
        def every_payment_counts() -> None:
            if till["usdc"] != len(target.clients):
                raise Broken(f"{till['usdc']} of {len(target.clients)} payments", site=target.place)

        async def bystander() -> None:
            for _ in range(target.steps_before):
                await trio.lowlevel.checkpoint()

        if target.steps_before:
            world.start_client("carl", bystander)
            await trio.sleep(1)
        for name in target.clients:
            world.start_client(name, pay, name)
            for _ in range(4):
                await trio.lowlevel.checkpoint()
        await trio.sleep(1)

    return told(pays, name="till")


def overlap(options: Sequence[Option], step: int) -> int:
    """Let the second client go first when the first one is about to write."""
    labels = [option.label for option in options]
    return 1 if labels[0] == "ann: pay" and step > 3 and labels[1] in _GOES_BEFORE else 0


_GOES_BEFORE = ("main: pays", "bob: pay")


@pytest.fixture
def target() -> Target:
    """The target as it was when the finding was recorded."""
    return Target()


@pytest.fixture
def finding(target: Target) -> Finding:
    """Its lost update."""
    run = execute(scenario_of(target), seed=3, choose=overlap)
    assert run.violated and run.deviations
    return finding_of(run)


@pytest.mark.parametrize("times", [1, 4])
def test_it_still_fails_with_the_same_digest(finding: Finding, target: Target, times: int) -> None:
    done = replay(finding, times=times, scenario=scenario_of(target))
    assert done.outcome == STILL_FAILS
    assert done.digests == (finding.digest,) * times
    assert done.exact and done.repeatable and done.same_bug and done.misfit is None
    assert done.run is not None
    assert done.run.violations == finding.violations
    assert done.run.token == finding.token


def test_a_bare_token_does_the_same(finding: Finding, target: Target) -> None:
    done = replay(Schedule.parse(finding.token), times=2, scenario=scenario_of(target))
    assert done.outcome == STILL_FAILS
    assert done.digests == (finding.digest,) * 2
    assert done.recorded_digest == "" and not done.exact


def test_first_in_first_out_is_fixed(target: Target) -> None:
    done = replay(Schedule("till", 3), scenario=scenario_of(target))
    assert done.outcome == FIXED
    assert done.run is not None and done.run.held == ("every_payment_counts",)


def test_a_repair_that_keeps_the_schedule_possible_is_fixed(
    finding: Finding, target: Target
) -> None:
    target.fixed = True
    done = replay(finding, times=2, scenario=scenario_of(target))
    assert done.outcome == FIXED
    assert done.run is not None
    assert done.run.token == finding.token and done.run.held == ("every_payment_counts",)
    assert done.repeatable and not done.exact


def test_another_rule_that_breaks_is_told(finding: Finding, target: Target, tmp_path: Path) -> None:
    target.rule = "nobody_loses"
    done = replay(finding, scenario=scenario_of(target))
    assert done.outcome == STILL_FAILS
    assert not done.same_bug
    told = rerun(finding, scenario_of(target), root=tmp_path).verdict
    assert "another rule is broken first than the one that was recorded" in told


def test_the_same_rule_in_a_function_that_was_renamed_is_told(
    finding: Finding, target: Target, tmp_path: Path
) -> None:
    target.place = "till.py:7 pay_in"
    told = rerun(finding, scenario_of(target), root=tmp_path).verdict
    assert "the same rule is broken, but at pay_in instead of pay\n" in f"{told}\n"
    assert "another rule" not in told


# --- it no longer fits --------------------------------------------------------------------------


def test_another_option_in_its_place_is_a_divergence(finding: Finding, target: Target) -> None:
    deviation = next(each for each in finding.deviations if each.taken == "bob: pay")
    target.clients, target.fixed = ("ann", "rob"), True
    done = replay(finding, scenario=scenario_of(target))
    assert done.outcome == DIVERGED and done.gone
    assert done.misfit is not None
    assert done.misfit.step == deviation.step
    assert done.misfit.expected == deviation.taken
    assert deviation.taken not in done.misfit.offered and done.misfit.offered
    assert (
        str(done.misfit)
        == f"step {deviation.step} should run {deviation.taken}, which cannot run now"
    )


def test_a_choice_out_of_range_is_a_divergence(target: Target) -> None:
    done = replay(Schedule("till", 3, {4: 9}), scenario=scenario_of(target))
    assert done.outcome == DIVERGED
    assert done.misfit is not None
    assert (done.misfit.step, done.misfit.expected) == (4, "option 9")
    assert len(done.misfit.offered) > 1


def test_a_choice_where_there_is_none_is_a_divergence(target: Target) -> None:
    """At its first step a run has one option; nobody even asks the chooser there."""
    done = replay(Schedule("till", 3, {1: 1}), scenario=scenario_of(target))
    assert done.outcome == DIVERGED
    assert done.misfit is not None
    assert (done.misfit.step, done.misfit.expected) == (1, "a choice at step 1")


def test_a_step_that_is_never_reached_is_a_divergence(target: Target) -> None:
    done = replay(Schedule("till", 3, {5000: 1}), scenario=scenario_of(target))
    assert done.outcome == DIVERGED
    assert done.misfit is not None and done.misfit.step == 5000
    assert done.run is not None and done.run.steps < 5000


def test_a_choice_of_the_default_is_none(target: Target) -> None:
    assert replay(Schedule("till", 3, {1: 0}), scenario=scenario_of(target)).outcome == FIXED


def test_what_comes_after_an_earlier_violation_is_not_missed(target: Target) -> None:
    async def breaks_early(world: World) -> None:
        @world.invariant(on=("a",))
        def never() -> None:
            raise Broken("no")

        async def emits() -> None:
            await trio.lowlevel.checkpoint()
            world.simulation.emit("note", "x", resource="a")
            for _ in range(4):
                await trio.lowlevel.checkpoint()

        for name in ("ann", "bob"):
            world.start_client(name, emits)
        await trio.sleep(1)

    scenario = told(breaks_early, name="till")
    run = execute(scenario, seed=1)
    assert run.violations[0].step < run.steps - 2
    late = Schedule("till", 1, {run.steps - 2: 1})
    done = replay(late, scenario=scenario)
    assert done.outcome == STILL_FAILS
    assert done.run is not None and done.run.token == "till@1"


# --- after an edit that moved its steps --------------------------------------------------------


def test_what_moved_still_fails_by_its_labels(finding: Finding, target: Target) -> None:
    assert not finding.constraints
    target.steps_before = 3
    done = replay(finding, times=3, scenario=scenario_of(target))
    assert done.outcome == STILL_FAILS and done.same_bug and done.repeatable
    assert done.kept_by == "labels" and not done.exact
    assert done.run is not None and done.schedule == done.run.schedule
    assert replay(done.schedule, scenario=scenario_of(target)).outcome == STILL_FAILS


def test_what_moved_and_is_repaired_is_fixed(finding: Finding, target: Target) -> None:
    target.steps_before, target.fixed = 3, True
    done = replay(finding, times=3, scenario=scenario_of(target))
    assert done.outcome == FIXED and done.misfit is None
    assert done.kept_by == "labels" and len(done.digests) == 3
    assert done.schedule == Schedule.parse(finding.token)
    (kept,) = rehearsed([finding], scenario_of(target))
    assert (kept.outcome, kept.kept_by, kept.warning) == (HOLDS, "labels", "")


def test_another_rule_that_breaks_where_the_steps_moved_is_told(
    finding: Finding, target: Target
) -> None:
    target.steps_before, target.rule = 3, "nobody_loses"
    done = replay(finding, scenario=scenario_of(target))
    assert done.outcome == STILL_FAILS
    assert not done.same_bug


def test_a_step_that_is_gone_is_named_wherever_the_others_are(
    finding: Finding, target: Target
) -> None:
    target.steps_before, target.fixed, target.clients = 3, True, ("ann", "rob")
    done = replay(finding, scenario=scenario_of(target))
    assert done.outcome == DIVERGED and done.gone
    assert done.misfit is not None and done.misfit.expected == "bob: pay"
    assert done.misfit.expected not in done.misfit.offered
    (lost,) = rehearsed([finding], scenario_of(target))
    assert lost.outcome == DOES_NOT_FIT
    assert "should run bob: pay, which cannot run now; no step has that name" in lost.warning


# --- going on all the same ----------------------------------------------------------------------


def test_going_on_is_first_in_first_out_from_the_misfit(target: Target) -> None:
    run = execute(scenario_of(target), seed=3, choose=overlap)
    (first, *_) = run.schedule.choices.items()
    good_then_bad = Schedule("till", 3, {first[0]: first[1], first[0] + 1: 99, 7: 1})
    done = replay(good_then_bad, go_on=True, times=3, scenario=scenario_of(target))
    assert done.misfit is not None and done.misfit.step == first[0] + 1
    assert done.run is not None
    assert done.run.schedule.choices == dict([first])
    assert done.repeatable and len(done.digests) == 3
    only_good = replay(Schedule("till", 3, dict([first])), scenario=scenario_of(target))
    assert done.digests[0] == only_good.digests[0]
    assert done.outcome == only_good.outcome


def test_going_on_names_a_choice_that_was_never_made(target: Target) -> None:
    done = replay(Schedule("till", 3, {5000: 1}), go_on=True, scenario=scenario_of(target))
    assert done.outcome == FIXED
    assert done.misfit is not None and done.misfit.step == 5000


def test_going_on_without_a_misfit_is_an_ordinary_replay(finding: Finding, target: Target) -> None:
    done = replay(finding, go_on=True, times=2, scenario=scenario_of(target))
    assert done.outcome == STILL_FAILS and done.exact and done.misfit is None


# --- what cannot be replayed --------------------------------------------------------------------


def test_a_target_that_remembers_is_not_repeatable() -> None:
    numbers = iter(range(99))

    async def counts(world: World) -> None:
        world.simulation.emit("note", "n", value=next(numbers))

    done = replay(Schedule("counts", 1), times=3, scenario=told(counts))
    assert len(set(done.digests)) == 3
    assert not done.repeatable and not done.exact


def test_an_unknown_scenario_guard_or_bug_is_refused(finding: Finding, target: Target) -> None:
    with pytest.raises(UsageError, match="unknown scenario 'no such story'"):
        replay(Schedule("no such story", 1))
    with pytest.raises(UsageError, match="unknown bug of scenario till 'late'"):
        replay(Schedule("till", 3, {}, {"bug": "late"}), scenario=scenario_of(target))
    wrong = replace(finding, token=finding.token.replace("@", "+guards=fence@"))
    with pytest.raises(UsageError, match="unknown guard of scenario till 'fence'"):
        replay(wrong, scenario=scenario_of(target))


def test_a_target_that_leaves_the_simulation_is_not_called_fixed() -> None:
    async def opens(world: World) -> None:
        open(__file__, encoding="utf-8")  # noqa: SIM115

    with pytest.raises(RefusedError):
        replay(Schedule("opens", 1), scenario=told(opens))
