"""The walls of a run: seeded randomness, virtual time, and no way out to the real world.

Inside a run the global ``random``, ``os.urandom``, ``uuid``, ``secrets``, ``time`` and
``datetime`` answer from the simulation. Threads, sockets, processes, files and real sleeping are
refused through Python's audit hooks, with an error that says what to use instead. Outside a run,
between two steps included, everything is as it was.

A module that has bound one of these names for itself (``from time import sleep``) gets the other
function for as long as runs go on. Not closed: what keeps the real function elsewhere, in a class,
a closure or a default argument; ``threading.Lock.acquire`` and ``queue.SimpleQueue.get``, which
block inside of C.
"""

from __future__ import annotations

import _thread
import os
import random
import sys
import threading
import time
import uuid
from collections.abc import Collection, Mapping
from types import BuiltinFunctionType
from typing import TYPE_CHECKING, Any

import time_machine

from harness.errors import RefusedError
from harness.schedule import watchdog
from harness.schedule.kernel import AUDITED_THREADS

if TYPE_CHECKING:
    from types import FrameType

    from harness.schedule.simulation import Simulation

#: The real clock, for the harness itself.
real_monotonic = time.monotonic

_USE_EVENTS = "await a trio.Event, a trio.Condition or a memory channel instead"
_USE_TASKS = "start tasks in a trio nursery instead (nursery.start_soon)"
_USE_NETWORK = "hand the target a network port of the world instead"
_USE_SERVICE = "run it as a service lane of the world instead"
_USE_DISK = "hand the target a disk, database or object store of the world instead"
_REMEDIES = {
    "_thread.start_new_thread": ("a thread", _USE_TASKS),
    "time.sleep": ("real sleeping (time.sleep)", "await trio.sleep instead; it costs no real time"),
    "threading.wait": ("blocking (an Event, a Condition or a Queue of threads)", _USE_EVENTS),
    "os.fork": ("a new process", _USE_SERVICE),
    "os.forkpty": ("a new process", _USE_SERVICE),
    "os.exec": ("a new process", _USE_SERVICE),
    "os.posix_spawn": ("a new process", _USE_SERVICE),
    "os.spawn": ("a new process", _USE_SERVICE),
    "os.system": ("a new process", _USE_SERVICE),
    "subprocess.Popen": ("a subprocess", _USE_SERVICE),
    "trio.input_output": ("real input or output of trio", _USE_NETWORK),
    "sqlite3.connect": ("a real database", _USE_DISK),
    "open": ("a file", _USE_DISK),
    "os.listdir": ("a directory", _USE_DISK),
    "os.scandir": ("a directory", _USE_DISK),
    "os.mkdir": ("a directory", _USE_DISK),
    "os.remove": ("a file", _USE_DISK),
    "os.rename": ("a file", _USE_DISK),
    "os.rmdir": ("a directory", _USE_DISK),
    "os.truncate": ("a file", _USE_DISK),
    "socket.__new__": ("a socket", _USE_NETWORK),
    "socket.connect": ("a socket", _USE_NETWORK),
    "socket.bind": ("a socket", _USE_NETWORK),
    "socket.getaddrinfo": ("name resolution", _USE_NETWORK),
    "socket.gethostbyname": ("name resolution", _USE_NETWORK),
}
#: Python itself reads files on behalf of these: imports, error messages, time zones, codecs.
_READERS = (
    "importlib",
    "linecache",
    "tokenize",
    "zoneinfo",
    "encodings",
    "zipimport",
    "inspect",
    "faker",
)

_READS = ("open", "os.listdir", "os.scandir")
#: They use a thread to start a process.
_SPAWNERS = ("trio._subprocess", "subprocess")

