"""Servers that only keep things, like an object store: started once, put back before every run.

They are no lanes: what a service asks them is held at the gate, and when it is let go the answer
comes at once and needs no other choice. So nobody has to look whether they rest.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException

from harness.errors import UntrustworthyError, UsageError
from harness.live.incarnations import environment_of, replaced
from harness.live.launching import dies_with_us
from harness.live.places import LOOPBACK, reserve
from harness.live.ports import Peer
from harness.live.processes import KEPT_MAX
from harness.live.protocols import framing
from harness.live.quiescence import Sockets, session_members
from harness.live.redis import Control
from harness.live.world import ServerRecipe

#: How long a server may take until it listens, and to answer the harness itself, in seconds.
START_WAIT_S, ANSWER_WAIT_S = 60.0, 30.0


@dataclass(slots=True)
class Companion:
    """A running server of a scenario; leave it by :meth:`stop`."""

    recipe: ServerRecipe
    port: int
    process: subprocess.Popen[bytes]
    log: int
    reserved: list[socket.socket]
    #: Our own connection to a Redis.
    control: Control | None = None

    def connect(self) -> tuple[socket.socket, None]:
        """A new connection, on which nothing was said yet."""
        return socket.create_connection((LOOPBACK, self.port), ANSWER_WAIT_S), None

    def as_peer(self) -> Peer:
        """How services ask it."""
        name, protocol = self.recipe.name, self.recipe.listens
        return Peer(name, framing(protocol), self.connect, protocol=protocol, waits=self.control)

    @property
    def can_be_put_back(self) -> bool:
        """Whether it can serve another run without being started anew."""
        return self.control is not None or bool(self.recipe.prepare)

    def prepare(self) -> None:
        """Make it as every run finds it."""
        if self.control is not None:
            self.control.prepare(self.recipe.prepare)
            return
        for words in self.recipe.prepare:
            status, body = self.ask(words)
            if status >= 400:
                raise UsageError(
                    f"server {self.recipe.name} answers {status} to {words!r}, by which it is "
                    f"prepared: {body[:200]!r}"
                )

    def ask(self, words: str) -> tuple[int, str]:
        """What it answers the harness itself to a method and a path: the status and the body."""
        method, _, path = words.rpartition(" ")
        link = HTTPConnection(LOOPBACK, self.port, timeout=ANSWER_WAIT_S)
        try:
            link.request(method.strip() or "GET", path)
            answer = link.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace")
        except (OSError, HTTPException) as error:
            raise UntrustworthyError(
                f"server {self.recipe.name} does not answer {words!r} ({error}): {self.words}"
            ) from None
        finally:
            link.close()

    def read(self, query: str) -> str:
        """What is kept at a path, or what a command of Redis answers; nothing if nothing is."""
        if self.control is not None:
            return self.control.read(query)
        status, body = self.ask(query)
        return body if status < 400 else ""

    @property
    def words(self) -> str:
        """The end of what it has written to standard output and standard error."""
        size = os.fstat(self.log).st_size
        return os.pread(self.log, KEPT_MAX, max(0, size - 2000)).decode("utf-8", "replace").strip()

    def stop(self) -> None:
        """End it and all that is in its group."""
        if self.control is not None:
            self.control.close()
        with contextlib.suppress(ProcessLookupError):
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.log)
        for each in self.reserved:
            each.close()


def _start(recipe: ServerRecipe) -> Companion:
    reserved: list[socket.socket] = []
    port = reserve(reserved)
    words = {"HOST": LOOPBACK, "PORT": str(port)}
    log = os.memfd_create(f"changeover-{recipe.name}")
    try:
        process = subprocess.Popen(
            [replaced(each, words) for each in recipe.command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(environment_of(recipe.environment, words)),
            cwd=tempfile.gettempdir(),
            start_new_session=True,
            preexec_fn=dies_with_us(),  # noqa: PLW1509  (we are one thread)
        )
    except (OSError, subprocess.SubprocessError) as error:
        os.close(log)
        for each in reserved:
            each.close()
        raise UsageError(f"server {recipe.name} cannot be started: {error}") from None
    made = Companion(recipe, port, process, log, reserved)
    try:
        _await_listening(made)
        made.control = Control(port) if recipe.listens == "redis" else None
    except BaseException:
        made.stop()
        raise
    return made


def _await_listening(made: Companion) -> None:
    deadline = time.monotonic() + START_WAIT_S
    with contextlib.closing(Sockets()) as sockets:
        while not sockets.listener(made.port):
            if made.process.poll() is not None or time.monotonic() > deadline:
                raise UsageError(
                    f"server {made.recipe.name} does not listen at {LOOPBACK}:{made.port}, which "
                    f"its command is told as {{HOST}} and {{PORT}}: {made.words}"
                )
            with contextlib.suppress(subprocess.TimeoutExpired):
                made.process.wait(0.01)


# --- those of this process -----------------------------------------------------------------------

_Key = tuple[object, ...]


@dataclass(slots=True)
class _Kept:
    """Whose they are: a process that was forked must not use those of its parent."""

    pid: int = 0
    running: dict[_Key, Companion] = field(default_factory=dict)


_kept = _Kept()


def prepared(recipe: ServerRecipe) -> Companion:
    """The server of a recipe, as every run finds it."""
    if _kept.pid != os.getpid():
        if not _kept.pid:
            atexit.register(stop)
        _kept.pid, _kept.running = os.getpid(), {}
    key = (recipe.name, recipe.command, recipe.listens, *sorted(recipe.environment.items()))
    found, is_new = _kept.running.get(key), False
    if found is not None and (found.process.poll() is not None or not found.can_be_put_back):
        _kept.running.pop(key).stop()
        found = None
    if found is None:
        found = _kept.running[key] = _start(recipe)
        is_new = True
    found.recipe = recipe
    found.prepare()
    if is_new:
        _refuse_children(found)
    return found


def _refuse_children(made: Companion) -> None:
    if session_members(made.process.pid):
        made.stop()
        _kept.running = {key: each for key, each in _kept.running.items() if each is not made}
        raise UsageError(
            f"server {made.recipe.name} has started processes of its own, which would outlive a "
            "harness that is killed; start it as one process"
        )


def stop() -> None:
    """End the servers of this process."""
    if _kept.pid == os.getpid():
        for each in _kept.running.values():
            each.stop()
        _kept.running.clear()
