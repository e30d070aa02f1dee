"""How the tests of the scenarios search: the default portfolio, one schedule after the other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from functools import lru_cache, wraps

from harness.engine import Run, execute, follow
from harness.invariants import Invariant
from harness.scenario import Scenario
from harness.world.world import World
from scenarios import museum
from scenarios.museum import Hunt, broken, exhibits, hunt
from scenarios.museum_records import RECORDS, load
from scenarios.paradex import paradex
from target_stub.bugs import BUGS

__all__ = ["SEED", "again", "broken", "found", "hunted", "runs", "scenario_of", "without"]

#: The data seed where nothing says which; any other would do.
SEED = 1


def runs(
    *,
    seed: int,
    schedules: int,
    variant: Mapping[str, str],
    scenario: Scenario = paradex,
) -> Generator[Run, None, None]:
    """The first schedules that a search with default settings would try."""
    tried = museum.runs(scenario, seed=seed, schedules=schedules, variant=variant)
    return (run for _, run in tried)


def scenario_of(name: str) -> Scenario:
    """The scenario that has a planted bug as an option."""
    return exhibits()[name].scenario


@lru_cache(maxsize=len(BUGS))
def hunted(name: str) -> Hunt:
    """The search for a planted bug within its budget."""
    return hunt(exhibits()[name], seed=seed_of(name))


def seed_of(name: str) -> int:
    """The data seed from which the museum found a bug soonest: a search from there costs least.

    That it is found from the others is what the museum is for.
    """
    record = load(RECORDS).get(name)
    found = record.hunts if record else {}
    numbers = {seed: caught.number for seed, caught in found.items() if caught.number}
    return min(numbers, key=lambda seed: (numbers[seed], seed), default=SEED)


def found(name: str) -> Run | None:
    """The first run in which the rule that must catch a bug was broken, within its budget."""
    return hunted(name).run


def without(rule: str, scenario: Scenario = paradex) -> Scenario:
    """The scenario judged by all rules but one."""

    @wraps(scenario.story)
    async def story(world: World) -> None:
        add: Callable[..., None] = world.add_invariants

        def add_others(*invariants: Invariant) -> None:
            add(*(each for each in invariants if each.name != rule))

        world.add_invariants = add_others  # type: ignore[method-assign]
        await scenario.story(world)

    return replace(scenario, story=story)


def again(run: Run, scenario: Scenario) -> Run:
    """The same schedule in a variant of the scenario."""
    return execute(
        scenario,
        seed=run.schedule.seed,
        choose=follow(run.schedule, run.deviations),
        variant=run.schedule.variant,
    )
