"""What an HTTP/1.1 client asks and what the server answers, cut out of two streams of bytes.

Framing only, by h11 on both sides: no socket, no policy. One request is held as a whole, with its
body; who asks first whether the server wants the body (``Expect: 100-continue``) is told yes at
once, and not a second time. Requests of a pipeline are held one behind the other. After RFC 9112;
CONNECT, a switch to another protocol and HTTP/2 are refused by their names.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

import h11

from harness.live.ports import REQUEST_MAX, Answer, Delivery, Request, WireError

#: The kind of request that asks whether its body is wanted; of all others it is the method.
CONTINUE = "continue"
#: What h11 may keep of a head that is not complete, in bytes.
HEAD_MAX = 1 << 18
#: Methods that change nothing on the server (RFC 9110, 9.2.1).
_SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
#: What differs from run to run whatever the order, and is left out of what is compared: times as
#: ISO 8601 and HTTP write them, uuids, and by what S3 names a request.
_MASKED = re.compile(
    rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?"
    rb"|\b\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"
    rb"|\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b"
    rb"|<(?:RequestId|RequestID|HostId|HostID)>[^<]*<",
)
#: What the query of a signed request says of its signature (Amazon S3, presigned requests).
_SIGNED = re.compile(r"(x-amz-[^=&]*)=[^&]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a request came to: the status, and what the body is but for what always differs.

    ``status`` is 0 for a request whose answer never came. ``body`` is all of it.
    """

    status: int = 0
    size: int = 0
    digest: str = ""
    wrote: bool = False
    transaction: str = "I"
    body: bytes = field(default=b"", repr=False)

    def __str__(self) -> str:
        if not self.status:
            return "lost"
        return f"{self.status}, {self.size} bytes {self.digest}" if self.size else f"{self.status}"


class Conversation:
    """One connection of a client to a server: a port of HTTP/1.1."""

    ready = True
    transaction = "I"
    backend_pid = 0
    listens = False

    def __init__(self) -> None:
        self._asking = _Cut(h11.SERVER)
        self._head: h11.Request | None = None
        self._asked = bytearray()
        self._brought = bytearray()
        self._answering: _Cut | None = None
        self._running: Request | None = None
        self._status = 0
        self._body = bytearray()

    # --- what the client asks -----------------------------------------------------------------

    def feed_client(self, data: bytes) -> list[Request]:
        """The requests that these bytes complete."""
        found: list[Request] = []
        if self._head is None and (self._asking.left + data).startswith(b"PRI * HTTP/2"):
            raise WireError("HTTP/2 is not held; let the client speak HTTP/1.1")
        self._asking.feed(data)
        while True:
            event, raw = self._asking.next()
            self._asked += raw
            if isinstance(event, h11.Request):
                self._head = event
                if event.method == b"CONNECT":
                    raise WireError("CONNECT is not held; let the client ask the server itself")
            elif isinstance(event, h11.Data):
                self._brought += event.data
            elif isinstance(event, h11.EndOfMessage):
                found.append(self._request())
            elif event is h11.NEED_DATA:
                if self._asking.wants_continue():
                    found.append(Request(CONTINUE, b"HTTP/1.1 100 Continue\r\n\r\n"))
                return found
            if len(self._asked) > REQUEST_MAX:
                raise WireError(f"a request is larger than {REQUEST_MAX:,} bytes")

    def _request(self) -> Request:
        """The request that is complete; what follows it is the next one."""
        assert self._head is not None
        method, target = self._head.method.decode(), self._head.target.decode("ascii", "replace")
        raw, left = bytes(self._asked), self._asking.left
        body = bytes(self._brought)
        self._asking, self._head = _Cut(h11.SERVER), None
        self._asked.clear()
        self._brought.clear()
        self._asking.feed(left)
        path = target.partition("?")[0]
        text, changes = f"{method} {shown(target)}", method not in _SAFE
        return Request(method, raw, text, target=path.lstrip("/"), changes=changes, body=body)

    def beginning(self, request: Request) -> tuple[bytes, bytes] | None:
        """Who asks whether its body is wanted is answered here: it is held with its body."""
        return (request.raw, b"") if request.kind == CONTINUE else None

    # --- what the server answers ----------------------------------------------------------------

    def release(self, request: Request) -> bool:
        """Say that a request goes to the server now; an answer is to come."""
        self._running, self._answering = request, _Cut(h11.CLIENT, request.kind)
        self._status = 0
        self._body.clear()
        return True

    def feed_server(self, data: bytes) -> list[Delivery]:
        """How far the answer is with these bytes."""
        if self._answering is None:
            return [Delivery(data)]  # unasked, as a server does that has waited for too long
        self._answering.feed(data)
        out = bytearray()
        while True:
            event, raw = self._answering.next()
            if isinstance(event, h11.InformationalResponse):
                if event.status_code == 101:
                    raise WireError("a switch to another protocol (101) is not held")
                # Whether the body is wanted was answered already.
                out += raw if event.status_code != 100 else b""
                continue
            out += raw
            if isinstance(event, h11.Response):
                self._status = event.status_code
            elif isinstance(event, h11.Data):
                self._body += event.data
            elif isinstance(event, h11.EndOfMessage):
                left = self._answering.left
                answer = self._answered()
                found = [Delivery(bytes(out), answer)]
                return [*found, Delivery(left)] if left else found
            elif event is h11.NEED_DATA:
                return [Delivery(bytes(out))] if out else []

    def _answered(self) -> Answer:
        running, status = self._running, self._status
        assert running is not None
        self._running = self._answering = None
        known = _MASKED.sub(b"*", bytes(self._body))
        digest = hashlib.sha256(known).hexdigest()[:8] if known else ""
        wrote = running.changes and status < 400
        return HttpAnswer(status, len(known), digest, wrote, body=bytes(self._body))

    def lost(self) -> Answer | None:
        """The server is gone: what the request that runs came to, if one does.

        An answer whose length nobody has said ends with its connection, and is complete.
        """
        if self._answering is None:
            return None
        if self._answering.ends():
            return self._answered()
        self._running = self._answering = None
        return HttpAnswer()


