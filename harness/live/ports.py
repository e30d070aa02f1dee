"""What the gate knows of a wire protocol: bytes go in, requests and answers come out.

A :class:`Port` is the framing of one connection. It has no socket and no policy, so that it is
tested from byte strings alone; whatever speaks another protocol is another implementation, and
nothing else of the gate changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from harness.errors import ChangeoverError

if TYPE_CHECKING:
    import socket

    from harness.live.processes import Process

#: Kinds of request that every protocol may have: the client says goodbye; it asks that another
#: request be given up.
TERMINATE, CANCEL = "terminate", "cancel"
#: How long a request may wait that has no timeout.
FOR_EVER = "for ever"
#: No request that is held may be larger, in bytes.
REQUEST_MAX = 64 << 20
#: Whether somebody listens: now; not yet, but a process that may is alive or will be; never again.
LISTENS, COMING, NEVER = "listens", "coming", "never"


class WireError(ChangeoverError):
    """Bytes that are not of the protocol that was announced, or a part of it that is not held."""


@dataclass(frozen=True, slots=True)
class Request:
    """One thing that a server is asked; ``raw`` are its bytes and ``text`` says it in one line.

    ``visible`` says whether its place in the order can matter to anybody else; ``target`` what it
    is about (a table, a path, a key), empty if that is not plain; ``changes`` is false of what is
    known to change nothing; ``waits`` tells how long it may wait until something comes, empty if it
    does not. ``statements`` are the SQL texts that it executes, if it is SQL. ``replies`` is how
    many messages answer it, for a protocol that counts them. ``body`` is that of HTTP.
    """

    kind: str
    raw: bytes
    text: str = ""
    visible: bool = True
    target: str = ""
    changes: bool = True
    waits: str = ""
    statements: tuple[str, ...] = ()
    replies: int | None = None
    body: bytes = b""


class Answer(Protocol):
    """What a request came to; as text it says so in one line, alike in all equal runs."""

    @property
    def wrote(self) -> bool:
        """Whether it changed something that others can see, or will when it is committed."""

    @property
    def transaction(self) -> str:
        """I if all of it is committed, anything else while a transaction is open."""


@dataclass(frozen=True, slots=True)
class Done:
    """The answer to what is never answered."""

    wrote: bool = False
    transaction: str = "I"

    def __str__(self) -> str:
        return "done"


@dataclass(frozen=True, slots=True)
class Delivery:
    """Bytes from the server; ``answer`` is there when they complete the request that runs."""

    raw: bytes
    answer: Answer | None = None


class Port(Protocol):
    """One connection: what is asked, and how far the answers are.

    ``ready`` says whether the server takes requests; ``transaction`` is I if closing the connection
    would roll nothing back. ``backend_pid`` is the process of the server that serves this
    connection, 0 if there is no such thing; ``listens`` whether the server may speak unasked.
    """

    ready: bool
    transaction: str
    backend_pid: int
    listens: bool

    def feed_client(self, data: bytes) -> Sequence[Request]:
        """The requests that these bytes complete."""

    def beginning(self, request: Request) -> tuple[bytes, bytes] | None:
        """What concerns nobody else: the bytes to answer it with, and those for the server."""

    def release(self, request: Request) -> bool:
        """Say that a request goes to the server now; whether an answer is to come."""

    def feed_server(self, data: bytes) -> Sequence[Delivery]:
        """How far the answers are with these bytes."""

    def lost(self) -> Answer | None:
        """The server is gone: what the request that runs came to, if one does."""


class Waits(Protocol):
    """What a server says of commands that wait in it."""

    def waiting(self) -> dict[int, int]:
        """The port of each connection in which one waits, and its number at the server.

        When this is answered, the server has said all that it had to say.
        """

    def unblock(self, number: int) -> None:
        """The time of one of them is over."""


class Ahead(Protocol):
    """Connections that were opened before they are needed."""

    def take(self, said: bytes) -> socket.socket | None:
        """One on which this was said already, and whose answer is still to be read."""

    def notice(self, statements: Iterable[str]) -> None:
        """These are about to be asked."""

    def passed(self) -> None:
        """A request has gone to the server."""


@dataclass(frozen=True, slots=True, eq=False)
class Peer:
    """Somebody whom services ask: its name, how one talks to it, and the way to it.

    ``connect`` opens a new connection and tells which of the watched processes is at its other
    end; if one is (``watched``), its answer may need choices of its own, and nobody waits for it
    with the step. ``state`` tells whether somebody listens; ``waits`` is there for a server in
    which commands wait until something comes, and ``ahead`` if it takes long to begin.
    """

    name: str
    talk: Callable[[], Port]
    connect: Callable[[], tuple[socket.socket, Process | None]]
    protocol: str = ""
    watched: bool = False
    state: Callable[[], str] = lambda: LISTENS
    waits: Waits | None = None
    ahead: Ahead | None = None
