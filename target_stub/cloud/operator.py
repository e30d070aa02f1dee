"""The operator: the maintenance procedure, step by step, as a person or a runbook would do it."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from target_stub.cloud.retry import retrying
from target_stub.core import Mode
from target_stub.ports import Database, Network, Restartable


async def set_mode(network: Network, mode: Mode) -> None:
    """Change the system state and wait until mode control has done it."""
    async for attempt in retrying():
        with attempt:
            await network.call("mode", "set", mode)


async def upgrade_database(
    *,
    database: Database,
    network: Network,
    services: Sequence[Restartable],
    down_s: float,
    stage_s: float,
    kind: str = "rolling",
) -> None:
    """Upgrade the database, restart the services that use it, and reopen in stages.

    Maintenance, database away for ``down_s`` seconds; meanwhile the services are restarted one
    after the other with overlap, and each waits for the database. Then cancel-only and post-only,
    ``stage_s`` seconds each, and open.
    """
    await set_mode(network, Mode.MAINTENANCE)
    await database.maintain("away")

    async def upgrade() -> None:
        await trio.sleep(down_s)
        await database.reopen()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(upgrade)
        for service in services:
            await service.restart(kind)
    for mode in (Mode.CANCEL_ONLY, Mode.POST_ONLY):
        await set_mode(network, mode)
        await trio.sleep(stage_s)
    await set_mode(network, Mode.OK)
