"""What a PostgreSQL client asks and what the server answers, cut out of two streams of bytes.

Framing only: no socket, no policy. A :class:`Conversation` is fed with what the client sent and
returns requests, each of them one thing that a server is asked and that can be held as a whole; it
is fed with what the server sent and returns how far the answer is. Protocol 3.0 after
https://www.postgresql.org/docs/15/protocol-message-formats.html.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from harness.live.ports import CANCEL, REQUEST_MAX, TERMINATE, Delivery, Request, WireError
from harness.live.statements import has_written, is_invisible, target_of

#: The kinds of request.
ENCRYPTION, STARTUP, AUTHENTICATION = "encryption", "startup", "authentication"
QUERY, EXTENDED, FLUSH, COPY, FUNCTION = "query", "extended", "flush", "copy", "function"
#: What a client may ask before it says who it is: encryption by TLS or GSSAPI, or a cancel.
_SSL_CODE, _GSS_CODE, _CANCEL_CODE = 80877103, 80877104, 80877102
#: Values of these types differ from run to run, whatever the order: xid, cid, tid, the times of
#: the clock (date, time, timestamp, with and without zone), uuid, pg_lsn, txid snapshots and xid8.
MASKED_TYPES = frozenset((27, 28, 29, 1082, 1083, 1114, 1184, 1266, 2950, 2970, 3220, 5038, 5069))
#: What ends a group of messages, and what kind of request the group then is.
_ENDS = {"S": EXTENDED, "H": FLUSH, "X": TERMINATE}
#: The messages that answer one message of a Flush group; Execute ends with one of ``CIs``.
_REPLIES = frozenset(b"123CIsTn")


def request_of(
    kind: str, raw: bytes, statements: tuple[str, ...] = (), replies: int | None = None
) -> Request:
    """A request, and what can be said of it."""
    if kind in (QUERY, EXTENDED, FLUSH):
        text = "; ".join(" ".join(each.split()) for each in statements)
        visible = not all(map(is_invisible, statements))
    else:
        text = {COPY: "copy data", FUNCTION: "function call"}.get(kind, kind)
        visible = kind in (COPY, FUNCTION, CANCEL)
    target = target_of(statements[0]) if statements else ""
    return Request(kind, raw, text, visible, target, statements=statements, replies=replies)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request came to: command tags, rows, the SQLSTATE of an error.

    ``rows_digest`` is over the values of all rows but those of types in :data:`MASKED_TYPES`.
    ``transaction`` is I (idle), T (in a transaction) or E (in one that failed).
    """

    tags: tuple[str, ...] = ()
    rows: int = 0
    rows_digest: str = ""
    error: str = ""
    transaction: str = "I"

    def __str__(self) -> str:
        parts = [*self.tags, f"error {self.error}" if self.error else ""]
        rows = f"{self.rows} rows {self.rows_digest}" if self.rows else ""
        return ", ".join(filter(None, (*parts, rows))) or "done"

    @property
    def wrote(self) -> bool:
        """Whether the command tags tell of rows that were written."""
        return has_written(self.tags)

    @property
    def undone(self) -> bool:
        """Whether a client knows from it that nothing of its transaction is left."""
        return bool(self.error) or "ROLLBACK" in self.tags


def messages(buffer: bytearray) -> Iterator[tuple[int, bytes]]:
    """Take the complete messages out of a buffer: type byte and whole message."""
    while len(buffer) >= 5:
        length = struct.unpack_from(">I", buffer, 1)[0] + 1
        if not 5 <= length <= REQUEST_MAX:
            raise WireError(f"a message of {length:,} bytes is no PostgreSQL message")
        if len(buffer) < length:
            return
        message = bytes(buffer[:length])
        del buffer[:length]
        yield message[0], message


def text_at(message: bytes, offset: int) -> tuple[str, int]:
    """The zero-terminated text at an offset, and the offset behind it."""
    end = message.index(0, offset)
    return message[offset:end].decode("utf-8", "replace"), end + 1


