"""The whole exchange: clean however its services restart, and every kind of order is in it."""

from __future__ import annotations

import pytest

from harness.engine import execute
from scenarios.whole_exchange import RESTARTS, whole_exchange
from tests.scenarios.searches import runs


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_first_in_first_out_is_clean(seed: int) -> None:
    run = execute(whole_exchange, seed=seed)
    assert not run.violations, run.violations
    assert not run.unknown
    assert run.ending.kind == "finished"


def test_the_default_search_accuses_nobody_and_reaches_every_mark() -> None:
    reached: set[str] = set()
    restarted: set[str] = set()
    for run in runs(seed=1, schedules=60, variant={}, scenario=whole_exchange):
        assert not run.violations, (run.token, run.violations)
        assert not run.unknown
        reached |= {mark for mark, count in run.reached.items() if count}
        restarted |= {event.lane for event in run.history if event.kind == "phase"}
    assert set(whole_exchange.must_reach) <= reached
    assert (
        len({lane.partition("#")[0] for lane in restarted if not lane.endswith("#1")})
        >= len(RESTARTS) - 2
    )
