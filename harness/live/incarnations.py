"""The incarnations of the services of one run: who lives, who restarts, who comes next."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from collections.abc import Callable, Mapping
from functools import partial

from harness.errors import closest
from harness.live import readiness
from harness.live.gate import Gate
from harness.live.lanes import DATABASE
from harness.live.launching import KEPT, PREWARMED
from harness.live.places import LOOPBACK, reserve
from harness.live.ports import COMING, LISTENS, NEVER, Peer, Port
from harness.live.processes import Process
from harness.live.readiness import Ready
from harness.live.world import Recipe

#: How a real service can be restarted: SIGKILL and start; SIGTERM, and start when it is gone;
#: start the next one, then SIGTERM to the old one; start the next one beside an old one that is
#: never told; SIGSTOP, and SIGCONT later; SIGSTOP, start the next one, and SIGCONT later.
RESTART_KINDS = ("crash", "stop", "rolling", "overlap", "pause", "failover")
#: How long a service may take to answer a connection, in seconds.
CONNECT_S = 5.0
#: What of our own environment a service gets; everything else would differ between machines.
_PASSED_ON = ("PATH", "HOME", "LD_LIBRARY_PATH", "VIRTUAL_ENV")


class Incarnations:
    """All processes of one service, in the order in which they were started."""

    def __init__(self, recipe: Recipe, gate: Gate) -> None:
        self.recipe = recipe
        self.gate = gate
        self.lives: list[Process] = []
        self._ready: list[Ready] = []
        #: Of which kind the restart is that goes on; empty if none does.
        self.restart = ""
        #: Whether the next incarnation is to be started, and the old one to be told to stop.
        self.start_due = recipe.start
        self.term_due = False

    @property
    def name(self) -> str:
        """The name of the service."""
        return self.recipe.name

    @property
    def living(self) -> list[Process]:
        """Who lives, the oldest first."""
        return [life for life in self.lives if life.alive]

    @property
    def paused(self) -> Process | None:
        """Who was stopped and is to go on."""
        return next((life for life in self.living if life.paused), None)

    @property
    def restartable(self) -> bool:
        """Whether the nemesis may strike: one incarnation lives, and no restart goes on."""
        return len(self.living) == 1 and not self.restart and not self.start_due

    @property
    def may_start(self) -> bool:
        """Whether the next incarnation can be started now."""
        return self.start_due and (self.restart != "stop" or not self.living)

    def start(self) -> Process:
        """Start the next incarnation."""
        self.start_due = False
        number = len(self.lives) + 1
        boot = self.recipe.boot
        make = partial(self._make, number)
        if boot not in (PREWARMED, KEPT):
            ready = make()
        else:
            ready = readiness.take(self._key(number), make)
            if boot == PREWARMED:
                readiness.give(self._key(number), make())  # it starts while this run goes on
        process = ready.process
        self.lives.append(process)
        self._ready.append(ready)
        self.gate.admit(process, ready.listeners)
        if process.rests:
            process.begin_again()
        return process

    def _key(self, number: int) -> str:
        """What a process must have been made for to be this incarnation."""
        return repr((self.recipe, number, [peer.name for peer in self.gate.peers]))

    def _make(self, number: int) -> Ready:
        words = {"INCARNATION": str(number)}
        listeners = self.gate.listen(self.name)
        for peer in self.gate.peers:
            if peer.name in listeners:
                port = listeners[peer.name].getsockname()[1]
                words |= words_of(peer.name, port, peer.protocol)
        reserved: list[socket.socket] = []
        own = reserve(reserved) if self.recipe.listens else 0
        if own:
            words |= {"HOST": LOOPBACK, "PORT": str(own)}
        if self.recipe.boot not in (PREWARMED, KEPT):  # those are older than the clock of this run
            words |= self.gate.alarms.listen(f"{self.name}#{number}")
        try:
            process = Process(
                self.name,
                number,
                [replaced(each, words) for each in self.recipe.command],
                environment=environment_of(self.recipe.environment, words),
                directory=self.recipe.directory or tempfile.gettempdir(),
                port=own,
                housekeeps=self.recipe.housekeeping,
                boot=self.recipe.boot,
            )
        except BaseException:
            for each in (*listeners.values(), *reserved):
                each.close()
            raise
        return Ready(process, listeners, reserved)

    # --- as a peer of others --------------------------------------------------------------------

    def as_peer(self, talk: Callable[[], Port]) -> Peer:
        """How others ask this service: its youngest incarnation that listens."""
        protocol = self.recipe.listens
        return Peer(
            self.name, talk, self._connect, protocol=protocol, watched=True, state=self._state
        )

    def _listening(self) -> list[Process]:
        return [life for life in self.living if self.gate.sockets.listener(life.port)]

    def _state(self) -> str:
        if self._listening():
            return LISTENS
        return COMING if self.living or self.start_due else NEVER

    def _connect(self) -> tuple[socket.socket, Process | None]:
        listening = self._listening()
        if not listening:
            raise ConnectionRefusedError(f"nobody of {self.name} listens")
        return socket.create_connection((LOOPBACK, listening[-1].port), CONNECT_S), listening[-1]

    def close(self) -> None:
        """Let others have the ports that were reserved for it, and who rests wait for more."""
        for ready in self._ready:
            if ready.process.rests:
                readiness.give(self._key(ready.process.incarnation), ready)
                continue
            for each in ready.reserved:
                each.close()

    def strike(self, kind: str) -> Process:
        """Begin a restart; who was struck."""
        if kind not in RESTART_KINDS:
            raise closest(kind, RESTART_KINDS, kind="kind of restart of a real service")
        (old,) = self.living
        self.restart = kind
        self.start_due = kind != "pause"
        if kind in ("pause", "failover"):
            old.pause()
        elif kind == "crash":
            old.send(signal.SIGKILL)
        elif kind == "stop":
            old.send(signal.SIGTERM)
        return old

    def notice(self) -> None:
        """See whether a restart is over: one lives and has come up, nothing is due."""
        self.term_due = self.restart == "rolling" and not self.start_due and self._old_untold
        if self.restart and not self.start_due and not self.term_due and not self.paused:
            young = self.lives[-1]
            if len(self.living) <= 1 and (self._is_there(young) or not young.alive):
                self.restart = ""

    def _is_there(self, young: Process) -> bool:
        """Whether an incarnation has come up: as it says itself, or as far as can be seen."""
        if any(life.phase for life in self.lives):
            return young.phase not in ("", "boot", "hydrate")
        return bool(young.connections or self.gate.sockets.listener(young.port))

    @property
    def _old_untold(self) -> bool:
        return len(self.living) > 1 and signal.SIGTERM not in self.living[0].signals

    def terminate(self) -> Process:
        """Tell the old incarnation to stop."""
        old = self.living[0]
        old.send(signal.SIGTERM)
        return old


def words_of(peer: str, port: int, protocol: str) -> dict[str, str]:
    """How a service is told where a peer is: {PGPORT} for the database, {LEDGER_URL} for others."""
    if peer == DATABASE:
        return {"PGHOST": LOOPBACK, "PGPORT": str(port)}
    name = peer.upper().replace("-", "_")
    return {
        f"{name}_HOST": LOOPBACK,
        f"{name}_PORT": str(port),
        f"{name}_URL": f"{protocol}://{LOOPBACK}:{port}",
    }


def environment_of(asked: Mapping[str, str], words: Mapping[str, str]) -> Mapping[str, str]:
    """The environment of a process: little of ours, where its peers are, and what is asked for."""
    found = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    found |= {"LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "0"}
    found |= {"PYTHONDONTWRITEBYTECODE": "1"}
    found |= {"PGUSER": "postgres", "PGDATABASE": "postgres", "PGSSLMODE": "disable"}
    found |= {name: word for name, word in words.items() if name != "INCARNATION"}
    return found | {name: replaced(value, words) for name, value in asked.items()}


def replaced(text: str, words: Mapping[str, str]) -> str:
    """A text with its {WORDS} replaced."""
    for name, value in words.items():
        text = text.replace("{" + name + "}", value)
    return text
