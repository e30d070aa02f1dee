"""What happened in one run: an append-only list of events, and the digest that proves equality.

An event says which lane did what to which resource, and the value before and after. Values must be
immutable: they are rendered to text only when somebody asks, because most runs are never looked at.
(Never call it by the other common name: ``-k race`` would select every test of it.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Site:
    """A place in the target's source, with the function it is in."""

    path: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{relative(self.path)}:{self.line}"


def relative(path: str) -> str:
    """A path from the current directory or inside a package: nothing of one machine stays in it."""
    place = Path(path)
    if not place.is_absolute():
        return place.as_posix()
    if place.is_relative_to(Path.cwd()):
        return place.relative_to(Path.cwd()).as_posix()
    top = place
    while (top.parent / "__init__.py").exists():
        top = top.parent
    return place.relative_to(top.parent).as_posix()


class Told(NamedTuple):
    """What is to become an event: all but when it happened, and by whom if that is who moved."""

    operation: str
    resource: str
    value: object = ""
    before: object = ""
    after: object = ""
    peer: str = ""
    kind: str = "write"
    lane: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened: ``kind`` is read, write, send, receive, phase, fault or note.

    ``peer`` is the other party, if there is one: the store that was written, the lane addressed.
    ``value``, ``before`` and ``after`` are text, or immutable objects that render as text.
    """

    step: int
    at_ms: int
    lane: str
    kind: str
    operation: str
    resource: str = ""
    value: object = ""
    before: object = ""
    after: object = ""
    peer: str = ""
    site: Site | None = None

    def canonical(self) -> str:
        """The event as one line that is equal in every process that ran the same schedule."""
        place = f"{self.site.function}:{self.site.line}" if self.site else ""
        what = (self.lane, self.kind, self.operation, self.resource, self.value, self.before)
        texts = (self.step, self.at_ms, *what, self.after, self.peer, place)
        return "|".join(map(brief, texts))

    def rendered(self) -> Event:
        """The same event with its values as text, for a file."""
        value, before, after = map(brief, (self.value, self.before, self.after))
        return replace(self, value=value, before=before, after=after)


#: How many parts of a compound value are told, and how deep.
PARTS_MAX, DEPTH_MAX = 4, 2


def brief(value: object, *, depth: int = 0) -> str:
    """A value in a few words that are the same in every process.

    What says how it is shown (``__str__``, ``describe()``) is believed. Of everything else the
    first parts are told, sets in sorted order; never a ``repr()``, which may hold an address or
    follow the order of hashes.
    """
    if type(value).__str__ is not object.__str__ or isinstance(value, int | float | None):
        return str(value)
    if callable(describe := getattr(value, "describe", None)):
        return str(describe())
    return type(value).__name__ if depth == DEPTH_MAX else _parts(value, depth + 1)


def _parts(value: object, depth: int) -> str:
    if isinstance(value, Mapping):
        return _joined("", [f"{brief(k)}={brief(v, depth=depth)}" for k, v in value.items()])
    if isinstance(value, Set):
        return _joined("", sorted(brief(part, depth=depth) for part in value))
    if isinstance(value, Sequence):
        return _joined("", [brief(part, depth=depth) for part in value[: PARTS_MAX + 1]])
    if is_dataclass(value):
        named = ((field.name, getattr(value, field.name)) for field in fields(value))
        parts = [f"{name}={brief(part, depth=DEPTH_MAX)}" for name, part in named]
        return _joined(type(value).__name__, parts)
    return type(value).__name__


def _joined(name: str, parts: list[str]) -> str:
    more = ", …" if len(parts) > PARTS_MAX else ""
    return f"{name}({', '.join(parts[:PARTS_MAX])}{more})"


class History:
    """The events of one run, in their order; only ever appended to.

    ``fair_from_ms`` is from when on all was first-in-first-out, in virtual milliseconds; None while
    nobody knows. An unfair order can keep anybody from anything, so a rule
    that asks for something in time counts from there.
    """

    __slots__ = ("events", "fair_from_ms")

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.fair_from_ms: int | None = None

    def append(self, event: Event) -> None:
        """Add what just happened."""
        self.events.append(event)

    def since(self, mark: int) -> tuple[Event, ...]:
        """The events after the first ``mark``."""
        return tuple(self.events[mark:])

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def __getitem__(self, index: int) -> Event:
        return self.events[index]


def digest(lines: Iterable[str]) -> str:
    """The sha256 of canonical lines, in hexadecimal."""
    total = hashlib.sha256()
    for line in lines:
        total.update(line.encode())
        total.update(b"\n")
    return total.hexdigest()


def derive_seed(*parts: object) -> int:
    """A 64-bit seed from what names a purpose; the same in every process and on every machine."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
