"""What an exchange of real processes shows to the rules: what SQL can read, and the chain's log."""

from __future__ import annotations

from scenarios.real.records import LiveRecords
from scenarios.rules.view import View
from scenarios.view import MARK_BAND, MarketRows, MarketValues, MarketWriters, OutsidePrices
from scenarios.view_of_books import BookLedger, SecondNode


def live_view(records: LiveRecords) -> View:
    """The parts that can be seen from outside; what only a service's memory knows is not shown."""
    ledger = BookLedger(records)
    return View(
        promises=frozenset(records.guards.names),
        values=MarketValues(records),
        reference=OutsidePrices(records, band=MARK_BAND),
        saved=MarketRows(records),
        writers=MarketWriters(records),
        ledger=ledger,
        acts=ledger,
        funds=ledger,
        liquidations=records,
        copies=SecondNode(records),
    )
