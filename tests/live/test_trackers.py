"""Races that real projects have reported are found, explained, and not seen in what is repaired."""

from __future__ import annotations

import pytest

from harness.campaign import Plan, explore
from harness.engine import execute
from harness.findings.finding import ONE_MINIMAL, Finding
from harness.scenario import Scenario
from harness.schedule.fragments import by_labels
from tests.live.trackers import NotBuiltError, charged_twice, hunt, outbox_order, stale_leader

pytestmark = pytest.mark.usefixtures("walls")


@pytest.mark.parametrize(
    ("story", "why"),
    [
        (
            stale_leader,
            [
                (
                    "leader#1.0: update lease set epoch = epoch + 1 returning epoch",
                    "nemesis: overlap restart of leader",
                ),
                (
                    "nemesis: overlap restart of leader",
                    "leader#1.0: select coalesce(max(block), 0) from nodes",
                ),
            ],
        ),
        (
            charged_twice,
            [
                (
                    "charges#1.0: insert into charges (message) values (1)",
                    "nemesis: crash restart of charges",
                ),
                (
                    "nemesis: crash restart of charges",
                    "charges#1.0: delete from messages where id = 1",
                ),
            ],
        ),
    ],
    ids=lambda each: each.name if isinstance(each, Scenario) else "",
)
def test_it_is_found_and_explained(story: Scenario, why: list[tuple[str, str]]) -> None:
    skip_if_not_built(story)
    finding = hunt(story, seed=0, shrink_budget=20, strategies=("sweep",))
    assert finding.shrinking.ended_by == ONE_MINIMAL and len(finding.deviations) == 1
    found = [(each.before.label, each.after.label) for each in finding.constraints]
    assert found[: len(why)] == why and all(each.checked for each in finding.constraints)
    is_repaired(story, finding)


def test_an_outbox_is_read_in_the_order_of_its_numbers_and_loses_an_event() -> None:
    finding = hunt(outbox_order, seed=1)
    assert finding.violation.invariant == "no_event_is_passed_over"
    is_repaired(outbox_order, finding)


def is_repaired(story: Scenario, finding: Finding) -> None:
    """What broke a rule, and some more orders, break none with the guard on."""
    guarded = {"guards": "all"}
    same = execute(story, seed=0, clocked=by_labels(finding.deviations), variant=guarded)
    assert same.restarts == 1 and not same.violated and len(same.judged) == 1
    more = explore(story, Plan(seed=1, schedules=2, strategies=("random",), variant=guarded))
    assert more.findings == [] and more.statistics.schedules == 2


def skip_if_not_built(story: Scenario) -> None:
    try:
        assert not execute(story, seed=0).violated  # as first-in-first-out never does
    except NotBuiltError as error:
        pytest.skip(str(error))