class _Cut:
    """h11 for one message, with the bytes of every event; ``method`` is what is answered."""

    def __init__(self, role: type[h11.CLIENT] | type[h11.SERVER], method: str = "") -> None:
        self._parser = h11.Connection(role, max_incomplete_event_size=HEAD_MAX)
        self._raw = bytearray()
        if method:
            # It may have asked for another protocol: so that such an answer is known by its name.
            headers = [("host", "x"), ("upgrade", "x")]
            self._parser.send(h11.Request(method=method, target="/", headers=headers))
            self._parser.send(h11.EndOfMessage())

    @property
    def left(self) -> bytes:
        """What is no part of an event yet."""
        return bytes(self._raw)

    def feed(self, data: bytes) -> None:
        """These bytes have come."""
        if data:
            self._raw += data
            self._parser.receive_data(data)

    def next(self) -> tuple[object, bytes]:
        """The next event and its bytes."""
        try:
            event = self._parser.next_event()
        except h11.RemoteProtocolError as error:
            words = bytes(self._raw[:40])
            raise WireError(f"this is not HTTP/1.1 ({error}): {words!r}") from None
        count = len(self._raw) - len(self._parser.trailing_data[0])
        raw = bytes(self._raw[:count])
        del self._raw[:count]
        return event, raw

    def wants_continue(self) -> bool:
        """Whether the client waits to be told that its body is wanted; asked once."""
        wants = self._parser.they_are_waiting_for_100_continue
        if wants:
            self._parser.send(h11.InformationalResponse(status_code=100, headers=[]))
        return wants

    def ends(self) -> bool:
        """Whether the message is complete if nothing comes any more."""
        try:
            self._parser.receive_data(b"")
            return isinstance(self._parser.next_event(), h11.EndOfMessage)
        except h11.RemoteProtocolError:
            return False


def shown(target: str) -> str:
    """A request target without what differs from run to run: how and when it was signed."""
    return _SIGNED.sub(r"\1=*", target)
