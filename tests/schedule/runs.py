"""How the tests of the simulation run a program: once by a chooser, or in every possible order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from harness.schedule.choices import Option
from harness.schedule.simulation import Limits, Simulation

Program = Callable[..., Awaitable[Any]]
Choose = Callable[[Sequence[Option]], int]


def first(options: Sequence[Option]) -> int:
    """First in, first out."""
    return 0


def step_through(simulation: Simulation, choose: Choose = first) -> Simulation:
    """Enter a simulation, take options until there are none, leave it."""
    with simulation:
        while options := simulation.options():
            simulation.apply(options[choose(options)])
    return simulation


def run(
    program: Program,
    *arguments: object,
    choose: Choose = first,
    seed: int = 0,
    limits: Limits | None = None,
) -> Simulation:
    """One run of a program as the main lane."""
    simulation = Simulation(seed=seed, limits=limits)
    simulation.spawn("main", program, *arguments, main=True)
    return step_through(simulation, choose)


def result_of(program: Program, *arguments: object, choose: Choose = first, seed: int = 0) -> Any:
    """What a program returned; it must finish, and not fail."""
    simulation = run(program, *arguments, choose=choose, seed=seed)
    lane = simulation.lanes["main"]
    assert simulation.ending is not None
    assert simulation.ending.kind == "finished", simulation.ending
    if lane.error is not None:
        raise lane.error
    return lane.result


def take(label: str) -> Choose:
    """Prefer the option whose label ends so; else the first."""

    def choose(options: Sequence[Option]) -> int:
        labels = [option.label for option in options]
        return next((index for index, each in enumerate(labels) if each.endswith(label)), 0)

    return choose


def every_run(
    build: Callable[[], Simulation], *, allowed: Callable[[Option], bool] = lambda option: True
) -> Iterator[Simulation]:
    """Every run of a program, depth first over all choices among the allowed options."""
    pending: list[list[int]] = [[]]
    while pending:
        prefix = pending.pop()
        simulation = build()
        taken: list[int] = []
        with simulation:
            while offered := simulation.options():
                options = [option for option in offered if allowed(option)]
                index = prefix[len(taken)] if len(taken) < len(prefix) else 0
                if len(taken) >= len(prefix):
                    pending += [[*taken, other] for other in range(1, len(options))]
                taken.append(index)
                simulation.apply(options[index])
        yield simulation
