"""Small programs drawn at random: tasks in one lane and in several, stores, timers and faults.

Each has a handful of operations, so that every order of it can be enumerated. What its tasks saw,
and what is left in the stores, is its final state.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

import trio

from harness.history import Event
from harness.proof.bounds import Bound
from harness.scenario import Scenario
from harness.schedule.choices import Footprint, reads, writes
from harness.world.world import World
from tests.proof.acts import ACTS, FAMILIES, Stage


@dataclass(frozen=True, slots=True)
class Program:
    """Lanes, each with tasks, each with the names of the acts that it does one after the other.

    ``family`` says which acts were to choose from; ``fault`` is a lane that may be cut off, or
    ``power`` for the disk, and ``rules`` are judged on the way.
    """

    number: int
    family: str
    lanes: tuple[tuple[tuple[str, ...], ...], ...]
    fault: str = ""
    rules: tuple[str, ...] = ()
    bound: Bound = field(default_factory=Bound)


#: How many acts there are in each task of each lane, of several programs.
Shapes = tuple[tuple[tuple[int, ...], ...], ...]
#: A fault may strike at every step, so a
#: program with one has to be small.
ONE_LANE: Shapes = (((1, 1),), ((2, 1),), ((2, 2),), ((3, 1),), ((1, 1, 1),))
SEVERAL_LANES: Shapes = (((1,), (1,)), ((1,), (1,)), ((1,), (1,)), ((2,), (1,)), ((1, 1), (1,)))
WITH_FAULT: Shapes = (((1,), (1,)),)
IN_TIME: Shapes = (((1, 1),), ((2,),), ((1,), (1,)))
WITH_RESTART: Shapes = (((1,),),)
WITH_SERVICE: Shapes = (((1,),), ((2,),), ((1,), (1,)))


def programs(count: int, seed: int = 0) -> list[Program]:
    """So many programs, every family in its turn."""
    return [_program(number, seed) for number in range(count)]


def _program(number: int, seed: int) -> Program:
    place, family = number // len(FAMILIES), list(FAMILIES)[number % len(FAMILIES)]
    rng = Random(f"{seed}/{family}/{place}")  # whatever other families there are
    one_lane = family in ("memory", "tasks") and rng.random() < 0.7
    shapes, fault = ONE_LANE if one_lane else SEVERAL_LANES, ""
    if family == "timeouts":
        fault, shapes = "timeout", IN_TIME
    elif family == "deadlines":
        fault = "lane" if rng.random() < 0.4 else ""
        shapes = WITH_FAULT if fault else IN_TIME
    elif family == "services":
        fault = "restart" if rng.random() < 0.4 else ""
        shapes = WITH_RESTART if fault else WITH_SERVICE
    elif not one_lane and rng.random() < 0.4:
        fault, shapes = "power" if family == "files" else "lane", WITH_FAULT
    acts = [f"{family}.{act}" for act in range(len(FAMILIES[family]))]
    drawn = tuple(
        tuple(tuple(rng.choices(acts, k=length)) for length in tasks)
        for tasks in rng.choice(shapes)
    )
    rules = tuple(rule for rule in ("row", "end", "watch", "history") if rng.random() < 0.15)
    early = 0.5 if family == "deadlines" else 0.3
    clock = "any" if family in ("time", "calls", "deadlines") and rng.random() < early else "idle"
    stalls = int(family == "deadlines")
    if clock == "idle" and family in ("time", "tasks") and rng.random() < 0.3:
        stalls = 1
    if clock == "any":
        stalls = 0
    order = "any" if rng.random() < 0.5 else "batch-legal"
    if fault == "restart" and rng.random() < 0.5:
        fault = "pause"
    bound = Bound(clock, stalls, order, restarts=1 if fault else 0)
    return Program(number, family, drawn, fault, rules, bound)


def scenario_of(program: Program) -> Scenario:
    """The program as a scenario; its final state is a note."""

    async def story(world: World) -> None:
        stage = Stage(world, len(program.lanes))
        world.note("state", stage.state)
        _judge(stage, program)
        if program.family == "services":
            stage.open_books()
        lanes = []
        for index, tasks in enumerate(program.lanes):
            lanes.append(world.start_client(f"lane{index}", _run_lane, stage, index, tasks))
        _offer_faults(stage, program, lanes)
        awaited = lanes[1:] if program.fault == "lane" else lanes
        await world.simulation.operate(
            "wait for everybody",
            lambda: None,
            footprint=reads(*(f"lane/{lane.name}" for lane in awaited)),
            enabled=lambda: all(lane.finished for lane in awaited),
        )

    return Scenario(name=f"program-{program.number}", story=story, stall_s=5.0)


async def _run_lane(stage: Stage, lane: int, tasks: tuple[tuple[str, ...], ...]) -> None:
    async def run(number: int, acts: tuple[str, ...]) -> None:
        seen: list[object] = []
        stage.seen.append((f"{lane}{number}", seen))
        for act in acts:
            await ACTS[act](stage, seen, f"{lane}{number + 1}")

    if len(tasks) == 1:
        await run(0, tasks[0])
        return
    async with trio.open_nursery() as nursery:
        for number, acts in enumerate(tasks):
            nursery.start_soon(run, number, acts)


def _offer_faults(stage: Stage, program: Program, lanes: list[Any]) -> None:
    simulation = stage.world.simulation
    if program.fault == "lane":
        simulation.offer_fault(
            "cut off lane 0",
            lambda: simulation.crash(lanes[0]),
            available=lambda: bool(lanes[0].alive and not lanes[0].finished),
            condition=_lane_of(lanes[0]),
            footprint=_lane_of(lanes[0]),
        )
    elif program.fault == "restart":
        stage.world.allow_restart("books", ("crash",), delay_s=0.0)
    elif program.fault == "pause":
        stage.world.allow_restart("books", ("pause",), delay_s=0.0)
    elif program.fault == "power":
        simulation.offer_fault("power cut", stage.disk.power_cut, footprint=writes("disk/*"))


def _lane_of(lane: Any) -> Footprint:
    return writes(f"lane/{lane.name}")


def _judge(stage: Stage, program: Program) -> None:
    world, rows = stage.world, list[Any]()

    if "row" in program.rules:

        @world.invariant(name="rows_do_not_fall", on=("db/rows/",))
        def rows_do_not_fall(event: Event) -> None:
            if event.kind == "write":
                rows.append(stage.database.table("rows")["a"]["n"])
                assert rows == sorted(rows)

    if "end" in program.rules:

        @world.invariant(name="nobody_saw_much", at_end=True)
        def nobody_saw_much() -> None:
            assert sum(len(seen) for _, seen in stage.seen) < 3

    if "history" in program.rules:

        @world.invariant(name="lane_1_is_first", at_end=True)
        def lane_1_is_first(history: Any) -> None:
            lanes = [event.lane for event in history if event.lane.startswith("lane")]
            assert not lanes or lanes[0] != "lane1"

    if "watch" in program.rules:
        world.watch("db/", lambda event: stage.watched.append((event.lane, event.operation)))
        world.watch("store/", lambda event: stage.watched.append((event.lane, event.operation)))
