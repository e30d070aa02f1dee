"""Ports of the loopback interface for services and servers that listen themselves."""

from __future__ import annotations

import contextlib
import socket

from harness.errors import UsageError

LOOPBACK = "127.0.0.1"
#: From which ports they are taken: below those that Linux gives to connections (ip(7)).
PORTS = (20_000, 30_000)


def reserve(taken: list[socket.socket]) -> int:
    """A port of the loopback interface that no other harness uses while ``taken`` is open.

    A socket of UDP with the same number reserves it among us, and is not minded by whoever listens
    by TCP.
    """
    for port in range(*PORTS):
        with contextlib.ExitStack() as stack:
            lock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            try:
                lock.bind((LOOPBACK, port))
                with socket.socket() as attempt:
                    attempt.bind((LOOPBACK, port))  # not even the end of a connection is left
            except OSError:
                continue
            stack.pop_all()
            taken.append(lock)
            return port
    raise UsageError(f"all ports from {PORTS[0]} to {PORTS[1]} are in use")
