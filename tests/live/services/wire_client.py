"""A PostgreSQL client of 30 lines for services that must start fast: simple queries only."""

import os
import socket
import struct


class Refused(Exception):
    """The server said no; the argument is the SQLSTATE."""


#: What a cancel has to name, for each connection: a process of the server, and a secret.
keys: dict[socket.socket, tuple[int, ...]] = {}


def connect() -> socket.socket:
    address = os.environ["PGHOST"], int(os.environ["PGPORT"])
    link = socket.create_connection(address)
    words = b"user\0postgres\0database\0postgres\0\0"
    link.sendall(struct.pack(">II", len(words) + 8, 196608) + words)
    answer(link)
    return link


def ask(link: socket.socket, sql: str) -> str | None:
    words = sql.encode() + b"\0"
    link.sendall(b"Q" + struct.pack(">I", len(words) + 4) + words)
    return answer(link)


def exactly(link: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = link.recv(count - len(data))
        if not more:
            raise SystemExit("the server is gone")
        data += more
    return data


def answer(link: socket.socket) -> str | None:
    """The first value of the last row, as text."""
    value, code = None, ""
    while True:
        kind = exactly(link, 1)
        body = exactly(link, struct.unpack(">I", exactly(link, 4))[0] - 4)
        if kind == b"D":
            length = struct.unpack_from(">i", body, 2)[0]
            value = None if length < 0 else body[6 : 6 + length].decode()
        elif kind == b"K":
            keys[link] = struct.unpack(">II", body)
        elif kind == b"E":
            code = next(part[1:].decode() for part in body.split(b"\0") if part[:1] == b"C")
        elif kind == b"Z":
            if code:
                raise Refused(code)
            return value
