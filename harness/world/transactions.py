"""One transaction of the simulated database, statement by statement, as PostgreSQL has it.

Every statement is one operation: it sees the snapshot that its isolation level gives it, waits
for the lock of the row that it changes, and fails where PostgreSQL fails. What a transaction
wrote becomes visible in one moment, at its commit, and never before. A statement outside of a
transaction is a transaction of its own that commits in the same moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self, TypeVar

import trio

from harness.history import Site
from harness.schedule.choices import Footprint, writes
from harness.schedule.simulation import site_of_caller
from harness.world.serializable import Footsteps
from harness.world.sqlstates import (
    DatabaseError,
    DeadlockDetected,
    ReadOnly,
    SerializationFailure,
    TransactionAborted,
    Unavailable,
)
from harness.world.versions import NO_ROW, Key, Place, Row, StoredRow, overlay

if TYPE_CHECKING:
    from harness.schedule.lanes import Lane
    from harness.world.database import Database

T = TypeVar("T")
#: What a conditional write demands of the row that is there: exactly this one, or a predicate.
Expectation = Mapping[str, object] | Callable[[Row | None], bool] | None

#: How a statement touches its row: a change is a write that needs the row to be there.
READS, WRITES, CHANGES = "reads", "writes", "changes"
ISOLATION_LEVELS = ("read committed", "repeatable read", "serializable")


class Transaction:
    """The statements between begin and commit; take one from ``database.transaction()``."""

    __slots__ = (
        "_begun",
        "_database",
        "_sites",
        "_snapshot",
        "_statements",
        "alone",
        "committing",
        "failure",
        "footsteps",
        "isolation",
        "lane",
        "locked",
        "over",
        "read_only",
        "waits_for",
        "writes",
    )

    def __init__(self, database: Database, isolation: str, *, alone: bool = False) -> None:
        self._database = database
        self.isolation = isolation
        self.alone = alone
        self.lane: Lane = database.simulation.current_lane
        self.writes: dict[Place, Row | None] = {}
        self.locked: dict[Place, None] = {}
        self.waits_for: Place | None = None
        self.failure: DatabaseError | None = None
        self.read_only = False
        self.over = False
        self._sites: dict[Place, tuple[str, Site | None]] = {}
        self._snapshot: int | None = None
        self.footsteps: Footsteps | None = None
        self._statements = 0
        self._begun = False
        self.committing = False

    async def __aenter__(self) -> Self:
        self._database.transactions[self] = None
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        if self.over:
            # PostgreSQL answers the commit of a failed transaction with a mere 'ROLLBACK'.
            if error is None and isinstance(self.failure, Unavailable):
                raise Unavailable(str(self.failure))
        elif error is None and self._statements:
            await self._commit()
        else:
            self._send_rollback()

    @property
    def is_orphan(self) -> bool:
        """Whether its client is dead, and it has not ended only because that is not known yet."""
        return not self.lane.alive

    # --- statements ------------------------------------------------------------------------

    async def get(self, table: str, key: Key) -> Row | None:
        """The row, as this transaction sees it now; None if there is none."""
        place = (table, key)
        return await self._send("get", place, lambda site: self._read("get", place, site), READS)

    async def scan(self, table: str) -> dict[Key, Row]:
        """All rows of a table by key, as this transaction sees them now."""
        return await self._send(
            "scan", (table, "*"), lambda site: self._read_all(table, site), READS
        )

    async def get_for_update(self, table: str, key: Key) -> Row | None:
        """The row, locked until this transaction ends; a missing row is None and locks nothing."""
        place = (table, key)

        def effect(site: Site | None) -> Row | None:
            if self._seen(place) is not None:
                self._lock(place)
            return self._read("get for update", place, site)

        return await self._send("get for update", place, effect, CHANGES)

    async def put(self, table: str, key: Key, row: Row) -> None:
        """Insert the row, or replace the one that is there."""
        place, frozen = (table, key), StoredRow(row)

        def effect(site: Site | None) -> None:
            self._lock(place)
            self._write("put", place, frozen, site)

        await self._send("put", place, effect, WRITES)

    async def put_all(self, table: str, rows: Mapping[Key, Row]) -> None:
        """Insert or replace several rows in one statement, locking them in the order of their keys.

        Like PostgreSQL's multi-row ``INSERT … ON CONFLICT DO UPDATE`` it keeps the rows that it
        has locked while it waits for the next one.
        """
        places = [(table, key) for key in sorted(rows)]
        frozen = [StoredRow(rows[key]) for _, key in places]
        database, site, done = self._database, site_of_caller(), [0]
        self._statements += 1

        def perform() -> bool:
            self._begin(writes=True)
            while done[0] < len(places):
                place = places[done[0]]
                if not self._can_go(place, WRITES, gives_way):
                    if not self.lane.alive:
                        self.roll_back()
                    return False
                self._lock(place)
                self._write("put all", place, frozen[done[0]], site)
                done[0] += 1
            if self.alone:
                self._take_effect()
            return True

        finished = not places
        while not finished:
            waits_for = self.waits_for = places[done[0]]
            gives_way = database.locks.never_ends(waits_for, self)
            finished = await database.simulation.operate(
                f"put all {database.name}/{table}",
                perform,
                footprint=writes(*(f"{database.name}/{table}/{key}" for _, key in places)),
                enabled=lambda at=waits_for, last=gives_way: self._can_go(at, WRITES, last),  # type: ignore[misc]
                describe_wait=lambda at=waits_for: self._describe_wait(at),  # type: ignore[misc]
                on_crash="orphan" if self.alone else "drop",
            )

    async def update(self, table: str, key: Key, **columns: object) -> Row | None:
        """Change columns of the row and return all of it; None if there is no such row."""
        place = (table, key)

        def effect(site: Site | None) -> Row | None:
            found = self._find(place)
            if found is None:
                return None
            row = StoredRow({**found, **columns})
            self._write("update", place, row, site)
            return row

        return await self._send("update", place, effect, CHANGES)

    async def delete(self, table: str, key: Key) -> bool:
        """Delete the row; False if there is no such row."""
        place = (table, key)

        def effect(site: Site | None) -> bool:
            if self._find(place) is None:
                return False
            self._write("delete", place, None, site)
            return True

        return await self._send("delete", place, effect, CHANGES)

    async def compare_and_put(self, table: str, key: Key, row: Row, expect: Expectation) -> bool:
        """Put the row if the one that is there is as expected (None: none is there)."""
        place, frozen = (table, key), StoredRow(row)

        def effect(site: Site | None) -> bool:
            self._lock(place)
            found = self._read("compare", place, site)
            if not (expect(found) if callable(expect) else found == expect):
                return False
            self._write("compare and put", place, frozen, site)
            return True

        return await self._send("compare and put", place, effect, WRITES)

    async def _send(
        self, verb: str, place: Place, effect: Callable[[Site | None], T], how: str
    ) -> T:
        database = self._database
        site = site_of_caller()
        resource = f"{database.name}/{place[0]}/{place[1]}"
        touched = (resource, "read" if how is READS else "write")
        self._statements += 1
        if self._statements == 1 and self.isolation != "read committed":
            footprint = Footprint((touched, (f"{database.name}/*", "read")))
        else:
            footprint = Footprint((touched,))

        def perform() -> T:
            self._begin(writes=how is not READS)
            result = effect(site)
            if self.alone:
                self._take_effect()
            return result

        if how is READS:
            return await database.simulation.operate(
                f"{verb} {resource}", perform, footprint=footprint, on_crash="drop"
            )
        self.waits_for = place
        gives_way = database.locks.never_ends(place, self)
        return await database.simulation.operate(
            f"{verb} {resource}",
            perform,
            footprint=footprint,
            enabled=lambda: self._can_go(place, how, gives_way),
            describe_wait=lambda: self._describe_wait(place),
            on_crash="orphan" if self.alone else "drop",
        )

    # --- what happens in the database, in one moment -----------------------------------------

    def _begin(self, *, writes: bool) -> None:
        """Take the snapshot of the first statement; raise what forbids this one."""
        self.waits_for = None
        database = self._database
        if not self._begun and not self.over:
            self._begun = True
            self.read_only = database.mode == "read only"
            if self.isolation != "read committed":
                self._snapshot = database.versions.open_snapshot()
                if self.isolation == "serializable":
                    self.footsteps = Footsteps(self._snapshot)
        error = self._refusal(writes=writes)
        if error is not None:
            self.fail(error)

    def _refusal(self, *, writes: bool) -> DatabaseError | None:
        if self._database.mode == "away":
            return Unavailable(f"database {self._database.name} is away")
        if isinstance(self.failure, Unavailable):
            return Unavailable(str(self.failure))
        if self.over:
            return TransactionAborted("the transaction has ended; nothing can be done in it")
        if writes and (self.read_only if self._begun else self._database.mode == "read only"):
            return ReadOnly("the transaction is read only")
        return None

    def _can_go(self, place: Place, how: str, gives_way: bool) -> bool:
        if self.alone and self.over:
            return False  # its client is dead, and somebody else took its rows
        locks = self._database.locks
        return (
            locks.holder(place, self) is None
            or (how is CHANGES and self._seen(place) is None)
            or self._refusal(writes=True) is not None
            or (gives_way and locks.never_ends(place, self))
        )

    def _describe_wait(self, place: Place) -> str:
        holder = self._database.locks.holder(place, self)
        return f"a lock held by {holder.lane.name}" if holder else ""

    def _lock(self, place: Place) -> None:
        if self._database.locks.holder(place, self) is not None:
            self.fail(DeadlockDetected(f"waiting for {place[0]}/{place[1]} would never end"))
        self._database.locks.take(place, self)
        self.locked[place] = None
        if self._snapshot is not None and self._database.versions.changed_since(
            place, self._snapshot
        ):
            self.fail(SerializationFailure("could not serialize access due to concurrent update"))

    def _seen(self, place: Place) -> Row | None:
        if place in self.writes:
            return self.writes[place]
        if self._snapshot is None:
            return self._database.versions.newest(place)
        return self._database.versions.at(place, self._snapshot)

    def _find(self, place: Place) -> Row | None:
        """The row that an update or a delete is about, locked."""
        if self.footsteps is not None:
            self.footsteps.reads[place] = None
        row = self._seen(place)
        if row is not None:
            self._lock(place)
        return row

    def _read(self, verb: str, place: Place, site: Site | None) -> Row | None:
        if self.footsteps is not None:
            self.footsteps.reads[place] = None
        row = self._seen(place)
        self._database.tell("read", verb, place, value=NO_ROW if row is None else row, site=site)
        return row

    def _read_all(self, table: str, site: Site | None) -> dict[Key, Row]:
        if self.footsteps is not None:
            self.footsteps.scans[table] = None
        mine = {place[1]: row for place, row in self.writes.items() if place[0] == table}
        rows = overlay(self._database.versions.table(table, self._snapshot), mine)
        self._database.tell("read", "scan", (table, "*"), value=f"{len(rows)} rows", site=site)
        return rows

    def _write(self, verb: str, place: Place, row: Row | None, site: Site | None) -> None:
        self.writes[place] = row
        self._sites[place] = (verb, site)

    # --- the end -----------------------------------------------------------------------------

    async def _commit(self) -> None:
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
        except trio.Cancelled:
            self._send_rollback()
            raise
        database = self._database
        touched = [(place, "write") for place in self.writes]
        if self.footsteps is not None:
            touched += [(place, "read") for place in self.footsteps.reads]
            touched += [((table, "*"), "read") for table in self.footsteps.scans]
        self.committing = True
        await database.simulation.operate(
            f"commit {database.name}",
            self._take_effect,
            footprint=Footprint((f"{database.name}/{t}/{key}", how) for (t, key), how in touched),
            enabled=lambda: not self.over or self.failure is not None,
            on_crash="orphan",
        )

    def _take_effect(self) -> None:
        """Commit; raises what forbids it."""
        if self.failure is not None:
            raise type(self.failure)(str(self.failure))
        versions = self._database.versions
        if self.footsteps is not None:
            committed_at = versions.commits + bool(self.writes)
            if self._database.conflicts.endangers(self.footsteps, self.writes, committed_at):
                self.fail(
                    SerializationFailure(
                        "could not serialize access due to read/write dependencies"
                    )
                )
        if self.writes:
            told = [(place, versions.newest(place), row) for place, row in self.writes.items()]
            versions.install(self.writes.items())
            for place, before, after in told:
                verb, site = self._sites[place]
                self._database.tell(
                    "write",
                    verb,
                    place,
                    before=NO_ROW if before is None else before,
                    after=NO_ROW if after is None else after,
                    site=site,
                )
        self._finish()

    def fail(self, error: DatabaseError) -> NoReturn:
        """Roll back because of an error, and raise it."""
        self.roll_back(error)
        raise error

    def roll_back(self, error: DatabaseError | None = None) -> None:
        """Undo everything and free the rows, at once."""
        if not self.over:
            self.failure = error
            self.writes.clear()
            self._finish()

    def _send_rollback(self) -> None:
        if not self.locked:
            self.roll_back()  # nobody can notice when
            return
        resources = [f"{self._database.name}/{table}/{key}" for table, key in self.locked]
        try:
            self._database.simulation.post(
                f"rollback {self._database.name}",
                self.roll_back,
                lane=self.lane.name,
                footprint=writes(*resources),
            )
        except ConnectionError:
            self.roll_back()  # the run is over

    def _finish(self) -> None:
        self.over = True
        self.waits_for = None
        self._database.locks.release(self)
        self._database.transactions.pop(self, None)
        if self._snapshot is not None:
            self._database.versions.close_snapshot()
            self._database.forget_conflicts()

    @property
    def snapshot(self) -> int | None:
        """How many commits this transaction sees; None until it began, or without a snapshot."""
        return self._snapshot
