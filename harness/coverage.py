"""What of a restart met what of a write: the cells that runs cover, and the matrix of them.

A cell is one line of text: a service, the kind of its restart, the phase of it, a write, and how
far that write was. It is plain text so that it travels, counts and sorts like any other name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

#: How far a write is: its sender has asked for it, it has taken effect, its sender knows.
SENT, DONE, TOLD = "sent", "done", "told"
PROGRESS = (SENT, DONE, TOLD)
#: What a message is called as a write, whichever way it was sent.
MESSAGE = "send"
_BETWEEN = " | "
_MARK = "reached"
_KINDS = ("crash", "stop", "rolling", "failover")
#: The phases that a life has by itself, in their order; those of its own come before ready.
_PHASES = ("stopped", "down", "drain", "boot", "hydrate")
#: A service, the kind of its restart, its phase; a write and how far it is.
Row = tuple[str, str, str]
Column = tuple[str, str]
_DIGITS = re.compile(r"\d+")


def cell(service: str, kind: str, phase: str, write: str, progress: str) -> str:
    """The name of a cell."""
    return _BETWEEN.join((service, kind, phase, write, progress))


def mark(name: str) -> str:
    """A mark that was reached, as one more thing that runs cover."""
    return f"{_MARK}{_BETWEEN}{name}"


def is_cell(name: str) -> bool:
    """Whether what was covered is a cell of the matrix, and not a mark."""
    return not name.startswith(_MARK + _BETWEEN)


def write_named(verb: str, resource: str) -> str:
    """What a write is called without the key, the amounts and the counters of this one.

    ``put all database/markets/BTC-USD-PERP`` is ``put all database/markets``: of a resource the
    first two parts are kept, of the verb the first word and what follows in small letters alone.
    """
    words: list[str] = []
    for word in verb.split():
        if words and not (word.isalpha() and word.islower()):
            break
        words.append(word)
    place = "/".join(resource.split("/")[:2])
    return f"{_plain(' '.join(words))} {_plain(place)}".strip()


def _plain(text: str) -> str:
    return _DIGITS.sub("", text).strip(" -_.#") if any(map(str.isdigit, text)) else text


@dataclass(frozen=True, slots=True)
class Matrix:
    """Phases of restarts down, writes and how far they were across, and in how many runs.

    What is not in ``counts`` was never covered. Writes of stores come before messages, what was
    covered in more phases before the rest.
    """

    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    counts: Mapping[tuple[Row, Column], int]

    @property
    def cells(self) -> int:
        """How many cells were covered."""
        return len(self.counts)

    def count(self, row: Row, column: Column) -> int:
        """In how many runs a cell was covered."""
        return self.counts.get((row, column), 0)


def matrix_of(covered: Mapping[str, int]) -> Matrix:
    """The matrix of what was covered, with the number of runs in which it was."""
    counts: dict[tuple[Row, Column], int] = {}
    for name, count in covered.items():
        if is_cell(name):
            service, kind, phase, write, progress = name.split(_BETWEEN)
            counts[(service, kind, phase), (write, progress)] = count
    rows = sorted({row for row, _ in counts}, key=_place_of_row)
    breadth: dict[str, int] = {}
    for _, (write, _progress) in counts:
        breadth[write] = breadth.get(write, 0) + 1
    columns = sorted(
        {column for _, column in counts},
        key=lambda column: (
            column[0].startswith(MESSAGE + " "),
            -breadth[column[0]],
            column[0],
            PROGRESS.index(column[1]),
        ),
    )
    return Matrix(tuple(rows), tuple(columns), counts)


def nested(matrix: Matrix) -> dict[str, dict[str, dict[str, int]]]:
    """The matrix as JSON values: by phase of a restart, by write, how far that was."""
    tree: dict[str, dict[str, dict[str, int]]] = {}
    for row in matrix.rows:
        for write, progress in matrix.columns:
            if count := matrix.count(row, (write, progress)):
                tree.setdefault(" ".join(row), {}).setdefault(write, {})[progress] = count
    return tree


def _place_of_row(row: Row) -> tuple[str, int, str, list[int], str]:
    service, kind, phase = row
    places = [_place(each, _PHASES) for each in phase.split("+")]
    return service, _place(kind, _KINDS), kind, places, phase


def _place(name: str, order: Iterable[str]) -> int:
    names = tuple(order)
    known = names.index(name) if name in names else len(names)
    return known + (name == "ready")
