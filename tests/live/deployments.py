"""The live scenarios of the tests: small services, real processes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from harness.findings.finding import Fact
from harness.invariants import Broken
from harness.live.launching import FORKED
from harness.live.scenario import live_restart, live_scenario
from harness.live.world import LiveWorld, shown
from harness.scenario import Scenario

ROOT = str(Path(__file__).parents[2])


class Command(TypedDict):
    """How a service is started."""

    command: list[str]
    environment: dict[str, str]


def python(name: str, *arguments: str, **environment: str) -> Command:
    """A service in Python that starts fast."""
    command = [sys.executable, "-S", "-m", f"tests.live.services.{name}", *arguments]
    return Command(command=command, environment={"PYTHONPATH": ROOT, **environment})


@live_scenario(
    name="live-funding",
    faults=[live_restart("funding", kinds=["overlap"])],
    guards=["atomic"],
)
def funding(world: LiveWorld) -> None:
    """A funding index, kept by a service that is started once more before the old one has ended."""
    rules(world)
    command = python("funding", "1", *sorted(world.guards))
    world.service("funding", **command, boot=FORKED)


def rules(world: LiveWorld) -> None:
    """A funding index, payments, and that the one is the sum of the others."""
    world.database(
        "create table funding (market text primary key, value int not null);"
        "create table payments (id serial primary key, amount int not null);"
        "insert into funding values ('BTC', 0)"
    )
    world.observe("index", "select value from funding")
    world.observe("paid", "select coalesce(sum(amount), 0) from payments")
    world.measure(
        lambda: [Fact("payments in all", shown(world.query("select count(*) from payments")))]
    )

    @world.invariant(on=("index", "paid"))
    def the_index_is_what_was_paid() -> None:
        """The index is the sum of all payments, or accounts get funding that nobody paid."""
        index, paid = world.value("index"), world.value("paid")
        if index != paid:
            raise Broken(f"the index is {index}, but {paid} was paid", resource="index")


#: Two accounts, and what services say of themselves.
BOOKS = (
    "create table books (name text primary key, amount int not null, hands text not null);"
    "create table said (id serial primary key, what text not null);"
    "insert into books values ('ann', 0, ''), ('bob', 0, '')"
)


def scripted(
    scripts: Mapping[str, Sequence[str]],
    *,
    kinds: Sequence[str] = (),
    step_wall_s: float = 30.0,
    steps_max: int = 500,
    boot: str = FORKED,
    stall_s: float = 60.0,
    until: Sequence[str] = (),
) -> Scenario:
    """A scenario of services that do what they are told; ``kinds`` of restarts strike the last."""
    last = list(scripts)[-1]

    @live_scenario(
        name="live-scripted",
        faults=[live_restart(last, kinds=kinds)] if kinds else (),
        step_wall_s=step_wall_s,
        steps_max=steps_max,
        stall_s=stall_s,
    )
    def deployed(world: LiveWorld) -> None:
        world.database(BOOKS)
        for name, script in scripts.items():
            command = python("script", *script, ME=name + "{INCARNATION}")
            world.service(name, **command, boot=boot)
        world.observe("hands", "select string_agg(hands, ',' order by name) from books")
        world.observe("said", "select what from said order by id")
        world.until(*until)

    return deployed


def hand(letter: str, *, name: str = "ann") -> str:
    """A statement that adds a letter to a row: the order of the letters is that of the writes."""
    return f"update books set hands = hands || '{letter}' where name = '{name}'"


@live_scenario(name="live-moody", faults=[live_restart("moody", kinds=["overlap"])])
def moody(world: LiveWorld) -> None:
    """A service that draws lots: nobody can make it do the same twice."""
    world.database(BOOKS)
    text = (
        "import os; from tests.live.services.wire_client import ask, connect; link = connect(); "
        "[ask(link, f\"select '{os.urandom(4).hex()}'\") for _ in range(2)]"
    )
    world.service("moody", [sys.executable, "-S", "-c", text], environment={"PYTHONPATH": ROOT})
    world.observe("hands", "select count(*) from books")
