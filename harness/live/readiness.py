"""Processes that are ready before they are needed, so that a run does not wait for them.

A *prewarmed* one was started while an earlier run went on, and waits at its first connection, which
nobody has taken yet. A *kept* one has done all that it had to do in an earlier run, has closed its
connections and stopped itself (SIGSTOP); when it is started again it goes on (SIGCONT), and has to
begin from the beginning. Either belongs to one incarnation of one recipe, and keeps its ports.
"""

from __future__ import annotations

import atexit
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.live.processes import Process

#: How many processes may wait for each incarnation.
READY_MAX = 4


@dataclass(frozen=True, slots=True)
class Ready:
    """A process that waits, the ports by which it asks others, and what reserves its own one."""

    process: Process
    listeners: dict[str, socket.socket]
    reserved: list[socket.socket]

    def end(self) -> None:
        """It is not needed any more."""
        self.process.rests = False
        self.process.status = None
        self.process.end()
        for each in (*self.listeners.values(), *self.reserved):
            each.close()


@dataclass(slots=True)
class _Kept:
    """Whose they are: a process that was forked must not use those of its parent."""

    pid: int = 0
    waiting: dict[str, list[Ready]] = field(default_factory=dict)


_kept = _Kept()


def take(key: str, make: Callable[[], Ready]) -> Ready:
    """The process that has waited longest for this, or a new one."""
    waiting = _kept.waiting.get(key) if _kept.pid == os.getpid() else None
    return waiting.pop(0) if waiting else make()


def give(key: str, ready: Ready) -> None:
    """Let a process wait until it is taken."""
    if _kept.pid != os.getpid():
        _kept.pid, _kept.waiting = os.getpid(), {}
        atexit.register(stop)
    waiting = _kept.waiting.setdefault(key, [])
    waiting.append(ready)
    while len(waiting) > READY_MAX:
        waiting.pop(0).end()


def stop() -> None:
    """End all that wait in this process."""
    if _kept.pid == os.getpid():
        for waiting in _kept.waiting.values():
            for ready in waiting:
                ready.end()
        _kept.waiting.clear()
