"""The world of one run: everything a scenario builds its target from.

A scenario gets one and makes stores, networks, services and clients in it. It keeps the books that
every verdict needs: which restart was going on while which write happened.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import trio
from faker import Faker

from harness.coverage import mark
from harness.errors import UsageError, closest
from harness.history import Event, derive_seed
from harness.invariants import Judge
from harness.judged import Judged
from harness.schedule.choices import reads, writes
from harness.schedule.simulation import Simulation
from harness.schedule.workload import Workload
from harness.world.coverage import Coverage
from harness.world.database import Database
from harness.world.disk import Disk
from harness.world.nemesis import Nemesis
from harness.world.network import Network
from harness.world.objectstore import ObjectStore
from harness.world.service import Fails, Life, Service

if TYPE_CHECKING:
    from harness.world.sqlite import Sqlite

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class World(Judged):
    """What a scenario is handed; ``guards`` and ``bug`` say which variant of a target to build."""

    def __init__(
        self,
        simulation: Simulation,
        *,
        seed: int = 0,
        guards: frozenset[str] = frozenset(),
        bug: str = "",
        without: str = "",
    ) -> None:
        self.simulation = simulation
        self.seed = seed
        self.guards = guards
        self.bug = bug
        self.workload = Workload(without)
        self.services: dict[str, Service] = {}
        self._disks: dict[str, list[Fails]] = {}
        super().__init__(Judge(partial(phase_of, self.services)))
        self.writes = 0
        self.timeouts = 0
        self.clock_jumps = 0
        self._nemesis = Nemesis(simulation, self.services)
        self.coverage = Coverage(simulation)
        self._watchers: list[tuple[str, Callable[[Event], None]]] = []

    # --- stores and networks ----------------------------------------------------------------

    def database(self, name: str = "database", *, isolation: str = "read committed") -> Database:
        """A transactional database with PostgreSQL's isolation levels."""
        return Database(self.simulation, name, isolation=isolation)

    def object_store(self, name: str = "objects") -> ObjectStore:
        """A cloud object store: one object is atomic, two objects are not."""
        return ObjectStore(self.simulation, name)

    def network(self, name: str = "network") -> Network:
        """A network between the lanes."""
        return Network(self.simulation, name)

    def disk(self, name: str = "disk", *, of: str = "") -> Disk:
        """A disk whose unsynced writes can be lost.

        They are by a restart of the kind ``power cut`` of the service ``of`` whose machine it is,
        or when the scenario cuts the power by hand.
        """
        disk = Disk(self.simulation, name)
        self._disks.setdefault(of, []).append(disk)
        return disk

    def sqlite(self, name: str = "disk", *, of: str = "", names_survive: bool = True) -> Sqlite:
        """A disk with databases of SQLite; unsynced writes can be lost, as of :meth:`disk`.

        It is SQLite itself, through APSW (``pip install changeover[sqlite]``). That a file was
        created or deleted is durable at once, as in SQLite's own crash tests; without
        ``names_survive`` only after its directory was synced, as POSIX has it.
        """
        try:
            from harness.world.sqlite import Sqlite  # noqa: PLC0415  (an extra)
        except ImportError:
            raise UsageError(
                "world.sqlite() needs apsw: pip install 'changeover[sqlite]'"
            ) from None
        disk = Sqlite(self.simulation, name, names_survive=names_survive)
        self._disks.setdefault(of, []).append(disk)
        return disk

    # --- lanes ------------------------------------------------------------------------------

    def service(
        self, name: str, run: Callable[[Life], Awaitable[object]], *, start: bool = True
    ) -> Service:
        """A restartable service; ``run(life)`` is one incarnation of it."""
        if name in self.services:
            raise UsageError(f"service {name!r} exists already; names are unique in a run")
        service = self.services[name] = Service(
            self.simulation,
            name,
            run,
            self.coverage,
            on_change=self._nemesis.changed,
            disks=self._disks.setdefault(name, []),
        )
        if start:
            service.start()
        return service

    def start_client(self, name: str, run: Callable[..., Awaitable[T]], *arguments: object) -> Any:
        """A client that never restarts; returns its lane, await :meth:`finished` for the result."""
        return self.simulation.spawn(name, run, *arguments)

    async def finished(self, lane: Any) -> Any:
        """The result of a client, when it is done; its error is raised here."""
        await self.simulation.operate(
            f"wait for {lane.name}",
            lambda: None,
            footprint=reads(f"lane/{lane.name}"),
            enabled=lambda: lane.finished,
            describe_wait=lambda: f"{lane.name} is not done",
            on_crash="drop",
        )
        if lane.error is not None:
            raise lane.error
        return lane.result

    async def client(self, name: str, run: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """Run a client lane and return its result."""
        result: T = await self.finished(self.start_client(name, run, *arguments))
        return result

    def does(self, client: str) -> bool:
        """Whether a client does what he has come to, or this schedule leaves that out.

        ``for amount in amounts: if world.does("trader"): …`` lets the shrinker find out which of
        his operations a bug needs. Every one is done unless a finding was shrunk.
        """
        return self.workload.does(client)

    # --- data -------------------------------------------------------------------------------

    @property
    def now_ms(self) -> int:
        """Virtual milliseconds since the run began."""
        self.simulation.clock.readings += 1
        return self.simulation.now_ms

    def random(self, purpose: str) -> random.Random:
        """A generator of its own for each purpose, decided by the seed of the run."""
        return self.simulation.random(purpose)

    def faker(self, purpose: str) -> Faker:
        """A Faker of its own for each purpose, decided by the seed of the run."""
        faker = Faker()
        faker.seed_instance(derive_seed(self.seed, "faker", purpose))
        return faker

    # --- rules ------------------------------------------------------------------------------

    def watch(self, prefix: str, function: Callable[[Event], None]) -> None:
        """Tell a function of every event on resources with this prefix, before the rules judge."""
        self.simulation.touches("watch/*")
        self._watchers.append((prefix, function))

    def watching(self, resource: str) -> tuple[str, ...]:
        """The prefixes under which somebody watches this resource."""
        return tuple(prefix for prefix, _ in self._watchers if resource.startswith(prefix))

    # --- restarts ---------------------------------------------------------------------------

    def allow_restart(
        self, name: str, kinds: tuple[str, ...], *, delay_s: float, in_recovery: bool = False
    ) -> None:
        """Let the nemesis restart a service at any moment at which it is not restarting already.

        ``in_recovery`` lets it cut the power of what is just coming back, too.
        """
        self._nemesis.allow(name, kinds, delay_s=delay_s, in_recovery=in_recovery)

    def allow_clock_jump(self, name: str, by_s: Iterable[float]) -> None:
        """Let the nemesis set the wall clock of a service by one of these seconds."""
        self.simulation.wall_clocks.setdefault(name, 0.0)
        for seconds in by_s:
            self.simulation.offer_fault(
                f"clock jump of {name} by {seconds:+g} s",
                lambda seconds=seconds: self.jump_clock(name, seconds),  # type: ignore[misc]
                available=lambda: name in self.services,
                footprint=writes(f"clock/{name}"),
            )

    def jump_clock(self, name: str, by_s: float) -> None:
        """Set the wall clock of a service's machine by so many seconds, back or forward.

        ``time.time`` and ``datetime.now`` of all its incarnations are that much off from now on;
        what measures durations (``time.monotonic``, trio's clock) is not.
        """
        if name not in self.services:
            raise closest(name, self.services, kind="service")
        clocks = self.simulation.wall_clocks
        before = clocks.get(name, 0.0)
        # Steps before a jump that nobody announced have not said that they could see the clock.
        self.simulation.touches(f"clock/{name}" if name in clocks else "*")
        clocks[name] = before + by_s
        self.clock_jumps += 1
        life = next(iter(self.services[name].alive), None)
        self.simulation.emit(
            "fault",
            f"clock jump by {by_s:+g} s",
            resource=f"clock/{name}",
            before=f"{before:+g} s",
            after=f"{clocks[name]:+g} s",
            peer=life.name if life else name,
        )

    @contextmanager
    def timeout(self, name: str) -> Iterator[trio.CancelScope]:
        """Work that a timeout may strike: a fault of the nemesis, possible at every await of it.

        What is cancelled half-way must leave everything else intact: locks, queues, balances.
        ``faults_max`` of the scenario bounds how many strike. ``cancelled_caught`` of the scope
        says afterwards whether this one did.
        """
        lane, scope = self.simulation.current_lane, trio.CancelScope()

        def strike() -> None:
            self.timeouts += 1
            self.simulation.emit("fault", f"timeout of {name}", lane=lane.name, peer=lane.name)
            scope.cancel()

        fault = self.simulation.offer_fault(
            f"timeout of {name}",
            strike,
            available=lambda: lane.alive and not scope.cancel_called,
            footprint=writes(f"memory/{lane.name}/*"),
        )
        try:
            with scope:
                yield scope
        finally:
            self.simulation.faults.remove(fault)

    def observe(self, events: tuple[Event, ...]) -> None:
        """Tell the watchers what a step did, and count what was written."""
        for event in events:
            for prefix, function in self._watchers:
                if event.resource.startswith(prefix):
                    function(event)
            if event.kind == "write":
                self.writes += 1

    @property
    def overlapped(self) -> int:
        """How many writes a restart overlapped, and timeouts, jumps and power cuts that struck.

        A service that only ends is not restarted.
        """
        power_cuts = sum(service.power_cuts for service in self.services.values())
        return self.coverage.overlapped + self.timeouts + self.clock_jumps + power_cuts

    def covered(self) -> tuple[str, ...]:
        """What this run covered: cells of the matrix, then the marks that were reached."""
        marks = sorted(mark(name) for name, count in self.reached.items() if count)
        return (*self.coverage.cells(), *marks)

    @property
    def restarts(self) -> int:
        """How many incarnations followed another one."""
        return sum(service.restarts for service in self.services.values())

    def phase_of(self, lane: str) -> str:
        """The phase in which a lane's incarnation is; empty for what is no service."""
        return phase_of(self.services, lane)


def phase_of(services: Mapping[str, Service], lane: str) -> str:
    """The phase in which a lane's incarnation is; empty for what is no service."""
    for service in services.values():
        for life in service.lives:
            if life.name == lane:
                service.touches("read")
                return life.phase
    return ""
