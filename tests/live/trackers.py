"""Three races that real projects have reported, rebuilt as small services in three languages.

Each has a guard that repairs it, as the project did or as its thread says.

    python -m tests.live.trackers     how many schedules each takes, over several seeds
"""

from __future__ import annotations

import atexit
import shutil
import subprocess
from functools import cache
from pathlib import Path
from statistics import median
from tempfile import mkdtemp

from harness.campaign import Plan, explore
from harness.engine import campaign
from harness.errors import UsageError
from harness.findings.finding import Finding
from harness.invariants import Broken
from harness.live import servers
from harness.live.scenario import live_restart, live_scenario
from harness.live.world import LiveWorld
from harness.scenario import Scenario
from harness.schedule.strategies.portfolio import PORTFOLIO
from tests.live.deployments import python

SERVICES = Path(__file__).parent / "services"
#: Within how many schedules each must be found, from any seed.
SCHEDULES_MAX = 150


class NotBuiltError(UsageError):
    """A service cannot be built or run on this machine; the words say why."""


@cache
def built(name: str) -> str:
    """The program of a service in C; :class:`NotBuiltError` says what is missing."""
    compiler, config = shutil.which("cc"), shutil.which("pg_config")
    if compiler is None or config is None:
        raise NotBuiltError("cc and pg_config (libpq-dev) are needed to build a service in C")
    folder = subprocess.run([config, "--includedir"], capture_output=True, text=True, check=True)
    place = mkdtemp(prefix="changeover-services-")
    atexit.register(shutil.rmtree, place)
    program = str(Path(place) / name)
    command = [compiler, "-I", folder.stdout.strip(), str(SERVICES / f"{name}.c"), "-o", program]
    done = subprocess.run([*command, "-lpq"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotBuiltError(f"the service {name} in C cannot be built: {done.stderr[-200:]}")
    return program


def node() -> str:
    """The program that runs JavaScript."""
    found = shutil.which("node")
    if found is None:
        raise NotBuiltError("node is needed for a service in JavaScript")
    return found


@live_scenario(
    name="tracker-stale-leader",
    faults=[live_restart("leader", kinds=["overlap"])],
    guards=["fence"],
)
def stale_leader(world: LiveWorld) -> None:
    """An old leader does not know that it is one, and goes on writing from memory.

    Two operators that both lead give one block of addresses to two nodes:
    https://github.com/cilium/cilium/pull/42920
    """
    world.database(
        "create table lease (epoch int not null); insert into lease values (0);"
        "create table nodes (name text primary key, block int);"
        "insert into nodes values ('n', null)"
    )
    world.service("leader", [built("leader"), *world.guards])
    world.service("nodes", **python("script", "insert into nodes (name) values ('m')"))
    world.observe("blocks", "select block from nodes where block is not null order by block")

    @world.invariant(on=("blocks",))
    def no_block_is_given_twice() -> None:
        """A block of addresses belongs to one node, or packets go to the wrong one."""
        blocks = world.value("blocks").split("; ")
        if len(set(blocks)) < len(blocks):
            raise Broken(f"the blocks of the nodes are {', '.join(blocks)}", resource="blocks")


@live_scenario(
    name="tracker-charged-twice",
    faults=[live_restart("charges", kinds=["crash"])],
    guards=["key"],
)
def charged_twice(world: LiveWorld) -> None:
    """A message is received, processed and deleted; what dies before the end does it once more.

    A customer can be charged twice: https://github.com/microsoftarchive/cqrs-journey/issues/266
    """
    key = "create unique index on charges (message)" if "key" in world.guards else ""
    world.database(
        "create table messages (id int primary key); insert into messages values (1);"
        f"create table charges (message int not null); {key}"
    )
    world.service("charges", [node(), str(SERVICES / "charges.js"), *world.guards])
    world.observe("times", "select count(*) from charges group by message")

    @world.invariant(on=("times",))
    def nobody_is_charged_twice() -> None:
        """One message is one charge."""
        if world.value("times") != "1":
            raise Broken(f"charged {world.value('times')} times", resource="times")


@live_scenario(
    name="tracker-outbox-order",
    faults=[live_restart("writer", kinds=["overlap"])],
    guards=["lock"],
)
def outbox_order(world: LiveWorld) -> None:
    """Numbers of events are taken when they are inserted, and seen when they are committed.

    Who asks for what is newer than the last number passes over an event that commits later:
    https://github.com/commanded/eventstore/issues/3
    """
    world.database(
        "create table events (id serial primary key);"
        "create table projected (id int primary key);"
        "create table projection (position int not null); insert into projection values (0)"
    )
    world.service("writer", **python("outbox", "append", *world.guards))
    world.service("reader", **python("outbox", "project"))
    world.observe(
        "passed over",
        "select id from events, projection where id <= position"
        " and id not in (select id from projected)",
    )

    @world.invariant(on=("passed over",))
    def no_event_is_passed_over() -> None:
        """What the projection has behind it, it has seen."""
        if lost := world.value("passed over"):
            raise Broken(f"event {lost} was never read", resource="passed over")


STORIES: tuple[Scenario, ...] = (stale_leader, charged_twice, outbox_order)


def hunt(
    story: Scenario,
    *,
    seed: int,
    shrink_budget: int = 0,
    strategies: tuple[str, ...] = PORTFOLIO,
) -> Finding:
    """What a search finds of a story from one seed."""
    plan = Plan(
        seed=seed,
        schedules=SCHEDULES_MAX,
        shrink_budget=shrink_budget,
        shrink_wall_s=600.0,
        strategies=strategies,
    )
    result = explore(story, plan)
    if not result.findings:
        raise LookupError(f"{story.name} was not found in {SCHEDULES_MAX} schedules, seed {seed}")
    return result.findings[0]


def main() -> None:
    """The table."""
    with campaign():
        for story in STORIES:
            needed = [hunt(story, seed=seed).schedule_number for seed in range(5)]
            print(f"{story.name:<24} median {median(needed):g} of {sorted(needed)}")  # noqa: T201
    servers.stop()


if __name__ == "__main__":
    main()
