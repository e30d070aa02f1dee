"""The incident, made small, and explained in the words of the target."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio

from harness.confirmation import finding_of
from harness.engine import Misfit, Run, campaign, execute, follow
from harness.findings import serial
from harness.findings.finding import Finding
from harness.findings.report import render_text
from harness.replay import STILL_FAILS, replay
from harness.schedule.orderings import by_constraints
from harness.shrink import Shrunk, shrink
from harness.world.service import Life
from scenarios.exchange import Exchange
from scenarios.museum import exhibits, hunt
from scenarios.paradex import paradex
from tests.scenarios.searches import SEED


@pytest.fixture(scope="module")
def small() -> Shrunk:
    """The incident as small as it gets."""
    run = hunt(exhibits()["index_zero"], seed=SEED).run
    assert run is not None and len(run.deviations) > 100
    with campaign():
        return shrink(run, budget_runs=300, wall_s=1e9)


@pytest.fixture(scope="module")
def finding(small: Shrunk) -> Finding:
    """Its record."""
    return replace(
        finding_of(small.run),
        shrinking=small.shrinking,
        constraints=small.explanation.constraints,
        orders_tried=small.explanation.orders_tried,
    )


def same(run: Run, finding: Finding) -> bool:
    """Whether a run shows the same bug."""
    return run.violated and run.violations[0].fingerprint == finding.violation.fingerprint


def test_hardly_a_choice_is_left_and_none_can_be_left_out(small: Shrunk, finding: Finding) -> None:
    assert small.shrinking.ended_by == "one-minimal"
    assert 1 <= len(small.run.deviations) <= 3
    for deviation in small.run.deviations:
        kept = {each.step: each.choice for each in small.run.deviations if each is not deviation}
        schedule = small.run.schedule.with_choices(kept)
        try:
            left = execute(
                paradex, seed=schedule.seed, choose=follow(schedule), variant=schedule.variant
            )
        except Misfit:
            continue
        assert not same(left, finding)


def test_nothing_that_traders_do_has_anything_to_do_with_it(small: Shrunk) -> None:
    before, after = small.shrinking.operations
    assert before > 3 and after == 0
    assert "+without=" in small.run.token


def test_the_reason_is_that_it_wrote_before_it_had_read(finding: Finding) -> None:
    assert all(each.checked for each in finding.constraints)
    named = {name.label for each in finding.constraints for name in (each.before, each.after)}
    assert named & {"market_data#2: put all database/markets"} or any(
        each.after.label == "market_data#2: scan database/markets/*" for each in finding.constraints
    )
    run = execute(
        paradex,
        seed=finding.seed,
        clocked=by_constraints(finding.constraints),
        variant=finding.variant,
    )
    assert same(run, finding)


def test_two_more_steps_of_the_service_move_it_and_it_comes_back(
    finding: Finding, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Exchange.run_market_data

    async def run_market_data(exchange: Exchange, life: Life) -> None:
        for _ in range(2):
            await trio.lowlevel.checkpoint()
        await before(exchange, life)

    monkeypatch.setattr(Exchange, "run_market_data", run_market_data)
    done = replay(finding, scenario=paradex)
    assert done.outcome == STILL_FAILS and done.same_bug
    assert done.run is not None and done.run.token != finding.token


def test_the_report_tells_it_in_few_lines(finding: Finding) -> None:
    assert serial.loads(serial.dumps(finding)) == finding
    lines = render_text(finding).splitlines()
    assert len(lines) <= 45
    assert max(len(line) for line in lines if finding.token not in line) <= 80
    start = next(number for number, line in enumerate(lines) if line.startswith("WHY THIS ORDER"))
    told = " ".join(lines[start : start + 8])
    assert " before " in told and "all rules hold (checked)" in " ".join(told.split())
