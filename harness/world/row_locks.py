"""Who holds which row, and whether waiting for one would never end.

A row lock is held from the statement that took it to the end of its transaction. A holder whose
client is dead but whose commit may still arrive gives way to whoever wants the row: then that
commit never comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.world.versions import Place

if TYPE_CHECKING:
    from harness.world.unit_of_work import UnitOfWork


class RowLocks:
    """The locked rows of one database."""

    def __init__(self) -> None:
        self.holders: dict[Place, UnitOfWork] = {}

    def holder(self, place: Place, wanted_by: UnitOfWork) -> UnitOfWork | None:
        """For whom ``wanted_by`` would have to wait; None if it can have the row now."""
        holder = self.holders.get(place)
        if holder is None or holder is wanted_by or holder.is_orphan:
            return None
        return holder

    def never_ends(self, place: Place, wanted_by: UnitOfWork) -> bool:
        """Whether the holders of this row wait, in a circle, for ``wanted_by``."""
        holder = self.holder(place, wanted_by)
        passed: list[UnitOfWork] = []
        while holder is not None and holder.waits_for is not None and holder not in passed:
            passed.append(holder)
            holder = self.holders.get(holder.waits_for)
            if holder is wanted_by:
                return True
        return False

    def take(self, place: Place, transaction: UnitOfWork) -> None:
        """Lock a free row."""
        holder = self.holders.get(place)
        if holder is not None and holder is not transaction:
            holder.roll_back()
        self.holders[place] = transaction

    def release(self, transaction: UnitOfWork) -> None:
        """Free all rows of a transaction that ended."""
        for place in transaction.locked:
            del self.holders[place]
        transaction.locked.clear()
