"""The log of the chain's node: every block is durable before anybody hears what became of it.

Whoever has the first state and the commands of the blocks has the chain, so that is what is kept;
the events are kept to compare.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import trio

from target_stub.chain import Block
from target_stub.cloud.retry import retrying
from target_stub.core import State
from target_stub.ports import Request
from target_stub.real.codec import encode
from target_stub.real.network import HttpNetwork
from target_stub.real.postgres import Links
from target_stub.real.schema import BLOCKS


class ChainLog:
    """Blocks that were made and are not yet durable."""

    def __init__(self, links: Links) -> None:
        self.links = links
        self.waiting: list[tuple[Block, int]] = []

    def observe(self, before: State, block: Block) -> None:
        """A block was made."""
        self.waiting.append((block, round(trio.current_time() * 1000)))

    async def save(self) -> None:
        """Make all blocks durable."""
        while self.waiting:
            block, at_ms = self.waiting[0]
            row = (block.fork, block.height, at_ms, encode(block.command), encode(block.events))
            async for attempt in retrying():
                with attempt:
                    await self._insert(row)
            del self.waiting[0]

    async def _insert(self, row: tuple[object, ...]) -> None:
        async with self.links.link() as link:
            await link.execute(
                f"insert into {BLOCKS} (fork, height, at_ms, command, events) "
                "values (%s, %s, %s, %s, %s) on conflict do nothing".encode(),
                row,
            )


class LoggedRequest:
    """A call whose answer waits for the log."""

    def __init__(self, request: Request, log: ChainLog) -> None:
        self.request = request
        self.log = log
        self.method = request.method
        self.payload = request.payload

    async def reply(self, value: Any) -> None:
        """Answer it, with everything durable that the answer may speak of."""
        await self.log.save()
        await self.request.reply(value)

    async def fail(self, error: Exception) -> None:
        """Answer it with an error."""
        await self.request.fail(error)


class LoggedNetwork(HttpNetwork):
    """The network of the chain's node."""

    def __init__(self, links: Links, log: ChainLog) -> None:
        super().__init__(links)
        self.log = log

    async def _logged(self, requests: AsyncIterator[Request]) -> AsyncIterator[Request]:
        async for request in requests:
            yield LoggedRequest(request, self.log)

    def listen(self, address: str) -> AsyncIterator[Request]:
        """The calls that arrive; their answers wait for the log."""
        return self._logged(super().listen(address))
