"""A PostgreSQL that a run may strike: its power is cut, or its standby takes over.

It is cloned from files that are made once. After a power cut it goes on for the next run, after a
promotion it is thrown away. What writes in the background is stopped (SIGSTOP), so that only what
a commit itself has forced out is on disk: with ``synchronous_commit = off`` that would otherwise
depend on the clock.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import UntrustworthyError
from harness.live import locks, postgres, quiescence
from harness.live.client import Client, Row
from harness.live.databases import Database, Databases
from harness.live.postgres import DATA, PLACE

#: How long a standby may take to follow and to be promoted, and dead processes to be gone, in
#: seconds; and how often we look.
FOLLOW_WAIT_S, GONE_WAIT_S, PAUSE_S = 30.0, 10.0, 0.002
#: What a primary and its standby have to be told besides what every server of ours is. A standby
#: may not have less room for connections than the server had whose files it was cloned from.
_REPLICATED = {
    "wal_level": "replica",
    "max_wal_senders": "10",
    "max_connections": "100",
    "hot_standby": "on",
}
_BACKGROUND = (
    "select pid from pg_stat_activity where backend_type in "
    "('walwriter', 'background writer', 'checkpointer') order by pid"
)
_REPLAYED = "select pg_last_wal_replay_lsn() >= '{}'::pg_lsn"


class Node:
    """One server: a primary or its standby."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.folder = folder
        self.settings = settings
        self._frozen: list[int] = []
        self.process, self.control = postgres.serve(folder, settings)

    @property
    def place(self) -> Path:
        """Where it listens."""
        return self.folder / PLACE

    def freeze_background(self) -> None:
        """Stop what would write at times of its own; everything up to now is on disk."""
        self.control.query("checkpoint")
        for (pid,) in self.control.query(_BACKGROUND):
            assert pid is not None
            number = os.pidfd_open(int(pid))
            self._frozen.append(number)
            deadline = time.monotonic() + GONE_WAIT_S
            while not locks.stop_in_wait(int(pid), number, deadline):
                if time.monotonic() > deadline:
                    raise UntrustworthyError(f"process {pid} of PostgreSQL never sleeps")
                time.sleep(PAUSE_S)

    def let_go(self) -> None:
        """Let what was stopped go on."""
        for number in self._frozen:
            locks.thaw(number)
            os.close(number)
        self._frozen.clear()

    def cut_power(self) -> None:
        """Kill all of it at one moment, and start it again from what is on disk."""
        self.control.close()
        self.process.send_signal(signal.SIGSTOP)  # so that it starts nobody in between
        children = [os.pidfd_open(pid) for pid in quiescence.children_of(self.process.pid)]
        for number in children:
            signal.pidfd_send_signal(number, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        deadline = time.monotonic() + GONE_WAIT_S
        for number in children:
            while not quiescence.has_ended(number):
                if time.monotonic() > deadline:
                    raise UntrustworthyError("a process of PostgreSQL was killed and is not gone")
                time.sleep(PAUSE_S)
            os.close(number)
        self.let_go()
        self.process, self.control = postgres.serve(self.folder, self.settings)
        self.freeze_background()

    def stop(self) -> None:
        """End it."""
        self.control.close()
        self.let_go()
        postgres.end(self.process)


class Cluster:
    """A primary and perhaps a standby; leave it by :meth:`stop`."""

    def __init__(self, settings: Mapping[str, str], *, standby: bool) -> None:
        self._folder = postgres.own_folder()
        self.nodes: list[Node] = []
        self.promoted = False
        try:
            more = {**_REPLICATED, **settings} if standby else settings
            self.primary = self._node("primary", more)
            self.databases = OwnDatabases(self)  # as soon as there is somebody to connect to
            if standby:
                self._follow(more)
        except BaseException:
            self.stop()
            raise

    def _node(self, name: str, settings: Mapping[str, str], *, standby: bool = False) -> Node:
        folder = self._folder / name
        folder.mkdir()
        postgres.give_to_account(folder)
        command = ["cp", "-a", "--reflink=auto", str(_template() / DATA), str(folder / DATA)]
        subprocess.run(command, check=True, capture_output=True)
        if standby:
            signalled = folder / DATA / "standby.signal"
            signalled.touch()
            postgres.give_to_account(signalled)
        node = Node(folder, settings)
        self.nodes.append(node)
        return node

    def _follow(self, settings: Mapping[str, str]) -> None:
        """Start a standby; the files of both were copied from one server that had stopped."""
        where = f"host={self.primary.folder} port=5432 user=postgres"
        self._node("standby", {**settings, "primary_conninfo": where}, standby=True)
        self.wait_for_standby()

    def wait_for_standby(self) -> None:
        """Until the standby has all that the primary has on disk."""
        (written,) = self.primary.control.query("select pg_current_wal_flush_lsn()")[0]
        deadline = time.monotonic() + FOLLOW_WAIT_S
        while self.nodes[-1].control.query(_REPLAYED.format(written)) != [("t",)]:
            if time.monotonic() > deadline:
                raise UntrustworthyError(f"the standby of PostgreSQL has not followed to {written}")
            time.sleep(PAUSE_S)

    def cut_power(self) -> None:
        """Cut the power of the primary, and let it come back."""
        self.databases.hang_up()
        self.primary.cut_power()

    def promote(self) -> None:
        """Make the standby a primary for whoever connects from now on; nobody tells the old one."""
        self.wait_for_standby()
        standby = self.nodes[-1]
        if standby.control.query(f"select pg_promote(true, {FOLLOW_WAIT_S:.0f})") != [("t",)]:
            raise UntrustworthyError("the standby of PostgreSQL cannot be promoted")
        self.primary, self.promoted = standby, True

    # --- what a run asks of a server --------------------------------------------------------------

    @property
    def control(self) -> Cluster:
        """Whom one asks about all servers at once."""
        return self

    def query(self, sql: str) -> list[Row]:
        """The rows of all servers."""
        return [row for node in self.nodes for row in node.control.query(sql)]

    def connect(self) -> socket.socket:
        """A new connection to whoever is primary now."""
        end = socket.socket(socket.AF_UNIX)
        end.connect(str(self.primary.place))
        return end

    def stop(self) -> None:
        """End all of it and remove what it left."""
        if self.nodes:
            self.databases.hang_up()
        for node in reversed(self.nodes):
            node.stop()
        self.nodes.clear()
        shutil.rmtree(self._folder, ignore_errors=True)


class OwnDatabases:
    """The databases of a cluster; a run begins with everything on disk."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._databases = Databases(cluster.primary.place, cluster.primary.control)

    def take(self, schema: str, *, waits: bool = True) -> Database:
        """The database as this SQL makes it, with everything on disk."""
        primary = self._cluster.primary
        primary.let_go()
        self._databases.control = primary.control
        database = self._databases.take(schema)
        primary.freeze_background()
        return database

    def hang_up(self) -> None:
        """Close our connections to databases of other runs; those are made anew when needed."""
        self._databases.close()

    def give_back(self, schema: str, database: Database) -> None:
        """The run is over; after a promotion the cluster is, too."""
        if self._cluster.promoted:
            database.client.close()
            self._cluster.stop()
        else:
            self._databases.give_back(schema, database)


# --- one for many runs ----------------------------------------------------------------------------


@dataclass(slots=True)
class _Kept:
    """Whose cluster it is: a process that was forked must not use that of its parent."""

    pid: int = 0
    kind: object = None
    cluster: Cluster | None = None


_kept = _Kept()


def prepared(settings: Mapping[str, str], *, standby: bool) -> Cluster:
    """The cluster of this process for such runs; another kind takes the place of the last."""
    if _kept.pid != os.getpid():
        _kept.pid, _kept.cluster = os.getpid(), None
        atexit.register(stop)
    kind = (sorted(settings.items()), standby)
    if _kept.cluster is not None and (_kept.kind != kind or not _kept.cluster.nodes):
        _kept.cluster.stop()
        _kept.cluster = None
    if _kept.cluster is None:
        _kept.cluster, _kept.kind = Cluster(settings, standby=standby), kind
    return _kept.cluster


def stop() -> None:
    """End the cluster of this process, and remove the files that it was cloned from."""
    if _kept.pid == os.getpid() and _kept.cluster is not None:
        _kept.cluster.stop()
        _kept.cluster = None
    if _made.pid == os.getpid():
        _made.pid = 0
        shutil.rmtree(_made.folder, ignore_errors=True)


# --- the files of which clusters are cloned -------------------------------------------------------


@dataclass(slots=True)
class _Template:
    """Whose files they are: a process that was forked must not remove those of its parent."""

    pid: int = 0
    folder: Path = field(default_factory=Path)


_made = _Template()


def _template() -> Path:
    if _made.pid != os.getpid():
        postgres.clear_up()
        _made.pid, _made.folder = os.getpid(), postgres.own_folder()
        postgres.make(_made.folder)
    return _made.folder


def reconnected(cluster: Cluster, database: Database) -> Client:
    """A new connection to the database of a run, wherever it is now."""
    database.client.close()
    database.client = Client(cluster.primary.place, database.name)
    return database.client
