"""Paradex, 19 January 2026, with real processes: the services of the simulation, unchanged.

Each service is a process, on PostgreSQL, an object store and HTTP; the chain is one as well. The
same rules judge what is committed and what the chain did.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import util
from pathlib import Path

from harness.carrying import kindred
from harness.errors import UsageError
from harness.live.launching import IMPORTED
from harness.live.scenario import live_restart, live_scenario
from harness.live.world import LiveWorld
from scenarios.blast_radius import blast_radius
from scenarios.january import END_S, JANUARY, REDUCED, Cast
from scenarios.paradex import RESTARTS, conservation_note, paradex
from scenarios.paradex_reduced import paradex_reduced
from scenarios.real.kin import kin
from scenarios.real.records import LiveRecords, opening_sql
from scenarios.real.view import FROM_MEMORY, live_view
from scenarios.records import MUST_REACH
from scenarios.rules.catalogue import rules_of
from scenarios.view import READY_MS_MAX
from target_stub.bugs import BUGS, bugs_of
from target_stub.chain import BLOCKS
from target_stub.cloud.market_data import EPOCHS, TABLE
from target_stub.cloud.market_data import TOPIC as MARKETS
from target_stub.cloud.mode_control import TOPIC as MODE
from target_stub.cloud.oracle_feed import TOPIC as ORACLE
from target_stub.guards import GUARDS
from target_stub.real.schema import schema

#: On which a planted bug of matching tells its books.
BOOKS = "books"
SCHEMA = schema(tables=(TABLE, EPOCHS), topics=(ORACLE, MARKETS, MODE, BLOCKS, BOOKS))
#: Who is asked by others.
ASKED = ("chain", "mode", "matching")
#: In the order in which they need each other.
SERVICES = (
    "chain",
    "mode",
    "publisher",
    "market_data",
    "risk",
    "matching",
    "oracle",
    "people",
    "operator",
)
ROOT = str(Path(__file__).parents[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Another object store than the exchange's own, and what its clients are told of it."""

    command: Sequence[str]
    prepare: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


def deploy(
    world: LiveWorld,
    cast: Cast,
    *,
    name: str,
    services: tuple[str, ...],
    store: Store | None = None,
) -> LiveRecords:
    """The database and the services of an exchange, and its object store."""
    if util.find_spec("psycopg") is None:
        raise UsageError(
            "the exchange needs psycopg to run for real: pip install 'changeover[live]'"
        )
    world.database(SCHEMA + opening_sql(cast))
    for service in services:
        world.service(
            service,
            command(world, service, name),
            environment={
                "PYTHONPATH": ROOT,
                "INCARNATION": "{INCARNATION}",
                **(store.environment if store else {}),
            },
            listens="http" if service in ASKED else "",
            boot=IMPORTED,
        )
    world.server(
        "storage",
        store.command if store else command(world, "storage", name),
        environment={"PYTHONPATH": ROOT, "INCARNATION": "1"},
        prepare=store.prepare if store else ("POST /reset",),
    )
    return LiveRecords(world, cast)


def command(world: LiveWorld, service: str, cast: str) -> list[str]:
    """The command line of a service."""
    module = [sys.executable, "-m", "scenarios.real.services", service, "--cast", cast]
    options = ["--seed", str(world.seed), "--guards", ",".join(sorted(world.guards))]
    return [*module, *options, "--bug", place_of_bug(world.bug)]


def place_of_bug(name: str) -> str:
    """Where the classes of a planted bug are, and its name."""
    if not name:
        return ""
    (file,) = {each.__module__ for each in BUGS[name].replaces.values()}
    return f"{file}:{name}"


def judge(world: LiveWorld, records: LiveRecords, *, ready_ms_max: int = READY_MS_MAX) -> None:
    """All rules that what an exchange shows from outside is enough for."""
    rules = rules_of(live_view(records, ready_ms_max=ready_ms_max))
    world.add_invariants(*(rule for rule in rules if rule.name not in FROM_MEMORY))
    world.note("conservation", lambda: conservation_note(world.judge, records))
    world.measure(lambda: blast_radius(records))


@live_scenario(
    name="paradex-2026-01-19-live",
    faults=[live_restart(name, kinds=kinds) for name, kinds in RESTARTS.items()],
    guards=tuple(GUARDS),
    guards_default=(),
    bugs=bugs_of("paradex-2026-01-19"),
    bug_default="index_zero",
    steps_max=1_600,
    stall_s=10.0,
    must_reach=MUST_REACH,
)
def paradex_live(world: LiveWorld) -> None:
    """Services restart during a database upgrade; one may write before it knows what is true."""
    records = deploy(world, JANUARY, name="january", services=SERVICES)
    world.until("people", "operator")
    judge(world, records)


@live_scenario(
    name="paradex-reduced-live",
    faults=[live_restart("market_data", kinds=["crash"])],
    guards=tuple(GUARDS),
    guards_default=(),
    bugs={"index_zero": BUGS["index_zero"].text},
    bug_default="index_zero",
    steps_max=2_000,
    stall_s=10.0,
)
def paradex_reduced_live(world: LiveWorld) -> None:
    """One funding tick of one market while the database is away and market data restarts."""
    services = ("chain", "publisher", "market_data", "risk", "outside")
    records = deploy(world, REDUCED, name="reduced", services=services)
    world.until("outside")
    # Nobody is ready without a quote, and the second one may come when this story ends.
    judge(world, records, ready_ms_max=round(END_S * 1000))


kindred(paradex, paradex_live, kin=kin)
kindred(paradex_reduced, paradex_reduced_live, kin=kin)
