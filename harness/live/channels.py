"""Does a process talk past the gate? Then nobody knows who else its steps have to do with.

Every socket of a process is looked at, through pidfd_getfd(2): one that leads to a gate is known,
a nameless pair is the process's own (an event loop wakes itself with it), any other is a channel.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.live.gate import Gate

_PIDFD_GETFD = 438
_libc = ctypes.CDLL(None, use_errno=True)


def past_the_gate(gate: Gate) -> str:
    """Who talks past a gate at this moment, and where; empty if nobody does."""
    for process in gate.processes:
        if process.alive:
            ports = {lane.port for lane in gate.lanes if lane.process is process}
            ports |= {lane.server_ports[0] for lane in gate.lanes if lane.server_process is process}
            if told := channel_of(process.pid, process.pidfd, ports | {process.port}):
                return f"{process.name} has {told}"
    return ""


def channel_of(pid: int, pidfd: int, gate_ports: Collection[int]) -> str:
    """A socket of a process that no gate holds, in words; empty if there is none.

    ``gate_ports`` are the ports from which its connections come to a gate.
    """
    folder = f"/proc/{pid}/fd"
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(folder), key=int):
            with contextlib.suppress(FileNotFoundError):
                if not os.readlink(f"{folder}/{name}").startswith("socket:"):
                    continue
                number = _libc.syscall(_PIDFD_GETFD, pidfd, int(name), 0)
                if number < 0:
                    return "a socket that cannot be looked at"
                with socket.socket(fileno=number) as end:
                    if told := _told(end, gate_ports):
                        return told
    return ""


def _told(end: socket.socket, gate_ports: Collection[int]) -> str:
    if end.family == socket.AF_UNIX:
        names = (end.getsockname(), _peer(end))
        return f"the socket {names[0] or names[1]!r}" if any(names) else ""
    if end.family not in (socket.AF_INET, socket.AF_INET6):
        return f"a socket of family {end.family}"
    port: int = end.getsockname()[1]
    return "" if port in gate_ports else f"port {port}"


def _peer(end: socket.socket) -> object:
    try:
        return end.getpeername()
    except OSError:
        return ""
