"""Restarts that an operator orders: rows that whoever supervises the processes reads."""

from __future__ import annotations

from target_stub.cloud.retry import retrying
from target_stub.real.postgres import Links
from target_stub.real.schema import RESTARTS


class Supervised:
    """A service as its operator holds it."""

    def __init__(self, name: str, links: Links) -> None:
        self.name = name
        self.links = links

    async def restart(self, kind: str, *, delay_s: float = 0.0) -> None:
        """Order a restart; when it happens is the supervisor's business, as is any delay."""
        async for attempt in retrying():
            with attempt:
                await self._order(kind)

    async def _order(self, kind: str) -> None:
        async with self.links.link() as link:
            statement = f"insert into {RESTARTS} (service, kind) values (%s, %s)"
            await link.execute(statement.encode(), (self.name, kind))
