"""Processes of the services: started, signalled and ended, and only those that we started.

Each incarnation is a process in a session of its own. It is signalled through its pidfd, so that
never another process is hit that has got its number; the kernel kills it when we die. What it
writes is read and bounded, because a full pipe would stop it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence

from harness.errors import UsageError
from harness.live import quiescence, sleeps
from harness.live.launching import COLD, KEPT, Launch, launch

#: How much of what a process writes is kept, and how much it may write at all, in bytes.
KEPT_MAX, WRITTEN_MAX = 20_000, 8_000_000
#: How long a killed process may take to be gone, in seconds.
KILL_WAIT_S = 10.0
#: How a service says on a line of its output which phase of its life begins.
PHASE = "phase: "


class Process:
    """One incarnation of a service while it lives, and what is left of it."""

    def __init__(
        self,
        service: str,
        incarnation: int,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: str,
        port: int = 0,
        housekeeps: bool = False,
        boot: str = COLD,
    ) -> None:
        self.service = service
        self.incarnation = incarnation
        self.name = f"{service}#{incarnation}"
        self.connections = 0
        #: Where it takes connections itself, 0 if it takes none; and whether its timers change
        #: nothing that others see.
        self.port = port
        self.housekeeps = housekeeps
        #: Whether it stops itself when it is done, and has done so.
        self.stops_itself = boot == KEPT
        self.rests = False
        #: Signals that we sent it; a process that dies of one has not failed.
        self.signals: list[int] = []
        #: Whether its server went away under it: that it then fails is not of its own doing.
        self.robbed = False
        #: Whether it was stopped (SIGSTOP), and what it waited for then.
        self.paused = False
        self.before = quiescence.NOTHING
        self.written = 0
        self._kept = bytearray()
        self._news, self._unfinished = bytearray(), ""
        #: The phase of its life that it has told last.
        self.phase = ""
        ours, theirs = socket.socketpair()
        read, written = os.pipe()
        self.output = open(read, "rb", buffering=0)  # noqa: SIM115  (closed in the end)
        holds = not sleeps.missing()
        what = Launch(tuple(command), environment, directory, written, theirs, holds)
        try:
            self._launched = launch(boot, what)
            self.sleeps = sleeps.Sleeps(socket.recv_fds(ours, 1, 1)[1][0]) if holds else None
        except (OSError, IndexError, subprocess.SubprocessError) as error:
            self.output.close()
            raise UsageError(f"{self.name} cannot be started: {error}") from None
        finally:
            ours.close()
            theirs.close()
            os.close(written)
        self.pid = self._launched.pid
        self.pidfd = os.pidfd_open(self.pid)
        os.set_blocking(self.output.fileno(), False)
        self.status: int | None = None

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it is dead."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)
            self.signals.append(number)

    def pause(self) -> None:
        """Stop it where it is; a sleep that was held begins anew when it goes on."""
        self.before = {**self.before, **quiescence.calls_of(self.pid)}
        self.paused = True
        self.send(signal.SIGSTOP)
        if self.sleeps is not None:
            self.sleeps.held.clear()

    def go_on(self) -> None:
        """Let it go on where it was stopped."""
        self.paused = False
        self.send(signal.SIGCONT)

    def rest(self) -> None:
        """It has stopped itself: for this run it has ended."""
        self.rests, self.status = True, 0

    def begin_again(self) -> None:
        """Let it go on as if it had just been started."""
        self.rests, self.status, self.paused = False, None, False
        self.connections = self.written = 0
        self._kept.clear()
        self.before = quiescence.NOTHING
        if self.sleeps is not None:
            self.sleeps.over = 0
        self.send(signal.SIGCONT)
        self.signals = []

    def read_output(self) -> bool:
        """Take in what it has written; whether more may come."""
        try:
            data = os.read(self.output.fileno(), 65_536)
        except BlockingIOError:
            return True
        self.written += len(data)
        self._kept += data[: KEPT_MAX - len(self._kept)]
        self._news += data
        return bool(data)

    @property
    def words(self) -> str:
        """The beginning of what it has written to standard output and standard error."""
        return self._kept.decode("utf-8", "replace")

    def new_phases(self) -> list[str]:
        """The phases of its life that it has entered since we last asked, as it has written."""
        *lines, self._unfinished = (self._unfinished + self._news.decode("utf-8", "replace")).split(
            "\n"
        )
        self._news.clear()
        told = [line[len(PHASE) :].strip() for line in lines if line.startswith(PHASE)]
        self.phase = told[-1] if told else self.phase
        return told

    @property
    def alive(self) -> bool:
        """Whether we have not seen it end."""
        return self.status is None

    def reap(self) -> None:
        """It has ended: end what it left behind, then let its number go."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # While it is a zombie nobody else can have its number, nor the number of its group.
            os.killpg(self.pid, signal.SIGKILL)
        self.status = self._launched.wait(KILL_WAIT_S)

    @property
    def failure(self) -> str:
        """What it died of, if that was of its own doing."""
        status = self.status
        if not status or self.robbed or (status < 0 and -status in self.signals):
            return ""
        how = f"died of {signal.Signals(-status).name}" if status < 0 else f"exited with {status}"
        last = self.words.strip().splitlines()[-1:]
        return ": ".join([how, *last])

    def end(self) -> None:
        """Kill it and all that is in its session, and wait until it is gone, unless it rests."""
        if self.rests:
            return
        if self.alive:
            for each in quiescence.session_members(self.pid).get(self.pid, ()):
                _kill(each, session=self.pid)
            self.send(signal.SIGKILL)
            quiescence.await_end(self.pidfd, KILL_WAIT_S)
            self.reap()
        while self.read_output() and select.select([self.output], [], [], 0)[0]:
            pass
        self.output.close()
        os.close(self.pidfd)
        if self.sleeps is not None:
            self.sleeps.close()


def _kill(pid: int, *, session: int) -> None:
    """Kill a process if it still belongs to this session."""
    with contextlib.suppress(OSError):
        pidfd = os.pidfd_open(pid)
        try:
            if os.getsid(pid) == session:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)
