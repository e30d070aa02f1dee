"""Locks, deadlocks, maintenance, crashes and the books of the simulated database."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from harness.errors import UsageError
from harness.schedule.choices import ORPHAN, Option
from harness.schedule.simulation import Simulation
from harness.world.database import Database
from harness.world.sqlstates import DatabaseError, SerializationFailure, Unavailable
from harness.world.versions import StoredRow
from tests.world.orders import every_order, in_order, step_through

Lane = Callable[[Database], Awaitable[Any]]


def world(**lanes: Lane) -> Database:
    """A database with two rows, and lanes that use it."""
    simulation = Simulation()
    database = Database(simulation, "state")
    database.load("rows", {"a": {"n": 0}, "b": {"n": 0}})
    for name, lane in lanes.items():
        simulation.spawn(name, lane, database)
    return database


def run(*endings: str, **lanes: Lane) -> Database:
    """One run in which these operations come first."""
    database = world(**lanes)
    step_through(database.simulation, in_order(*endings))
    return database


def offered(simulation: Simulation) -> list[str]:
    return [option.label for option in simulation.options()]


def error_of(database: Database, lane: str) -> str:
    error = database.simulation.lanes[lane].error
    assert isinstance(error, DatabaseError)
    return error.sqlstate


def numbers(database: Database) -> dict[str, object]:
    return {key: row["n"] for key, row in database.table("rows").items()}


async def write_a_then_b(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.put("rows", "a", {"n": 1})
        await transaction.put("rows", "b", {"n": 1})


async def write_b_then_a(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.put("rows", "b", {"n": 2})
        await transaction.put("rows", "a", {"n": 2})


async def put_a(database: Database) -> None:
    await database.put("rows", "a", {"n": 9})


# --- statements ---------------------------------------------------------------------------------


def test_statements_do_what_they_say() -> None:
    async def lane(database: Database) -> list[object]:
        async with database.transaction() as transaction:
            seen: list[object] = [
                await transaction.update("rows", "a", n=1, extra="new"),
                await transaction.update("rows", "missing", n=1),
                await transaction.get_for_update("rows", "missing"),
                await transaction.delete("rows", "b"),
                await transaction.delete("rows", "b"),
                await transaction.get("rows", "b"),
            ]
            await transaction.put("rows", "0", {"n": 5})
            seen.append(list(await transaction.scan("rows")))
        seen.append(list(await database.scan("rows")))
        seen.append(await database.compare_and_put("rows", "0", {"n": 6}, {"n": 4}))
        seen.append(await database.compare_and_put("rows", "0", {"n": 6}, {"n": 5}))
        seen.append(await database.compare_and_put("rows", "0", {"n": 7}, bool))
        seen.append(await database.compare_and_put("rows", "1", {"n": 8}, None))
        seen.append(await database.delete("rows", "1"))
        seen.append(await database.update("rows", "0", n=10))
        return seen

    database = run(lane=lane)
    result = database.simulation.lanes["lane"].result
    assert result == [
        {"n": 1, "extra": "new"},
        *(None, None, True, False, None),
        *(["0", "a"], ["0", "a"]),
        *(False, True, True, True, True),
        {"n": 10},
    ]
    assert database.table("rows") == {"0": {"n": 10}, "a": {"n": 1, "extra": "new"}}
    assert database.commits == 6


def test_rows_cannot_be_changed_in_place() -> None:
    async def lane(database: Database) -> None:
        mine = {"n": 1}
        await database.put("rows", "a", mine)
        mine["n"] = 2
        row: Any = await database.get("rows", "a")
        row["n"] = 3

    database = run(lane=lane)
    assert isinstance(database.simulation.lanes["lane"].error, TypeError)
    assert numbers(database)["a"] == 1


def test_a_row_can_be_copied() -> None:
    row = StoredRow({"n": 1})
    for twin in (copy.copy(row), copy.deepcopy(row), pickle.loads(pickle.dumps(row))):
        assert twin == row and type(twin) is StoredRow
    assert {**row, "n": 2} == {"n": 2}


def test_an_error_in_the_block_rolls_back_and_frees_the_rows() -> None:
    async def fails(database: Database) -> None:
        async with database.transaction() as transaction:
            await transaction.put("rows", "a", {"n": 1})
            raise LookupError

    database = run("fails: put state/rows/a", fails=fails, other=put_a)
    assert numbers(database)["a"] == 9 and database.commits == 1
    assert not database.locks.holders


def test_a_cancelled_statement_frees_the_rows() -> None:
    async def gives_up(database: Database) -> None:
        with trio.move_on_after(1):
            async with database.transaction() as transaction:
                await transaction.put("rows", "b", {"n": 1})
                await transaction.put("rows", "a", {"n": 1})

    async def holds(database: Database) -> None:
        async with database.transaction() as transaction:
            await transaction.put("rows", "a", {"n": 2})
            await trio.sleep(5)

    database = run("holds: put state/rows/a", gives_up=gives_up, holds=holds)
    assert numbers(database) == {"a": 2, "b": 0}
    assert not database.locks.holders and not database.transactions


def test_after_an_error_a_transaction_is_over_even_if_the_error_was_swallowed() -> None:
    async def stubborn(database: Database) -> str:
        state = ""
        async with database.transaction("repeatable read") as transaction:
            await transaction.put("rows", "b", {"n": 1})
            try:
                await transaction.put("rows", "a", {"n": 1})
            except SerializationFailure:
                try:
                    await transaction.get("rows", "a")
                except DatabaseError as error:
                    state = error.sqlstate
        return state

    database = run(
        "stubborn: put state/rows/b",
        "other: put state/rows/a",
        stubborn=stubborn,
        other=put_a,
    )
    assert database.simulation.lanes["stubborn"].result == "25P02"
    assert numbers(database) == {"a": 9, "b": 0}


def test_an_unknown_isolation_level_is_refused_with_the_closest_one() -> None:
    with pytest.raises(UsageError, match="serializable"):
        Database(Simulation(), "state", isolation="serialisable")


# --- locks --------------------------------------------------------------------------------------


def test_a_writer_waits_for_the_row_and_a_reader_does_not() -> None:
    async def read_a(database: Database) -> Any:
        return await database.get("rows", "a")

    database = world(first=write_a_then_b, second=put_a, reader=read_a)
    seen: list[list[str]] = []

    def choose(options: Any) -> int:
        seen.append([option.label for option in options])
        return 0

    step_through(database.simulation, choose)
    assert "second: put state/rows/a" in seen[0]
    assert all("second: put state/rows/a" not in labels for labels in seen[1:4])
    assert database.simulation.lanes["reader"].result == {"n": 0}
    assert numbers(database) == {"a": 9, "b": 1}


def test_a_stuck_run_says_whose_lock_it_waits_for() -> None:
    async def holds(database: Database) -> None:
        async with database.transaction() as transaction:
            await transaction.put("rows", "a", {"n": 2})
            await trio.sleep_forever()

    ending = run("holds: put state/rows/a", holds=holds, other=put_a).simulation.ending
    assert ending is not None and ending.kind == "stuck"
    assert "put state/rows/a, a lock held by holds" in ending.detail


def test_the_lane_that_closes_the_circle_gives_way() -> None:
    for last, first in (("forth", "back"), ("back", "forth")):
        puts = {"forth": "forth: put state/rows/a", "back": "back: put state/rows/b"}
        database = run(puts[first], puts[last], forth=write_a_then_b, back=write_b_then_a)
        assert error_of(database, last) == "40P01"
        assert set(numbers(database).values()) == {1 if first == "forth" else 2}


def test_a_circle_of_three_is_found_and_one_beside_it_is_not_drawn_in() -> None:
    def two(first: str, second: str) -> Lane:
        async def lane(database: Database) -> None:
            async with database.transaction() as transaction:
                await transaction.put("rows", first, {"n": 1})
                await transaction.update("rows", second, n=2)

        return lane

    database = world(one=two("a", "b"), two=two("b", "c"), three=two("c", "a"), four=two("d", "a"))
    database.load("rows", {"c": {"n": 0}, "d": {"n": 0}})
    order = in_order(*(f"put state/rows/{key}" for key in "dabc"))
    step_through(database.simulation, order)
    assert error_of(database, "three") == "40P01"
    assert [database.simulation.lanes[name].error for name in ("one", "two", "four")] == [None] * 3


async def fill(database: Database) -> None:
    await database.put_all("rows", {"b": {"n": 7}, "a": {"n": 7}})


def test_a_statement_on_many_rows_keeps_what_it_has_locked_while_it_waits() -> None:
    async def second_row(database: Database) -> None:
        async with database.transaction() as transaction:
            await transaction.put("rows", "b", {"n": 1})
            await transaction.get("rows", "b")

    database = world(fill=fill, other=second_row, third=put_a)
    order = in_order("other: put state/rows/b", "fill: put all state/rows")
    seen: list[list[str]] = []

    def choose(options: Any) -> int:
        seen.append([option.label for option in options])
        return order(options)

    step_through(database.simulation, choose)
    assert "third: put state/rows/a" in seen[0]
    assert "third: put state/rows/a" not in seen[2]
    assert numbers(database) == {"a": 9, "b": 7}
    assert not database.locks.holders


def test_statements_on_many_rows_take_them_in_one_order_and_never_lock_each_other_out() -> None:
    for simulation in every_order(lambda: world(one=fill, two=fill).simulation):
        assert [lane.error for lane in simulation.lanes.values()] == [None, None]


def test_a_statement_on_many_rows_of_a_dead_client_gives_way_or_takes_effect_as_a_whole() -> None:
    made: list[Database] = []

    async def holder(database: Database) -> None:
        async with database.transaction() as transaction:
            await transaction.put("rows", "b", {"n": 1})
            await transaction.get("rows", "b")

    def build() -> Simulation:
        made.append(crash_when("fill: put all state/rows", fill=fill, holder=holder, next=put_a))
        return made[-1].simulation

    ends = set()
    for simulation in every_order(build):
        assert simulation.ending is not None and simulation.ending.kind == "finished"
        rows = numbers(made[-1])
        ends.add((rows["a"], rows["b"]))
    # Both rows or none of them; then whoever came later has written over one or the other.
    assert ends == {(9, 7), (7, 7), (9, 1), (7, 1)}


def holder_of(key: str) -> Lane:
    async def holder(database: Database) -> None:
        async with database.transaction() as transaction:
            await transaction.put("rows", key, {"n": 1})
            await transaction.get("rows", key)

    return holder


def test_a_cancelled_statement_on_many_rows_keeps_none_of_them() -> None:
    async def impatient(database: Database) -> None:
        with trio.move_on_after(1):
            await database.put_all("rows", {"a": {"n": 7}, "b": {"n": 7}, "c": {"n": 7}})

    def build() -> Simulation:
        made.append(world(fill=impatient, b=holder_of("b"), c=holder_of("c")))
        return made[-1].simulation

    made: list[Database] = []
    ends = set()
    for _ in every_order(build):
        assert not made[-1].locks.holders
        ends.add(tuple(numbers(made[-1]).values()))
    assert (0, 1, 1) in ends and (7, 7, 7) in ends and (7, 1, 1) in ends
    assert all(len(end) == 3 for end in ends)


def test_a_statement_on_many_rows_loses_them_when_the_database_goes_away() -> None:
    async def operator(database: Database) -> None:
        await database.maintain("away")
        await database.reopen()

    database = run(
        "holder: put state/rows/b",
        "fill: put all state/rows",
        "operator: maintain state: away",
        "operator: reopen state",
        fill=fill,
        holder=holder_of("b"),
        operator=operator,
    )
    assert error_of(database, "fill") == "57P03"
    assert numbers(database) == {"a": 0, "b": 0} and not database.locks.holders


# --- maintenance --------------------------------------------------------------------------------


def test_read_only_refuses_new_writers_and_lets_earlier_ones_finish() -> None:
    async def operator(database: Database) -> None:
        await database.maintain("read only")
        await database.reopen()

    async def read_and_write(database: Database) -> None:
        await database.get("rows", "a")
        await put_a(database)

    database = run(
        "early: put state/rows/a",
        "operator: maintain state: read only",
        "late: get state/rows/a",
        "late: put state/rows/a",
        early=write_a_then_b,
        operator=operator,
        late=read_and_write,
    )
    # The refusal does not wait for the row, which is locked.
    assert error_of(database, "late") == "25006"
    assert numbers(database) == {"a": 1, "b": 1}


def test_when_the_database_goes_away_open_transactions_fail_with_it() -> None:
    async def operator(database: Database) -> None:
        await database.maintain("away")
        await database.reopen()

    database = run(
        "early: put state/rows/a",
        "operator: maintain state: away",
        "late: put state/rows/a",
        "operator: reopen state",
        early=write_a_then_b,
        operator=operator,
        late=put_a,
    )
    assert error_of(database, "early") == error_of(database, "late") == "57P03"
    assert isinstance(database.simulation.lanes["late"].error, ConnectionError)
    assert numbers(database) == {"a": 0, "b": 0} and not database.locks.holders


def test_a_commit_under_way_is_lost_when_the_database_goes_away() -> None:
    async def operator(database: Database) -> None:
        database.begin_maintenance("away")
        await trio.lowlevel.checkpoint()
        database.end_maintenance()

    async def one(database: Database) -> None:
        async with database.transaction() as transaction:
            await transaction.put("rows", "a", {"n": 1})
        raise AssertionError("must not commit")

    async def late_operator(database: Database) -> None:
        await trio.sleep(1)
        await operator(database)

    database = world(one=one, operator=late_operator)
    step_through(
        database.simulation,
        in_order("one: put state/rows/a", "clock -> 1000 ms for operator: late_operator"),
    )
    assert error_of(database, "one") == "57P03"
    assert numbers(database)["a"] == 0


# --- crashes ------------------------------------------------------------------------------------


def crash_when(label: str, /, **lanes: Lane) -> Database:
    """A world whose nemesis may crash the lane of ``label`` only while that is under way."""
    victim = label.partition(":")[0]
    database = world(**lanes)
    simulation = database.simulation
    simulation.faults_left = 1
    simulation.offer_fault(
        f"crash {victim}",
        lambda: simulation.crash(simulation.lanes[victim]),
        available=lambda: any(option.label == label for option in simulation.ready),
    )
    return database


def test_a_crash_rolls_back_and_frees_the_rows_at_once() -> None:
    label = "victim: put state/rows/b"
    database = crash_when(label, victim=write_a_then_b, other=put_a)
    step_through(database.simulation, in_order("victim: put state/rows/a", "nemesis: crash victim"))
    assert numbers(database) == {"a": 9, "b": 0}
    assert not database.transactions


def test_a_statement_of_a_dead_client_may_still_take_effect_or_not() -> None:
    database: list[Database] = []

    async def slow(database: Database) -> None:
        await database.put("rows", "b", {"n": 3})
        await database.put("rows", "b", {"n": 4})

    def build() -> Simulation:
        database.append(crash_when("victim: put state/rows/a", victim=put_a, slow=slow))
        return database[-1].simulation

    outcomes = set()
    for simulation in every_order(build):
        crashed = any("crash" in option.label for option in simulation.applied)
        outcomes.add((crashed, numbers(database[-1])["a"]))
    assert outcomes == {(False, 9), (True, 9), (True, 0)}


def test_an_orphan_waits_for_its_lock_like_anybody_else() -> None:
    database = crash_when("victim: put state/rows/a", victim=put_a, holder=write_a_then_b)
    simulation = database.simulation
    seen = []
    with simulation:
        choose = in_order("holder: put state/rows/a", "nemesis: crash victim")
        while options := simulation.options():
            task = next((option for option in options if option.kind == "task"), None)
            seen.append((dict(database.locks.holders), [o.kind for o in options]))
            simulation.apply(task or options[choose(options)])
    held = [kinds for holders, kinds in seen if holders]
    assert held and not any(ORPHAN in kinds for kinds in held)


def test_a_commit_of_a_dead_client_may_come_but_not_after_its_row_was_taken() -> None:
    made: list[Database] = []

    async def victim(database: Database) -> None:
        async with database.transaction() as transaction:
            await transaction.put("rows", "a", {"n": 1})
            await transaction.put("rows", "b", {"n": 1})

    async def successor(database: Database) -> None:
        await database.update("rows", "a", n=5)
        await database.get("rows", "b")

    def build() -> Simulation:
        made.append(crash_when("victim: commit state", victim=victim, next=successor))
        return made[-1].simulation

    outcomes = set()
    for simulation in every_order(build):
        labels = [option.label for option in simulation.applied]
        if "nemesis: crash victim" in labels:
            rows = numbers(made[-1])
            took = "victim: orphan commit state" in labels
            outcomes.add((took, rows["a"], rows["b"]))
            assert not made[-1].locks.holders or not took
    # Before the successor's write, after it (if that came before the lock), or never.
    assert outcomes == {(True, 5, 1), (True, 1, 1), (False, 5, 0)}


def test_leaving_a_run_in_the_middle_of_a_transaction_leaves_no_trouble() -> None:
    database = world(first=write_a_then_b, second=write_b_then_a)
    with database.simulation as simulation:
        for _ in range(6):
            simulation.apply(simulation.options()[0])
    assert numbers(database) == {"a": 0, "b": 0}


# --- books --------------------------------------------------------------------------------------


def test_the_history_tells_reads_at_once_and_writes_at_the_commit() -> None:
    async def lane(database: Database) -> None:
        async with database.transaction() as transaction:
            await transaction.get("rows", "a")
            await transaction.put("rows", "a", {"n": 1})
            await transaction.get("rows", "b")

    events = list(run(lane=lane).simulation.history)
    assert [(e.kind, e.operation, e.resource) for e in events] == [
        ("read", "get", "state/rows/a"),
        ("read", "get", "state/rows/b"),
        ("write", "put", "state/rows/a"),
    ]
    write = events[-1]
    assert (write.before, write.after) == ({"n": 0}, {"n": 1})
    assert (str(write.after), write.peer, write.lane) == ("n=1", "state", "lane")
    assert write.site is not None and write.site.function.endswith("lane")
    assert write.site.line == lane.__code__.co_firstlineno + 3


def footprints(isolation: str, lane: Lane) -> list[Option]:
    simulation = Simulation()
    database = Database(simulation, "state", isolation=isolation)
    database.load("rows", {"a": {"n": 0}, "b": {"n": 0}})
    simulation.spawn("lane", lane, database)
    step_through(simulation)
    return [option for option in simulation.applied if option.kind == "operation"]


def test_footprints_conflict_where_order_can_matter() -> None:
    async def statements(database: Database) -> None:
        await database.scan("rows")
        await database.get("rows", "a")
        await database.put("rows", "a", {"n": 1})
        await database.put("rows", "b", {"n": 1})
        await database.put("other", "a", {"n": 1})
        await database.maintain("away")

    scan, get, put_a_, put_b, other, away = footprints("read committed", statements)
    assert not scan.footprint.conflicts(get.footprint)
    assert get.footprint.conflicts(put_a_.footprint)
    assert scan.footprint.conflicts(put_a_.footprint) and put_b.footprint.conflicts(scan.footprint)
    assert not scan.footprint.conflicts(other.footprint)
    assert not put_a_.footprint.conflicts(put_b.footprint)
    assert all(away.footprint.conflicts(each.footprint) for each in (scan, get, put_b, other))


def test_a_snapshot_conflicts_with_every_commit() -> None:
    first_get, put, _ = footprints("repeatable read", read_then_write)
    *_, commit = footprints("read committed", read_then_write)
    assert first_get.footprint.conflicts(commit.footprint)
    assert put.footprint.conflicts(commit.footprint)


async def read_then_write(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.get("rows", "a")
        await transaction.put("rows", "b", {"n": 1})


def test_equal_choices_give_equal_digests_and_others_do_not() -> None:
    def build() -> Simulation:
        return world(forth=write_a_then_b, back=write_b_then_a, other=put_a).simulation

    first = [simulation.digest() for simulation in every_order(build)]
    second = [simulation.digest() for simulation in every_order(build)]
    assert first == second
    assert len(set(first)) == len(first) > 10


def test_unavailable_is_both_a_database_error_and_a_connection_error() -> None:
    assert issubclass(Unavailable, ConnectionError) and Unavailable.sqlstate == "57P03"
