"""PostgreSQL for the services: psycopg on trio, tables as they know them, and topics.

psycopg's asynchronous connections belong to asyncio; what they do is made of generators, though,
which say what they wait for, and trio can wait for that as well. Needs the extra ``live``.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import trio
from psycopg import AsyncConnection, generators
from psycopg.waiting import Ready, Wait

from target_stub.ports import Row
from target_stub.real.codec import decode, encode
from target_stub.real.schema import OPEN, name


class Link(AsyncConnection[tuple[Any, ...]]):
    """A connection that waits on trio; every statement commits by itself unless told otherwise."""

    def __init__(self, pgconn: psycopg.pq.abc.PGconn) -> None:
        super().__init__(pgconn)
        self.lock = trio.Lock()  # type: ignore[assignment]
        self._autocommit = True
        self.prepare_threshold = None

    async def wait(  # type: ignore[no-untyped-def]
        self, gen, interval: float = 0.0, timeout: float | None = None
    ) -> Any:
        """Drive what psycopg does; a connection that is cancelled in between is of no use."""
        try:
            with trio.fail_after(math.inf if timeout is None else timeout):
                return await drive(gen, self.pgconn.socket)
        except trio.Cancelled:
            self.pgconn.finish()
            raise

    @classmethod
    async def open(cls) -> Link:
        """Connect to where libpq's environment says (``PGHOST``, ``PGPORT``, …)."""
        found = await drive_connecting(generators.connect(""))
        return cls(found)


async def drive(steps: Any, socket: int) -> Any:
    """Run a generator of psycopg, waiting for whatever it asks for."""
    try:
        wanted = next(steps)
        while True:
            wanted = steps.send(await ready(socket, wanted))
    except StopIteration as done:
        return done.value


async def drive_connecting(steps: Any) -> Any:
    """The same while the socket may still change."""
    try:
        socket, wanted = next(steps)
        while True:
            socket, wanted = steps.send(await ready(socket, wanted))
    except StopIteration as done:
        return done.value


async def ready(socket: int, wanted: Wait) -> Ready:
    """Wait until a socket can be read or written, whichever of the wanted comes first."""
    found = Ready.NONE

    async def wait(until: Any, what: Ready) -> None:
        nonlocal found
        await until(socket)
        found = Ready(found | what)
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        if wanted & Wait.R:
            nursery.start_soon(wait, trio.lowlevel.wait_readable, Ready.R)
        if wanted & Wait.W:
            nursery.start_soon(wait, trio.lowlevel.wait_writable, Ready.W)
    return found


class Links:
    """The connections of one process: what is idle is used again."""

    def __init__(self) -> None:
        self._idle: list[Link] = []
        self._all: list[Link] = []

    async def open(self) -> Link:
        """A new connection."""
        link = await Link.open()
        self._all = [each for each in self._all if not each.closed]
        self._all.append(link)
        return link

    def close(self) -> None:
        """Close them all."""
        for link in self._all:
            link.pgconn.finish()
        self._idle.clear()

    @asynccontextmanager
    async def link(self) -> AsyncIterator[Link]:
        """A connection for a while; ConnectionError if there is none, or if it was lost."""
        try:
            link = self._idle.pop() if self._idle else await self.open()
            try:
                yield link
            finally:
                if not link.closed and not link.info.transaction_status:
                    self._idle.append(link)
                elif not link.closed:
                    link.pgconn.finish()
        except psycopg.OperationalError as error:
            if error.sqlstate is None:
                raise ConnectionError(str(error)) from error
            raise


