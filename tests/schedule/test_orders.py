"""Which orders are offered: first in, first out comes first, lanes are free, batches are trio's.

Stock trio is the judge: under batch-legal choices alone a program reaches exactly the outcomes that
``trio.run`` reaches when it shuffles its batches, and free choices reach more.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio._core._run as trio_run

from harness.schedule.choices import Option
from harness.schedule.simulation import Simulation
from tests.schedule.runs import every_run, first, run, step_through

Logged = Callable[[list[str]], Awaitable[None]]
SHUFFLES = 600


async def taking_turns(log: list[str]) -> None:
    async def turns(name: str) -> None:
        for _ in range(3):
            log.append(name)
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(turns, "a")
        nursery.start_soon(turns, "b")


async def lost_update(log: list[str]) -> None:
    balance = 0

    async def add(amount: int, *, pause: int) -> None:
        nonlocal balance
        for _ in range(pause):
            await trio.lowlevel.checkpoint()
        seen = balance
        await trio.lowlevel.checkpoint()
        balance = seen + amount

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: add(1, pause=0))
        nursery.start_soon(lambda: add(2, pause=1))
    log.append(str(balance))


async def waking_several(log: list[str]) -> None:
    event, lock = trio.Event(), trio.Lock()

    async def waiter(name: str) -> None:
        await event.wait()
        async with lock:
            log.append(name)

    async def setter() -> None:
        await trio.lowlevel.checkpoint()
        log.append("set")
        event.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiter, "a")
        nursery.start_soon(setter)
        nursery.start_soon(waiter, "b")


async def cancelling(log: list[str]) -> None:
    async def sleeper(name: str) -> None:
        try:
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()
            log.append(f"{name} done")
        except trio.Cancelled:
            log.append(f"{name} cancelled")
            raise

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sleeper, "a")
        nursery.start_soon(sleeper, "b")
        await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


async def handing_over(log: list[str]) -> None:
    send, receive = trio.open_memory_channel[int](1)

    async def produce() -> None:
        for number in range(2):
            await send.send(number)
            log.append(f"sent {number}")
        send.close()

    async def consume() -> None:
        async for number in receive:
            log.append(f"got {number}")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce)
        nursery.start_soon(consume)


PROGRAMS = [taking_turns, lost_update, waking_several, cancelling, handing_over]


def stock_outcomes(program: Logged, monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, ...]]:
    """What trio.run reaches over many shuffles of its batches."""
    shuffler = random.Random(2026)
    monkeypatch.setattr(trio_run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    monkeypatch.setattr(trio_run, "_r", shuffler)
    outcomes = set()
    for _ in range(SHUFFLES):
        log: list[str] = []
        trio.run(program, log)
        outcomes.add(tuple(log))
    return outcomes


def our_outcomes(program: Logged, allowed: Callable[[Option], bool]) -> set[tuple[str, ...]]:
    """What the simulation reaches over every sequence of allowed choices."""
    logs: dict[Simulation, list[str]] = {}

    def build() -> Simulation:
        simulation = Simulation()
        log: list[str] = []
        simulation.spawn("main", program, log, main=True)
        logs[simulation] = log
        return simulation

    return {tuple(logs.pop(simulation)) for simulation in every_run(build, allowed=allowed)}


def legal(option: Option) -> bool:
    return option.batch_legal


def anything(option: Option) -> bool:
    return True


@pytest.mark.parametrize("program", PROGRAMS)
def test_batch_legal_orders_are_exactly_those_of_stock_trio(
    program: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert our_outcomes(program, legal) == stock_outcomes(program, monkeypatch)


@pytest.mark.parametrize(
    ("program", "beyond"),
    [(taking_turns, ("a", "a", "a", "b", "b", "b")), (lost_update, ("1",))],
)
def test_free_choices_reach_more(program: Logged, beyond: tuple[str, ...]) -> None:
    lockstep, free = our_outcomes(program, legal), our_outcomes(program, anything)
    assert lockstep < free
    assert beyond in free - lockstep


def test_a_run_remembers_whether_it_stayed_batch_legal() -> None:
    def last(options: tuple[Option, ...]) -> int:
        return len(options) - 1

    def last_legal(options: tuple[Option, ...]) -> int:
        return max(index for index, option in enumerate(options) if option.batch_legal)

    assert run(taking_turns, [], choose=first).batch_legal
    assert run(taking_turns, [], choose=last_legal).batch_legal  # type: ignore[arg-type]
    assert not run(taking_turns, [], choose=last).batch_legal  # type: ignore[arg-type]


def test_option_zero_is_first_in_first_out() -> None:
    log: list[str] = []
    run(taking_turns, log)
    assert log == ["a", "b", "a", "b", "a", "b"]


def test_lanes_are_free_of_each_other() -> None:
    log: list[str] = []

    async def service(name: str) -> None:
        for _ in range(3):
            log.append(name)
            await trio.lowlevel.checkpoint()

    simulation = Simulation()
    simulation.spawn("one", service, "one")
    simulation.spawn("two", service, "two")
    step_through(simulation, lambda options: len(options) - 1)
    assert log == ["two"] * 3 + ["one"] * 3
    assert simulation.batch_legal


def test_names_say_lane_incarnation_function_and_count() -> None:
    async def worker() -> None:
        await trio.lowlevel.checkpoint()

    async def service() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker)
            nursery.start_soon(worker)

    simulation = Simulation()
    simulation.spawn("ledger", service, incarnation=2)
    step_through(simulation)
    assert {option.label for option in simulation.applied} == {
        "ledger#2: service",
        "ledger#2: worker",
        "ledger#2: worker.2",
    }
