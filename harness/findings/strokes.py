"""How one event is drawn: its mark, its arrow, its label, and the lifelines around it.

A canvas remembers from row to row which services are down and which incarnation spoke last, so
that rows must be drawn in their order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness.findings.selection import CLOCK, Row, strikes
from harness.findings.wording import (
    cells,
    column_of,
    columns,
    incarnation_of,
    one_line,
    short_number,
    shortened,
)
from harness.history import Event

_CRASH = re.compile(r"\b(crash|kill|sigkill|power cut|maintenance: away)", re.IGNORECASE)
_START = re.compile(r"\b(restart|start|boot|maintenance: over)", re.IGNORECASE)
_INWARD = ("read", "receive")


@dataclass(frozen=True, slots=True)
class _Spot:
    """A place for a label: where it starts or ends, and how much room it has there."""

    at: int
    room: int
    within_arrow: bool = False
    ends: bool = False


def captions(event: Event, tag: str, *, aside: str = "") -> list[str]:
    """The labels of an event from the fullest to the shortest; ``aside`` is a party not shown."""
    doing = one_line(event.operation) or event.kind
    if event.kind == "fault" and event.peer:
        names = (event.peer, column_of(event.peer))
        doing = " ".join(word for word in doing.split() if word not in names) or doing
        head = f"{doing} {tag}".strip()
    else:
        head = f"{tag} {doing}".strip()
    value = one_line(event.after or event.value)
    link = " -> " if event.after else " "
    texts = [head]
    if value and value not in doing.split():
        texts = [f"{head}{link}{value}", f"{head}{link}{short_number(value)}", head]
    elif event.kind == "fault" and doing.startswith("failed: "):
        error, _, why = doing.removeprefix("failed: ").partition(":")
        texts = [head] if why else []
        texts.append(f"{tag} failed: {error}".strip())
    return [f"{texts[0]} ({aside})", *texts] if aside else texts


class Canvas:
    """Draws row after row between fixed columns."""

    def __init__(
        self, positions: Mapping[str, int], left: int, width: int, incarnations: frozenset[str]
    ) -> None:
        self._spots = {name: position - left for name, position in positions.items()}
        self._width = width - left
        self._numbered = incarnations
        self._down: dict[str, str] = {}
        self._newest: dict[str, str] = {}
        self._speaker: dict[str, str] = {}
        self._cells: list[str] = []

    def draw(self, row: Row) -> str:
        """One event, between the lifelines of whoever is alive then."""
        event = row.event
        self._follow(event)
        self._lifelines()
        lane, peer = column_of(event.lane), column_of(event.peer)
        own = self._spots.get(lane, self._spots.get(peer))
        assert own is not None
        other = self._spots.get(peer) if lane in self._spots and peer != lane else None
        hidden = [name for name in (lane, peer) if name not in self._spots and name != CLOCK]
        self._label(event, own, other, aside=" ".join(hidden).strip())
        self._put(own, _mark(event, breaks=row.breaks, alone=other is None))
        if other is not None and strikes(event) and _mark(event, alone=True) != "●":
            self._put(other, _mark(event, alone=True))
        return "".join(self._cells)

    def remark(self, text: str) -> str:
        """A row without an event."""
        self._lifelines()
        self._put(2, f"{text} ")
        return "".join(self._cells)

    def _lifelines(self) -> None:
        self._cells = [" "] * self._width
        for name, spot in self._spots.items():
            if name not in self._down:
                self._put(spot, "│")

    def _put(self, spot: int, text: str) -> None:
        parts = cells(text)[: max(self._width - spot, 0)]
        self._cells[spot : spot + len(parts)] = parts

    # --- who is alive, and who speaks ----------------------------------------------------------

    def _follow(self, event: Event) -> None:
        """Keep the state of the services up to date with what happens."""
        if strikes(event):
            self._meet(event.peer)
            if _CRASH.search(event.operation):
                self._strike(event.peer or event.lane)
            elif _START.search(event.operation):
                self._down.pop(column_of(event.peer), None)
            return
        self._meet(event.lane)
        name = column_of(event.lane)
        if event.kind == "phase" and _CRASH.search(event.operation):
            self._strike(event.lane)
        elif (event.kind == "phase" and _START.search(event.operation)) or (
            self._down.get(name) != incarnation_of(event.lane)
        ):
            self._down.pop(name, None)

    def _meet(self, lane: str) -> None:
        name, number = column_of(lane), incarnation_of(lane)
        known = self._newest.get(name, "")
        if (len(number), number) > (len(known), known):
            self._newest[name] = number

    def _strike(self, lane: str) -> None:
        """Only the newest incarnation takes the service down with it."""
        name = column_of(lane)
        newest = self._newest.get(name, "")
        if incarnation_of(lane) in ("", newest):
            self._down[name] = newest

    def _tag(self, event: Event) -> str:
        """The number of the incarnation, where it is not the one that spoke last."""
        lane = event.peer if event.kind == "fault" else event.lane
        name, number = column_of(lane), incarnation_of(lane)
        if name not in self._numbered or (
            event.kind != "fault" and self._speaker.get(name) == number
        ):
            return ""
        self._speaker[name] = number
        return number

    # --- arrows and labels ---------------------------------------------------------------------

    def _label(self, event: Event, own: int, other: int | None, *, aside: str) -> None:
        texts = captions(event, self._tag(event), aside=aside)
        spots = self._places(own, other)
        fitting = ((text, spot) for text in texts for spot in spots if columns(text) <= spot.room)
        widest = max(spots, key=lambda spot: spot.room)
        text, spot = next(fitting, (shortened(texts[-1], widest.room), widest))
        if other is not None:
            self._arrow(own, other, text if spot.within_arrow else "", event.kind in _INWARD)
        if text and not spot.within_arrow:
            at = spot.at - columns(text) if spot.ends else spot.at
            self._put(at, f"{text} ")

    def _places(self, own: int, other: int | None) -> list[_Spot]:
        """Where a label may stand, the best place first."""
        beside = _Spot(own + 2, self._width - own - 2)
        if other is None:
            return [beside, _Spot(own - 1, own - 1, ends=True)]
        if other > own:
            return [
                _Spot(own + 2, other - own - 4, within_arrow=True),
                _Spot(other + 2, self._width - other - 2),
                _Spot(own - 1, own - 1, ends=True),
            ]
        within = _Spot(other + 3, own - other - 6, within_arrow=True)
        return [beside, within, _Spot(other - 1, other - 1, ends=True)]

    def _arrow(self, own: int, other: int, label: str, inward: bool) -> None:
        """The arrow between two columns, with its label in it if it stands there."""
        length = abs(own - other) - 1
        if other > own:
            start = f" {label} " if label else ""
            line = "─" * (length - columns(start) - 1)
            self._put(own + 1, start + (f"◀{line}" if inward else f"{line}▶"))
            return
        middle = f" {label} " if label else ""
        line = "─" * (length - columns(middle) - 2)
        if inward:
            self._put(other + 1, f"─{middle}{line}▶")
        else:
            self._put(other + 1, f"◀{'─' if label else ''}{middle}{line[bool(label) :]}─")


def _mark(event: Event, *, breaks: bool = False, alone: bool = True) -> str:
    """The sign of an event: it broke something or died, it started, or it merely happened."""
    if breaks:
        return "✖"
    speaks = event.kind in ("fault", "phase") and (alone or not strikes(event))
    if speaks and _CRASH.search(event.operation):
        return "✖"
    if speaks and _START.search(event.operation):
        return "▲"
    return "●"
