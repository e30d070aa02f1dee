"""Who waits for a lock, and who gets it: decided here, not by a race inside PostgreSQL.

PostgreSQL changes its table of locks before it answers whoever released one, so that table is
asked, never the clock. Several who wait for one row would race when it is released: so who waits
is stopped (SIGSTOP) and let go on one at a time, in the order in which they began to wait. Of a
deadlock the victim is whoever closes the circle, because nobody else is awake to notice it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from harness.errors import UntrustworthyError
from harness.live import quiescence
from harness.live.client import Row
from harness.live.quiescence import ASLEEP, sleep_of

_WAITING = "select pid, array_to_string(pg_blocking_pids(pid), ' ') from pg_locks where not granted"
#: In which system call a server process waits for a lock: epoll_wait.
_WAITS_IN = (b"232", b"281")
FREEZE_WAIT_S = 5.0


class Asked(Protocol):
    """A server, or several, that can be asked about locks."""

    def query(self, sql: str) -> list[Row]:
        """The rows of all of them."""


def waiting(control: Asked) -> dict[int, tuple[int, ...]]:
    """The processes of the server that wait for a lock, and for whom."""
    found: dict[int, tuple[int, ...]] = {}
    for pid, blockers in control.query(_WAITING):
        if pid is not None:
            found[int(pid)] = tuple(map(int, (blockers or "").split()))
    return found


def sessions(control: Asked, pids: Sequence[int]) -> set[int]:
    """Which of these processes of the server still have a session.

    PostgreSQL rolls back, releases all locks and drops what was temporary before it forgets a
    session, and the process itself lives on for longer than all of that takes.
    """
    named = ",".join(map(str, pids))
    rows = control.query(f"select s.pid from unnest(array[{named}]) p, pg_stat_get_activity(p) s")
    return {int(pid) for (pid,) in rows if pid is not None}


def in_circle(pid: int, graph: Mapping[int, tuple[int, ...]]) -> bool:
    """Whether a process waits for itself, by way of others."""
    ahead, seen = list(graph.get(pid, ())), set[int]()
    while ahead:
        other = ahead.pop()
        if other == pid:
            return True
        if other not in seen:
            seen.add(other)
            ahead += graph.get(other, ())
    return False


def freeze(pid: int, pidfd: int) -> bool:
    """Stop a process of the server that waits for a lock; whether it still waits.

    It must be stopped inside its wait and nowhere else: there it holds none of the latches that
    all processes of the server share.
    """
    deadline = time.monotonic() + FREEZE_WAIT_S
    while time.monotonic() < deadline:
        if quiescence.has_ended(pidfd):
            return False
        if sleep_of(pid).kind != ASLEEP:
            return False  # it has been given the lock, or looks for a deadlock: ask again
        if stop_in_wait(pid, pidfd, deadline):
            return True
    raise UntrustworthyError(f"process {pid} of PostgreSQL cannot be stopped while it waits")


def stop_in_wait(pid: int, pidfd: int, deadline: float) -> bool:
    """Stop a process of the server if it waits for its latch; whether it is stopped there now."""
    signal.pidfd_send_signal(pidfd, signal.SIGSTOP)
    while quiescence.state_of(pid) not in (b"T", b"X", b"Z", b""):
        if time.monotonic() > deadline:
            break
        os.sched_yield()
    if quiescence.system_call_of(pid) in _WAITS_IN:
        return True
    thaw(pidfd)
    return False


def thaw(pidfd: int) -> None:
    """Let a stopped process go on."""
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGCONT)
    except ProcessLookupError:
        return
