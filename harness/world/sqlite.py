"""SQLite inside a run: real SQLite, on a disk that loses at a power cut what was not synced.

A statement is one step. A power cut strikes between two steps, or in the middle of the statement
that was made last, as long as nobody has seen that it was made. Which part of the unsynced writes
arrived is a choice of the schedule. Killed processes lose nothing: the page cache outlives them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import apsw

from harness.schedule.choices import writes
from harness.schedule.sites import site_of_caller
from harness.world.lossy import Volume
from harness.world.platter import Change, Data, Entry, Moment

if TYPE_CHECKING:
    from harness.schedule.lanes import Lane
    from harness.schedule.simulation import Simulation

T = TypeVar("T")
Row = tuple[Any, ...]
#: In how many ways a part of the unsynced writes may arrive at one power cut, besides all and none.
PARTS = 6
#: How likely a write is to have arrived, or else to have arrived by half, when a part has.
ARRIVED, TORN = 0.5, 0.1
#: How much of a statement the history shows.
TEXT_MAX = 72


class Sqlite:
    """A disk with databases of SQLite on it; see :meth:`harness.world.world.World.sqlite`."""

    def __init__(self, simulation: Simulation, name: str, *, names_survive: bool) -> None:
        self.simulation = simulation
        self.name = name
        self._volume = Volume(names_survive=names_survive)
        self._volume.on_sync = self._before_sync
        #: Connections of lanes, those of dead ones too: to close them would be to roll back.
        self._connections: list[Connection] = []
        #: Where the statement that was made last could have been cut off, and whose it was.
        self._on_the_way: list[Moment] = []
        self._cuts = 0
        simulation.crash_hooks.append(self._crashed)

    # --- for the target ----------------------------------------------------------------------

    async def connect(self, path: str) -> Connection:
        """A connection to the database in a file, which is created if it does not exist."""
        connection = Connection(self, path, self.simulation.current_lane)
        self._connections.append(connection)
        await self._send("open", path, connection.open, connection)
        return connection

    # --- for the nemesis ---------------------------------------------------------------------

    def power_cut(self) -> None:
        """Lose what was not synced, or some of it: the next choice of the schedule says what.

        The processes on this machine must be crashed by the caller.
        """
        self.simulation.touches(f"{self.name}/*")
        self._cuts += 1
        now = self._volume.platter.moment()
        moments = [("", now)]
        for number, moment in enumerate(self._on_the_way, 1):
            moments.append((f" before sync {number} of the last statement", moment))
        outcomes = [
            (f"{words}{when}", moment, arrive)
            for when, moment in moments
            for words, arrive in self._ways(moment, when)
        ]
        if len(outcomes) == 1:
            self._survive(*outcomes[0])
            return
        self.simulation.decide(
            self.name,
            [(each[0], lambda each=each: self._survive(*each)) for each in outcomes],  # type: ignore[misc]
        )

    def _ways(
        self, moment: Moment, when: str
    ) -> list[tuple[str, Callable[[Sequence[Change]], list[Change]]]]:
        if not moment.pending:
            return [("nothing is lost", list)]
        parts = [
            (f"part {number} is lost", self._part(f"{self._cuts}{when} {number}"))
            for number in range(1, PARTS + 1)
        ]
        return [("nothing is lost", list), *parts, ("all unsynced is lost", lambda _: [])]

    def _part(self, purpose: str) -> Callable[[Sequence[Change]], list[Change]]:
        def arrive(changes: Sequence[Change]) -> list[Change]:
            return arrived(changes, self.simulation.random(f"power cut of {self.name} {purpose}"))

        return arrive

    def _survive(
        self, name: str, moment: Moment, arrive: Callable[[Sequence[Change]], list[Change]]
    ) -> None:
        self.simulation.touches(f"{self.name}/*")
        platter = self._volume.platter
        platter.go_back(moment)
        platter.survive(arrive(moment.pending))
        self._on_the_way = []
        for connection in self._connections:
            self._volume.die(connection.number)
        self.simulation.emit("fault", "power cut", peer=self.name, value=name)

    def _crashed(self, lane: Lane) -> None:
        for connection in self._connections:
            if connection.lane is lane:
                self._volume.die(connection.number)

    # --- for the harness ---------------------------------------------------------------------

    def read(self, path: str, sql: str) -> list[Row]:
        """The rows of a query for a rule, on a copy: seen by no lane and costing no step.

        Raises what SQLite raises, such as :class:`apsw.CorruptError`.
        """
        self.simulation.touches(f"{self.name}/*", "read")
        twin = self._volume.twin()
        connection = twin.connect(path)
        try:
            connection.execute("pragma locking_mode = exclusive")  # it reads a log without sharing
            return list(connection.execute(sql))
        finally:
            connection.close()

    def damage(self, path: str) -> str:
        """What SQLite finds wrong with the database in a file; empty if it is sound."""
        try:
            words = [str(row[0]) for row in self.read(path, "pragma integrity_check")]
        except apsw.Error as error:
            return f"{type(error).__name__}: {error}"
        return "" if words == ["ok"] else "; ".join(words)

    # --- one request -------------------------------------------------------------------------

    def _before_sync(self) -> None:
        self._on_the_way.append(self._volume.platter.moment())

    async def _send(self, text: str, path: str, perform: Callable[[], T], owner: Connection) -> T:
        def effect() -> T:
            self._on_the_way = []  # whoever goes on now has seen what was done before
            self._volume.owner = owner.number
            return perform()

        return await self.simulation.operate(
            f"{text} {self.name}/{path}",
            effect,
            footprint=writes(f"{self.name}/{path}"),
            on_crash="drop",
            boundary=True,
        )


class Connection:
    """One connection of one lane to one database."""

    def __init__(self, disk: Sqlite, path: str, lane: Lane) -> None:
        self.disk = disk
        self.path = path
        self.lane = lane
        self.number = len(disk._connections) + 1
        self._sqlite: apsw.Connection | None = None

    def open(self) -> None:
        """Open the file."""
        self._sqlite = self.disk._volume.connect(self.path)

    async def execute(self, sql: str, bindings: Sequence[Any] = ()) -> list[Row]:
        """Run SQL and return all rows; raises what SQLite raises, such as apsw.BusyError.

        One statement is one step. Without ``begin`` each is a transaction of its own.
        """
        site, text = site_of_caller(), " ".join(sql.split())[:TEXT_MAX]

        def perform() -> list[Row]:
            sqlite = self._sqlite
            assert sqlite is not None
            before = sqlite.total_changes()
            rows = list(sqlite.execute(sql, bindings or None))
            changed = sqlite.total_changes() - before
            self.disk.simulation.emit(
                "write" if changed else "read",
                text,
                resource=f"{self.disk.name}/{self.path}",
                value=f"{changed} rows changed" if changed else f"{len(rows)} rows",
                peer=self.disk.name,
                site=site,
            )
            return rows

        rows = await self.disk._send(text, self.path, perform, self)
        self.disk._on_the_way = []  # it is known now that it was made
        return rows


def arrived(changes: Sequence[Change], random: Any) -> list[Change]:
    """A part of unsynced changes, as SQLite's crash tests keep it; names go in their order."""
    kept: list[Change] = []
    names_left = random.randint(0, sum(isinstance(each, Entry) for each in changes))
    for change in changes:
        if isinstance(change, Entry):
            names_left -= 1
            if names_left >= 0:
                kept.append(change)
        elif random.random() < ARRIVED:
            kept.append(change)
        elif isinstance(change, Data) and random.random() < TORN:
            half = change.content[: len(change.content) // 2]
            kept.append(Data(change.file, change.offset, half, change.appended))
    return kept
