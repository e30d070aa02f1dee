"""What a live scenario is made of: a database, the command lines of services, what to observe.

A scenario is a plain function that is handed a :class:`LiveWorld` and says all of that. It starts
nothing by itself: the run does, when everything is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.errors import UsageError, closest
from harness.history import Event, Told
from harness.invariants import Judge
from harness.judged import Judged
from harness.live import redis
from harness.live.client import Client, Row
from harness.live.lanes import DATABASE
from harness.live.launching import BOOTS, COLD, KEPT, PREWARMED
from harness.live.ports import Ahead
from harness.live.protocols import check_protocol


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an incarnation of a service is started: its command line and what its world tells it."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    start: bool = True
    #: By which protocol others ask it; empty if nobody does.
    listens: str = ""
    housekeeping: bool = False
    #: How it comes to be: one of :data:`harness.live.launching.BOOTS`.
    boot: str = COLD
    #: Where it is started; empty for the folder of temporary files.
    directory: str = ""


@dataclass(frozen=True, slots=True)
class ServerRecipe:
    """How a server that only keeps things is started, and made as every run finds it."""

    name: str
    command: tuple[str, ...]
    listens: str
    environment: Mapping[str, str] = field(default_factory=dict)
    prepare: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Overheard:
    """What ``lane`` asks at ``target`` by HTTP, with this body; ``status`` is 0 until it is told.

    ``told`` is the body of the answer. A client that has hung up is told nothing any more.
    """

    lane: str
    target: str
    asked: bytes
    status: int = 0
    told: bytes = b""


class LiveWorld(Judged):
    """What a live scenario is handed; ``guards`` and ``bug`` say which variant to start."""

    def __init__(self, *, seed: int, guards: frozenset[str], bug: str) -> None:
        super().__init__(Judge(lambda lane: self.phases.get(lane, "")))
        self.seed = seed
        self.guards = guards
        self.bug = bug
        self.schema = ""
        self.settings: dict[str, str] = {}
        self.recipes: dict[str, Recipe] = {}
        self.servers: dict[str, ServerRecipe] = {}
        #: What to read after every step: of whom, and by which query.
        self.observed: dict[str, tuple[str, str]] = {}
        #: How servers other than the database are asked for what they keep.
        self.readers: dict[str, Callable[[str], str]] = {}
        self.values: dict[str, str] = {}
        self.client: Client | None = None
        #: The connections to the database that nobody may see.
        self.ahead: Ahead | None = None
        #: What rules have asked for since a step began: names of observed values, queries.
        self.asked: list[tuple[str, str]] = []
        #: How many steps were made.
        self.steps = 0
        #: In which phase of its life each incarnation is, as it has said itself.
        self.phases: dict[str, str] = {}
        #: Restarts that were ordered and have not begun, the oldest first.
        self.ordered: list[tuple[str, str]] = []
        self.ends_with: tuple[str, ...] = ()
        self.watchers: list[tuple[str, Callable[[Event], None]]] = []
        self.followers: list[Callable[[], Iterable[Told]]] = []
        self.listeners: dict[str, list[Callable[[Overheard], None]]] = {}

    def database(self, schema: str, *, settings: Mapping[str, str] | None = None) -> None:
        """The SQL that makes the database as every run finds it.

        ``settings`` are those of the server, such as ``{"synchronous_commit": "off"}``; they are
        for scenarios that have a :func:`~harness.live.scenario.database_fault`, whose runs have a
        server each.
        """
        self.settings |= dict(settings or {})
        self.schema += schema.rstrip().rstrip(";") + ";\n"

    def service(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        start: bool = True,
        listens: str = "",
        housekeeping: bool = False,
        boot: str = COLD,
        directory: str = "",
    ) -> None:
        """A service by its command line; it finds the database at PGHOST and PGPORT.

        Its first incarnation is started when the run begins, unless ``start`` says no, in
        ``directory`` or else in the folder of temporary files. In ``environment`` and in the
        command the words {PGHOST}, {PGPORT} and {INCARNATION} are replaced, for services that are
        set up by other names than PostgreSQL's own.

        Whom others ask ``listens`` by a protocol (``http``), at {HOST} and {PORT} of its own
        environment; every other service finds a service ``ledger`` at {LEDGER_URL}, {LEDGER_HOST}
        and {LEDGER_PORT}, through the gate. ``housekeeping`` says that the timers of its event loop
        change nothing that others see.

        ``boot`` is how it comes to be. ``cold`` works with everything. ``forked`` forks a service
        written in Python from a process that has imported its libraries; ``imported`` from one that
        has imported its own modules, too, which must not look at their environment when they are
        imported. ``prewarmed`` starts the next one while this run goes on; it waits at its first
        connection. ``kept`` never starts it again: a service that is done closes its connections,
        stops itself (SIGSTOP), and begins from the beginning when it goes on. These two are older
        than the clock of a run and have none.
        """
        self._name(name)
        if boot not in BOOTS:
            raise closest(boot, BOOTS, kind="way to start a service")
        if listens and boot in (PREWARMED, KEPT):
            raise UsageError(f"{name} listens, so it is started cold or forked, not {boot}")
        if listens:
            check_protocol(listens)
        self.recipes[name] = Recipe(
            name,
            tuple(command),
            dict(environment or {}),
            start=start,
            listens=listens,
            housekeeping=housekeeping,
            boot=boot,
            directory=directory,
        )

    def server(
        self,
        name: str,
        command: Sequence[str],
        *,
        listens: str = "http",
        environment: Mapping[str, str] | None = None,
        prepare: Sequence[str] = (),
    ) -> None:
        """A server that only keeps things, like an object store; services find it as a service.

        It asks nobody, never restarts, and is no lane: it is started once for all runs, at {HOST}
        and {PORT} of its command or environment. Before every run ``prepare`` puts it back by
        requests, like ``POST /moto-api/reset`` and ``PUT /bucket``; without any it is started anew.
        """
        self._name(name)
        check_protocol(listens)
        self.servers[name] = ServerRecipe(
            name, tuple(command), listens, dict(environment or {}), tuple(prepare)
        )

    def redis(self, name: str, *, prepare: Sequence[str] = ()) -> None:
        """A Redis of the run: services find it at {CACHE_URL}, if its name is ``cache``.

        It is emptied before every run, and then does what ``prepare`` says, like ``SET balance 0``.
        """
        self._name(name)
        self.servers[name] = ServerRecipe(
            name, redis.command_line(), "redis", prepare=tuple(prepare)
        )

    def _name(self, name: str) -> None:
        if name in (*self.recipes, *self.servers, DATABASE):
            raise UsageError(f"service {name!r} exists already; names are unique in a run")
        if not name.replace("-", "").replace("_", "").isalnum():
            raise UsageError(f"a service is named by letters, digits, - and _, not {name!r}")
        for observed in self.observed:
            _tell_apart(name, observed)

    def observe(self, name: str, query: str, *, of: str = DATABASE) -> None:
        """Read this after every step that did something; rules judge ``on`` the name.

        It is SQL, or what the server ``of`` is asked: a path of a server of HTTP, whose answer is
        its body (nothing if there is none), or a command of Redis.
        """
        if of not in (*self.servers, DATABASE):
            raise closest(of, (*self.servers, DATABASE), kind="server")
        for service in self.recipes:
            _tell_apart(service, name)
        self.observed[name] = (of, query)

    def follow(self, read: Callable[[], Iterable[Told]]) -> None:
        """Ask for changes after every step that committed something, in the words of the scenario.

        For what grows, of which only the new part is to be read.
        """
        self.followers.append(read)

    def watch(self, prefix: str, function: Callable[[Event], None]) -> None:
        """Tell a function of every event on resources with this prefix, before the rules judge."""
        self.watchers.append((prefix, function))

    def overhear(self, peer: str, function: Callable[[Overheard], None]) -> None:
        """Tell a function what this peer is asked by HTTP, when it is asked and when it answers.

        For rules about what clients were told, which they need not say themselves.
        """
        known = {each.name: each.listens for each in self.recipes.values()}
        known |= {each.name: each.listens for each in self.servers.values()}
        speaking = [name for name, protocol in known.items() if protocol == "http"]
        if peer not in speaking:
            raise closest(peer, speaking, kind="service that is asked by HTTP")
        self.listeners.setdefault(peer, []).append(function)

    def until(self, *services: str) -> None:
        """The run is over when these services have ended; without it, when nothing can happen.

        For services that go on for ever as long as there is time.
        """
        for name in services:
            if name not in self.recipes:
                raise closest(name, self.recipes, kind="service")
        self.ends_with += services

    def restart(self, service: str, kind: str) -> None:
        """Order a restart while a run goes on, as an operator does; it will happen some time."""
        if service not in self.recipes:
            raise closest(service, self.recipes, kind="service")
        self.ordered.append((service, kind))

    def value(self, name: str) -> str:
        """What an observed query said last: one value, or rows joined by semicolons."""
        if name not in self.observed:
            raise closest(name, self.observed, kind="observed value")
        self.asked.append(("observed", name))
        return self.values.get(name, "")

    def query(self, sql: str) -> list[Row]:
        """The rows of a query of a rule, as text; only what is committed is seen."""
        if self.client is None:
            raise UsageError("a rule may query while a run goes on, not before")
        self.asked.append(("query", sql))
        if self.ahead is not None:
            self.ahead.notice([sql])
        return self.client.query(sql)

    def read_changes(self) -> Iterator[Told]:
        """What has changed of the observed values, and what else the scenario follows."""
        assert self.client is not None
        asked = [query for of, query in self.observed.values() if of == DATABASE]
        if self.ahead is not None:
            self.ahead.notice(asked)
        answers = iter(self.client.queries(asked))
        for name, (of, query) in self.observed.items():
            after = shown(next(answers)) if of == DATABASE else self.readers[of](query)
            before = self.values.get(name, "")
            if before != after:
                self.values[name] = after
                yield Told("commit", name, before=before, after=after)
        for read in self.followers:
            yield from read()


def _tell_apart(service: str, observed: str) -> None:
    """A rule on the beginning of a service's name would be asked about its starts and ends."""
    if service.startswith(observed):
        raise UsageError(
            f"what is observed cannot be called {observed!r}, service {service!r} begins like that"
        )


def shown(rows: Sequence[Row]) -> str:
    """Rows as one text."""
    return "; ".join(", ".join("null" if v is None else v for v in row) for row in rows)
