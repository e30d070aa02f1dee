"""What the rules ask of an exchange about market values, and about the services that write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from harness.history import Event

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """What one place says of one market: funding index, mark price, and of when they are.

    ``place`` says in words what a write to it means (committed, published). ``never_zero`` are the
    fields that are never 0 or missing once they were known; empty where nobody promises that.
    """

    market: str
    place: str
    index: Decimal
    mark: Decimal
    at_ms: int
    never_zero: Row
    is_ordered: bool = True
    """Whether values arrive there in the order of their times."""


class Values(Protocol):
    """Market values, wherever they are written: funding indices, marks, and their times."""

    @property
    def on(self) -> Sequence[str]:
        """The resources whose events change the answers."""

    @property
    def tick_ms(self) -> int:
        """How often funding accrues."""

    @property
    def gap_ms_max(self) -> int | None:
        """After a longer gap funding must not accrue; None if no gap is too long."""

    def opening(self) -> Mapping[str, Value]:
        """What every place says before anything happens, by its resource."""

    def after(self, event: Event) -> Value:
        """What the place that this event wrote to says now."""

    def step_max(self, before: Value, after: Value, elapsed_ms: int) -> Decimal:
        """How far the capped funding rate can move an index in that time, in USDC per unit."""

    def sizes(self, market: str) -> Sequence[Decimal]:
        """The signed sizes of all positions in a market: who pays if its index is wrong."""


class Reference(Protocol):
    """An opinion of the price that the exchange does not make itself."""

    def band(self, market: str, at_ms: int) -> tuple[Decimal, Decimal]:
        """The lowest and the highest mark that the outside world explains at that time."""


class Saved(Protocol):
    """What is durable of the markets, version by version, and what others were told of it."""

    @property
    def on(self) -> Sequence[str]:
        """Where services tell that they boot and that they are ready."""

    @property
    def published_on(self) -> Sequence[str]:
        """The resources of what others are told."""

    @property
    def versions(self) -> Sequence[Mapping[str, Row]]:
        """Every committed version: the row of every market, oldest first; it only grows."""

    def recovered(self, lane: str) -> Mapping[str, Row] | None:
        """What an incarnation knows of every market that must come from its store."""

    def published(self, market: str) -> Row:
        """What everybody else is told of a market, under the names of the columns."""


class Writers(Protocol):
    """Who may write market values, and what he has to have read before."""

    @property
    def on(self) -> Sequence[str]:
        """The resources whose events change the answers."""

    @property
    def markets(self) -> Sequence[str]:
        """All that are listed."""

    def in_charge(self) -> int | None:
        """The incarnation that has taken over; None if nobody keeps that."""

    def phase_of(self, lane: str) -> str:
        """The phase of life in which an incarnation is."""


class Recovery(Protocol):
    """How long coming back may take, and how often somebody may begin anew."""

    @property
    def on(self) -> Sequence[str]:
        """The stores and services that are read by what comes back."""

    @property
    def reads_max(self) -> int:
        """How often the same thing may be read, with success, from boot to ready."""

    @property
    def ready_ms_max(self) -> int:
        """How long it may take from boot to ready where the order is fair, in milliseconds."""


class Parameters(Protocol):
    """Versions, flags and parameters, and who works by which."""

    @property
    def on(self) -> Sequence[str]:
        """Where somebody acts by them."""

    def in_force(self) -> Mapping[str, Row]:
        """By lane (or store), the parameters by which each that is alive works now."""
