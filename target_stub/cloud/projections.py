"""Projections: what the cloud shows of the chain, each table with the height at which it stands.

Orders, positions, triggers, vault shares, history, external transfers and client ids are tables of
their own. A rollback takes the chain to a lower height on a new fork, so (fork, height) says which
of two versions is newer, never the height alone. On 19 January 2026 derived and history data were
not rolled back with the chain; clearing them took a week.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from typing import Any

import trio

from target_stub.cloud.retry import retrying
from target_stub.core.money import plain
from target_stub.forks import HEIGHTS, Journal
from target_stub.ports import Database, Life, Network, Request, Row

ADDRESS = "projections"
TABLE = "projections"
#: The row whose lock serialises all writers of the table.
LOCK = "lock"


@dataclass(frozen=True, slots=True)
class Content:
    """What a projection shows: texts or amounts by key; as text, how many and a checksum."""

    rows: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        written = "\n".join(f"{key}={value}" for key, value in self.rows.items())
        return f"{len(self.rows)} rows {sha256(written.encode()).hexdigest()[:8]}"


Projection = Callable[[Journal], Mapping[str, str]]


def orders(journal: Journal) -> Mapping[str, str]:
    """Every order that stands in a book."""
    accounts = journal.state_at(len(journal.blocks)).accounts.values()
    return {
        f"{account.id} {order.id}": order.describe()
        for account in accounts
        for order in account.working_orders()
    }


def positions(journal: Journal) -> Mapping[str, str]:
    """The signed size of every position, by account and market."""
    accounts = journal.state_at(len(journal.blocks)).accounts.values()
    return {
        position_key(account.id, market): plain(position.size)
        for account in accounts
        for market, position in account.positions.items()
    }


def triggers(journal: Journal) -> Mapping[str, str]:
    """The size of every stop and TP/SL order that waits, by account, market and order."""
    accounts = journal.state_at(len(journal.blocks)).accounts.values()
    return {
        f"{position_key(account.id, order.market)} {order.id}": plain(order.remaining)
        for account in accounts
        for order in account.waiting_orders()
        if order.reduce_only
    }


def vault_shares(journal: Journal) -> Mapping[str, str]:
    """The shares of every holder of every vault."""
    vaults = journal.state_at(len(journal.blocks)).vaults.values()
    return {
        f"{vault.id} {holder}": plain(holding.shares)
        for vault in vaults
        for holder, holding in vault.holdings.items()
    }


def history(journal: Journal) -> Mapping[str, str]:
    """What every block of the fork that counts did."""
    return {f"{block.height} {block.command.id}": "done" for block in journal.blocks}


def external_transfers(journal: Journal) -> Mapping[str, str]:
    """Everything that crossed the bridge, as the chain has it."""
    transfers = journal.state_at(len(journal.blocks)).transfers
    return {name: transfer.describe() for name, transfer in transfers.items()}


def client_ids(journal: Journal) -> Mapping[str, str]:
    """Every id that was ever used, and on which fork: none of them may be used again."""
    used = {block.command.id: "applied" for block in journal.blocks}
    for branch in journal.abandoned:
        for block in branch.blocks:
            used.setdefault(block.command.id, f"rolled back with fork {branch.fork}")
    return used


#: What is shown, by name.
PROJECTIONS: Mapping[str, Projection] = {
    projection.__name__: projection
    for projection in (
        orders,
        positions,
        triggers,
        vault_shares,
        history,
        external_transfers,
        client_ids,
    )
}


def position_key(account: str, market: str) -> str:
    """How a projection names a position."""
    return f"{account} {market}"


def opening_rows(journal: Journal) -> dict[str, Row]:
    """The table as it is while nothing is wrong."""
    return {LOCK: {"fork": journal.fork, "height": len(journal.blocks)}} | {
        name: row_of(journal, name) for name in PROJECTIONS
    }


def row_of(journal: Journal, name: str) -> Row:
    """One projection of a journal, with where it stands."""
    return {
        "fork": journal.fork,
        "height": len(journal.blocks),
        "content": Content(dict(PROJECTIONS[name](journal))),
    }


def oversized(rows: Mapping[str, Row]) -> list[str]:
    """The TP/SL orders of a table of projections that are larger than the position they close."""
    sizes = rows["positions"]["content"].rows
    found = []
    for key, size in rows["triggers"]["content"].rows.items():
        account, market, _ = key.split(" ", 2)
        position = Decimal(sizes.get(position_key(account, market), "0"))
        if Decimal(size) > abs(position):
            found.append(f"{key}: {size} of a position of {plain(position)}")
    return found


class Projections:
    """One incarnation of the service that keeps all of them."""

    def __init__(
        self, life: Life, *, network: Network, database: Database, pause_s: float = 0.1
    ) -> None:
        self.life = life
        self.network = network
        self.database = database
        self.pause_s = pause_s
        self.known = (0, -1)

    async def run(self) -> None:
        """Follow the chain, and rebuild what the operator asks for, until asked to stop."""
        heights = self.network.subscribe(HEIGHTS)
        requests = self.network.listen(ADDRESS)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.follow, heights)
            nursery.start_soon(self.serve, requests)
            self.life.enter("ready")
            await self.life.stop_requested()
            self.life.enter("drain")
            nursery.cancel_scope.cancel()

    async def follow(self, heights: Any) -> None:
        """Bring everything up to date when the chain has moved on, but not for every block."""
        async for height in heights:
            if height > self.known:
                await self.bring(PROJECTIONS)
                await trio.sleep(self.pause_s)

    async def serve(self, requests: Any) -> None:
        """``rebuild`` one projection; the answer is where it stands then."""
        async for request in requests:
            await self.answer(request)

    async def answer(self, request: Request) -> None:
        """Rebuild what is asked for, or say that it does not exist."""
        name: Any = request.payload
        if request.method != "rebuild" or name not in PROJECTIONS:
            await request.fail(ValueError(f"no projection {name!r} to {request.method}"))
            return
        await self.bring([name])
        await request.reply(name)

    async def bring(self, names: Iterable[str]) -> None:
        """Take some projections to where the chain stands, all in one transaction."""
        async for attempt in retrying():
            with attempt:
                journal: Journal = await self.network.call("chain", "journal", None)
                async with self.database.transaction() as transaction:
                    await transaction.get_for_update(TABLE, LOCK)
                    rows = await transaction.scan(TABLE)
                    newer = {
                        name: self.rebuilt(journal, name, rows[name])
                        for name in names
                        if self.is_newer(journal, rows[name])
                    }
                    if newer:
                        await transaction.put_all(TABLE, newer)
        self.known = max(self.known, (journal.fork, len(journal.blocks)))

    def is_newer(self, journal: Journal, row: Row) -> bool:
        """Whether the chain has come further than a row: a new fork is newer at any height."""
        return (journal.fork, len(journal.blocks)) > (row["fork"], row["height"])

    def rebuilt(self, journal: Journal, name: str, before: Row) -> Row:
        """The row of a projection as the chain has it now; what was shown before counts nothing."""
        return row_of(journal, name)
