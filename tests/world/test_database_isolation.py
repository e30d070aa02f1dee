"""What each isolation level promises, checked in every order of small transaction programs."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.schedule.simulation import Simulation
from harness.world.database import Database
from harness.world.sqlstates import DatabaseError
from harness.world.transactions import ISOLATION_LEVELS
from harness.world.versions import StoredRow
from tests.world.orders import every_order, step_through

#: What a transaction does: statements on rows; it writes a text that holds all it has read so far.
Statement = tuple[str, str]
Program = tuple[Statement, ...]
START = {"x": "x0", "y": "y0"}
KEYS = ("x", "y", "z")
VERBS = ("get", "get", "put", "put", "update", "delete", "lock", "scan", "swap", "fill")


class Run:
    """One run of programs, one lane each: what they read, what became of them."""

    def __init__(self, programs: tuple[Program, ...], isolation: str) -> None:
        self.simulation = Simulation()
        self.database = Database(self.simulation, "state", isolation=isolation)
        self.database.load("rows", {key: {"value": value} for key, value in START.items()})
        self.programs = programs
        self.seen: list[list[object]] = [[] for _ in programs]
        self.read_at: list[list[tuple[int, str]]] = [[] for _ in programs]
        self.outcome = ["" for _ in programs]
        for number, program in enumerate(programs):
            self.simulation.spawn(f"lane{number}", self._perform, number, program)

    async def _perform(self, number: int, program: Program) -> None:
        seen = self.seen[number]
        try:
            async with self.database.transaction() as transaction:
                for verb, key in program:
                    mine = f"{number}{seen}"
                    seen.append(await self._statement(transaction, verb, key, mine))
            self.outcome[number] = "committed"
        except DatabaseError as error:
            self.outcome[number] = error.sqlstate

    async def _statement(self, transaction: Any, verb: str, key: str, mine: str) -> object:
        if verb in ("get", "lock"):
            row = await (transaction.get if verb == "get" else transaction.get_for_update)(
                "rows", key
            )
            return None if row is None else row["value"]
        if verb == "scan":
            rows = await transaction.scan("rows")
            return tuple((key, row["value"]) for key, row in rows.items())
        if verb in ("put", "fill"):
            keys = key if verb == "put" else "yx"
            return await transaction.put_all("rows", {each: {"value": mine} for each in keys})
        if verb == "update":
            return await transaction.update("rows", key, value=mine) is not None
        if verb == "delete":
            return await transaction.delete("rows", key)
        expected = {"value": START[key]} if key in START else None
        return await transaction.compare_and_put("rows", key, {"value": mine}, expected)

    @property
    def committed(self) -> list[int]:
        return [number for number, how in enumerate(self.outcome) if how == "committed"]

    @property
    def rows(self) -> dict[str, object]:
        return {key: row["value"] for key, row in self.database.table("rows").items()}

    def is_serializable(self) -> bool:
        """Whether some order, one after the other, reads the same and leaves the same."""
        return any(self._explains(order) for order in permutations(self.committed))

    def _explains(self, order: tuple[int, ...]) -> bool:
        rows: dict[str, object] = dict(START)
        for number in order:
            seen: list[object] = []
            for verb, key in self.programs[number]:
                seen.append(serially(rows, verb, key, f"{number}{seen}"))
            if seen != self.seen[number]:
                return False
        return rows == self.rows


def serially(rows: dict[str, object], verb: str, key: str, mine: str) -> object:
    """The same statement on a dictionary."""
    if verb in ("get", "lock"):
        return rows.get(key)
    if verb == "scan":
        return tuple(sorted(rows.items()))
    if verb in ("put", "fill"):
        rows.update(dict.fromkeys(key if verb == "put" else "xy", mine))
        return None
    if verb == "update":
        there = key in rows
        if there:
            rows[key] = mine
        return there
    if verb == "swap":
        same = rows.get(key) == START.get(key)
        if same:
            rows[key] = mine
        return same
    return rows.pop(key, None) is not None


def all_runs(programs: tuple[Program, ...], isolation: str) -> list[Run]:
    """Every order of these programs."""
    runs: list[Run] = []

    def build() -> Simulation:
        runs.append(Run(programs, isolation))
        return runs[-1].simulation

    for simulation in every_order(build):
        assert simulation.ending is not None and simulation.ending.kind == "finished"
        assert not runs[-1].database.transactions and not runs[-1].database.locks.holders
    return runs


statements = st.tuples(st.sampled_from(VERBS), st.sampled_from(KEYS))
small_programs = st.lists(statements, min_size=1, max_size=3).map(tuple)
relaxed = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=False
)


@relaxed
@given(st.tuples(small_programs, small_programs))
def test_every_order_of_two_serializable_transactions_has_a_serial_explanation(
    programs: tuple[Program, ...],
) -> None:
    for run in all_runs(programs, "serializable"):
        assert run.is_serializable(), (run.outcome, run.seen, run.rows)


@relaxed
@given(st.tuples(small_programs, small_programs, small_programs), st.integers(0, 1 << 30))
def test_random_orders_of_three_serializable_transactions_have_a_serial_explanation(
    programs: tuple[Program, ...], seed: int
) -> None:
    for number in range(40):
        run = Run(programs, "serializable")
        generator = random.Random(seed + number)
        step_through(run.simulation, lambda options: generator.randrange(len(options)))  # noqa: B023
        assert run.is_serializable(), (run.outcome, run.seen, run.rows)


def test_the_read_only_anomaly_is_caught() -> None:
    """Fekete, O'Neil and O'Neil: two writers are fine, until a reader looks in between."""
    deposit: Program = (("get", "x"), ("put", "x"))
    withdraw: Program = (("get", "x"), ("get", "y"), ("put", "y"))
    report: Program = (("get", "x"), ("get", "y"))
    weak = strong = 0
    for number in range(800):
        choices = random.Random(number)
        for isolation in ("repeatable read", "serializable"):
            run = Run((deposit, withdraw, report), isolation)
            choices.seed(number)
            step_through(run.simulation, lambda options: choices.randrange(len(options)))  # noqa: B023
            if isolation == "serializable":
                assert run.is_serializable()
                strong += "40001" in run.outcome
            else:
                weak += not run.is_serializable()
    assert weak and strong


@pytest.mark.parametrize("isolation", ISOLATION_LEVELS)
@relaxed
@given(programs=st.tuples(small_programs, small_programs))
def test_nobody_ever_reads_what_was_not_committed(
    isolation: str, programs: tuple[Program, ...]
) -> None:
    for run in all_runs(programs, isolation):
        committed = {f"value={value}" for value in START.values()} | {"no row"}
        for event in run.simulation.history:
            if event.kind == "write":
                committed.add(str(event.after))
            elif event.kind == "read" and event.operation != "scan":
                value = str(event.value)
                assert value in committed or value.startswith(f"value={event.lane[-1]}"), event


@relaxed
@given(st.tuples(small_programs, small_programs))
def test_repeatable_read_shows_one_moment(programs: tuple[Program, ...]) -> None:
    """All reads before the first own write agree with one committed state of the database."""
    for run in all_runs(programs, "repeatable read"):
        states = committed_states(run)
        for program, seen in zip(programs, run.seen, strict=True):
            reads = []
            for (verb, key), value in zip(program, seen, strict=False):
                if verb not in ("get", "scan"):
                    break
                reads.append((verb, key, value))
            assert any(
                all(serially(dict(state), verb, key, "") == value for verb, key, value in reads)
                for state in states
            ), (reads, states)


def committed_states(run: Run) -> list[dict[str, object]]:
    """The states of the table, one after every commit, from the history."""
    state: dict[str, object] = dict(START)
    states = [dict(state)]
    last = 0
    for event in run.simulation.history:
        if event.kind != "write":
            continue
        if event.step != last:
            states.append({})
        last = event.step
        key = event.resource.rpartition("/")[2]
        if isinstance(event.after, StoredRow):
            state[key] = event.after["value"]
        else:
            state.pop(key, None)
        states[-1] = dict(state)
    return states


READ_MODIFY_WRITE: Program = (("get", "x"), ("put", "x"))
LOCKED_MODIFY_WRITE: Program = (("lock", "x"), ("put", "x"))
WRITE: Program = (("put", "x"),)
READ_TWICE: Program = (("get", "x"), ("get", "x"))
SCAN_TWICE: Program = (("scan", "x"), ("scan", "x"))
INSERT: Program = (("put", "z"),)
COUNT_AND_INSERT: Program = (("scan", "x"), ("put", "z"))
COUNT_AND_UPDATE: Program = (("scan", "x"), ("put", "x"))
READ_BOTH_WRITE_X: Program = (("get", "x"), ("get", "y"), ("put", "x"))
READ_BOTH_WRITE_Y: Program = (("get", "x"), ("get", "y"), ("put", "y"))


def lost_update(run: Run) -> bool:
    """Both committed, and both had read the first value."""
    return len(run.committed) == 2 and all(seen[0] == "x0" for seen in run.seen)


def two_reads_differ(run: Run) -> bool:
    return len(run.committed) == 2 and run.seen[0][0] != run.seen[0][1]


def not_serializable(run: Run) -> bool:
    return not run.is_serializable()


@pytest.mark.parametrize(
    ("anomaly", "programs", "possible"),
    [
        (lost_update, (READ_MODIFY_WRITE, READ_MODIFY_WRITE), (True, False, False)),
        (lost_update, (LOCKED_MODIFY_WRITE, LOCKED_MODIFY_WRITE), (False, False, False)),
        (two_reads_differ, (READ_TWICE, WRITE), (True, False, False)),
        (two_reads_differ, (SCAN_TWICE, INSERT), (True, False, False)),
        (not_serializable, (READ_BOTH_WRITE_X, READ_BOTH_WRITE_Y), (True, True, False)),
        (not_serializable, (COUNT_AND_INSERT, COUNT_AND_UPDATE), (True, True, False)),
    ],
    ids=["lost-update", "locked-update", "reread", "phantom-reread", "write-skew", "phantom-skew"],
)
def test_anomalies_are_reachable_exactly_where_postgresql_has_them(
    anomaly: Callable[[Run], bool], programs: tuple[Program, ...], possible: tuple[bool, ...]
) -> None:
    found = tuple(
        any(anomaly(run) for run in all_runs(programs, isolation)) for isolation in ISOLATION_LEVELS
    )
    assert found == possible


@pytest.mark.parametrize(
    ("programs", "isolation", "sqlstate"),
    [
        ((READ_MODIFY_WRITE, READ_MODIFY_WRITE), "repeatable read", "40001"),
        ((READ_BOTH_WRITE_X, READ_BOTH_WRITE_Y), "serializable", "40001"),
        ((COUNT_AND_INSERT, COUNT_AND_UPDATE), "serializable", "40001"),
        (((("put", "x"), ("put", "y")), (("put", "y"), ("put", "x"))), "read committed", "40P01"),
    ],
)
def test_of_two_that_exclude_each_other_one_always_commits(
    programs: tuple[Program, ...], isolation: str, sqlstate: str
) -> None:
    outcomes = {tuple(sorted(run.outcome)) for run in all_runs(programs, isolation)}
    assert outcomes == {("committed", "committed"), (sqlstate, "committed")}
