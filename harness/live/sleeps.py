"""Sleeps of unmodified processes, held like requests: they are over when somebody chooses that.

The kernel tells us of every ``nanosleep`` and ``clock_nanosleep`` of a process and lets it wait for
our answer, after seccomp_unotify(2). No privilege is needed, it survives ``exec``, and no real time
is spent: an hour costs as little as a millisecond.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import os
import select
import socket
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field

#: nanosleep and clock_nanosleep of x86-64, and how the kernel names that architecture.
_HELD, _X86_64 = (35, 230), 0xC000003E
_PR_SET_NO_NEW_PRIVS, _SECCOMP, _SET_MODE_FILTER, _NEW_LISTENER = 38, 317, 1, 1 << 3
_ALLOW, _NOTIFY = 0x7FFF0000, 0x7FC00000
#: Instructions of the filter: load a word, jump if equal, return.
_LOAD, _JUMP, _RETURN = 0x20, 0x15, 0x06
_NOTIFICATION, _ANSWER = struct.Struct("=QIIiIQ6Q"), struct.Struct("=QqiI")
_RECEIVE = (3 << 30) | (_NOTIFICATION.size << 16) | (0x21 << 8)
_SEND = (3 << 30) | (_ANSWER.size << 16) | (0x21 << 8) | 1


def _filter() -> bytes:
    """Everything is allowed; of sleeping we are told."""
    count = len(_HELD)
    steps = [(_LOAD, 0, 0, 4), (_JUMP, 0, count + 1, _X86_64), (_LOAD, 0, 0, 0)]
    steps += [(_JUMP, count - at, 0, number) for at, number in enumerate(_HELD)]
    steps += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _NOTIFY)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def hold_sleeps(channel: socket.socket) -> Callable[[], None]:
    """What a child does before it becomes another program; who holds its sleeps is told by it."""
    libc, code = ctypes.CDLL(None, use_errno=True), _filter()

    def prepare() -> None:
        memory = ctypes.create_string_buffer(code, len(code))
        program = struct.pack("=HxxxxxxQ", len(code) // 8, ctypes.addressof(memory))
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        listener = libc.syscall(
            _SECCOMP, _SET_MODE_FILTER, _NEW_LISTENER, ctypes.create_string_buffer(program)
        )
        if listener < 0:
            raise OSError(ctypes.get_errno(), "seccomp")
        socket.send_fds(channel, [b"."], [listener])
        os.close(listener)

    return prepare


@dataclass(slots=True)
class Sleeps:
    """The sleeps of one process that are held, the oldest first."""

    listener: int
    held: list[int] = field(default_factory=list)
    #: How many were let go; it names the next one in every run alike.
    over: int = 0

    def take(self) -> bool:
        """A sleep has begun: hold it; nothing more comes of a process that is gone."""
        poll = select.poll()
        poll.register(self.listener, select.POLLIN)
        events = poll.poll(0)
        if events and not events[0][1] & select.POLLIN:
            return False
        buffer = bytearray(_NOTIFICATION.size)
        with contextlib.suppress(FileNotFoundError):  # it died before we looked
            fcntl.ioctl(self.listener, _RECEIVE, buffer)
            self.held.append(_NOTIFICATION.unpack(buffer)[0])
        return True

    def let_go(self) -> None:
        """The oldest sleep is over."""
        self.over += 1
        with contextlib.suppress(FileNotFoundError):
            fcntl.ioctl(self.listener, _SEND, _ANSWER.pack(self.held.pop(0), 0, 0, 0))

    def close(self) -> None:
        """Be told no more."""
        os.close(self.listener)


@functools.cache
def missing() -> str:
    """Why no sleep can be held here; empty if they can be."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        try:
            subprocess.run(
                ["true"],
                preexec_fn=hold_sleeps(theirs),
                check=True,
            )
            for listener in socket.recv_fds(ours, 1, 1)[1]:
                os.close(listener)
        except (OSError, subprocess.SubprocessError) as error:
            return f"needs seccomp user notification of the kernel ({error})"
    return ""
