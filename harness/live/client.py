"""A client of PostgreSQL for the harness itself: simple queries over a socket of the file system.

It looks at locks and at what committed, and it resets; never on behalf of a service.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from pathlib import Path

from harness.errors import UntrustworthyError
from harness.live.wire import messages, rows_of

Row = tuple[str | None, ...]
#: How long a query of the harness itself may take, in seconds.
QUERY_WAIT_S = 60.0
#: How long it may wait for a lock of a service: rules cannot read what is locked exclusively.
LOCK_WAIT_S = 5


class ServerError(UntrustworthyError):
    """PostgreSQL refused what the harness asked for; ``code`` is the SQLSTATE."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class Client:
    """One connection; raises :class:`ServerError` for what the server refuses."""

    def __init__(self, place: Path, database: str, *, user: str = "postgres") -> None:
        self._buffer = bytearray()
        self._ordered = 0
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(QUERY_WAIT_S)
        try:
            self._socket.connect(str(place))
            options = {
                "user": user,
                "database": database,
                "application_name": "changeover",
                "options": f"-c lock_timeout={LOCK_WAIT_S}s",
            }
            pairs = "".join(f"{name}\0{value}\0" for name, value in options.items())
            words = pairs.encode() + b"\0"
            self._socket.sendall(struct.pack(">II", len(words) + 8, 196608) + words)
            self._answer()
        except BaseException:
            self._socket.close()
            raise

    def query(self, sql: str) -> list[Row]:
        """The rows of a query, as text in PostgreSQL's notation."""
        return self.queries([sql])[0]

    def queries(self, sqls: Sequence[str]) -> list[list[Row]]:
        """The rows of several queries, each on its own, asked all at once."""
        before = self._ordered
        self.order(*sqls)
        return self.ordered()[before:]

    def order(self, *sqls: str) -> None:
        """Ask now for what is wanted later; whatever is asked next comes after it."""
        words = [sql.encode() + b"\0" for sql in sqls]
        data = b"".join(b"Q" + struct.pack(">I", len(each) + 4) + each for each in words)
        self._ordered += len(sqls)
        self._socket.sendall(data)

    def ordered(self, count: int | None = None) -> list[list[Row]]:
        """The rows of what was ordered and has not been answered yet, or of the first of it.

        Whatever is refused, all the rest is heard.
        """
        found: list[list[Row]] = []
        refused = None
        assert count is None or count <= self._ordered, "somebody else has taken the answers"
        for _ in range(self._ordered if count is None else count):
            self._ordered -= 1
            try:
                found.append(list(rows_of(self._answer())))
            except ServerError as error:
                refused = refused or error
        if refused is not None:
            raise refused
        return found

    def close(self) -> None:
        """Say goodbye."""
        try:
            self._socket.sendall(b"X\0\0\0\4")
        except OSError:
            pass
        finally:
            self._socket.close()

    def _answer(self) -> bytes:
        """Everything up to ReadyForQuery."""
        collected, refused = bytearray(), ("", "")
        while True:
            for kind, message in messages(self._buffer):
                if kind == ord("Z"):
                    if refused[1]:
                        raise ServerError(*refused)
                    return bytes(collected)
                if kind == ord("E"):
                    refused = _refusal(message)
                collected += message
            try:
                data = self._socket.recv(65_536)
            except TimeoutError:
                words = f"PostgreSQL has no answer for the harness within {QUERY_WAIT_S:g} s"
                raise ServerError(words, "57014") from None
            if not data:
                raise ServerError(*(refused if refused[1] else ("the server is gone", "08006")))
            self._buffer += data


def _refusal(message: bytes) -> tuple[str, str]:
    fields = {part[:1]: part[1:].decode("utf-8", "replace") for part in message[5:].split(b"\0")}
    return f"PostgreSQL: {fields.get(b'M', '')} ({fields.get(b'C', '')})", fields.get(b"C", "?")
