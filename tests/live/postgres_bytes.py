"""PostgreSQL messages by hand, for the tests of the framing."""

from __future__ import annotations

import struct


def message(kind: str, body: bytes = b"") -> bytes:
    return kind.encode() + struct.pack(">I", len(body) + 4) + body


def packet(code: int, body: bytes = b"") -> bytes:
    return struct.pack(">II", len(body) + 8, code) + body


STARTUP = packet(196608, b"user\0postgres\0database\0books\0\0")
SSL, GSS = packet(80877103), packet(80877104)
SYNC, FLUSH, TERMINATE = message("S"), message("H"), message("X")


def query(sql: str) -> bytes:
    return message("Q", sql.encode() + b"\0")


def parse(sql: str, name: str = "") -> bytes:
    return message("P", f"{name}\0{sql}\0".encode() + b"\0\0")


def bind(name: str = "", portal: str = "") -> bytes:
    return message("B", f"{portal}\0{name}\0".encode() + bytes(6))


def describe(name: str = "") -> bytes:
    return message("D", b"S" + name.encode() + b"\0")


def execute(portal: str = "") -> bytes:
    return message("E", portal.encode() + bytes(5))


# --- of the server ----------------------------------------------------------------------------


def ready(transaction: str = "I") -> bytes:
    return message("Z", transaction.encode())


GREETING = message("R", bytes(4)) + message("K", struct.pack(">II", 4711, 99)) + ready()


def tag(text: str) -> bytes:
    return message("C", text.encode() + b"\0")


def error(code: str, severity: str = "ERROR") -> bytes:
    return message("E", f"S{severity}\0C{code}\0Mwords\0\0".encode())


def columns(*types: int) -> bytes:
    each = b"".join(b"c\0" + struct.pack(">IHIHIH", 0, 0, oid, 4, 0, 0) for oid in types)
    return message("T", struct.pack(">H", len(types)) + each)


def row(*values: str | None) -> bytes:
    parts = [
        struct.pack(">i", -1) if v is None else struct.pack(">i", len(v)) + v.encode()
        for v in values
    ]
    return message("D", struct.pack(">H", len(values)) + b"".join(parts))


def copy_data(text: str) -> bytes:
    return message("d", text.encode())
