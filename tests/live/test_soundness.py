"""Footprints lose no final state of small programs; that this would be noticed is tested too."""

from __future__ import annotations

import pytest

from harness.live.sql import missing
from harness.schedule.choices import Footprint
from tests.live.soundness import Lanes, blind, closed, compare, program, scenario_of

pytestmark = [
    pytest.mark.usefixtures("walls"),
    pytest.mark.skipif(bool(missing()), reason=missing() or "-"),
]
READS_AND_WRITES: Lanes = (
    ("select hands from books where name = 'ann'",),
    ("begin", "update books set hands = 'y' where name = 'ann'", "commit"),
)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_program_has_the_same_final_states(seed: int) -> None:
    few, every = compare(program(seed), runs_max=40)
    assert few.states == every.states and few.runs <= every.runs


def test_what_is_not_committed_is_not_seen_so_its_order_is_not_made() -> None:
    few, every = compare(READS_AND_WRITES, runs_max=10)
    assert (few.runs, every.runs) == (2, 3)
    assert few.states == every.states and len(few.states) == 2


@pytest.mark.parametrize("begin", ["begin isolation level repeatable read", "begin"])
def test_the_snapshot_of_another_isolation_level_depends_on_all_that_commits(begin: str) -> None:
    reading = (begin, "select hands from books where name = 'ann'", "select count(*) from said")
    few, every = compare(
        ((*reading, "commit"), ("insert into said (what) values ('y')",)), runs_max=9
    )
    assert few.states == every.states and len(few.states) == 2
    assert few.runs == (every.runs if begin != "begin" else 2)


def test_footprints_that_know_too_little_would_be_noticed() -> None:
    scenario = scenario_of(READS_AND_WRITES)
    with blind(lambda self, *_: Footprint(self.now.touches)):
        assert len(closed(scenario, runs_max=10).states) == 1
