"""The statements of a transaction of the simulated database, one operation each.

Each of them sees the snapshot that its isolation level gives it, waits for the lock of the row
that it changes, and fails where PostgreSQL fails. What a transaction wrote becomes visible in one
moment, at its commit, and never before. A statement outside of a transaction is a transaction of
its own that commits in the same moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar

import trio

from harness.history import Site
from harness.schedule.choices import Footprint
from harness.schedule.sites import site_of_caller
from harness.world.sqlstates import Unavailable
from harness.world.unit_of_work import CHANGES, READS, WRITES, UnitOfWork
from harness.world.versions import Key, Place, Row, StoredRow

T = TypeVar("T")
#: What a conditional write demands of the row that is there: exactly this one, or a predicate.
Expectation = Mapping[str, object] | Callable[[Row | None], bool] | None

ISOLATION_LEVELS = ("read committed", "repeatable read", "serializable")


class Transaction(UnitOfWork):
    """The statements between begin and commit; take one from ``database.transaction()``."""

    __slots__ = ()

    async def __aenter__(self) -> Self:
        self._database.transactions[self] = None
        self._database.simulation.touches(f"{self._database.name}/mode", "read")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        self._database.simulation.touches(f"{self._database.name}/mode", "read")
        if self.over:
            # PostgreSQL answers the commit of a failed transaction with a mere 'ROLLBACK'.
            if error is None and isinstance(self.failure, Unavailable):
                raise Unavailable(str(self.failure))
        elif error is None and self._statements:
            await self._commit()
        else:
            self._send_rollback()

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
        stored = [StoredRow(rows[key]) for _, key in places]
        site, written = site_of_caller(), 0
        self._statements += 1
        footprint = self._footprint([(place, "write") for place in places])

        def perform() -> bool:
            nonlocal written
            self._begin(writes=True)
            for place, row in zip(places[written:], stored[written:], strict=True):
                if not self._can_go(place, WRITES, gives_way):
                    if abandoned or not self.lane.alive:
                        self.roll_back()
                    return False
                self._lock(place)
                self._write("put all", place, row, site)
                written += 1
            if self.alone:
                self._take_effect()
            return True

        finished, abandoned = not places, False
        while not finished:
            at = self.waits_for = places[written]
            self._waiting_changes()
            gives_way, sent = self._database.locks.never_ends(at, self), False
            try:
                await trio.lowlevel.checkpoint_if_cancelled()
                sent = True
                finished = await self._operate(
                    f"put all {self._database.name}/{table}", perform, footprint, at, WRITES
                )
            except trio.Cancelled:
                abandoned = True
                if self.alone and not sent:
                    self.roll_back()
                raise

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
        site = site_of_caller()
        self._statements += 1
        footprint = self._footprint([(place, "read" if how is READS else "write")])

        def perform() -> T:
            self._begin(writes=how is not READS)
            result = effect(site)
            if self.alone:
                self._take_effect()
            return result

        label = f"{verb} {self._database.name}/{place[0]}/{place[1]}"
        if how is READS:
            return await self._database.simulation.operate(
                label, perform, footprint=footprint, on_crash="drop"
            )
        self.waits_for = place
        self._waiting_changes()
        return await self._operate(label, perform, footprint, place, how)

    async def _operate(
        self, label: str, perform: Callable[[], T], footprint: Footprint, place: Place, how: str
    ) -> T:
        """Send a statement that waits for the lock of ``place``."""
        gives_way = self._database.locks.never_ends(place, self)
        return await self._database.simulation.operate(
            label,
            perform,
            footprint=footprint,
            enabled=lambda: self._can_go(place, how, gives_way),
            describe_wait=lambda: self._describe_wait(place),
            on_crash="orphan" if self.alone else "drop",
            boundary=self.alone,
        )

    def _footprint(self, touched: Sequence[tuple[Place, str]]) -> Footprint:
        name = self._database.name
        pairs = [(f"{name}/{table}/{key}", how) for (table, key), how in touched]
        if self._statements == 1 and self.isolation != "read committed":
            pairs.append((f"{name}/*", "read"))  # the snapshot
        return Footprint(pairs)
