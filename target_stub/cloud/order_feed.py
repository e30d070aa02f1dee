"""A projection of the orders: whoever shows or keeps them follows the updates of matching.

Updates are numbered without a gap. One that was seen before is skipped, and before one whose
predecessors are missing these are asked for, so a restart of matching, or of the network between,
leaves no hole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from target_stub.cloud.durable_matching import UPDATES
from target_stub.cloud.matching import ADDRESS
from target_stub.cloud.order_desk import Levels, Update
from target_stub.cloud.retry import retrying
from target_stub.ports import Network


class OrderFeed:
    """What was told so far: all updates in their order, and the newest levels of every book."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.updates: list[Update] = []
        self.books: dict[str, Levels] = {}
        self.gaps = 0

    async def run(self) -> None:
        """Follow the updates for ever."""
        subscription: Any = self.network.subscribe(UPDATES)
        async for updates in subscription:
            await self.take(updates)

    async def take(self, updates: Sequence[Update]) -> None:
        """Take over what is new, after whatever is missing before it."""
        if updates[0].seq_no > len(self.updates) + 1:
            self.gaps += 1
            updates = await self.missing()
        for update in updates:
            if update.seq_no == len(self.updates) + 1:
                self.updates.append(update)
                if isinstance(update.what, Levels):
                    self.books[update.what.market] = update.what

    async def missing(self) -> Sequence[Update]:
        """Everything after the last update that was seen."""
        found: Sequence[Update] = ()
        async for attempt in retrying():
            with attempt:
                found = await self.network.call(ADDRESS, "updates", len(self.updates))
        return found
