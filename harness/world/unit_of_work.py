"""What one transaction sees, holds and has written so far, and how all of that ends.

Its snapshot, its row locks and its unseen writes are here, with the rules by which PostgreSQL
fails a statement or a commit; which statements there are is the business of
:mod:`harness.world.transactions`. Whatever ends a transaction frees everything it holds, at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import trio

from harness.history import Site
from harness.schedule.choices import Footprint, writes
from harness.world.serializable import Footsteps
from harness.world.sqlstates import (
    DatabaseError,
    DeadlockDetected,
    ReadOnly,
    SerializationFailure,
    TransactionAborted,
    Unavailable,
)
from harness.world.versions import NO_ROW, Key, Place, Row, overlay

if TYPE_CHECKING:
    from harness.schedule.lanes import Lane
    from harness.world.database import Database

#: How a statement touches its row: a change is a write that needs the row to be there.
READS, WRITES, CHANGES = "reads", "writes", "changes"


class UnitOfWork:
    """Everything of a transaction but its statements; ``alone`` if it is a single statement."""

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

    @property
    def is_orphan(self) -> bool:
        """Whether its client is dead, and it has not ended only because that is not known yet."""
        return not self.lane.alive

    # --- what happens in the database, in one moment -----------------------------------------

    def _begin(self, *, writes: bool) -> None:
        """Take the snapshot of the first statement; raise what forbids this one."""
        self._waiting_changes()
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

    def _waiting_changes(self) -> None:
        """Whoever looks for a circle of those who wait finds something else now."""
        if self.locked:
            self._database.simulation.touches(f"{self._database.name}/waiting")

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
        if self.alone and self.over and self.failure is None:
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
        touched = [(place, "write") for place in {**self.locked, **self.writes}]
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
            boundary=bool(self.writes),
        )

    def _take_effect(self) -> None:
        """Commit; raises what forbids it."""
        if self.failure is not None:
            raise type(self.failure)(str(self.failure))
        versions = self._database.versions
        if self.footsteps is not None:
            self._database.simulation.touches(f"{self._database.name}/serializable")
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
        for place in self.locked:
            self._database.touches(place)
        self._waiting_changes()
        self._database.locks.release(self)
        self._database.transactions.pop(self, None)
        if self._snapshot is not None:
            self._database.versions.close_snapshot()
            self._database.forget_conflicts()

    @property
    def snapshot(self) -> int | None:
        """How many commits this transaction sees; None until it began, or without a snapshot."""
        return self._snapshot
