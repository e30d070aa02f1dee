"""Classic programs and restart races: shrunk, explained, and found again after an edit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.engine import campaign
from harness.shrink import shrink
from tests.benchmarks.classics.catalogue import program_of
from tests.benchmarks.reasons import explained, failing, is_one_minimal

#: Those of which a run that breaks is found and made small at once.
QUICK = (
    "account",
    "bluetooth_driver",
    "boundedBuffer",
    "carter01",
    "circular_buffer",
    "deadlock01",
    "dining_3",
    "lazy01",
    "queue",
    "qsort_mt",
    "reorder_3",
    "reorder_4",
    "reorder_10",
    "stack",
    "stringbuffer",
    "token_ring",
    "twostage",
    "wronglock_3",
    "ack_before_fsync",
    "ack_before_write",
    "default_before_hydrate",
    "four_windows",
    "half_a_pair",
    "restart_in_recovery",
    "total_over_rolling",
)
#: Those whose schedules are long: so many choices are left at most, after so many runs.
LONG = {"reorder_20": (20, 300), "twostage_20": (70, 300)}


@pytest.fixture(autouse=True)
def one_campaign() -> Iterator[None]:
    """Many runs in a row."""
    with campaign():
        yield


@pytest.mark.parametrize("name", QUICK)
def test_it_is_one_minimal_and_explained_and_comes_back_after_an_edit(name: str) -> None:
    done = explained(name, failing(program_of(name).scenario()), budget=500)
    assert done.small.shrinking.ended_by == "one-minimal" and done.minimal
    constraints = done.small.explanation.constraints
    assert 1 <= len(constraints) <= 9
    assert done.checked == len(constraints)
    assert done.after_edit and done.good


@pytest.mark.parametrize("name", LONG)
def test_a_long_schedule_becomes_short_within_the_budget(name: str) -> None:
    run = failing(program_of(name).scenario())
    choices_max, budget = LONG[name]
    small = shrink(run, budget_runs=budget, wall_s=1e9)
    assert len(run.deviations) > 80 and len(small.run.deviations) <= choices_max


def test_what_is_not_one_minimal_is_not_called_so() -> None:
    """Or else the test before proves nothing: a run that was not shrunk is not minimal."""
    run = failing(program_of("account").scenario())
    unshrunk = shrink(run, budget_runs=2, wall_s=1e9)
    assert not is_one_minimal(run, unshrunk)
