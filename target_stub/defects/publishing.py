"""Publishers with one defect each: what they bring to the chain is not what was committed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import trio

from target_stub.cloud.publisher import CHECKPOINTS, Publisher
from target_stub.cloud.retry import retrying
from target_stub.defects.bug import Bug
from target_stub.guards import CHECKPOINT
from target_stub.ports import Row

#: Where a publisher that wants to lose nothing notes what it is about to publish.
PENDING = "pending"


class StampsWhenItSends(Publisher):
    """Gives a value the time at which it is sent, not the one at which it was true."""

    async def bring(self, symbol: str, row: Row) -> None:
        """A value is sent in the moment in which it was committed, nearly always."""
        now_ms = round(trio.current_time() * 1000)
        await super().bring(symbol, {**row, "funding_at_ms": now_ms})


class KeepsNewestByField(Publisher):
    """Remembers the newest value of every field, and reads them again where it needs them."""

    async def follow(self, announcements: Any) -> None:
        """Publish each announcement in a task of its own, so that none has to wait."""
        async with trio.open_nursery() as nursery:
            async for rows in announcements:
                self.newest = {**rows}
                for symbol, row in rows.items():
                    nursery.start_soon(self.publish, symbol, row)

    async def bring(self, symbol: str, row: Row) -> None:
        """Look up the checkpoint first; the mark price is then the newest there is."""
        found = await self.storage.get(f"{CHECKPOINTS}/{symbol}")
        if found is not None and CHECKPOINT not in self.guards:
            row = {**row, "mark_usd": self.newest[symbol]["mark_usd"]}
        await super().bring(symbol, row)


class RepeatsWhatWasPending(Publisher):
    """Notes what it is about to publish, and after a restart completes it with what comes first."""

    async def publish(self, symbol: str, row: Row) -> None:
        """The note is gone as soon as the value is published: there is hardly ever one."""
        key = f"{PENDING}/{symbol}"
        async for attempt in retrying():
            with attempt:
                found = await self.storage.get(key)
        pending: Mapping[str, Any] = found[0] if found else {}
        if pending and pending["written_by"] != row["written_by"]:
            row = {**row, "funding_index": pending["funding_index"]}
        await self.storage.put(key, row)
        await super().publish(symbol, row)
        await self.storage.put(key, {})


#: The planted bugs of this file by name.
BUGS: Mapping[str, Bug] = {
    "stamped_when_sent": Bug(
        text="the publisher gives a value the time at which it sends it",
        breaks="published_is_committed",
        incident=(
            "dYdX, 10 October 2025: prices from before the halt were used as if they were new"
        ),
        family="old value with a new time",
        budget=20,
        replaces={Publisher: StampsWhenItSends},
    ),
    "newest_by_field": Bug(
        text="the publisher takes the index from one announcement and the mark from the next",
        breaks="published_is_committed",
        incident=(
            "BitMEX, 13 May 2021: positions were valued at different mark prices, and the audit "
            "halted the exchange"
        ),
        family="torn mix of versions",
        budget=30,
        replaces={Publisher: KeepsNewestByField},
    ),
    "pending_completed": Bug(
        text="a new publisher completes what the old one had begun with newer values",
        breaks="published_is_committed",
        incident=(
            "github.com/nautechsystems/nautilus_trader pull 4991: what was replayed after a "
            "reconnect was mixed with live events"
        ),
        family="replay mixed with live events",
        budget=20,
        replaces={Publisher: RepeatsWhatWasPending},
    ),
}
