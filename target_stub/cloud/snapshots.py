"""Snapshots of matching: what it knows after a command of its journal, as one object of storage.

A snapshot is named after the number of that command and is never replaced by another one: the same
commands make the same desk. So it does not matter who wrote it, nor when what a dead incarnation
had sent takes effect, and nobody can put an older snapshot in the place of a newer one.
"""

from __future__ import annotations

from dataclasses import dataclass

from target_stub.cloud.journal import key_of
from target_stub.cloud.order_desk import OrderDesk
from target_stub.cloud.retry import retrying
from target_stub.ports import ObjectStore

PREFIX = "journal"


class SnapshotMissing(ConnectionError):
    """The journal begins after commands of which there is no snapshot; nobody may guess them."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What matching knew after the first ``length`` commands of its journal."""

    length: int
    desk: OrderDesk

    def __str__(self) -> str:
        return f"after {self.length} commands"


class Snapshots:
    """The snapshots in a store; ``every`` so many commands there is to be one."""

    def __init__(self, storage: ObjectStore, *, every: int) -> None:
        if every < 2:
            raise ValueError(f"a snapshot every {every} commands; at least 2 are needed")
        self.storage = storage
        self.every = every

    async def save(self, length: int, desk: OrderDesk) -> None:
        """Make durable what a desk is after so many commands."""
        async for attempt in retrying():
            with attempt:
                await self.storage.put(name_of(length), Snapshot(length, desk))

    async def load(self, length: int) -> OrderDesk:
        """The desk after so many commands; waits until somebody brings back one that is missing."""
        async for attempt in retrying():
            with attempt:
                snapshot = await self.read(name_of(length))
        return snapshot.desk.copied()

    async def read(self, name: str) -> Snapshot:
        """A snapshot; :class:`SnapshotMissing` if there is none of this name."""
        found = await self.storage.get(name)
        if found is None:
            raise SnapshotMissing(f"there is no {name}")
        snapshot: Snapshot = found[0]
        return snapshot


def name_of(length: int) -> str:
    """The name of the object."""
    return f"{PREFIX}/{key_of(length)}"
