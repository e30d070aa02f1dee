"""The committed rows of a database, and as many of their past versions as somebody can still see.

Reading as of a moment is what repeatable read is made of. The newest rows live in plain
dictionaries; a replaced version is kept only while a snapshot is open, so a run without snapshots
pays nothing for it. Nothing here knows transactions, locks or time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any, NoReturn, TypeAlias

Key: TypeAlias = Any
Row: TypeAlias = Mapping[str, object]
#: A row of the whole database: its table and its primary key.
Place: TypeAlias = tuple[str, Key]

_first = itemgetter(0)


class StoredRow(dict[str, object]):
    """A row that nobody can change any more; as text it is ``column=value, column=value``."""

    __slots__ = ()

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("a row is immutable; put a new one")

    __setitem__ = __delitem__ = __ior__ = _refuse
    update = pop = popitem = clear = setdefault = _refuse

    def __reduce__(self) -> tuple[type[StoredRow], tuple[dict[str, object]]]:
        return StoredRow, (dict(self),)

    def __str__(self) -> str:
        return ", ".join([f"{column}={value}" for column, value in self.items()])


#: How the absence of a row is told in a history.
NO_ROW = "no row"


class Versions:
    """Committed rows; ``commits`` counts the transactions that changed something."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[Key, Row]] = {}
        self.commits = 0
        self._replaced: dict[Place, list[tuple[int, Row | None]]] = {}
        self._snapshots = 0
        self._unsorted: dict[str, bool] = {}

    def load(self, table: str, rows: Mapping[Key, Row]) -> None:
        """Put rows there as if they had always been there."""
        self.tables.setdefault(table, {}).update((key, StoredRow(row)) for key, row in rows.items())
        self._unsorted[table] = True

    def newest(self, place: Place) -> Row | None:
        """The committed row."""
        table = self.tables.get(place[0])
        return table.get(place[1]) if table else None

    def at(self, place: Place, snapshot: int) -> Row | None:
        """The row that was committed when ``snapshot`` was opened."""
        for replaced_at, row in self._replaced.get(place, ()):
            if replaced_at > snapshot:
                return row
        return self.newest(place)

    def changed_since(self, place: Place, snapshot: int) -> bool:
        """Whether the row was replaced, made or deleted after ``snapshot`` was opened."""
        replaced = self._replaced.get(place)
        return replaced is not None and replaced[-1][0] > snapshot

    def table(self, name: str, snapshot: int | None = None) -> dict[Key, Row]:
        """All rows of a table in the order of their keys, newest or as of a snapshot."""
        if self._unsorted.pop(name, False):
            self.tables[name] = dict(sorted(self.tables[name].items(), key=_first))
        rows = dict(self.tables.get(name, {}))
        if snapshot is None or not self._replaced:
            return rows
        past = {place[1]: self.at(place, snapshot) for place in self._replaced if place[0] == name}
        return overlay(rows, past)

    def install(self, changes: Iterable[tuple[Place, Row | None]]) -> None:
        """Commit rows; ``None`` deletes."""
        self.commits += 1
        for place, row in changes:
            name, key = place
            table = self.tables.setdefault(name, {})
            if self._snapshots:
                self._replaced.setdefault(place, []).append((self.commits, table.get(key)))
            if row is None:
                table.pop(key, None)
                continue
            if key not in table:
                self._unsorted[name] = True
            table[key] = row

    def open_snapshot(self) -> int:
        """Remember everything as it is now, until it is closed."""
        self._snapshots += 1
        return self.commits

    def close_snapshot(self) -> None:
        """One snapshot is not needed any more."""
        self._snapshots -= 1
        if not self._snapshots:
            self._replaced.clear()


def overlay(rows: dict[Key, Row], changes: Mapping[Key, Row | None]) -> dict[Key, Row]:
    """Rows with some of them replaced or deleted, in the order of their keys."""
    if not changes:
        return rows
    rows = {**rows, **{key: row for key, row in changes.items() if row is not None}}
    for key, row in changes.items():
        if row is None:
            rows.pop(key, None)
    return dict(sorted(rows.items(), key=_first))
