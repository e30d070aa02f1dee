"""The incarnations of the services of one run: who lives, who restarts, who comes next."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Mapping

from harness.errors import closest
from harness.live.gate import LOOPBACK, Gate
from harness.live.processes import Process
from harness.live.world import Recipe

#: How a real service can be restarted: SIGKILL and start; SIGTERM, and start when it is gone;
#: start the next one, then SIGTERM to the old one; start the next one beside an old one that is
#: never told.
RESTART_KINDS = ("crash", "stop", "rolling", "overlap")
#: What of our own environment a service gets; everything else would differ between machines.
_PASSED_ON = ("PATH", "HOME", "LD_LIBRARY_PATH", "VIRTUAL_ENV")


class Incarnations:
    """All processes of one service, in the order in which they were started."""

    def __init__(self, recipe: Recipe, gate: Gate) -> None:
        self.recipe = recipe
        self.gate = gate
        self.lives: list[Process] = []
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
        name = f"{self.name}#{number}"
        listener, port = self.gate.listen(name)
        process = Process(
            self.name,
            number,
            self.recipe.command,
            environment=environment_of(self.recipe, number, port),
            directory=tempfile.gettempdir(),
        )
        self.lives.append(process)
        self.gate.admit(process, listener)
        return process

    def strike(self, kind: str) -> Process:
        """Begin a restart; who was struck."""
        if kind not in RESTART_KINDS:
            raise closest(kind, RESTART_KINDS, kind="kind of restart of a real service")
        (old,) = self.living
        self.restart = kind
        self.start_due = True
        if kind == "crash":
            old.send(signal.SIGKILL)
        elif kind == "stop":
            old.send(signal.SIGTERM)
        return old

    def notice(self) -> None:
        """See whether a restart is over: one lives, it has asked for something, nothing is due."""
        self.term_due = self.restart == "rolling" and not self.start_due and self._old_untold
        if self.restart and not self.start_due and not self.term_due:
            young = self.lives[-1]
            if len(self.living) <= 1 and (young.connections or not young.alive):
                self.restart = ""

    @property
    def _old_untold(self) -> bool:
        return len(self.living) > 1 and signal.SIGTERM not in self.living[0].signals

    def terminate(self) -> Process:
        """Tell the old incarnation to stop."""
        old = self.living[0]
        old.send(signal.SIGTERM)
        return old


def environment_of(recipe: Recipe, incarnation: int, port: int) -> Mapping[str, str]:
    """The environment of an incarnation: little of ours, and where its database is."""
    words = {"PGHOST": LOOPBACK, "PGPORT": str(port), "INCARNATION": str(incarnation)}
    found = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    found |= {"LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "0"}
    found |= {"PYTHONDONTWRITEBYTECODE": "1"}
    found |= {"PGUSER": "postgres", "PGDATABASE": "postgres", "PGSSLMODE": "disable"}
    found |= {"PGHOST": words["PGHOST"], "PGPORT": words["PGPORT"]}
    return found | {name: replaced(value, words) for name, value in recipe.environment.items()}


def replaced(text: str, words: Mapping[str, str]) -> str:
    """A text with its {WORDS} replaced."""
    for name, value in words.items():
        text = text.replace("{" + name + "}", value)
    return text