class Conversation:
    """One connection to ``database``, whichever one the client asks for: a port of PostgreSQL."""

    def __init__(self, database: str = "") -> None:
        self._database = database
        self.ready = False
        self.transaction = "I"
        #: What a CancelRequest names: the process of the server, and a secret.
        self.backend_pid = 0
        self.listens = False
        #: The names of what the client has asked for when it connected.
        self.settings: frozenset[str] = frozenset()
        self._from_client = bytearray()
        self._from_server = bytearray()
        self._started = False
        self._group = _Group()
        self._prepared: dict[str, str] = {}
        self._portals: dict[str, str] = {}
        self._copying = ""
        self._running: Request | None = None
        self._collected = _Collected()
        self._left: int | None = None
        self._skipping = False

    # --- what the client asks -----------------------------------------------------------------

    def feed_client(self, data: bytes) -> list[Request]:
        """The requests that these bytes complete."""
        buffer = self._from_client
        buffer += data
        found: list[Request] = []
        while not self._started and len(buffer) >= 8:
            length, code = struct.unpack_from(">II", buffer)
            if not 8 <= length <= 10_000:
                raise WireError("this is no PostgreSQL client: its first packet has no length")
            if len(buffer) < length:
                break
            packet = bytes(buffer[:length])
            del buffer[:length]
            if code in (_SSL_CODE, _GSS_CODE):
                found.append(request_of(ENCRYPTION, packet))
            else:
                self._started = True
                found.append(request_of(CANCEL if code == _CANCEL_CODE else STARTUP, packet))
        if self._started:
            for kind, message in messages(buffer):
                if not self.ready and kind == ord("p"):
                    found.append(request_of(AUTHENTICATION, message))
                elif (request := self._asked(chr(kind), message)) is not None:
                    found.append(request)
        if len(buffer) + len(self._group.raw) > REQUEST_MAX:
            raise WireError(f"a request is larger than {REQUEST_MAX:,} bytes")
        return found

    def _asked(self, kind: str, message: bytes) -> Request | None:
        if kind == "Q":
            return request_of(QUERY, message, (text_at(message, 5)[0],))
        if kind == "F":
            return request_of(FUNCTION, message)
        self._group.raw += message
        if kind in "PBDEC":
            self._prepare(kind, message)
        elif self._copying and kind != "X":
            return self._copied(kind)
        elif kind in _ENDS:
            return self._closed(_ENDS[kind])
        return None

    def _prepare(self, kind: str, message: bytes) -> None:
        """A message of the extended protocol, to be answered by one message."""
        group = self._group
        group.replies += 1
        if kind == "P":
            name, offset = text_at(message, 5)
            self._prepared[name] = text_at(message, offset)[0]
        elif kind == "B":
            portal, offset = text_at(message, 5)
            self._portals[portal] = text_at(message, offset)[0]
        elif kind == "E":
            statement = self._portals.get(text_at(message, 5)[0], "")
            group.statements.append(self._prepared.get(statement, f"execute {statement}"))

    def _copied(self, kind: str) -> Request | None:
        """A message while the client copies in; the server passes over Flush and Sync of these."""
        group = self._group
        group.copies |= kind in "cf"
        if group.copies and (kind == "S" or self._copying == QUERY):
            self._copying = ""
            return self._closed(COPY)
        return None

    def _closed(self, kind: str) -> Request:
        group, self._group = self._group, _Group()
        replies = group.replies if kind == FLUSH else None
        return request_of(kind, bytes(group.raw), tuple(group.statements), replies)

    def beginning(self, request: Request) -> tuple[bytes, bytes] | None:
        """What comes before the first query; encryption is answered with no."""
        if request.kind == ENCRYPTION:
            return b"N", b""
        if request.kind == STARTUP:
            self.settings = frozenset(name.decode().lower() for name in pairs_of(request.raw))
            return b"", with_database(request.raw, self._database)
        return (b"", request.raw) if request.kind == AUTHENTICATION else None

    # --- what the server answers ----------------------------------------------------------------

    def release(self, request: Request) -> bool:
        """Say that a request goes to the server now; whether an answer is to come."""
        self._collected = _Collected()
        self._left = request.replies
        if request.replies is not None and (self._skipping or not request.replies):
            return False  # after an error the server is silent until Sync; a lone Flush has none
        self._running = request
        return True

    def feed_server(self, data: bytes) -> list[Delivery]:
        """How far the answers are with these bytes."""
        self._from_server += data
        found: list[Delivery] = []
        out = bytearray()
        for kind, message in messages(self._from_server):
            out += message
            if self._told(kind, message):
                found.append(Delivery(bytes(out), self._answered()))
                out.clear()
        if out:
            found.append(Delivery(bytes(out)))
        return found

    def _told(self, kind: int, message: bytes) -> bool:
        """Take one message of the server in; whether it completes the request that runs."""
        running, collected = self._running, self._collected
        if kind == ord("Z"):
            self.transaction, self._skipping = chr(message[5]), False
            self.ready = True
            return running is not None
        if kind == ord("K"):
            self.backend_pid = struct.unpack_from(">I", message, 5)[0]
        elif kind == ord("W"):
            raise WireError("streaming replication cannot be held; connect past the gate for it")
        if running is None:
            return False
        collected.add(kind, message)
        if kind == ord("G"):
            self._copying = running.kind
            return True
        if kind == ord("C") and message[5:11] in (b"LISTEN", b"UNLIST"):
            self.listens = True
        if self._left is not None:
            if kind == ord("E"):
                self._skipping = True
                return True
            self._left -= kind in _REPLIES
            return self._left == 0
        return False

    def _answered(self) -> Answer:
        self._running = None
        return self._collected.answer(self.transaction)

    def lost(self) -> Answer | None:
        """The server is gone: what the request that runs came to, if one does."""
        if self._running is None:
            return None
        answer = self._answered()
        return Answer(answer.tags, answer.rows, answer.rows_digest, answer.error or "lost", "I")


