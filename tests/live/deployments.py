"""The live scenarios of the tests: small services, real processes."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.invariants import Broken
from harness.live.scenario import live_restart, live_scenario
from harness.live.world import LiveWorld

SERVICES = Path(__file__).parent / "services"


def python(name: str, *arguments: str) -> list[str]:
    """The command line of a service in Python that starts fast."""
    return [sys.executable, "-S", str(SERVICES / f"{name}.py"), *arguments]


@live_scenario(
    name="live-funding",
    faults=[live_restart("funding", kinds=["overlap"])],
    guards=["atomic"],
)
def funding(world: LiveWorld) -> None:
    """A funding index, kept by a service that is started once more before the old one has ended."""
    world.database(
        "create table funding (market text primary key, value int not null);"
        "create table payments (id serial primary key, amount int not null);"
        "insert into funding values ('BTC', 0)"
    )
    world.service("funding", python("funding", "1", *sorted(world.guards)))
    world.observe("index", "select value from funding")
    world.observe("paid", "select coalesce(sum(amount), 0) from payments")

    @world.invariant(on=("index", "paid"))
    def the_index_is_what_was_paid() -> None:
        """The index is the sum of all payments, or accounts get funding that nobody paid."""
        index, paid = world.value("index"), world.value("paid")
        if index != paid:
            raise Broken(f"the index is {index}, but {paid} was paid", resource="index")
