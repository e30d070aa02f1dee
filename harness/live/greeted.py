"""Connections to a database that were opened before a service asks for one.

A process of PostgreSQL takes longer to begin than a short run takes for all its statements. So
whenever a service connects, what it has said is said on one connection more, and the next service
that says the same gets that one, greeting and all. Nobody has used it, so it is as good as a new
one, but for two things: roles and settings are read when a session begins, so they must still be
as they were then (:data:`_READ_AT_LOGIN`); and who looks at the sessions of the server would see
it, so there are none where anybody does (:func:`sees_sessions`).
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.live.client import Client
from harness.live.ports import Request
from harness.live.wire import messages

#: How many connections may wait, and how long the server may take to begin or end one, in seconds.
WAITING_MAX, SERVER_WAIT_S = 8, 20.0
#: What a session reads of the system catalogues when it begins, with the transaction that wrote it;
#: null if the database does something at every login.
_READ_AT_LOGIN = """
select string_agg(what, ' ' order by what) from (
  select concat_ws(' ', xmin, s) as what from pg_db_role_setting s
  union all select concat_ws(' ', xmin, oid) from pg_authid
  union all select concat_ws(' ', xmin, oid) from pg_database where datname = current_database()
) everything where not exists (select from pg_event_trigger where evtevent = 'login')"""


def sees_sessions(sql: str) -> bool:
    """Whether an SQL text may look at who is connected, as ``pg_stat_activity`` tells."""
    return "pg_stat" in sql.lower()


class Greeted:
    """The connections to one database that wait for somebody to use them."""

    def __init__(self, place: Path, client: Client) -> None:
        self._place = place
        self._client = client
        self._read_at_login: str | None = None
        self._waiting: dict[bytes, list[socket.socket]] = {}
        #: Whether somebody has looked, or may look, at the sessions of the server.
        self.watched = False

    def take(self, said: bytes) -> socket.socket | None:
        """The oldest connection on which this was said already, if one is as good as a new one."""
        if self.watched:
            return None
        read_at_login = self._client.query(_READ_AT_LOGIN)[0][0]
        if read_at_login != self._read_at_login:
            self.close()
            self._read_at_login = read_at_login
        if read_at_login is None:
            return None
        waiting = self._waiting.setdefault(said, [])
        found = None
        while waiting and found is None:
            found = waiting.pop(0)
            if _is_over(found):
                found.close()
                found = None
        if sum(map(len, self._waiting.values())) < WAITING_MAX:
            waiting.append(more := socket.socket(socket.AF_UNIX))
            more.settimeout(SERVER_WAIT_S)
            more.connect(str(self._place))
            more.sendall(said)
        return found

    def processes(self) -> list[int]:
        """The processes of the server that serve these connections; all have begun."""
        return [pid for each in self._all() if (pid := _process_of(each))]

    def notice(self, requests: Sequence[Request]) -> None:
        """See to it that nobody finds these connections who looks for the sessions of others."""
        if not self.watched and any(
            sees_sessions(sql) for each in requests for sql in each.statements
        ):
            self.watched = True
            handles = [os.pidfd_open(pid) for pid in self.processes()]
            self.close()
            for handle in handles:
                select.select([handle], [], [], SERVER_WAIT_S)
                os.close(handle)

    def close(self) -> None:
        """Close all of them."""
        for each in self._all():
            each.close()
        self._waiting.clear()

    def _all(self) -> Iterator[socket.socket]:
        return (each for waiting in self._waiting.values() for each in waiting)


def _is_over(end: socket.socket) -> bool:
    """Whether the server has hung up."""
    poll = select.poll()
    poll.register(end, select.POLLRDHUP)
    return bool(poll.poll(0))


def _process_of(end: socket.socket) -> int:
    """Which process of the server has greeted us here, 0 if it has refused; nothing is taken."""
    deadline = time.monotonic() + SERVER_WAIT_S
    while time.monotonic() < deadline:
        greeting = bytearray(end.recv(65_536, socket.MSG_PEEK))
        found = dict(messages(greeting))
        if ord("K") in found and ord("Z") in found:
            pid: int = struct.unpack_from(">I", found[ord("K")], 5)[0]
            return pid
        if ord("E") in found or _is_over(end):
            return 0
        time.sleep(0.0001)
    return 0
