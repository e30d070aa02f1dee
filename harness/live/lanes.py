"""Connections of services, each a lane of its own: what is held, what runs, what waits for a lock.

A lane has two sockets, that of the service and that of the server, and a conversation between
them. What the client sent stays here until somebody lets it go; what the server answers is handed
on as soon as the answer is complete.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections import deque
from typing import TYPE_CHECKING

from harness.live.ports import CANCEL, Answer, Peer, Request

if TYPE_CHECKING:
    from harness.live.processes import Process

BOOT, HELD, RUNNING, BLOCKED, ORPHAN, IDLE, GONE = (
    "boot",
    "held",
    "running",
    "blocked",
    "orphan",
    "idle",
    "gone",
)
#: The peer that every service has: PostgreSQL.
DATABASE = "database"
#: Of a longer answer the client gets the beginning before it is complete, in bytes.
HANDED_ON_MAX = 1 << 20


class Stream:
    """A socket that never blocks: what it does not take at once waits in ``unsent``."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self.socket = end
        self.unsent = bytearray()
        self.open = True
        #: How many bytes have passed, either way.
        self.sent = self.received = 0

    def send(self, data: bytes) -> None:
        """Send now, or as soon as there is room."""
        if self.open:
            self.unsent += data
            self.flush()

    def flush(self) -> None:
        """Send what waits."""
        while self.unsent and self.open:
            try:
                count = self.socket.send(self.unsent)
            except BlockingIOError:
                return
            except OSError:
                self.unsent.clear()
                return
            del self.unsent[:count]
            self.sent += count

    def receive(self) -> bytes | None:
        """What has come; empty if the other side is gone, nothing if there is nothing yet."""
        try:
            data = self.socket.recv(65_536)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        self.received += len(data)
        return data

    def close(self) -> None:
        """Let go of it."""
        if self.open:
            self.open = False
            self.unsent.clear()
            self.socket.close()


class Lane:
    """One connection of one incarnation to a peer; ``number`` counts those to the same peer.

    Its name is like ``funding#2.0`` for the database, and like ``funding#2.ledger.0`` for others.
    """

    def __init__(self, process: Process, peer: Peer, client: socket.socket, *, number: int) -> None:
        self.process = process
        self.peer = peer
        self.number = number
        self.name = f"{process.name}.{number}"
        if peer.name != DATABASE:
            self.name = f"{process.name}.{peer.name}.{number}"
        process.connections += 1
        self.client = Stream(client)
        #: The client's port, and ours.
        self.port: int = client.getpeername()[1]
        self.gate_port: int = client.getsockname()[1]
        self.server: Stream | None = None
        #: The process at the other end, if it is one that is watched; the ports there, and here.
        self.server_process: Process | None = None
        self.server_ports = (0, 0)
        self.talk = peer.talk()
        self.held: deque[Request] = deque()
        #: How many choices were made about it; each one names the next option anew.
        self.choices = 0
        self.running: Request | None = None
        #: When it began to wait for a lock, as a number that grows; 0 if it does not wait.
        self.blocked = 0
        self.frozen = False
        #: By which number the server knows a command that waits in it; 0 if none does.
        self.waits = 0
        #: The client closed its end, or died.
        self.client_gone = False
        self.backend: int | None = None
        self.is_cancel = False
        #: The beginning of an answer that is not complete.
        self.handing_on = bytearray()
        #: The answer to the request that runs gets lost: nobody is told, and the connection is cut.
        self.loses = False
        #: The client has got the beginning of an answer, and waits for more of it.
        self.streams = False

    @property
    def state(self) -> str:
        """Where it stands."""
        if self.server is None and not self.client.open and not self.held:
            return GONE
        if self.running is not None:
            if self.blocked:
                return ORPHAN if self.client_gone else BLOCKED
            return RUNNING
        if self.held:
            return HELD
        return IDLE if self.talk.ready or self.is_cancel else BOOT

    @property
    def over(self) -> bool:
        """Whether nothing of it is left."""
        return self.state == GONE

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open that its end would roll back."""
        return self.talk.transaction != "I"

    def take(self, requests: list[Request]) -> None:
        """Requests have come from the client."""
        self.is_cancel |= any(each.kind == CANCEL for each in requests)
        self.held += requests

    @property
    def awaited(self) -> bool:
        """Whether the answer to the request that runs comes without any other choice."""
        return self.running is not None and not self.peer.watched and not self.waits

    def connect(self) -> Stream:
        """Open the other side; raises :class:`OSError` if nobody is there."""
        self.attach(*self.peer.connect())
        assert self.server is not None
        return self.server

    def attach(self, end: socket.socket, process: Process | None = None) -> None:
        """This is the other side, with a watched process behind it or none."""
        self.server_process = process
        if end.family == socket.AF_INET:
            self.server_ports = end.getpeername()[1], end.getsockname()[1]
        self.server = Stream(end)

    def note_backend(self) -> None:
        """The server has said which process of it serves this lane: remember it beyond its end."""
        if self.backend is None and self.talk.backend_pid:
            with contextlib.suppress(ProcessLookupError):  # it has refused us, and is gone
                self.backend = os.pidfd_open(self.talk.backend_pid)

    def hang_up(self) -> None:
        """Close both ends."""
        self.client.close()
        if self.server is not None:
            self.server.close()
            self.server = None
        self.held.clear()

    def forget_backend(self) -> None:
        """The process of the server is gone, or of no interest any more."""
        if self.backend is not None:
            os.close(self.backend)
            self.backend = None


class Completion:
    """A request that was answered in a step, with what it came to, and whether its client hears."""

    __slots__ = ("answer", "heard", "lane", "request")

    def __init__(self, lane: Lane, request: Request, answer: Answer) -> None:
        self.lane = lane
        self.request = request
        self.answer = answer
        self.heard = lane.client.open and not lane.loses
