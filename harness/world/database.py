"""A database with tables, transactions and row locks, and the anomalies of PostgreSQL.

It is another process: every statement and every commit is an operation that takes effect when the
scheduler says so. Its isolation levels promise what PostgreSQL's promise and no more, a
maintenance window makes it read only or takes it away, and a client that dies takes its open
transactions with it but not the statement that was already on its way. It must never be kinder
to the target than the real one.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.errors import closest
from harness.history import Site
from harness.schedule.choices import Footprint
from harness.world.row_locks import RowLocks
from harness.world.serializable import Conflicts
from harness.world.sqlstates import Unavailable
from harness.world.transactions import ISOLATION_LEVELS, Expectation, Transaction
from harness.world.unit_of_work import UnitOfWork
from harness.world.versions import Key, Place, Row, Versions

if TYPE_CHECKING:
    from harness.schedule.lanes import Lane
    from harness.schedule.simulation import Simulation

MODES = ("read only", "away")
_NO_ROWS: Mapping[Key, Row] = MappingProxyType({})


def _known(name: str, names: tuple[str, ...], kind: str) -> str:
    if name not in names:
        raise closest(name, names, kind=kind)
    return name


class Database:
    """Tables of rows by primary key; ``isolation`` is for transactions that name none."""

    def __init__(
        self, simulation: Simulation, name: str, *, isolation: str = "read committed"
    ) -> None:
        self.simulation = simulation
        self.name = name
        self.isolation = _known(isolation, ISOLATION_LEVELS, "isolation level")
        self.mode = "open"
        self.versions = Versions()
        self.locks = RowLocks()
        self.conflicts = Conflicts()
        self.transactions: dict[UnitOfWork, None] = {}
        simulation.crash_hooks.append(self._client_died)

    # --- for the target ----------------------------------------------------------------------

    def transaction(self, isolation: str | None = None) -> Transaction:
        """A transaction to enter: it commits when the block ends, and rolls back on an error."""
        level = isolation or self.isolation
        return Transaction(self, _known(level, ISOLATION_LEVELS, "isolation level"))

    async def get(self, table: str, key: Key) -> Row | None:
        """The committed row; None if there is none."""
        return await Transaction(self, self.isolation, alone=True).get(table, key)

    async def scan(self, table: str) -> dict[Key, Row]:
        """All committed rows of a table, by key."""
        return await Transaction(self, self.isolation, alone=True).scan(table)

    async def put(self, table: str, key: Key, row: Row) -> None:
        """Insert or replace one row, and commit."""
        await Transaction(self, self.isolation, alone=True).put(table, key, row)

    async def put_all(self, table: str, rows: Mapping[Key, Row]) -> None:
        """Insert or replace several rows in one statement, and commit."""
        await Transaction(self, self.isolation, alone=True).put_all(table, rows)

    async def update(self, table: str, key: Key, **columns: object) -> Row | None:
        """Change columns of one row, commit, and return the row; None if there is no such row."""
        return await Transaction(self, self.isolation, alone=True).update(table, key, **columns)

    async def delete(self, table: str, key: Key) -> bool:
        """Delete one row, and commit; False if there is no such row."""
        return await Transaction(self, self.isolation, alone=True).delete(table, key)

    async def compare_and_put(self, table: str, key: Key, row: Row, expect: Expectation) -> bool:
        """Put the row, and commit, if the one that is there is as expected (None: none is)."""
        alone = Transaction(self, self.isolation, alone=True)
        return await alone.compare_and_put(table, key, row, expect)

    # --- for the operator --------------------------------------------------------------------

    def begin_maintenance(self, mode: str) -> None:
        """Make the database 'read only', or take it 'away', from this moment on.

        When it goes away, open transactions are rolled back and fail with 57P03. When it becomes
        read only, transactions that began before may still write and commit, as they may after
        PostgreSQL's ``default_transaction_read_only`` was set.
        """
        self.mode = _known(mode, MODES, "maintenance mode")
        self.simulation.touches(f"{self.name}/*")
        self.simulation.emit("phase", f"maintenance: {mode}", peer=self.name)
        if mode == "away":
            # A statement on many rows that is alone holds its first rows while it waits.
            for transaction in [*self.transactions, *self.locks.holders.values()]:
                transaction.roll_back(Unavailable(f"database {self.name} went away"))

    def end_maintenance(self) -> None:
        """Serve everybody again."""
        self.mode = "open"
        self.simulation.touches(f"{self.name}/*")
        self.simulation.emit("phase", "maintenance: over", peer=self.name)

    async def maintain(self, mode: str) -> None:
        """Ask for :meth:`begin_maintenance` and wait until it is so."""
        _known(mode, MODES, "maintenance mode")
        await self._administer(f"maintain {self.name}: {mode}", mode)

    async def reopen(self) -> None:
        """Ask for :meth:`end_maintenance` and wait until it is so."""
        await self._administer(f"reopen {self.name}", "")

    async def _administer(self, label: str, mode: str) -> None:
        await self.simulation.operate(
            label,
            (lambda: self.begin_maintenance(mode)) if mode else self.end_maintenance,
            footprint=Footprint(((f"{self.name}/*", "write"),)),
        )

    # --- for the harness ---------------------------------------------------------------------

    def load(self, table: str, rows: Mapping[Key, Row]) -> None:
        """Set up a table before the run."""
        self.versions.load(table, rows)

    def table(self, table: str) -> Mapping[Key, Row]:
        """The committed rows of a table, seen by no lane and costing no step."""
        self.simulation.touches(f"{self.name}/{table}/*", "read")
        return MappingProxyType(self.versions.tables.get(table, _NO_ROWS))

    @property
    def commits(self) -> int:
        """How many transactions have changed something."""
        return self.versions.commits

    # --- for its transactions ----------------------------------------------------------------

    def touches(self, place: Place) -> None:
        """Say that the step which goes on frees a row, or makes it free to take."""
        self.simulation.touches(f"{self.name}/{place[0]}/{place[1]}")

    def tell(
        self,
        kind: str,
        verb: str,
        place: Place,
        *,
        value: object = "",
        before: object = "",
        after: object = "",
        site: Site | None,
    ) -> None:
        """Put what a statement did into the history."""
        self.simulation.emit(
            kind,
            verb,
            resource=f"{self.name}/{place[0]}/{place[1]}",
            value=value,
            before=before,
            after=after,
            peer=self.name,
            site=site,
        )

    def forget_conflicts(self) -> None:
        """A transaction with a snapshot ended: what only it could see is not needed any more."""
        snapshots = [
            one.snapshot
            for one in self.transactions
            if one.footsteps is not None and one.snapshot is not None
        ]
        self.conflicts.forget(min(snapshots) if snapshots else None)

    def _client_died(self, lane: Lane) -> None:
        for place, holder in self.locks.holders.items():
            if holder.lane is lane:
                self.touches(place)
        for transaction in list(self.transactions):
            if transaction.lane is lane and not transaction.committing:
                transaction.roll_back()
