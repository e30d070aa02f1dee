"""Which strategies look for a bug in the tests, and for how long."""

from __future__ import annotations

from harness.schedule.strategies.portfolio import STRATEGIES
from tests.benchmarks.classics.measure import PORTFOLIO

_HUNTERS = {"surw": 400, "guided": 400, PORTFOLIO: 500, "pos": 400, "random": 1000}


def hunters() -> tuple[tuple[str, int], ...]:
    """The strategies that are there, and how many schedules each may spend."""
    return tuple(
        (name, schedules)
        for name, schedules in _HUNTERS.items()
        if name == PORTFOLIO or name in STRATEGIES
    )
