"""What the rules ask of an exchange: small questions, in parts that can be answered one by one.

A rule knows no exchange. It gets a :class:`View`, whose parts are the protocols below, and reads
from it what happened: market values, the books, who wrote, what clients were told. Whoever brings
an exchange of his own answers the parts that he has; a rule that asks for another one is not in
force, and is listed as such. ``docs/own-exchange.md`` shows how little that is.

Where a part has ``on``, it names the resources of the history (by prefix) whose events change what
the part answers: only then is it asked again.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from scenarios.rules.of_books import (
    Act,
    ActEntry,
    Acts,
    Answer,
    Answers,
    Books,
    Comparison,
    Copies,
    Entry,
    Exit,
    Flow,
    FundChange,
    FundEntry,
    Funds,
    Holding,
    Ledger,
    Liquidations,
    Payer,
    Payers,
    Payment,
    Pools,
    Posting,
    Projections,
    Wronged,
)
from scenarios.rules.of_markets import (
    Parameters,
    Recovery,
    Reference,
    Row,
    Saved,
    Value,
    Values,
    Writers,
)

__all__ = [
    "PARTS",
    "Act",
    "ActEntry",
    "Acts",
    "Answer",
    "Answers",
    "Books",
    "Comparison",
    "Copies",
    "Entry",
    "Exit",
    "Flow",
    "FundChange",
    "FundEntry",
    "Funds",
    "Holding",
    "Ledger",
    "Liquidations",
    "Parameters",
    "Payer",
    "Payers",
    "Payment",
    "Pools",
    "Posting",
    "Projections",
    "Recovery",
    "Reference",
    "Row",
    "Saved",
    "Value",
    "Values",
    "View",
    "Writers",
    "Wronged",
]


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
    acts: Acts | None = None
    funds: Funds | None = None
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