class _Group:
    """The messages of the extended protocol that were sent since the last Sync or Flush."""

    def __init__(self) -> None:
        self.raw = bytearray()
        self.statements: list[str] = []
        self.replies = 0
        self.copies = False


class _Collected:
    """What the server has answered so far to the request that runs."""

    def __init__(self) -> None:
        self.tags: list[str] = []
        self.rows = 0
        self.error = ""
        self._digest = hashlib.sha256()
        self._masked: frozenset[int] = frozenset()

    def add(self, kind: int, message: bytes) -> None:
        """Take one message in."""
        if kind == ord("T"):
            types = list(_types_of(message))
            self._masked = frozenset(at for at, oid in enumerate(types) if oid in MASKED_TYPES)
        elif kind in (ord("D"), ord("d")):
            self.rows += 1
            values = [message] if kind == ord("d") else list(_values_of(message))
            for at, value in enumerate(values):
                known = b"*" if at in self._masked and value is not None else value
                self._digest.update(b"-" if known is None else b"%d:%b" % (len(known), known))
        elif kind == ord("C"):
            self.tags.append(text_at(message, 5)[0])
        elif kind == ord("G"):
            self.tags.append("COPY begins")
        elif kind == ord("E"):
            fields = message[5:].split(b"\0")
            codes = (field[1:].decode() for field in fields if field[:1] == b"C")
            self.error = self.error or next(codes, "unknown")

    def answer(self, transaction: str) -> Answer:
        """All of it."""
        digest = self._digest.hexdigest()[:8] if self.rows else ""
        return Answer(tuple(self.tags), self.rows, digest, self.error, transaction)


def _types_of(message: bytes) -> Iterator[int]:
    """The type of each column that a RowDescription describes."""
    offset = 7
    for _ in range(struct.unpack_from(">H", message, 5)[0]):
        _, offset = text_at(message, offset)
        yield struct.unpack_from(">I", message, offset + 6)[0]
        offset += 18


def _values_of(message: bytes) -> Iterator[bytes | None]:
    """The values of a DataRow."""
    offset = 7
    for _ in range(struct.unpack_from(">H", message, 5)[0]):
        length = struct.unpack_from(">i", message, offset)[0]
        offset += 4
        yield None if length < 0 else message[offset : offset + length]
        offset += max(length, 0)


def cancelled_backend(request: Request) -> int:
    """Which process of the server a cancel is about."""
    pid: int = struct.unpack_from(">I", request.raw, 8)[0]
    return pid


def rows_of(deliveries: bytes) -> Iterator[tuple[str | None, ...]]:
    """The rows in an answer to a simple query, as text."""
    for kind, message in messages(bytearray(deliveries)):
        if kind == ord("D"):
            yield tuple(None if v is None else v.decode() for v in _values_of(message))


def pairs_of(packet: bytes) -> dict[bytes, bytes]:
    """What a start-up packet asks for."""
    words = packet[8:].split(b"\0")
    return {name: value for name, value in zip(words[::2], words[1::2], strict=False) if name}


def with_database(packet: bytes, database: str) -> bytes:
    """A start-up packet that asks for another database, whichever one the service is set up for."""
    pairs = pairs_of(packet)
    pairs[b"database"] = database.encode()
    body = b"".join(name + b"\0" + value + b"\0" for name, value in pairs.items()) + b"\0"
    return struct.pack(">I", len(body) + 8) + packet[4:8] + body
