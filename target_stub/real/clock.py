"""A clock for trio that somebody else moves: nobody waits for it in real time.

It is made of a page of memory that shows the seconds since the run began, and of a connection on
which the next deadline is told and one byte comes when it is due. Where there is no such clock,
trio keeps its own.
"""

from __future__ import annotations

import math
import mmap
import os
import socket
import struct
from pathlib import Path

import trio
from trio.abc import Clock

_SECONDS = struct.Struct("<d")


class HeldClock(Clock):
    """The time on a page, and an alarm that is set to the next deadline."""

    def __init__(self, page: Path, port: int) -> None:
        with page.open("rb") as file:
            self._page = mmap.mmap(file.fileno(), _SECONDS.size, access=mmap.ACCESS_READ)
        self._alarm = socket.create_connection(("127.0.0.1", port))
        self._alarm.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._set_to = math.inf

    def start_clock(self) -> None:
        """Somebody else moves it."""

    def current_time(self) -> float:
        """Seconds since the run began."""
        return float(_SECONDS.unpack(self._page)[0])

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Set the alarm to a deadline, and sleep until something comes."""
        if deadline <= self.current_time():
            return 0.0
        if deadline != self._set_to:
            self._alarm.send(_SECONDS.pack(deadline))
            self._set_to = deadline
        return math.inf

    def close(self) -> None:
        """Let go of it."""
        self._alarm.close()
        self._page.close()

    async def hear(self) -> None:
        """Wake up at every alarm, for ever; whoever waits looks at the clock by himself."""
        self._alarm.setblocking(False)
        while True:
            await trio.lowlevel.wait_readable(self._alarm)
            if not self._alarm.recv(1):
                return
            self._set_to = math.inf


def clock_of_environment() -> HeldClock | None:
    """The clock that whoever started this process holds for it, if there is one."""
    page, port = os.environ.get("CHANGEOVER_CLOCK"), os.environ.get("CHANGEOVER_ALARM")
    return HeldClock(Path(page), int(port)) if page and port else None
