"""What an exchange of real processes shows to the rules: what SQL can read, and the chain's log.

Besides, what passes the gate: what clients are told, and who reads what while it comes back.
"""

from __future__ import annotations

from scenarios.real.heard import MATCHING, Heard, HeardAnswers
from scenarios.real.records import DATABASE, LiveRecords
from scenarios.rules.view import View
from scenarios.view import (
    MARK_BAND,
    READS_MAX,
    READY_MS_MAX,
    MarketRows,
    MarketValues,
    MarketWriters,
    OutsidePrices,
)
from scenarios.view_of_books import BookLedger, SecondNode

#: What needs the memory of a service, besides parts that are not shown at all.
FROM_MEMORY = ("recovered_state_is_durable_state",)


def live_view(records: LiveRecords, *, ready_ms_max: int = READY_MS_MAX) -> View:
    """The parts that can be seen from outside; what only a service's memory knows is not shown.

    ``ready_ms_max`` is how long a service may take to come back where the order is fair.
    """
    ledger = BookLedger(records)
    heard = Heard(records.world)
    trades = MATCHING in records.world.recipes
    return View(
        promises=frozenset(records.guards.names),
        values=MarketValues(records),
        reference=OutsidePrices(records, band=MARK_BAND),
        saved=MarketRows(records),
        writers=MarketWriters(records),
        ledger=ledger,
        acts=ledger,
        funds=ledger,
        payers=heard,
        liquidations=records,
        copies=SecondNode(records),
        books=heard if trades else None,
        answers=HeardAnswers(heard, ledger) if trades else None,
        recovery=RealRestarts(ready_ms_max),
    )


class RealRestarts:
    """How long coming back may take, and how often a service may begin anew.

    Of what is read it counts the rows of the markets, of which is told who has read them.
    """

    on = (f"{DATABASE}/",)
    reads_max = READS_MAX

    def __init__(self, ready_ms_max: int) -> None:
        self.ready_ms_max = ready_ms_max
