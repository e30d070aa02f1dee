"""Runs that cannot be judged here, and schedules that do not fit: said, and never called a bug."""

from __future__ import annotations

import pytest
import trio

from harness.engine import check_trustworthy, execute, follow
from harness.errors import RefusedError, UntrustworthyError
from harness.invariants import Broken
from harness.world.world import World
from tests.engine.test_runs import TURNS, last
from tests.engine.worlds import preferring, run_of, told


def test_a_target_that_leaves_the_simulation_is_not_judged() -> None:
    async def opens(world: World) -> None:
        @world.invariant
        def never() -> None:
            raise Broken("not to be judged")

        with open(__file__, encoding="utf-8"):
            pass

    run = run_of(told(opens))
    assert run.ending.kind == "refused"
    with pytest.raises(RefusedError, match="a file") as refused:
        check_trustworthy(run)
    assert str(refused.value).endswith("\nchangeover replay opens@1")
    assert "hand the target a disk" in str(refused.value)


def test_a_target_that_swallows_the_refusal_is_not_judged_either() -> None:
    async def opens_quietly(world: World) -> None:
        try:
            open(__file__, encoding="utf-8")  # noqa: SIM115
        except Exception:
            return

    with pytest.raises(RefusedError, match="a file"):
        check_trustworthy(run_of(told(opens_quietly)))


def test_a_step_that_never_yields_is_struck_down_and_named() -> None:
    async def spins_for_ever(world: World) -> None:
        await trio.lowlevel.checkpoint()
        while True:
            pass

    run = run_of(told(spins_for_ever, step_wall_s=0.1))
    assert run.ending.kind == "never yields"
    assert not run.violated
    with pytest.raises(UntrustworthyError) as untrusted:
        check_trustworthy(run)
    assert "never yielded within 0.1 s" in str(untrusted.value)
    assert "main: spins_for_ever" in str(untrusted.value)
    assert str(untrusted.value).endswith("\nchangeover replay spins_for_ever@1")


def test_an_ordinary_run_is_trustworthy() -> None:
    check_trustworthy(run_of(TURNS))
    check_trustworthy(run_of(TURNS, last))


# --- following a schedule -----------------------------------------------------------------------


def test_a_choice_that_does_not_fit_is_a_misfit() -> None:
    run = run_of(TURNS, preferring("two: client"))
    (deviation,) = run.deviations
    schedule = run.schedule.with_choices({deviation.step: 7})
    with pytest.raises(UntrustworthyError, match=f"step {deviation.step} should run option 7"):
        execute(TURNS, seed=1, choose=follow(schedule))
