"""The wall-clock watchdog: a step that never yields is stopped and named.

Limits on steps and virtual time cannot stop ``while True: pass``. One daemon thread looks now and
then whether the same step still runs, and raises an error inside it when it took too long. It is
the only thread of the harness and touches nothing else.
"""

from __future__ import annotations

import ctypes
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.errors import StepNeverYieldsError

if TYPE_CHECKING:
    from harness.schedule.simulation import Simulation

_real_monotonic = time.monotonic
_wake = threading.Event()


class _Watchdog:
    """The one thread of the harness; ``active`` tells it which simulation is being stepped."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    def start(self, active: Callable[[], Simulation | None]) -> None:
        """Start the watchdog of this process, once."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(
                target=_watch, args=(active,), name="changeover watchdog", daemon=True
            )
            self._thread.start()


start = _Watchdog().start


def _watch(active: Callable[[], Simulation | None]) -> None:
    seen: tuple[object, int] = (None, -1)
    since = _real_monotonic()
    while True:
        simulation = active()
        limit = simulation.limits.step_wall_s if simulation else 10.0
        del simulation  # a thread that waits must not keep a finished run alive
        _wake.wait(min(0.25, limit / 4) if limit else 0.25)
        now = _real_monotonic()
        simulation = active()
        if simulation is None or not limit or simulation.running_task is None:
            seen = (None, -1)
            continue
        current = (weakref.ref(simulation), simulation.steps)
        if current != seen:
            seen, since = current, now
        elif now - since > limit:
            simulation.overrun()
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(simulation.world.thread), ctypes.py_object(StepNeverYieldsError)
            )
            seen = (None, -1)
        del simulation
