"""The time of a run of real processes: one page that all of them read, and alarms that are held.

An event loop sleeps in the call that waits for input, where nobody can hold its timers. So it is
handed a clock: a page of memory that shows the time, and a connection on which it says when it
wants to be woken. Time stands still within a step. It moves when somebody chooses an alarm, to the
moment for which that one was set, and never back; so an hour is as cheap as a millisecond, and
everybody always sees the same time, as in the simulation.

A service finds the page in the file ``CHANGEOVER_CLOCK``: eight bytes, the seconds since the run
began as a little-endian IEEE 754 double. On the port ``CHANGEOVER_ALARM`` of the loopback interface
it sends times in the same form, the last of which is its alarm (infinity: none); it gets one byte
when that moment has come.
"""

from __future__ import annotations

import math
import mmap
import os
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from harness.errors import RefusedError
from harness.live.lanes import Stream

_SECONDS = struct.Struct("<d")


class RealClock:
    """The page; ``now`` is in seconds since the run began."""

    def __init__(self) -> None:
        self.now = 0.0
        #: Where others open it, while it is open; nothing is left of it when we are gone.
        self.path = ""

    def open(self) -> None:
        """Let others read it."""
        self._file = os.memfd_create("changeover-clock", os.MFD_CLOEXEC)
        os.ftruncate(self._file, _SECONDS.size)
        self._page = mmap.mmap(self._file, _SECONDS.size)
        self.path = f"/proc/{os.getpid()}/fd/{self._file}"

    def advance(self, to: float) -> None:
        """Move it forward to a time; it never moves back."""
        self.now = max(self.now, to)
        self._page[:] = _SECONDS.pack(self.now)

    def close(self) -> None:
        """Let go of it."""
        self._page.close()
        os.close(self._file)


class Alarm:
    """The alarm of one incarnation: when it wants to be woken, if it has said so."""

    def __init__(self, name: str, stream: Stream, port: int) -> None:
        self.name = name
        self.stream = stream
        #: The port of the other end, by which the kernel knows what was not read yet.
        self.port = port
        #: The time for which it is set; infinity while it is not.
        self.due = math.inf
        #: How often it has rung: it names the next alarm in every run alike.
        self.rung = 0
        self._unread = bytearray()

    def take(self, data: bytes) -> None:
        """Times have come; the last one counts."""
        self._unread += data
        while len(self._unread) >= _SECONDS.size:
            (due,) = _SECONDS.unpack_from(self._unread)
            del self._unread[: _SECONDS.size]
            if math.isnan(due):
                raise RefusedError(f"{self.name} has set its alarm to a time that is no number")
            self.due = float(due)

    def ring(self) -> None:
        """The moment has come."""
        self.due, self.rung = math.inf, self.rung + 1
        self.stream.send(b"!")


class Alarms:
    """The clock of a run and the alarms of all incarnations, each on a port of its own.

    ``watch`` and ``forget`` are those of the gate: what to call when something can be read.
    """

    def __init__(
        self,
        clock: RealClock,
        watch: Callable[[int, Callable[[int], None]], None],
        forget: Callable[[int], None],
    ) -> None:
        self.clock = clock
        clock.open()
        self._watch = watch
        self._forget = forget
        self._listeners: dict[str, socket.socket] = {}
        self._set: dict[str, Alarm] = {}

    def listen(self, name: str) -> Mapping[str, str]:
        """Open the port of an incarnation; the environment that tells it where its clock is."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=1)
        listener.setblocking(False)
        self._listeners[name] = listener
        self._watch(listener.fileno(), partial(self._accept, name))
        port = listener.getsockname()[1]
        return {"CHANGEOVER_CLOCK": self.clock.path, "CHANGEOVER_ALARM": str(port)}

    def of(self, name: str) -> Alarm | None:
        """The alarm of an incarnation, if it is set."""
        alarm = self._set.get(name)
        return alarm if alarm is not None and alarm.due < math.inf else None

    def coming(self, names: Sequence[str], stall_s: float) -> list[Alarm]:
        """The alarms of these incarnations: the next one, and all that are due within a stall."""
        alarms = [alarm for name in names if (alarm := self.of(name)) is not None]
        alarms.sort(key=lambda alarm: (alarm.due, alarm.name))
        horizon = self.clock.now + stall_s
        return [alarm for alarm in alarms if alarm is alarms[0] or alarm.due <= horizon]

    def ring(self, alarm: Alarm) -> None:
        """Let an alarm ring: the clock moves forward to it."""
        self.clock.advance(alarm.due)
        alarm.ring()

    def connection(self, name: str) -> tuple[Stream, int, int] | None:
        """The connection of an incarnation to its alarm, with its port and ours."""
        alarm = self._set.get(name)
        if alarm is None or not alarm.stream.open:
            return None
        return alarm.stream, alarm.port, self._listeners[name].getsockname()[1]

    def end(self, name: str) -> None:
        """An incarnation has ended, and needs no alarm any more."""
        if (listener := self._listeners.pop(name, None)) is not None:
            self._forget(listener.fileno())
            listener.close()
        if (alarm := self._set.pop(name, None)) is not None and alarm.stream.open:
            self._forget(alarm.stream.socket.fileno())
            alarm.stream.close()

    def close(self) -> None:
        """The run is over."""
        for name in list(self._listeners):
            self.end(name)
        self.clock.close()

    def _accept(self, name: str, mask: int) -> None:
        client, (_, port) = self._listeners[name].accept()
        if name in self._set:
            client.close()
            raise RefusedError(f"{name} has connected to its alarm twice; a process has one")
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        alarm = self._set[name] = Alarm(name, Stream(client), port)
        self._watch(client.fileno(), partial(self._take, alarm))

    def _take(self, alarm: Alarm, mask: int) -> None:
        data = alarm.stream.receive()
        if data:
            alarm.take(data)
        elif data is not None:
            self._forget(alarm.stream.socket.fileno())
            alarm.stream.close()
            alarm.due = math.inf
