"""Generated programs in generated orders: the same choices are the same run, whatever they are.

A program is a few lanes of sleeps, locks, statements and messages in memory, around one service
that may be restarted. The order is a list of random numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from harness.engine import Run, execute, follow
from harness.repeat import same_twice
from harness.scenario import Scenario
from harness.schedule.choices import Chooser, Option, Schedule
from harness.world.database import Database
from harness.world.service import Life
from harness.world.world import World
from tests.engine.settings import examples
from tests.engine.worlds import crashes, told

#: What a lane can do in one line of its program, with a number to make lines differ.
ACTIONS = ("sleep", "yield", "lock", "get", "put", "transaction", "spawn", "timeout", "draw")
LINES = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 3)), min_size=1, max_size=4)
PROGRAMS = st.tuples(
    st.lists(LINES, min_size=2, max_size=3),
    LINES,
    st.sampled_from(
        [("crash",), ("stop", "crash"), ("rolling",), ("failover", "rolling"), ("pause", "crash")]
    ),
)
Line = tuple[str, int]


class Shared:
    """What the lanes of one run have in common."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.database: Database = world.database("db", isolation="repeatable read")
        self.locks: dict[str, trio.Lock] = {}

    async def perform(self, lane: str, line: Line) -> None:
        """One line of a program."""
        action, number = line
        database, key = self.database, f"row {number % 2}"
        if action == "sleep":
            await trio.sleep(number / 10)
        elif action == "yield":
            await trio.lowlevel.checkpoint()
        elif action == "lock":
            async with self.locks.setdefault(lane, trio.Lock()):
                await trio.sleep(0.05)
        elif action == "get":
            row = await database.get("rows", key)
            self.world.simulation.emit("note", "saw", value=row)
        elif action == "put":
            await database.put("rows", key, {"by": lane, "number": number})
        elif action == "transaction":
            await self.transact(key, number)
        elif action == "spawn":
            async with trio.open_nursery() as nursery:
                for _ in range(1 + number % 2):
                    nursery.start_soon(trio.lowlevel.checkpoint)
        elif action == "timeout":
            with trio.move_on_after(number / 20):
                await database.put("rows", key, {"by": "late"})
        elif action == "draw":
            value = self.world.random(lane).random()
            self.world.simulation.emit("note", "drew", value=value)

    async def transact(self, key: str, number: int) -> None:
        """Read one row and write another in one transaction; a conflict is an answer, too."""
        try:
            async with self.database.transaction() as transaction:
                row = await transaction.get("rows", key)
                await transaction.put("rows", f"row {number // 2}", {"was": row and len(row)})
        except Exception as error:
            self.world.simulation.emit("note", f"conflict {type(error).__name__}")


def scenario_of(
    clients: Sequence[Sequence[Line]], serving: Sequence[Line], kinds: Sequence[str]
) -> Scenario:
    """A generated program as a scenario."""

    async def generated(world: World) -> None:
        shared = Shared(world)

        async def serve(life: Life) -> None:
            life.enter("ready")
            for line in serving:
                await shared.perform(life.name, line)
            await life.stop_requested()
            life.enter("drain")
            await shared.perform(life.name, serving[0])

        async def client(name: str, lines: Sequence[Line]) -> None:
            for line in lines:
                await shared.perform(name, line)

        world.service("server", serve)
        lanes = [
            world.start_client(f"client {number}", client, f"client {number}", lines)
            for number, lines in enumerate(clients)
        ]
        for lane in lanes:
            await world.finished(lane)
        await trio.sleep(0.3)

    return told(generated, crashes("server", *kinds), faults_max=2, steps_max=600)


def by_numbers(numbers: Sequence[int]) -> Chooser:
    """A choice for each number; first-in-first-out when they are used up."""

    def choose(options: Sequence[Option], step: int) -> int:
        return numbers[step - 1] % len(options) if step <= len(numbers) else 0

    return choose


def assert_repeatable(scenario: Scenario, choose: Chooser, again: Chooser) -> Run:
    """The same numbers, the recorded choices, and the token all make the same run."""
    run = execute(scenario, seed=3, choose=choose, digested=True)
    assert run.ending.kind in ("finished", "stuck", "step limit"), run.ending
    assert execute(scenario, seed=3, choose=again, digested=True).digest == run.digest
    strict = follow(run.schedule, run.deviations)
    replayed = execute(scenario, seed=3, choose=strict, digested=True)
    assert replayed.digest == run.digest
    assert replayed.deviations == run.deviations
    assert replayed.violations == run.violations
    assert Schedule.parse(run.token) == run.schedule
    return run


@given(PROGRAMS, st.lists(st.integers(0, 7), max_size=40))
@examples(200)
def test_generated_programs_are_repeatable_in_generated_orders(
    program: tuple[list[list[Line]], list[Line], tuple[str, ...]], numbers: list[int]
) -> None:
    scenario = scenario_of(*program)
    assert_repeatable(scenario, by_numbers(numbers), by_numbers(numbers))


def seeded(seed: int) -> tuple[Scenario, list[int]]:
    """A program and an order out of one number."""
    generator = Random(seed)

    def lines() -> list[Line]:
        count = generator.randint(2, 6)
        return [(generator.choice(ACTIONS), generator.randrange(4)) for _ in range(count)]

    clients = [lines() for _ in range(generator.choice((2, 3)))]
    kinds = generator.sample(("crash", "stop", "rolling", "failover", "pause"), 2)
    return scenario_of(clients, lines(), kinds), [generator.randrange(8) for _ in range(80)]


def digest_of_seed(seed: int) -> str:
    """The digest of a seeded program in its seeded order."""
    scenario, numbers = seeded(seed)
    return execute(scenario, seed=3, choose=by_numbers(numbers), digested=True).digest


@pytest.mark.parametrize("seed", range(25))
def test_seeded_programs_are_repeatable_step_by_step(seed: int) -> None:
    scenario, numbers = seeded(seed)
    run = assert_repeatable(scenario, by_numbers(numbers), by_numbers(numbers))
    assert same_twice(run) is None


def test_seeded_programs_are_restarted_and_overlap() -> None:
    runs = []
    for seed in range(25):
        scenario, numbers = seeded(seed)
        runs.append(execute(scenario, seed=3, choose=by_numbers(numbers), digested=True))
    assert len({run.digest for run in runs}) == len(runs)
    assert sum(run.restarts for run in runs) >= 10
    assert sum(not run.vacuous for run in runs) >= 5
