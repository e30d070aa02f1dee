"""The watchdog: a step that never yields is stopped and named.

Limits on steps and virtual time cannot stop ``while True: pass``. One daemon thread looks now and
then whether the same step still runs, and raises an error inside it when it took too long. It is
the only thread of the harness and touches nothing else. What counts is real time, less that in
which the step could not run: on a busy machine it waits for a processor, and after Ctrl-Z for the
shell.
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
#: How often the watchdog looks, in seconds, and how often at least while a step may run.
_LOOKS_S, _LOOKS_MIN = 0.25, 4
#: How often it strikes, in seconds: a loop that catches everything ends only when it is struck
#: between two rounds.
_STRIKES_S = 0.02


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


class Meter:
    """For how long a thread could have run, in seconds, from one look at it to the next."""

    def __init__(self) -> None:
        self._at_s = self._waited_s = 0.0

    def look(self, now_s: float, waited_s: float, *, due_s: float) -> float:
        """The time since the last look, which was to be ``due_s`` ago, that counts.

        ``waited_s`` is how long the thread has ever waited for a processor. Who looks much too
        late was stopped itself, and so was the thread.
        """
        passed_s, was_waiting_s = now_s - self._at_s, waited_s - self._waited_s
        self._at_s, self._waited_s = now_s, waited_s
        return max(0.0, min(passed_s, 2 * due_s) - was_waiting_s)


def waited_for_processor_s(thread: int) -> float:
    """How long a thread of this process has ever waited for a processor, in seconds.

    0 where the system does not say; ``thread`` is as :func:`threading.get_ident` has it. After
    https://docs.kernel.org/scheduler/sched-stats.html, /proc/<pid>/schedstat.
    """
    natives = (each.native_id for each in threading.enumerate() if each.ident == thread)
    try:
        with open(f"/proc/self/task/{next(natives, 0)}/schedstat", "rb") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def _watch(active: Callable[[], Simulation | None]) -> None:
    seen: tuple[object, int] = (None, -1)
    meter, ran_s = Meter(), 0.0
    while True:
        simulation = active()
        limit = simulation.limits.step_wall_s if simulation else 10.0
        del simulation  # a thread that waits must not keep a finished run alive
        due_s = min(_LOOKS_S, limit / _LOOKS_MIN) if limit else _LOOKS_S
        if limit and ran_s > limit:
            due_s = min(due_s, _STRIKES_S)
        _wake.wait(due_s)
        simulation = active()
        if simulation is None or not limit or not (simulation.running_task or simulation.cleaning):
            seen, ran_s = (None, -1), 0.0
            continue
        thread = simulation.world.thread
        more_s = meter.look(_real_monotonic(), waited_for_processor_s(thread), due_s=due_s)
        current = (weakref.ref(simulation), simulation.steps + simulation.cleaned)
        if current != seen:
            seen, ran_s = current, 0.0
            continue
        ran_s += more_s
        if ran_s > limit:
            simulation.overrun()
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread), ctypes.py_object(StepNeverYieldsError)
            )
        del simulation
