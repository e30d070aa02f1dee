"""Connections to a database that were opened before a service asks for one.

A process of PostgreSQL takes longer to begin than a short run takes for all its statements. So
whatever services have said when they connected is said again on new connections, after their run
and before the first step of the next one, never in between. Services that say the same get these,
greeting and all. Nobody has used them, so they are as good as new ones, but for two things: roles
and settings are read when a session begins, so they must still be as they were then
(:data:`READ_AT_LOGIN`); and who looks at the sessions of the server would see them, so there are
none where anybody does (:func:`sees_sessions`).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.live import quiescence
from harness.live.client import Client
from harness.live.wire import messages

#: How many connections may wait, and how long the server may take to begin or end one, in seconds.
WAITING_MAX, SERVER_WAIT_S = 8, 20.0
#: What a session reads of the system catalogues when it begins, with the transaction that wrote it;
#: null if the database does something at every login.
READ_AT_LOGIN = """
select string_agg(what, ' ' order by what) from (
  select concat_ws(' ', xmin, s) as what from pg_db_role_setting s
  union all select concat_ws(' ', xmin, oid) from pg_authid
  union all select concat_ws(' ', xmin, oid) from pg_database where datname = current_database()
) everything where not exists (select from pg_event_trigger where evtevent = 'login')"""


def sees_sessions(sql: str) -> bool:
    """Whether an SQL text may look at who is connected, in ``pg_stat_activity`` and the like."""
    return any(name in sql.lower() for name in ("pg_stat", "pg_locks"))


@dataclass(slots=True)
class _Session:
    """A connection on which something was said; the process that serves it, 0 if none is known."""

    end: socket.socket
    pid: int = 0

    @property
    def is_over(self) -> bool:
        """Whether the server has hung up."""
        poll = select.poll()
        poll.register(self.end, select.POLLRDHUP)
        return bool(poll.poll(0))

    def greeted_by(self) -> int:
        """Which process of the server has greeted us here, 0 if it refused; nothing is taken."""
        found: dict[int, bytes] = {}
        with contextlib.suppress(OSError):  # it is gone
            while not self.pid and not self.is_over:
                found = dict(messages(bytearray(self.end.recv(65_536, socket.MSG_PEEK))))
                if ord("Z") in found:
                    self.pid = struct.unpack_from(">I", found[ord("K")], 5)[0]
        return 0 if self.is_over else self.pid


class Greeted:
    """The connections to one database that wait for somebody to use them."""

    def __init__(self, place: Path, client: Client) -> None:
        self._place = place
        self._client = client
        #: What a session reads when it begins, as those that wait have read it; and whether that
        #: is certain to be as it was.
        self._read = ""
        self._certain = False
        #: Those that wait, and how many were asked for in this run, by what is said.
        self._waiting: dict[bytes, list[_Session]] = {}
        self._asked: Counter[bytes] = Counter()
        #: Whether somebody has looked at the sessions of the server.
        self.watched = False

    # --- while a run goes on --------------------------------------------------------------------

    def take(self, said: bytes) -> socket.socket | None:
        """The oldest connection on which this was said already, if one is as good as a new one."""
        if self.watched:
            return None
        if not self._certain:
            self._note(self._client.query(READ_AT_LOGIN)[0][0])
        self._asked[said] += 1
        waiting = self._waiting.get(said, [])
        while waiting:
            session = waiting.pop(0)
            if not session.is_over:
                return session.end
            session.end.close()
        return None

    def _note(self, read_at_login: str | None) -> None:
        if (read_at_login or "") != self._read:
            self.close()
        self._read = read_at_login or ""

    def passed(self) -> None:
        """A request has gone to the server."""
        self._certain = False

    def notice(self, statements: Iterable[str]) -> None:
        """See to it that nobody finds these connections who looks for the sessions of others."""
        if self.watched or not any(map(sees_sessions, statements)):
            return
        self.watched = True
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                _end(pid)
        self.close()

    # --- between two runs -----------------------------------------------------------------------

    def fill(self) -> None:
        """Begin what a run like the last one needs, while what is there serves the next one."""
        for said in [each for each in self._waiting if not self._asked[each]]:
            for session in self._waiting.pop(said):
                session.end.close()
        for said, count in self._asked.items() if self._read and not self.watched else ():
            waiting = self._waiting.setdefault(said, [])
            while len(waiting) < 2 * count and len(list(self._all())) < WAITING_MAX:
                waiting.append(_Session(socket.socket(socket.AF_UNIX)))
                waiting[-1].end.settimeout(SERVER_WAIT_S)
                waiting[-1].end.connect(str(self._place))
                waiting[-1].end.sendall(said)
        self._asked.clear()

    def begin(self, read_at_login: str | None) -> None:
        """A run begins, and this is what a session reads as long as no request has passed."""
        self._note(read_at_login)
        self._certain = True

    def processes(self) -> list[int]:
        """The processes of the server that serve these connections; all have begun."""
        return [pid for session in self._all() if (pid := session.greeted_by())]

    def close(self) -> None:
        """Close all of them."""
        for session in self._all():
            session.end.close()
        self._waiting.clear()

    def _all(self) -> Iterator[_Session]:
        return (each for waiting in self._waiting.values() for each in waiting)


def _end(pid: int) -> None:
    """End a process of the server, and wait until it is gone."""
    handle = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        quiescence.await_end(handle, SERVER_WAIT_S)
    finally:
        os.close(handle)
