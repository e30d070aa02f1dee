"""The matrix of restart phases and writes, as text that fits a terminal and as Markdown.

A terminal shows the most covered part of a large matrix and says how much it leaves out; Markdown
shows all of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.coverage import PROGRESS, Column, Matrix, Row
from harness.findings.wording import columns, counted, one_line, shortened, wrapped

WIDTH = 80
#: How many phases and how many lines of legend a terminal shows, and how wide a phase may be.
ROWS_MAX, LEGEND_LINES_MAX, LABEL_MAX = 8, 3, 40
_INDENT, _NEVER = "    ", "."
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def render_matrix(matrix: Matrix, *, width: int = WIDTH) -> list[str]:
    """The matrix in at most 14 lines: in how many runs each cell was covered, ``.`` for never.

    The letters s, d and t at the head of the columns are the steps of a write.
    """
    if not matrix.counts:
        return []
    rows = _most_covered(matrix)
    named = [(f"{one_line(service)} {kind}", one_line(phase)) for service, kind, phase in rows]
    room = max(columns(name) for name, _ in named)
    labels = [
        shortened(name + " " * (room - columns(name)) + "  " + phase, LABEL_MAX)
        for name, phase in named
    ]
    label = max(map(columns, labels))
    shown = _fitting(matrix, width - len(_INDENT) - label)
    lines = [_INDENT + " " * label, _INDENT + " " * label]
    lines += [_INDENT + text + " " * (label - columns(text)) for text in labels]
    for letter, write in zip(_LETTERS, shown, strict=False):
        for number, column in enumerate(_columns_of(matrix, write)):
            texts = (letter if not number else "", column[1][0], *_counts(matrix, rows, column))
            cell = _width(matrix, column)
            gap = "" if number else " "
            lines = [
                line + gap + f"{text:>{cell}}" for line, text in zip(lines, texts, strict=True)
            ]
    return [line.rstrip() for line in lines] + _legend(matrix, rows, shown, width)


def _most_covered(matrix: Matrix) -> tuple[Row, ...]:
    """The phases that most runs saw something in, in the order of the matrix."""
    totals = dict.fromkeys(matrix.rows, 0)
    for (row, _), count in matrix.counts.items():
        totals[row] += count
    chosen = sorted(matrix.rows, key=lambda row: -totals[row])[:ROWS_MAX]
    return tuple(row for row in matrix.rows if row in chosen)


def _fitting(matrix: Matrix, room: int) -> list[str]:
    """The first writes of the matrix that fit; one at least."""
    shown: list[str] = []
    for write in dict.fromkeys(write for write, _ in matrix.columns):
        room -= 1 + sum(_width(matrix, column) for column in _columns_of(matrix, write))
        if (shown and room < 0) or len(shown) == len(_LETTERS):
            break
        shown.append(write)
    return shown


def _columns_of(matrix: Matrix, write: str) -> list[Column]:
    return [column for column in matrix.columns if column[0] == write]


def _width(matrix: Matrix, column: Column) -> int:
    return 1 + max(len(str(matrix.count(row, column))) for row in matrix.rows)


def _counts(matrix: Matrix, rows: Sequence[Row], column: Column) -> list[str]:
    return [str(matrix.count(row, column) or _NEVER) for row in rows]


def _legend(matrix: Matrix, rows: Sequence[Row], shown: Sequence[str], width: int) -> list[str]:
    """What the letters stand for, and what is not shown."""
    meanings = [f"{letter} {one_line(name)}" for letter, name in zip(_LETTERS, shown, strict=False)]
    lines = wrapped(", ".join(meanings), width, indent=_INDENT)
    if len(lines) > LEGEND_LINES_MAX:
        lines = [*lines[:LEGEND_LINES_MAX], _INDENT + "…"]
    writes = len(dict.fromkeys(write for write, _ in matrix.columns)) - len(shown)
    phases = len(matrix.rows) - len(rows)
    more = [
        counted(number, f"more {noun}")
        for number, noun in ((phases, "phase"), (writes, "write"))
        if number
    ]
    return [*lines, f"{_INDENT}and {' and '.join(more)}"] if more else lines


def matrix_markdown(matrix: Matrix) -> str:
    """The whole matrix as a table in Markdown; empty when nothing was covered."""
    if not matrix.counts:
        return ""
    writes = dict.fromkeys(write for write, _ in matrix.columns)
    head = ["restart", "phase", *map(_cell, writes)]
    lines = [_table_line(head), _table_line(["---"] * len(head))]
    for row in matrix.rows:
        service, kind, phase = row
        parts = [_cell(f"{service} {kind}"), _cell(phase)]
        for write in writes:
            counts = (matrix.count(row, (write, progress)) for progress in PROGRESS)
            parts.append(" ".join(str(count or _NEVER) for count in counts))
        lines.append(_table_line(parts))
    return "\n".join([*lines, "", f"In how many runs: {' '.join(PROGRESS)}."]) + "\n"


def _table_line(parts: Sequence[str]) -> str:
    return f"| {' | '.join(parts)} |"


def _cell(text: str) -> str:
    return one_line(text).replace("|", "\\|").replace("<", "&lt;")
