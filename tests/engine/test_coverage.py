"""The matrix of restart phases and writes: exactly what met what, and nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import pytest
import trio

from harness.coverage import cell, is_cell, mark, matrix_of, nested, write_named
from harness.engine import Run
from harness.knowledge import recalled, remembered
from harness.schedule.choices import Option
from harness.schedule.strategies.portfolio import Rotation
from harness.schedule.strategies.protocol import Seen
from harness.statistics import Statistics, of_run
from harness.world.database import Database
from harness.world.service import Life
from harness.world.world import World
from tests.engine.deep import repairs
from tests.engine.worlds import crashes, preferring, run_of, told


def ledger(database: Database) -> Callable[[Life], Awaitable[None]]:
    """A service that puts a row in every phase of its life, each in a table of its own."""

    async def run(life: Life) -> None:
        await database.put("boots", life.name, {"n": 1})
        life.enter("hydrate")
        await database.put("hydrations", life.name, {"n": 1})
        life.enter("ready")
        await life.stop_requested()
        life.enter("drain")
        await database.put("drains", life.name, {"n": 1})

    return run


def cells_of(kind: str) -> set[tuple[str, str, str]]:
    """What one restart of this kind covers, first in first out: phase, write, progress."""

    async def story(world: World) -> None:
        service = world.service("ledger", ledger(world.database("db")))
        await service.ready()
        await service.restart(kind, delay_s=0.1)

    covered = run_of(told(story)).covered
    assert covered == tuple(sorted(covered))
    parts = [name.split(" | ") for name in covered]
    assert all(part[:2] == ["ledger", kind] for part in parts)
    return {(phase, write, progress) for _, _, phase, write, progress in parts}


@pytest.mark.parametrize(
    ("kind", "booting", "hydrating", "draining"),
    [
        ("crash", "boot", "hydrate", ""),
        ("failover", "boot", "hydrate", ""),
        ("stop", "boot", "hydrate", "drain"),
        ("rolling", "ready+boot", "ready+hydrate", "drain+ready"),
    ],
)
def test_each_kind_of_restart_covers_exactly_its_cells(
    kind: str, booting: str, hydrating: str, draining: str
) -> None:
    expected = {(booting, "put db/boots", each) for each in ("sent", "done", "told")}
    expected |= {(hydrating, "put db/hydrations", each) for each in ("sent", "done", "told")}
    if draining:
        expected |= {(draining, "put db/drains", each) for each in ("sent", "done", "told")}
    assert cells_of(kind) == expected


def struck(*choices: str) -> Run:
    """A service that writes one row after the other is struck while one is on its way."""

    async def story(world: World) -> None:
        database = world.database("db")

        async def writes(life: Life) -> None:
            life.enter("ready")
            if life.incarnation == 1:
                await database.put("books", "usdc", {"n": 1})
                await trio.sleep_forever()
            await life.stop_requested()

        world.service("ledger", writes)
        await trio.sleep(5)

    wanted = preferring(*choices)
    begun: list[int] = []

    def choose(options: Sequence[Option], step: int) -> int:
        if any(each.label.startswith("ledger#1: put") for each in options):
            begun.append(step)
        return wanted(options, step) if begun else 0

    return run_of(told(story, crashes()), choose)


def test_a_write_in_flight_meets_the_restart_that_strikes_its_sender() -> None:
    run = struck("crash restart of ledger")
    assert run.faults == 1
    assert cell("ledger", "crash", "down", "put db/books", "sent") in run.covered
    assert not any(name.endswith(("done", "told")) for name in run.covered)


def test_an_orphan_is_done_in_the_phase_in_which_it_lands() -> None:
    run = struck("crash restart of ledger", "orphan put db/books/usdc")
    assert run.faults == 1 and run.overlapped == 1
    done = [name for name in run.covered if name.endswith("| done")]
    assert done == [cell("ledger", "crash", "down", "put db/books", "done")]
    assert not any(name.endswith("| told") for name in run.covered)


def test_a_write_that_was_done_meets_the_restart_that_keeps_its_sender_from_knowing() -> None:
    run = struck("put db/books/usdc", "crash restart of ledger")
    assert run.faults == 1 and run.overlapped == 0
    assert run.covered == (cell("ledger", "crash", "down", "put db/books", "done"),)


def test_messages_are_writes_and_their_steps_have_moments() -> None:
    async def story(world: World) -> None:
        network = world.network("net")

        async def answers(life: Life) -> None:
            requests = network.listen("ledger")
            life.enter("ready")
            async for request in requests:
                life.enter("drain")
                await request.reply("ok")

        world.service("ledger", answers)
        await world.services["ledger"].ready()
        with trio.move_on_after(1):
            await network.call("ledger", "deposit", 1)
        world.services["ledger"].crash()
        await world.services["ledger"].restart("crash")

    names = run_of(told(story)).covered
    assert names == (cell("ledger", "stop", "drain", "send net/ledger.deposit", "told"),)


def test_without_a_restart_nothing_is_covered_but_marks() -> None:
    async def story(world: World) -> None:
        await world.service("ledger", ledger(world.database("db"))).ready()
        world.reach("the end")
        await world.services["ledger"].stop()

    run = run_of(told(story))
    assert run.covered == (mark("the end"),)
    assert not is_cell(run.covered[0])


@pytest.mark.parametrize(
    ("verb", "resource", "name"),
    [
        ("put all", "database/markets/BTC-USD-PERP", "put all database/markets"),
        ("deposit 650 USDC", "chain/accounts/watson-3", "deposit chain/accounts"),
        ("settle 0.020 at 4671 USD", "chain/trades/PAXG", "settle chain/trades"),
        ("liquidate cherylgomez-10", "chain/liquidations/x", "liquidate chain/liquidations"),
        ("fsync", "disk/wal-000017", "fsync disk/wal"),
        ("commit db", "", "commit db"),
        ("send", "network/orders", "send network/orders"),
    ],
)
def test_a_write_is_named_without_keys_and_numbers(verb: str, resource: str, name: str) -> None:
    assert write_named(verb, resource) == name


def test_looking_at_coverage_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def digests() -> list[str]:
        chooser = preferring("crash restart of ledger", "crash restart of ledger")
        return [run_of(repairs(2), chooser, seed=seed).digest for seed in range(3)]

    looked_at = digests()
    monkeypatch.setattr(World, "covered", lambda self: ())
    assert digests() == looked_at


def test_the_statistics_count_runs_and_remember_when_the_last_news_came() -> None:
    def one(*names: str) -> Statistics:
        return Statistics(schedules=1, covered=dict.fromkeys(names, 1), last_new=int(bool(names)))

    whole = Statistics()
    for part in (one("a"), one(), one("a", "b"), one("b"), one()):
        whole.absorb(part)
    assert (whole.covered, whole.last_new, whole.schedules) == ({"a": 2, "b": 2}, 3, 5)
    halves = [Statistics(), Statistics()]
    halves[0].absorb(one("a"))
    halves[1].absorb(one("a"))
    halves[0].absorb(halves[1])
    assert halves[0].last_new == 1 and halves[0].covered == {"a": 2}


def test_what_a_run_covered_is_in_its_statistics_and_its_lesson() -> None:
    run = struck("crash restart of ledger", "orphan put db/books/usdc")
    statistics = of_run(run, "random")
    assert tuple(statistics.covered) == run.covered and set(statistics.covered.values()) == {1}
    assert statistics.last_new == 1
    lesson = run.lesson(7, "random")
    assert lesson.covered == run.covered
    tree = nested(matrix_of(statistics.covered))
    assert tree["ledger crash down"] == {"put db/books": {"sent": 1, "done": 1}}
    seen = Seen().after([lesson])
    text = remembered(7, seen, Rotation(("guided",), seed=1))
    assert recalled(text, Rotation(("guided",), seed=1)) == (7, seen)
