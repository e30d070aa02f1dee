"""How a process comes to be: started cold, or forked from one that has its libraries already.

Whatever the way, it is in a session of its own, dies with us, writes to a pipe, and tells of its
sleeps. A fork server serves all incarnations of all runs that are started by the same command but
for its last arguments; what it costs, it costs once.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from harness.errors import UsageError, closest
from harness.live import sleeps

_PR_SET_PDEATHSIG = 1
_MESSAGE_MAX = 1 << 20
#: How long a fork server may take to answer, in seconds; at first it imports libraries.
ANSWER_WAIT_S = 60.0
COLD, FORKED, IMPORTED = "cold", "forked", "imported"
PREWARMED, KEPT = "prewarmed", "kept"
BOOTS = (COLD, FORKED, IMPORTED, PREWARMED, KEPT)
_libc = ctypes.CDLL(None, use_errno=True)


class Launched(Protocol):
    """A process that was started; ``wait`` is for one that has ended, and returns its status."""

    @property
    def pid(self) -> int:
        """Its number."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, or minus the signal that it died of."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start, where it writes, and by what it tells of its sleeps."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str
    output: int
    channel: socket.socket
    holds: bool


def dies_with_us(number: int = signal.SIGKILL) -> Callable[[], None]:
    """What a child does before it becomes another program: it dies when we do."""

    def prepare() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)

    return prepare


def launch(boot: str, what: Launch) -> Launched:
    """Start a process by one of :data:`BOOTS`."""
    if boot not in BOOTS:
        raise closest(boot, BOOTS, kind="way to start a service")
    return _forked(what, boot) if boot in (FORKED, IMPORTED) else _cold(what)


def _cold(what: Launch) -> Launched:
    return subprocess.Popen(
        what.command,
        stdin=subprocess.DEVNULL,
        stdout=what.output,
        stderr=what.output,
        env=dict(what.environment),
        cwd=what.directory,
        start_new_session=True,
        preexec_fn=_prepared(what),  # noqa: PLW1509  (we are one thread)
    )


def _prepared(what: Launch) -> Callable[[], None]:
    """What a service does before it becomes its own program."""
    dies, told = dies_with_us(), sleeps.hold_sleeps(what.channel) if what.holds else None

    def prepare() -> None:
        dies()
        if told is not None:
            told()

    return prepare


# --- by forking -----------------------------------------------------------------------------------


@dataclass(slots=True)
class ForkServer:
    """A process that forks services; leave it by :meth:`stop`."""

    process: subprocess.Popen[bytes]
    link: socket.socket

    def ask(self, words: Mapping[str, Any], handles: Sequence[int] = ()) -> dict[str, Any]:
        """Tell it something, and hear what it says to that."""
        socket.send_fds(self.link, [json.dumps(words).encode()], handles)
        return self.hear()

    def hear(self) -> dict[str, Any]:
        """What it says; :class:`UsageError` if it says nothing any more."""
        try:
            data = self.link.recv(_MESSAGE_MAX)
        except OSError as error:
            raise UsageError(f"a fork server does not answer: {error}") from None
        if not data:
            raise UsageError("a fork server is gone; its last words are on standard error")
        heard: dict[str, Any] = json.loads(data)
        return heard

    def stop(self) -> None:
        """End it, and with it all that it has forked."""
        self.link.close()
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True, slots=True)
class Forked:
    """A child of a fork server."""

    server: ForkServer
    pid: int

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status; only the server can ask for it, and what it forked dies with it."""
        try:
            status: int = self.server.ask({"reap": self.pid})["status"]
        except (OSError, UsageError):
            return -signal.SIGKILL
        return status


@dataclass(slots=True)
class _Kept:
    """Whose servers they are: a process that was forked must not use those of its parent."""

    pid: int = 0
    servers: dict[tuple[object, ...], ForkServer] = field(default_factory=dict)


_kept = _Kept()


def _forked(what: Launch, boot: str) -> Launched:
    interpreter, module, name, arguments = parsed(what.command)
    if _kept.pid != os.getpid():
        _kept.pid, _kept.servers = os.getpid(), {}
        atexit.register(stop)
    # The rest of the environment belongs to one incarnation.
    shared = {
        key: value
        for key, value in what.environment.items()
        if key.startswith(("PYTHON", "LD_", "LC_")) or key in ("PATH", "HOME", "TZ", "VIRTUAL_ENV")
    }
    own = "own" if boot == IMPORTED else ""
    key = (interpreter, module, name, own, what.directory, *sorted(shared.items()))
    if key not in _kept.servers:
        started = _started(interpreter, (module, name, own), shared, what.directory)
        _kept.servers[key] = started
    server = _kept.servers[key]
    words = {
        "arguments": arguments,
        "environment": dict(what.environment),
        "directory": what.directory,
        "holds": what.holds,
    }
    told = server.ask(words, [what.output, what.channel.fileno()])
    return Forked(server, told["pid"])


def _started(
    interpreter: Sequence[str],
    words: tuple[str, str, str],
    environment: Mapping[str, str],
    directory: str,
) -> ForkServer:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(ANSWER_WAIT_S)
    script = str(Path(__file__).with_name("forkserver.py"))
    with theirs:
        process = subprocess.Popen(
            [*interpreter, script, str(theirs.fileno()), sleeps.__file__, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=dict(environment),
            cwd=directory,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
            preexec_fn=dies_with_us(),  # noqa: PLW1509
        )
    server = ForkServer(process, ours)
    try:
        if refused := server.hear()["refused"]:
            raise UsageError(f"{words[1]} cannot be started by forking: {refused}; start it cold")
    except BaseException:
        server.stop()
        raise
    return server


def parsed(command: Sequence[str]) -> tuple[tuple[str, ...], str, str, tuple[str, ...]]:
    """A command of Python: interpreter and options, ``-m`` or nothing, the name, arguments."""
    words = list(command)
    interpreter = [words.pop(0)]
    while words and words[0].startswith("-") and words[0] not in ("-m", "-c", "-"):
        interpreter += words[: 2 if words[0] in ("-X", "-W") else 1]
        del words[: 2 if words[0] in ("-X", "-W") else 1]
    module = words.pop(0) if words[:1] == ["-m"] else ""
    python = "python" in os.path.basename(interpreter[0])
    if not python or not words or words[0].startswith("-"):
        raise UsageError(
            f"only 'python -m MODULE' and 'python FILE' can be started by forking, not "
            f"{' '.join(command)!r}; start it cold"
        )
    return tuple(interpreter), module, words[0], tuple(words[1:])


def stop() -> None:
    """End the fork servers of this process."""
    if _kept.pid == os.getpid():
        for each in _kept.servers.values():
            with contextlib.suppress(OSError):
                each.stop()
        _kept.servers.clear()