_active: list[Simulation] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _active or event not in _REMEDIES:
        return
    simulation = _active[-1]
    if simulation.running_task is None or threading.get_ident() != simulation.world.thread:
        return
    if event in _READS and _on_behalf_of(sys._getframe(1), _READERS):
        return
    if event == "_thread.start_new_thread" and _on_behalf_of(sys._getframe(1), _SPAWNERS):
        event = "subprocess.Popen"
    what, remedy = _REMEDIES[event]
    detail = f" {arguments[0]!r}" if event == "open" else ""
    error = RefusedError(
        f"{simulation.running_task.label} asked for {what}{detail} inside a run, "
        f"which no scheduler can make deterministic; {remedy}"
    )
    simulation.refuse(error)
    raise error


def _on_behalf_of(frame: FrameType | None, modules: Collection[str]) -> bool:
    """Whether one of these modules or packages is what the running step has called."""
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module in modules or module.partition(".")[0] in modules:
            return True
        if module == "harness.schedule.kernel" and frame.f_code.co_name == "advance":
            return False  # what called the simulation is not what the step asked for
        frame = frame.f_back
    return False


def _monotonic() -> float:
    return _active[-1].clock.current_time() if _active else real_monotonic()


def _monotonic_ns() -> int:
    return round(_monotonic() * 1_000_000_000)


def _urandom(size: int, /) -> bytes:
    if not _active:
        return _real_urandom(size)
    return _active[-1].random("os.urandom").randbytes(size)


def _start_thread(thread: threading.Thread) -> None:
    sys.audit("_thread.start_new_thread", thread, (), None)
    _real_start_thread(thread)


def _start_new_thread(function: Any, arguments: Any, *rest: Any) -> int:
    sys.audit("_thread.start_new_thread", function, arguments, None)
    return _real_start_new_thread(function, arguments, *rest)


def _sleep(seconds: float, /) -> None:
    sys.audit("time.sleep", seconds)
    _real_sleep(seconds)


def _wait(condition: threading.Condition, timeout: float | None = None) -> bool:
    if timeout is None or timeout > 0:
        sys.audit("threading.wait", timeout)
    return _real_wait(condition, timeout)


# Python announces threads to audit hooks only since 3.12, and sleep since 3.13.
_real_start_thread = threading.Thread.start
_real_start_new_thread = _thread.start_new_thread
_real_sleep = time.sleep
_real_wait = threading.Condition.wait
_real_urandom = os.urandom
_FIXED_NODE = 0x0200_0000_0001
_PATCHES: tuple[tuple[Any, str, Any], ...] = (
    (time, "monotonic", _monotonic),
    (time, "monotonic_ns", _monotonic_ns),
    (time, "perf_counter", _monotonic),
    (time, "perf_counter_ns", _monotonic_ns),
    (os, "urandom", _urandom),
    (random, "_urandom", _urandom),
    (uuid, "_node", _FIXED_NODE),
    (threading.Thread, "start", _start_thread),
    (_thread, "start_new_thread", _start_new_thread),
    (time, "sleep", _sleep),
    (threading.Condition, "wait", _wait),
    AUDITED_THREADS,
)
#: What a module may have bound for itself, and what it gets instead.
_BOUND: Mapping[Any, Any] = {
    getattr(module, name): substitute
    for module, name, substitute in _PATCHES
    if module in (time, os)
}
#: They need the real functions, or belong to who runs the tests.
_OURS = frozenset(
    {"harness", "trio", "time_machine", "pytest", "_pytest", "pluggy", "xdist", "hypothesis"}
)


