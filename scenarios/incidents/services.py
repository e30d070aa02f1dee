"""What the small targets of the incidents share: answering requests, and reading a row."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import trio

from harness.world.messages import Request
from harness.world.network import Network
from harness.world.service import Life

Handler = Callable[[Request], Awaitable[None]]


async def answer(life: Life, network: Network, address: str, **handlers: Handler) -> None:
    """Be ready, and answer every request in a task of its own until somebody asks to stop.

    ``handlers`` are named like the methods. A stop finishes what has begun. Where a handler cannot
    reach somebody else, its caller learns that.
    """
    requests = network.listen(address)
    life.enter("ready")

    waiting = trio.CancelScope()

    async def close_when_asked() -> None:
        with waiting:
            await life.stop_requested()
            requests.close()

    async def handle(request: Request) -> None:
        try:
            await handlers[request.method](request)
        except OSError as error:
            await request.fail(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(close_when_asked)
        async for request in requests:
            nursery.start_soon(handle, request)
        waiting.cancel()


def column(row: Mapping[str, object] | None, name: str) -> Any:
    """A column of a row that is there."""
    if row is None:
        raise LookupError(f"there is no row to read {name!r} from")
    return row[name]
