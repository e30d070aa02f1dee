"""Words, widths and counts that every rendering shares.

Text of the target may hold anything: line ends, wide characters, control characters. Here it
becomes one line whose width on a terminal is known, and nothing is ever shortened without a mark.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

_SIGNS = str.maketrans(
    {
        "●": "o",
        "─": "-",
        "▶": ">",
        "◀": "<",
        "│": "|",
        "✖": "X",
        "▲": "^",
        "…": "~",
        "–": "-",
        "—": "-",
        "×": "x",
        "‘": "'",
        "’": "'",
        "“": '"',
        "”": '"',
        "≤": "<",
        "≥": ">",
    }
)
_NUMBER = re.compile(r"(?P<whole>[+-]?\d[\d,_]*)\.\d+")
_LABEL = re.compile(r"(?:clock -> .* for )?(?P<lane>[^\s:]+)(?:: (?P<doing>.*))?")
_SITE = re.compile(r"(?P<path>.+):(?P<line>\d+)(?: (?P<function>.*))?")
_ZERO = re.compile(r"[+-]?0(\.0+)?(E[+-]?\d+)?")
_EXPONENT = re.compile(r"[+-]?\d(\.\d+)?E[+-]?\d{1,2}")
_AMOUNT = re.compile(r"-?\d+(\.\d+)?")
_FEW = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True, slots=True)
class Place:
    """A site as it is shown: a path, its line, and the function there."""

    path: str
    line: int
    function: str = ""


_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def one_line(text: object) -> str:
    """A value as text without line ends, control characters and doubled blanks."""
    clean = str(text)
    if not clean.isprintable():
        clean = "".join(
            " " if unicodedata.category(character) in _UNSEEN else character for character in clean
        )
    return " ".join(clean.split())


def plain(value: object) -> str:
    """A value as one line of text; zero is 0 in whatever scale, and no number has an exponent."""
    text = one_line(value)
    if _ZERO.fullmatch(text):
        return "0"
    return f"{Decimal(text):f}" if _EXPONENT.fullmatch(text) else text


def money(text: str) -> str:
    """An amount with its thousands marked; what is no plain number stays as it is."""
    clean = one_line(text)
    return f"{Decimal(clean):,}" if _AMOUNT.fullmatch(clean) else clean


def cells(text: str) -> list[str]:
    """The columns that a line takes: a wide character takes two, a combining one none."""
    if text.isascii():
        return list(text)
    columns: list[str] = []
    for character in text:
        if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me"):
            if columns:
                columns[-1] += character
        elif unicodedata.east_asian_width(character) in ("W", "F"):
            columns += [character, ""]
        else:
            columns.append(character)
    return columns


def columns(text: str) -> int:
    """How many columns a line takes on a terminal."""
    return len(text) if text.isascii() else len(cells(text))


def only_ascii(text: str) -> str:
    """The same line in ASCII and in the same columns; what has no likeness becomes ``?``."""
    drawn = text.translate(_SIGNS)
    if drawn.isascii():
        return drawn
    return "".join((cell or "?")[0] if (cell or "?")[0].isascii() else "?" for cell in cells(drawn))


def shortened(text: str, room: int) -> str:
    """The text in at most ``room`` columns; what is left out is in the middle and marked.

    It is cut between two words, where that costs little.
    """
    parts = cells(text)
    if len(parts) <= room:
        return text
    if room < 3:
        return "…"[: max(room, 0)]
    head = (room - 1) // 2
    tail = room - 1 - head
    start, end = parts[:head], parts[-tail:]
    if parts[head] == "" and start:
        start[-1] = " "
    if end[0] == "":
        end[0] = " "
    if parts[head] != " " and " " in start[head * 2 // 3 :]:
        start = start[: len(start) - start[::-1].index(" ")]
    if parts[-tail - 1] != " " and " " in end[: tail // 3]:
        end = end[end.index(" ") :]
    return "".join((*start, "…", *end))


def short_number(text: str) -> str:
    """A long decimal with two decimals and a mark; never so that it would look like zero."""
    match = _NUMBER.fullmatch(text)
    if match is None or not match["whole"].strip("+-0,_"):
        return text
    short = text[: match.end("whole") + 3] + "…"
    return short if len(short) < len(text) else text


def short_path(site: str, room: int) -> str:
    """A site in at most ``room`` columns: folders go first, the file and line stay."""
    if columns(site) <= room:
        return site
    parts = site.split("/")
    for start in range(1, len(parts)):
        short = "…/" + "/".join(parts[start:])
        if columns(short) <= room:
            return short
    return shortened(parts[-1], room)


def sentence(text: str) -> str:
    """The text with a capital and a full stop, unless it begins with a name."""
    text = one_line(text)
    if not text:
        return ""
    first = text.split()[0]
    if first.isalpha() and first.islower():
        text = text[0].upper() + text[1:]
    return text if text[-1] in ".!?:" else text + "."


def wrapped(text: str, width: int, *, indent: str = "  ", hanging: str | None = None) -> list[str]:
    """The text in lines of at most ``width`` columns; only a word longer than a line is split."""
    following = indent if hanging is None else hanging
    lines: list[str] = []
    line, empty = indent, True
    for word in one_line(text).split():
        parts = cells(word)
        if not empty and columns(line) + 1 + len(parts) > width:
            lines.append(line)
            line, empty = following, True
        while len(parts) > (room := max(width - columns(line), 2)) and empty:
            cut = room - 1 if parts[room] == "" else room
            lines.append(line + "".join(parts[:cut]))
            parts, line = parts[cut:], following
        line += ("" if empty else " ") + "".join(parts)
        empty = False
    return lines if empty else [*lines, line]


def counted(number: int, noun: str) -> str:
    """A number with its noun in the right form."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def few(number: int) -> str:
    """A small number as a word."""
    return _FEW[number] if number < len(_FEW) else f"{number:,}"


def joined(names: Sequence[str]) -> str:
    """All names, the last one after an 'and'."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def listed(names: Sequence[str], *, most: int) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(one_line(name) for name in names[:most])
    left = len(names) - most
    return f"{shown} and {left:,} more" if left > 0 else shown


def column_of(lane: str) -> str:
    """The service of a lane: all its incarnations stand in one column."""
    return one_line(lane.partition("#")[0])


def incarnation_of(lane: str) -> str:
    """The number of an incarnation with its sign, empty for a lane that has none."""
    number = lane.partition("#")[2]
    return f"#{number}" if number else ""


def label_parts(label: str) -> tuple[str, str]:
    """The lane of an option's label and what it would do."""
    match = _LABEL.fullmatch(one_line(label))
    if match is None:
        return ("", one_line(label))
    return (match["lane"], match["doing"] or "")


def place_of(site: str) -> Place | None:
    """The place of a violation's ``path:line function``, or None if it names none."""
    match = _SITE.fullmatch(one_line(site))
    return Place(match["path"], int(match["line"]), match["function"] or "") if match else None
