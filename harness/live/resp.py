"""What a Redis client asks and what the server answers, cut out of two streams of bytes.

Framing only, of RESP2 and RESP3: no socket, no policy. After
https://redis.io/docs/latest/develop/reference/protocol-spec/. A command is one request. What is
queued between MULTI and EXEC goes to the server at once, which only queues it: the choice is EXEC.
What the server says unasked (messages, invalidations) completes nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from harness.live.commands import (
    INVISIBLE,
    JOINING,
    LEAVING,
    OF_OTHERS,
    READS,
    REFUSED,
    timeout_of,
)
from harness.live.ports import FOR_EVER, REQUEST_MAX, Answer, Delivery, Request, WireError

#: What a subscriber is told.
_MESSAGES = (b"message", b"pmessage", b"smessage")
#: In a label and in what is compared: uuids, tokens in hexadecimal and times (of the epoch too, in
#: s, ms or us, since 2020) differ from run to run.
_MASKED = re.compile(
    rb"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b"
    rb"|\b(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{16,}\b"
    rb"|\b1[6-9]\d{8}(?:\d{3}|\d{6})?(?:\.\d+)?\b"
    rb"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?",
    re.IGNORECASE,
)
#: Frames of one line, of a string whose length the line says, and of so many frames.
_LINES, _STRINGS = b"+-:_,#(", b"$!="
_AGGREGATES = {ord("*"): 1, ord("~"): 1, ord(">"): 1, ord("%"): 2, ord("|"): 2}
_PUSH, _ATTRIBUTE = ord(">"), ord("|")
_NIL = (b"$-1\r\n", b"*-1\r\n", b"_\r\n")


@dataclass(frozen=True, slots=True)
class RedisAnswer:
    """What a command came to: its kind of answer, the word of an error, a digest of the rest."""

    kind: str = ""
    words: str = ""
    wrote: bool = False
    transaction: str = "I"

    def __str__(self) -> str:
        return f"{self.kind} {self.words}".strip() if self.kind else "lost"


class Conversation:
    """One connection of a client to a server: a port of Redis."""

    ready = True
    transaction = "I"
    backend_pid = 0

    def __init__(self) -> None:
        self.listens = False
        self._asked = bytearray()
        self._said = bytearray()
        self._queued: list[str] | None = None
        self._channels: dict[str, set[bytes]] = {}
        self._running: Request | None = None
        self._left = 0

    # --- what the client asks -----------------------------------------------------------------

    def feed_client(self, data: bytes) -> list[Request]:
        """The requests that these bytes complete."""
        self._asked += data
        found: list[Request] = []
        while self._is_array() and (end := frame_end(self._asked)) is not None:
            raw = bytes(self._asked[:end])
            del self._asked[:end]
            if words := list(strings(raw)):
                found.append(self._request(raw, words))
        if len(self._asked) > REQUEST_MAX:
            raise WireError(f"a request is larger than {REQUEST_MAX:,} bytes")
        return found

    def _is_array(self) -> bool:
        """Whether something has come, which can only be an array."""
        if self._asked and self._asked[0] != ord("*"):
            line = bytes(self._asked[:40])
            raise WireError(f"an inline command is not held, only arrays of strings: {line!r}")
        return bool(self._asked)

    def _request(self, raw: bytes, words: list[bytes]) -> Request:
        name = words[0].decode("ascii", "replace").upper()
        second = words[1].decode("utf-8", "replace") if len(words) > 1 else ""
        if name in REFUSED:
            raise WireError(f"{name} is not held: {REFUSED[name]}")
        if name == "CLIENT" and second.upper() == "REPLY":
            raise WireError("CLIENT REPLY is not held: nobody could tell what is answered")
        shown = (_MASKED.sub(b"*", each).decode("utf-8", "replace") for each in words[1:])
        text, changes = " ".join(" ".join((name, *shown)).split()), name not in READS
        request = Request(name, raw, text, target=second, changes=changes)
        if self._queued is not None and name not in ("EXEC", "DISCARD", "RESET", "QUIT"):
            self._queued.append(text)
            return replace(request, visible=False)
        queued, self._queued = self._queued, [] if name == "MULTI" else None
        if name == "EXEC":
            return replace(request, text="; ".join(["EXEC", *(queued or ())]), target="")
        if name in INVISIBLE or (name == "CLIENT" and second.upper() not in OF_OTHERS):
            return replace(request, visible=False)
        if (timeout := timeout_of(name, words)) is not None:
            at, known = timeout
            # Whether the time is over is a choice; but copies, of which there are none, never come.
            alone = known and name in ("WAIT", "WAITAOF")
            words[at] = b"1" if alone else b"0"
            waits = "" if alone else known or FOR_EVER
            return replace(request, raw=command(*words), waits=waits)
        return request

    def beginning(self, request: Request) -> tuple[bytes, bytes] | None:
        """Nothing comes before the first command."""
        return None

    # --- what the server answers ----------------------------------------------------------------

    def release(self, request: Request) -> bool:
        """Say that a request goes to the server now; an answer is to come."""
        self._running, self._left = request, 1
        kind, channels = request.kind, list(strings(request.raw))[1:]
        if kind in JOINING:
            self.listens = True
            self._left = len(channels)
            self._channels.setdefault(JOINING[kind], set()).update(channels)
        elif kind in LEAVING:
            joined = self._channels.setdefault(LEAVING[kind], set())
            self._left = len(channels) or max(1, len(joined))
            joined.difference_update(channels or joined.copy())
        return True

    def feed_server(self, data: bytes) -> list[Delivery]:
        """How far the answers are with these bytes."""
        self._said += data
        found: list[Delivery] = []
        while (end := frame_end(self._said)) is not None:
            raw = bytes(self._said[:end])
            del self._said[:end]
            found.append(Delivery(raw, None if self._is_unasked(raw) else self._told(raw)))
        return found

    def _is_unasked(self, raw: bytes) -> bool:
        """Whether the server says it by itself."""
        if self._running is None:
            return True
        first = next(strings(raw), b"") if raw[:1] in (b"*", b">") else b""
        if raw[0] == _PUSH:
            return first.decode("ascii", "replace").upper() != self._running.kind
        joined = any(self._channels.values()) or self._running.kind in LEAVING
        return joined and first in _MESSAGES

    def _told(self, raw: bytes) -> Answer | None:
        """Take in a part of the answer to the request that runs; the answer, if that is all."""
        self._left -= 1
        if self._left > 0 and raw[:1] != b"-":
            return None
        running = self._running
        assert running is not None
        self._running = None
        line = _MASKED.sub(b"*", raw[1 : raw.index(b"\r\n")]).decode("utf-8", "replace")
        if raw[:1] == b"-":
            return RedisAnswer("error", line.partition(" ")[0])
        if raw in _NIL:
            return RedisAnswer("answers", "nil")
        if raw[0] in _LINES:
            return RedisAnswer("answers", line, running.changes)
        known = hashlib.sha256(_MASKED.sub(b"*", raw)).hexdigest()[:8]
        return RedisAnswer("answers", known, running.changes and raw[:1] != b"!")

    def lost(self) -> Answer | None:
        """The server is gone: what the request that runs came to, if one does."""
        if self._running is None:
            return None
        self._running = None
        return RedisAnswer()


def command(*words: bytes) -> bytes:
    """A command as a client sends it."""
    parts = b"".join(b"$%d\r\n%b\r\n" % (len(each), each) for each in words)
    return b"*%d\r\n%b" % (len(words), parts)


def frame_end(buffer: bytes | bytearray) -> int | None:
    """Where the first frame of a buffer ends; nothing if it is not complete."""
    at, left = 0, 1
    while left:
        end = buffer.find(b"\r\n", at)
        if end < 0:
            if len(buffer) - at > REQUEST_MAX:
                raise WireError("a line has no end")
            return None
        kind = buffer[at]
        left -= 1
        if kind in _STRINGS or kind in _AGGREGATES:
            size = _size(bytes(buffer[at + 1 : end]))
            if kind in _STRINGS:
                end += size + 2 if size >= 0 else 0
            else:
                left += max(0, size) * _AGGREGATES[kind] + (kind == _ATTRIBUTE)
        elif kind not in _LINES:
            raise WireError(f"this is not RESP: {bytes(buffer[at : at + 40])!r}")
        at = end + 2
        if at > len(buffer):
            return None
    return at


def _size(word: bytes) -> int:
    try:
        size = int(word)
    except ValueError:
        raise WireError(f"a frame of RESP is {word[:40]!r} long, which is no number") from None
    if size > REQUEST_MAX:
        raise WireError(f"a frame of RESP is larger than {REQUEST_MAX:,} bytes")
    return size


def strings(raw: bytes) -> Iterator[bytes]:
    """The strings in one frame, in their order, however deep they are."""
    at = 0
    while at < len(raw):
        end = raw.index(b"\r\n", at)
        kind, line = raw[at], raw[at + 1 : end]
        at = end + 2
        if kind in _STRINGS:
            size = int(line)
            if size >= 0:
                yield raw[at : at + size]
                at += size + 2
        elif kind in b"+":
            yield line
