"""How the tests of the scenarios search: the default portfolio, one schedule after the other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from functools import lru_cache, wraps

from harness.engine import Run, campaign, execute, follow
from harness.invariants import Invariant
from harness.scenario import Scenario
from harness.schedule.strategies.portfolio import PORTFOLIO, Rotation
from harness.schedule.strategies.protocol import Seen
from harness.world.world import World
from scenarios.bridge import bridge
from scenarios.clearing import pools
from scenarios.crash_equivalence import crash_equivalence
from scenarios.paradex import paradex
from scenarios.recovery_drill import recovery_drill
from scenarios.reopening import reopening
from scenarios.whole_exchange import whole_exchange
from target_stub.bugs import BUGS

#: The scenarios with planted bugs, by name.
STORIES: Mapping[str, Scenario] = {
    each.name: each
    for each in (
        paradex,
        whole_exchange,
        pools,
        reopening,
        bridge,
        recovery_drill,
        crash_equivalence,
    )
}
#: The data seed of the searches; any other would do.
SEED = 1


def runs(
    *,
    seed: int,
    schedules: int,
    variant: Mapping[str, str],
    scenario: Scenario = paradex,
) -> Generator[Run, None, None]:
    """The first schedules that a search with default settings would try."""
    rotation, seen = Rotation(PORTFOLIO, seed=seed), Seen()
    with campaign():
        for number in range(1, schedules + 1):
            turn = rotation.next(seen)
            assert turn is not None
            name, choose = turn
            run = execute(
                scenario, seed=seed, choose=choose, variant=variant, profiled=name == "fifo"
            )
            seen = seen.after([run.lesson(number, name)])
            yield run


def scenario_of(name: str) -> Scenario:
    """The scenario that has a planted bug as an option."""
    return STORIES[BUGS[name].scenario]


@lru_cache(maxsize=len(BUGS))
def found(name: str) -> Run | None:
    """The first run in which the rule that must catch a bug was broken, within its budget."""
    bug, scenario = BUGS[name], scenario_of(name)
    variant = scenario.variant(bug=name)
    tried = runs(seed=SEED, schedules=bug.budget, variant=variant, scenario=scenario)
    return next((run for run in tried if bug.breaks in broken(run)), None)


def broken(run: Run) -> set[str]:
    """The rules that a run broke."""
    return {violation.invariant for violation in run.violations}


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
