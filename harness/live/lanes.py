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
from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.live.wire import CANCEL, Answer, Conversation, Request

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
#: Of a longer answer the client gets the beginning before it is complete, in bytes.
HANDED_ON_MAX = 1 << 20


class Stream:
    """A socket that never blocks: what it does not take at once waits in ``unsent``."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self.socket = end
        self.unsent = bytearray()
        self.open = True

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

    def receive(self) -> bytes | None:
        """What has come; empty if the other side is gone, nothing if there is nothing yet."""
        try:
            return self.socket.recv(65_536)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def close(self) -> None:
        """Let go of it."""
        if self.open:
            self.open = False
            self.unsent.clear()
            self.socket.close()


class Lane:
    """One connection of one incarnation; ``name`` is like ``funding#2.0``."""

    def __init__(self, process: Process, client: socket.socket) -> None:
        self.process = process
        self.name = f"{process.name}.{process.connections}"
        process.connections += 1
        self.client = Stream(client)
        self.port: int = client.getpeername()[1]
        self.server: Stream | None = None
        self.talk = Conversation()
        self.held: deque[Request] = deque()
        #: How many choices were made about it; each one names the next option anew.
        self.choices = 0
        self.running: Request | None = None
        #: When it began to wait for a lock, as a number that grows; 0 if it does not wait.
        self.blocked = 0
        self.frozen = False
        #: The client closed its end, or died.
        self.client_gone = False
        self.backend: int | None = None
        self.is_cancel = False
        #: The beginning of an answer that is not complete.
        self.handing_on = bytearray()

    @property
    def state(self) -> str:
        """Where it stands."""
        if self.server is None and not self.client.open:
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

    def connect(self, connect: Callable[[], socket.socket]) -> Stream:
        """Open the other side."""
        if self.server is None:
            self.server = Stream(connect())
        return self.server

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
    """A request that was answered in a step, with what it came to."""

    __slots__ = ("answer", "lane", "request")

    def __init__(self, lane: Lane, request: Request, answer: Answer) -> None:
        self.lane = lane
        self.request = request
        self.answer = answer
