"""What the rules ask of an exchange about its books: accounts, funds, orders, answers, copies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from harness.history import History


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
    def is_repeat(self) -> bool:
        """Whether it was recognised as a repetition and did nothing."""

    @property
    def touched(self) -> Sequence[tuple[Holding | None, Holding]]:
        """Every account that changed, before and after, at one and the same funding index."""

    @property
    def kept_usdc(self) -> Decimal:
        """How much more the exchange itself keeps (fees), less what was paid in or out."""

    @property
    def credited(self) -> Sequence[Payment]:
        """Payments that were booked."""


class Ledger(Protocol):
    """The books: balances and positions of everybody, entry by entry."""

    def entries(self) -> Sequence[Entry]:
        """All entries in their order."""


class ActEntry(Protocol):
    """What one entry of the books did to people, and in which mode it found the exchange."""

    @property
    def number(self) -> int:
        """Its place in the books."""

    @property
    def mode(self) -> str:
        """The mode."""

    @property
    def is_open(self) -> bool:
        """Whether people could act in that mode, so that they may be acted upon."""

    @property
    def acts(self) -> Sequence[Act]:
        """Fills, triggers and liquidations, in their order."""


class Acts(Protocol):
    """What is done to people at mark prices."""

    @property
    def age_ms_max(self) -> int:
        """The oldest mark on which anybody may be traded against or liquidated."""

    def entries(self) -> Sequence[ActEntry]:
        """All entries in their order."""


class FundEntry(Protocol):
    """What one entry of the books did to the insurance funds."""

    @property
    def number(self) -> int:
        """Its place in the books."""

    @property
    def funds(self) -> Sequence[FundChange]:
        """The funds that changed."""


class Funds(Protocol):
    """The insurance funds."""

    def entries(self) -> Sequence[FundEntry]:
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