class PostgresTransaction:
    """Statements of one transaction, or each for itself."""

    def __init__(self, link: Link) -> None:
        self.link = link

    async def get(self, table: str, key: str) -> Row | None:
        """A row, or nothing."""
        return await self._get(table, key, "")

    async def get_for_update(self, table: str, key: str) -> Row | None:
        """A row that nobody else may change until the transaction ends."""
        return await self._get(table, key, " for update")

    async def put(self, table: str, key: str, row: Row) -> None:
        """Write a row."""
        await self.put_all(table, {key: row})

    async def put_all(self, table: str, rows: Mapping[str, Row]) -> None:
        """Write several rows in one statement."""
        statement = (
            f"insert into {name(table)} (key, row) select key, value from json_each(%s::json) "
            "on conflict (key) do update set row = excluded.row"
        )
        await self.link.execute(statement.encode(), (encode(rows),))

    async def delete(self, table: str, key: str) -> bool:
        """Delete a row; False if there is none."""
        statement = f"delete from {name(table)} where key = %s returning key"
        cursor = await self.link.execute(statement.encode(), (key,))
        return await cursor.fetchone() is not None

    async def scan(self, table: str) -> Mapping[str, Row]:
        """All rows of a table by key."""
        statement = f"select key, row::text from {name(table)} order by key"
        cursor = await self.link.execute(statement.encode())
        return {key: decode(row) for key, row in await cursor.fetchall()}

    async def _get(self, table: str, key: str, how: str) -> Row | None:
        statement = f"select row::text from {name(table)} where key = %s{how}"
        cursor = await self.link.execute(statement.encode(), (key,))
        found = await cursor.fetchone()
        return None if found is None else decode(found[0])


class PostgresDatabase:
    """The database of the exchange."""

    def __init__(self, links: Links) -> None:
        self.links = links

    async def put_all(self, table: str, rows: Mapping[str, Row]) -> None:
        """Write several rows in one statement that commits by itself."""
        async with self.links.link() as link:
            await PostgresTransaction(link).put_all(table, rows)

    async def scan(self, table: str) -> Mapping[str, Row]:
        """All rows of a table by key."""
        async with self.links.link() as link:
            return await PostgresTransaction(link).scan(table)

    @asynccontextmanager
    async def transaction(self, isolation: str | None = None) -> AsyncIterator[PostgresTransaction]:
        """A transaction that commits when its block ends without an error."""
        async with self.links.link() as link:
            begin = "begin" + (f" isolation level {isolation}" if isolation else "")
            await link.execute(begin.encode())
            try:
                yield PostgresTransaction(link)
            except Exception:
                if not link.closed:
                    await link.execute("rollback")
                raise
            await link.execute("commit")

    async def maintain(self, mode: str) -> None:
        """Take the database ``away`` or make it ``read only``."""
        await self._set_mode(mode)

    async def reopen(self) -> None:
        """End the maintenance."""
        await self._set_mode(OPEN)

    async def _set_mode(self, mode: str) -> None:
        async with self.links.link() as link:
            await link.execute("update stored.maintenance set mode = %s", (mode,))


class Topic:
    """The messages of a topic from now on, each fetched when PostgreSQL has notified of it."""

    def __init__(self, links: Links, topic: str) -> None:
        self.links = links
        self.table = name(f"topic_{topic}")
        self._link: Link | None = None
        self._last = 0
        self._come: list[Any] = []
        #: Whether PostgreSQL has notified of something, be it beside an answer.
        self._told = False

    def __aiter__(self) -> Topic:
        return self

    async def __anext__(self) -> Any:
        if self._link is None:
            self._link = await self._listen()
        while not self._come:
            if not self._told:
                await self._link.wait(generators.notifies(self._link.pgconn))
            self._told = False
            await self._fetch(self._link)
        return self._come.pop(0)

    async def _listen(self) -> Link:
        link = await self.links.open()
        link.add_notify_handler(self._hear)
        await link.execute(f"listen {self.table}".encode())
        cursor = await link.execute(f"select coalesce(max(id), 0) from {self.table}".encode())
        (self._last,) = await cursor.fetchone() or (0,)
        return link

    def _hear(self, notification: object) -> None:
        self._told = True

    async def _fetch(self, link: Link) -> None:
        statement = f"select id, body::text from {self.table} where id > %s order by id"
        cursor = await link.execute(statement.encode(), (self._last,))
        for number, body in await cursor.fetchall():
            self._last = number
            self._come.append(decode(body))


async def publish(links: Links, topic: str, message: Any) -> None:
    """Tell all who listen to a topic."""
    async with links.link() as link:
        statement = f"insert into {name(f'topic_{topic}')} (body) values (%s)"
        await link.execute(statement.encode(), (encode(message),))
