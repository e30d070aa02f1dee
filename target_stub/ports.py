"""What the services need from the outside, as protocols: stores, network, and their own life.

Whatever implements them (a simulated world, a real PostgreSQL) is handed in; nothing here is ever
imported the other way round. Errors of a store carry PostgreSQL's ``sqlstate``; an outage is a
``ConnectionError``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

Row = Mapping[str, Any]


class Life(Protocol):
    """One incarnation of a service, as the service itself sees it."""

    name: str
    incarnation: int

    def enter(self, phase: str) -> None:
        """Say which phase of life begins: hydrate, ready, drain."""

    async def stop_requested(self) -> None:
        """Return when somebody asks this incarnation to stop."""


class Transaction(Protocol):
    """Statements that take effect together, or not at all."""

    async def get(self, table: str, key: str) -> Row | None:
        """A row, or nothing."""

    async def get_for_update(self, table: str, key: str) -> Row | None:
        """A row that nobody else may change until the transaction ends."""

    async def put(self, table: str, key: str, row: Row) -> None:
        """Write a row."""

    async def put_all(self, table: str, rows: Mapping[str, Row]) -> None:
        """Write several rows in one statement."""

    async def delete(self, table: str, key: str) -> bool:
        """Delete a row; False if there is none."""

    async def scan(self, table: str) -> Mapping[str, Row]:
        """All rows of a table by key."""


class Database(Protocol):
    """A transactional database."""

    async def put_all(self, table: str, rows: Mapping[str, Row]) -> None:
        """Write several rows in one statement that commits by itself."""

    async def scan(self, table: str) -> Mapping[str, Row]:
        """All rows of a table by key."""

    def transaction(self, isolation: str | None = None) -> AbstractAsyncContextManager[Transaction]:
        """A transaction that commits when its block ends without an error."""

    async def maintain(self, mode: str) -> None:
        """Take the database ``away`` or make it ``read only``."""

    async def reopen(self) -> None:
        """End the maintenance."""


class ObjectStore(Protocol):
    """Cloud storage: whole objects, one at a time."""

    async def put(self, key: str, value: Any) -> str:
        """Store an object; its etag is returned."""

    async def get(self, key: str) -> tuple[Any, str] | None:
        """An object and its etag, or nothing."""


class Request(Protocol):
    """A call that waits for its answer."""

    method: str
    payload: Any

    async def reply(self, value: Any) -> None:
        """Answer it."""

    async def fail(self, error: Exception) -> None:
        """Answer it with an error."""


class Network(Protocol):
    """Calls to services by address, and topics."""

    def listen(self, address: str) -> AsyncIterator[Request]:
        """The calls that arrive at an address, one after the other."""

    async def call(
        self, address: str, method: str, payload: Any, timeout_s: float | None = None
    ) -> Any:
        """Ask a service; ``ConnectionError`` when nobody answers."""

    def subscribe(self, topic: str) -> AsyncIterator[Any]:
        """The messages of a topic from now on."""

    async def publish(self, topic: str, message: Any) -> None:
        """Tell all subscribers of a topic."""


class Restartable(Protocol):
    """What an operator holds of a service."""

    name: str

    async def restart(self, kind: str, *, delay_s: float = 0.0) -> None:
        """Restart it: ``crash``, ``stop`` or ``rolling`` (both incarnations alive for a while)."""
