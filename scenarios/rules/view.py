"""What the rules ask of an exchange: small questions, in parts that can be answered one by one.

A rule knows no exchange. It gets a :class:`View`, whose parts are the protocols below, and reads
from it what happened: market values, the books, who wrote, what clients were told. Whoever brings
an exchange of his own answers the parts that he has; a rule that asks for another one is not in
force, and is listed as such. ``docs/own-exchange.md`` shows how little that is.

Where a part has ``on``, it names the resources of the history (by prefix) whose events change what
the part answers: only then is it asked again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Protocol

from harness.history import Event, History

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


@dataclass(frozen=True, slots=True)
class Act:
    """Something done to people at a mark price: a fill, a trigger or a liquidation.

    ``age_ms`` is how old the oldest mark was that it was done at.
    """

    kind: str
    text: str
    age_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Holding:
    """What an account holds: signed sizes by market, and its cash.

    Cash is the balance less what the positions cost plus the funding that they accrued: all that
    the account is worth apart from the mark prices.
    """

    account: str
    sizes: Mapping[str, Decimal]
    cash_usdc: Decimal


@dataclass(frozen=True, slots=True)
class Flow:
    """What went into a fund (or out of it, if negative), and why."""

    why: str
    usdc: Decimal


@dataclass(frozen=True, slots=True)
class FundChange:
    """One fund before and after an entry, and the flows that explain the difference.

    ``declared`` says that whoever is owed by an empty fund has been told.
    """

    fund: str
    before_usdc: Decimal
    after_usdc: Decimal
    flows: Sequence[Flow]
    declared: bool = False


class Entry(Protocol):
    """One entry of the books: everything that one command did, at once."""

    @property
    def number(self) -> int:
        """Its place in the books; a chain calls it the height."""

    @property
    def id(self) -> str:
        """The id of the command."""

    @property
    def is_effect(self) -> bool:
        """Whether it changed anything; not if it was refused, or known already."""

    @property
    def is_repeat(self) -> bool:
        """Whether it was recognised as a repetition and did nothing."""

    @property
    def mode(self) -> str:
        """The mode in which it found the exchange."""

    @property
    def is_open(self) -> bool:
        """Whether people could act in that mode, so that they may be acted upon."""

    @property
    def acts(self) -> Sequence[Act]:
        """Fills, triggers and liquidations, in their order."""

    @property
    def touched(self) -> Sequence[tuple[Holding | None, Holding]]:
        """Every account that changed, before and after, at one and the same funding index."""

    @property
    def kept_usdc(self) -> Decimal:
        """How much more the exchange itself keeps (fees), less what was paid in or out."""

    @property
    def credited(self) -> Sequence[Payment]:
        """Payments that were booked."""

    @property
    def funds(self) -> Sequence[FundChange]:
        """The insurance funds that changed."""


class Ledger(Protocol):
    """The books: balances and positions of everybody, entry by entry."""

    @property
    def age_ms_max(self) -> int:
        """The oldest mark on which anybody may be traded against or liquidated."""

    def entries(self) -> Sequence[Entry]:
        """All entries in their order."""


class Payment(Protocol):
    """A deposit as its payer means it; two with equal account and amount are equal."""

    @property
    def account(self) -> str:
        """Who is to be credited."""

    @property
    def amount(self) -> object:
        """With how much; its text is shown."""


class Payer(Protocol):
    """A client, and what he ordered to be paid and was told to be done."""

    @property
    def ordered(self) -> Iterable[Any]:
        """His payments, each as often as he meant it."""

    @property
    def acknowledged(self) -> Iterable[Any]:
        """Those of which he was told that they were booked."""


class Payers(Protocol):
    """All who pay in."""

    def payers(self) -> Iterable[Payer]:
        """The clients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wronged:
    """A liquidation that independent values do not justify, and what it took from the account."""

    account: str
    loss_usdc: Decimal
    step: int
    at_ms: int


class Liquidations(Protocol):
    """Liquidations, recomputed by somebody who does not take the exchange's word for anything."""

    @property
    def liquidated(self) -> int:
        """How many there were."""

    @property
    def wronged(self) -> Sequence[Wronged]:
        """Those that are not justified."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two copies say after the same entry; equal texts if they agree."""

    number: int
    ours: str
    theirs: str


class Copies(Protocol):
    """A second node of the same software that is fed the log of the first."""

    def compare(self) -> Iterable[Comparison]:
        """Entry by entry, what both say."""


@dataclass(frozen=True, slots=True)
class Posting:
    """Money into a pool, or out of it if negative."""

    pool: str
    usdc: Decimal


class Pools(Protocol):
    """Pools of money, and the transactions that move it, posting by posting in their real order."""

    def opening(self) -> Mapping[str, Decimal]:
        """What is in every pool at the beginning."""

    def transactions(self) -> Iterable[tuple[str, Sequence[Posting]]]:
        """The transactions, each with its id."""


@dataclass(frozen=True, slots=True)
class Exit:
    """An order that closes a position by itself (take-profit, stop-loss), and that position."""

    order: str
    account: str
    size: Decimal
    position: Decimal


class Projections(Protocol):
    """Everything that is derived from the books and has to go back with them."""

    @property
    def on(self) -> Sequence[str]:
        """The resources whose events change the answers."""

    def height(self) -> object | None:
        """The height of the books (or fork and height); None while they are being rolled back."""

    def heights(self) -> Mapping[str, object]:
        """To which height each projection belongs."""

    def exits(self) -> Iterable[Exit]:
        """The orders that close positions."""

    def strays(self) -> Iterable[str]:
        """What took effect although it was sent before the rollback, in words."""


class Books(Protocol):
    """The order books, and what orders that may only rest did in them."""

    @property
    def on(self) -> Sequence[str]:
        """The resources whose events change the answers."""

    def best(self) -> Iterable[tuple[str, Decimal | None, Decimal | None]]:
        """Market, best bid and best ask of every book; None on an empty side."""

    def took(self) -> Iterable[str]:
        """Post-only orders that took since this was asked last, in words."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client was told of one of his commands."""

    id: str
    client: str
    is_refused: bool
    text: str


class Answers(Protocol):
    """What clients were told, and what became of it."""

    def told(self, history: History) -> Iterable[Answer]:
        """The answers that arrived and say yes or no, in their order."""

    def effects(self) -> Mapping[str, str]:
        """The ids that took effect, each with where."""

    def is_withdrawn(self, identity: str) -> bool:
        """Whether what had been accepted was called off and everybody concerned was told."""


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
        """How long it may take from boot to ready."""


class Parameters(Protocol):
    """Versions, flags and parameters, and who works by which."""

    @property
    def on(self) -> Sequence[str]:
        """Where somebody acts by them."""

    def in_force(self) -> Mapping[str, Row]:
        """By lane (or store), the parameters by which each that is alive works now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """All that an exchange shows of itself; None is what it does not show.

    ``promises`` are the guards that are on: a rule that holds only with one is in force only then.
    """

    promises: frozenset[str] = frozenset()
    values: Values | None = None
    reference: Reference | None = None
    saved: Saved | None = None
    writers: Writers | None = None
    ledger: Ledger | None = None
    payers: Payers | None = None
    liquidations: Liquidations | None = None
    copies: Copies | None = None
    pools: Pools | None = None
    projections: Projections | None = None
    books: Books | None = None
    answers: Answers | None = None
    recovery: Recovery | None = None
    parameters: Parameters | None = None


#: The names of the parts.
PARTS = tuple(part.name for part in fields(View) if part.name != "promises")
