"""First-in-first-out order with restarts at given steps: a crash at every point of a story."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from harness.engine import Run, execute
from harness.scenario import Scenario
from harness.schedule.choices import FAULT, Option


def struck_at(label: str, *steps: int) -> Callable[[Sequence[Option], int], int]:
    """Take the first option always, but this fault at the first chance from each of the steps."""
    left = sorted(steps, reverse=True)

    def choose(options: Sequence[Option], step: int) -> int:
        if left and step >= left[-1]:
            for place, option in enumerate(options):
                if option.kind == FAULT and label in option.label:
                    left.pop()
                    return place
        return 0

    return choose


def crashed_everywhere(
    scenario: Scenario,
    label: str,
    *,
    every: int,
    seed: int = 1,
    variant: Mapping[str, str] | None = None,
) -> Iterator[Run]:
    """One run for every so many steps of the story, with the fault there."""
    steps = execute(scenario, seed=seed, variant=variant or {}).steps
    for step in range(1, steps, every):
        yield execute(scenario, seed=seed, choose=struck_at(label, step), variant=variant or {})
