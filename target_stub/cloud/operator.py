"""The operator: the maintenance procedure, step by step, as a person or a runbook would do it."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from target_stub.cloud.mode_control import ModeTold
from target_stub.cloud.retry import retrying
from target_stub.cloud.staged_modes import ModeOrder
from target_stub.core import Mode
from target_stub.ports import Database, Network, Restartable

#: How often the operator looks whether a mode holds.
POLL_S = 0.5


async def set_mode(network: Network, mode: Mode) -> None:
    """Change the system state and wait until mode control has done it."""
    async for attempt in retrying():
        with attempt:
            await network.call("mode", "set", mode)


async def order_mode(network: Network, order: ModeOrder) -> None:
    """Order a mode from staged mode control, and wait until it holds."""
    async for attempt in retrying():
        with attempt:
            await network.call("mode", "order", order)
    while await mode_now(network) is not order.mode:
        await trio.sleep(POLL_S)


async def mode_now(network: Network) -> Mode:
    """The mode that holds, as mode control has written it down."""
    async for attempt in retrying():
        with attempt:
            told: ModeTold = await network.call("mode", "mode", None)
    return told.mode


async def upgrade_in_stages(
    *,
    database: Database,
    network: Network,
    services: Sequence[Restartable],
    down_s: float,
    kind: str = "rolling",
) -> None:
    """The same upgrade where mode control walks the stages by itself."""
    await order_mode(network, ModeOrder(1, Mode.MAINTENANCE))
    await replace_database(database=database, services=services, down_s=down_s, kind=kind)
    await order_mode(network, ModeOrder(2, Mode.OK))


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
    await replace_database(database=database, services=services, down_s=down_s, kind=kind)
    for mode in (Mode.CANCEL_ONLY, Mode.POST_ONLY):
        await set_mode(network, mode)
        await trio.sleep(stage_s)
    await set_mode(network, Mode.OK)


async def replace_database(
    *, database: Database, services: Sequence[Restartable], down_s: float, kind: str
) -> None:
    """Take the database away for a while, and meanwhile restart the services that use it."""
    await database.maintain("away")

    async def upgrade() -> None:
        await trio.sleep(down_s)
        await database.reopen()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(upgrade)
        for service in services:
            await service.restart(kind)
