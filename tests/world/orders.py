"""How the tests of the world run lanes: in every order of their operations, or in one of them.

Tasks run at once whenever they can, because between two operations they touch nothing that is
shared; only operations, decisions and faults are branched on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from harness.schedule.choices import TASK, Option
from harness.schedule.simulation import Simulation

Choose = Callable[[Sequence[Option]], int]


def step_through(simulation: Simulation, choose: Choose = lambda options: 0) -> Simulation:
    """Run to the end; ``choose`` is asked only when no task is ready."""
    with simulation:
        while options := simulation.options():
            task = next((option for option in options if option.kind == TASK), None)
            simulation.apply(task or options[choose(options)])
    return simulation


def every_order(build: Callable[[], Simulation]) -> Iterator[Simulation]:
    """Every run of what ``build`` makes, depth first; each one has ended when it is handed out."""
    pending: list[list[int]] = [[]]
    while pending:
        prefix = pending.pop()
        taken: list[int] = []

        def choose(options: Sequence[Option], prefix: list[int] = prefix) -> int:
            index = prefix[len(taken)] if len(taken) < len(prefix) else 0  # noqa: B023
            if len(taken) >= len(prefix):  # noqa: B023
                pending.extend([*taken, other] for other in range(1, len(options)))  # noqa: B023
            taken.append(index)  # noqa: B023
            return index

        yield step_through(build(), choose)


def in_order(*endings: str) -> Choose:
    """Take exactly these operations, one after the other; then the first of what is offered."""
    wanted = list(endings)

    def choose(options: Sequence[Option]) -> int:
        if not wanted:
            return 0
        ending = wanted.pop(0)
        labels = [option.label for option in options]
        found = [index for index, label in enumerate(labels) if label.endswith(ending)]
        assert found, f"{ending!r} is not among {labels}"
        return found[0]

    return choose