class _Bindings:
    """The modules that have bound a function of the real world for themselves."""

    def __init__(self) -> None:
        self._looked_at: dict[str, Any] = {}
        self._newest: tuple[int, Any] = (0, None)
        self._found: list[tuple[dict[str, Any], str, Any]] = []

    def replace(self) -> None:
        """Give them the other functions."""
        newest = len(sys.modules), sys.modules[next(reversed(sys.modules))]
        if newest != self._newest:
            self._newest = newest
            self._look()
        for names, name, original in self._found:
            if names.get(name) is original:
                names[name] = _BOUND[original]

    def restore(self) -> None:
        """Give them back what they had."""
        for names, name, original in self._found:
            if names.get(name) is _BOUND[original]:
                names[name] = original

    def _look(self) -> None:
        """Look at every module that is new."""
        for name, module in list(sys.modules.items()):
            if self._looked_at.get(name) is module:
                continue
            self._looked_at[name] = module
            root = name.partition(".")[0]
            if root in _OURS or root in sys.stdlib_module_names:
                continue
            names = getattr(module, "__dict__", {})
            self._found += [
                (names, bound, value)
                for bound, value in list(names.items())
                if isinstance(value, BuiltinFunctionType) and value in _BOUND
            ]


class Walls:
    """The walls of this process, put up once for many runs; entering nests."""

    def __init__(self) -> None:
        self._depth = 0
        self._hooked = False
        self._originals: tuple[Any, ...] = ()
        self._random_state: Any = None
        self._travel = time_machine.travel(0, tick=False)
        self._traveller: time_machine.Traveller | None = None
        self._at_s: float | None = None
        self._bindings = _Bindings()

    def __enter__(self) -> None:
        self._depth += 1
        if self._depth > 1:
            return
        if not self._hooked:
            sys.addaudithook(_audit)
            self._hooked = True
        self._random_state = random.getstate()
        self._originals = tuple(getattr(module, name) for module, name, _ in _PATCHES)
        for module, name, substitute in _PATCHES:
            setattr(module, name, substitute)
        self._bindings.replace()
        self._travel = time_machine.travel(0, tick=False)
        self._traveller = self._travel.start()
        self._at_s = None

    def __exit__(self, *exception: object) -> None:
        self._depth -= 1
        if self._depth:
            return
        self._travel.stop()
        for (module, name, _), original in zip(_PATCHES, self._originals, strict=True):
            setattr(module, name, original)
        self._bindings.restore()
        random.setstate(self._random_state)

    def go_to(self, at_s: float) -> None:
        """Set the wall clock, in seconds since 1970."""
        assert self._traveller is not None
        if at_s != self._at_s:
            self._traveller.move_to(at_s)
            self._at_s = at_s

    def shift(self, seconds: float) -> None:
        """Move the wall clock on."""
        assert self._traveller is not None
        if seconds:
            self._traveller.shift(seconds)
            self._at_s = None


_walls = Walls()


def installed() -> Walls:
    """The walls round many runs: entered once, each run enters them for next to nothing."""
    return _walls


class Sandbox:
    """The walls round one simulation; entered for as long as it is stepped."""

    __slots__ = ("_random_state", "simulation", "thread")

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.thread = threading.get_ident()
        self._random_state: Any = None

    def enter(self) -> None:
        """Make time and randomness those of this run."""
        simulation = self.simulation
        _walls.__enter__()
        watchdog.start(active)
        self.thread = threading.get_ident()
        _active.append(simulation)
        _walls.go_to(simulation.epoch_s + simulation.clock.now)
        if self._random_state is None:
            random.seed(simulation.seed)
        else:
            random.setstate(self._random_state)

    def leave(self) -> None:
        """Give time and randomness back."""
        _active.pop()
        if self.simulation.ending is None:
            self._random_state = random.getstate()
        _walls.__exit__()

    def __enter__(self) -> None:
        self.enter()

    def __exit__(self, *exception: object) -> None:
        self.leave()

    def show(self, service: str) -> None:
        """Set the wall clock to what the machine of a service shows; it may be off."""
        simulation = self.simulation
        ahead_s = simulation.wall_clocks.get(service, 0.0)
        simulation.touches(f"clock/{service}", "read")
        _walls.go_to(simulation.epoch_s + simulation.clock.now + ahead_s)

    def shift(self, seconds: float) -> None:
        """Virtual time moves on."""
        _walls.shift(seconds)


def active() -> Simulation | None:
    """The simulation that is being stepped in this process, if any."""
    return _active[-1] if _active else None
