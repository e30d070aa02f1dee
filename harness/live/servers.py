"""The PostgreSQL of this process: started by the first run that needs it, gone with the process."""

from __future__ import annotations

import atexit
import os
from dataclasses import dataclass

from harness.errors import UntrustworthyError
from harness.live import clusters, companions, postgres, quiescence
from harness.live.postgres import Server

__all__ = ("Server", "missing", "shared", "stop")


@dataclass(slots=True)
class _Shared:
    """Whose server it is: a process that was forked must not use that of its parent."""

    pid: int = 0
    server: Server | None = None


_shared = _Shared()


def missing() -> str:
    """Why nothing can be run live on this machine; empty if it can be."""
    return quiescence.missing() or postgres.missing()


def shared() -> Server:
    """The server of this process; :class:`UntrustworthyError` says why there can be none."""
    if _shared.pid != os.getpid():
        _shared.pid, _shared.server = os.getpid(), None
    if _shared.server is None:
        if why := missing():
            raise UntrustworthyError(f"nothing can be run live on this machine: {why}")
        _shared.server = postgres.start()
        atexit.register(stop)
    return _shared.server


def stop() -> None:
    """End the servers of this process, if it has any."""
    companions.stop()
    clusters.stop()
    if _shared.pid == os.getpid() and _shared.server is not None:
        server, _shared.server = _shared.server, None
        server.stop()
