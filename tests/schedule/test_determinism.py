"""The same choices are the same run: seeded randomness, virtual time, no memory address, no hash.

And the other way round: outside a run, and after it, the process is as it was.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import random
import secrets
import sys
import threading
import time
import uuid
from time import time as time_bound_before

import pytest
import sniffio
import trio

from harness.errors import RefusedError
from harness.schedule.choices import Option
from harness.schedule.simulation import Simulation
from tests.schedule.processes import printed_by
from tests.schedule.runs import first, result_of, run, step_through

EPOCH_S = 1_767_225_600.0


async def draw() -> list[object]:
    await trio.lowlevel.checkpoint()
    return [
        random.random(),
        random.choice("abcdefgh"),
        uuid.uuid4(),
        uuid.uuid1(),
        os.urandom(8),
        secrets.token_hex(8),
        secrets.randbelow(10**9),
        random.SystemRandom().random(),
    ]


def test_every_source_of_randomness_follows_the_seed() -> None:
    drawn = [result_of(draw, seed=seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1]
    differing = [one != other for one, other in zip(drawn[0], drawn[2], strict=True)]
    assert sum(differing) >= len(differing) - 2  # a choice of eight, and uuid1 is time and node


async def read_clocks() -> list[list[float]]:
    readings = []
    for _ in range(2):
        readings.append(
            [
                time.time() - EPOCH_S,
                time_bound_before() - EPOCH_S,
                time.time_ns() / 1e9 - EPOCH_S,
                datetime.datetime.now(datetime.UTC).timestamp() - EPOCH_S,
                time.monotonic(),
                time.monotonic_ns() / 1e9,
                time.perf_counter(),
                trio.current_time(),
            ]
        )
        await trio.sleep(90)
    return readings


def test_every_clock_is_virtual() -> None:
    before, after = result_of(read_clocks)
    assert before == [0.0] * 8
    assert after == [90.0] * 8


def test_the_process_is_as_it_was_after_a_run() -> None:
    def state() -> list[object]:
        return [
            random.getstate(),
            sys.get_asyncgen_hooks(),
            getattr(sniffio.thread_local, "name", None),
            [time.monotonic, time.perf_counter, time.sleep, os.urandom, uuid._node],  # type: ignore[attr-defined]
            threading.Thread.start,
        ]

    before = state()
    run(draw)
    assert state() == before
    assert abs(time.time() - EPOCH_S) > 3600
    with pytest.raises(sniffio.AsyncLibraryNotFoundError):
        sniffio.current_async_library()
    with pytest.raises(RuntimeError):
        trio.current_time()
    assert trio.run(draw) is not None
    assert asyncio.run(asyncio.sleep(0, "asyncio works too")) == "asyncio works too"


def test_a_simulation_cannot_be_stepped_from_inside_trio() -> None:
    simulation = Simulation()
    simulation.spawn("main", draw, main=True)

    async def nested() -> None:
        step_through(simulation)

    with pytest.raises(RefusedError, match="ordinary synchronous code"):
        trio.run(nested)
    inner = run(nested).lanes["main"].error
    assert isinstance(inner, RefusedError)

    async def run_trio() -> None:
        trio.run(draw)

    assert isinstance(run(run_trio).lanes["main"].error, RuntimeError)


async def wake_many(simulation: Simulation) -> None:
    """Several waiters of one event, several cancelled at once, and what they make of chance."""
    event, lock = trio.Event(), trio.Lock()

    async def waiter(number: int) -> None:
        with trio.move_on_after(3):
            await event.wait()
            async with lock:
                await trio.lowlevel.checkpoint()
                simulation.emit("note", f"waiter {number}", value=random.random())
            await trio.sleep(random.uniform(0, 9))
        simulation.emit("note", f"gone {number}", value=uuid.uuid4())

    async with trio.open_nursery() as nursery:
        for number in range(12):
            nursery.start_soon(waiter, number)
        await trio.sleep(1)
        event.set()
        await trio.sleep(5)
        simulation.emit("note", "cancel", value=len(nursery.child_tasks))
        nursery.cancel_scope.cancel()


def simulation_of_many(seed: int) -> Simulation:
    simulation = Simulation(seed=seed)
    simulation.spawn("main", wake_many, simulation, main=True)
    return simulation


def digest_of(seed: int, *, entered: bool = True) -> str:
    """The digest of one run under seeded random choices."""
    generator = random.Random(seed)

    def choose(options: object) -> int:
        return generator.randrange(len(options))  # type: ignore[arg-type]

    simulation = simulation_of_many(seed)
    if entered:
        return step_through(simulation, choose).digest()
    while options := simulation.options():
        simulation.apply(options[choose(options)])
    digest = simulation.digest()
    with simulation:
        pass
    return digest


def test_two_runs_of_the_same_choices_are_equal() -> None:
    digests = [digest_of(seed) for seed in range(20)]
    assert digests == [digest_of(seed) for seed in range(20)]
    assert len(set(digests)) == 20


def test_waiters_wake_in_the_order_of_their_age() -> None:
    simulation = step_through(simulation_of_many(0), first)
    woken = [event.operation for event in simulation.history if "waiter" in event.operation]
    assert woken == [f"waiter {number}" for number in range(12)]


def test_stepping_from_outside_is_the_same_run() -> None:
    assert digest_of(3, entered=False) == digest_of(3)


def test_stepping_from_outside_leaves_the_random_state_alone() -> None:
    random.seed(11)
    expected = random.random()
    random.seed(11)
    digest_of(3, entered=False)
    assert random.random() == expected


def test_options_are_not_reordered_by_asking_twice() -> None:
    simulation = simulation_of_many(0)
    with simulation:
        while options := simulation.options():
            seen: list[Option] = list(options)
            assert list(simulation.options()) == seen
            simulation.apply(seen[-1])


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_another_process_makes_the_same_run(hash_seed: str) -> None:
    program = (
        "from tests.schedule.test_determinism import digest_of\n"
        "for seed in range(5):\n"
        "    print(digest_of(seed))\n"
    )
    printed = printed_by(program, hash_seed=hash_seed)
    assert printed.split() == [digest_of(seed) for seed in range(5)]
