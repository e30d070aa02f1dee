"""Ten kinds of scenario that must be the same whenever they are made again, and the making."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from harness.engine import Misfit, Run, execute, follow
from harness.live.launching import FORKED
from harness.live.scenario import live_restart, live_scenario, lost_answer
from harness.live.world import LiveWorld
from harness.scenario import Scenario
from harness.schedule.choices import Chooser
from tests.live.deployments import BOOKS, ROOT, funding, hand, python, rules, scripted

NODE = shutil.which("node")


def kinds() -> dict[str, Callable[[], Scenario]]:
    """The kinds by their names; one that this machine cannot make is not among them."""
    crossing = {
        "a": ["begin", hand("a"), hand("a", name="bob"), "commit"],
        "b": ["begin", hand("b", name="bob"), hand("b"), "commit"],
    }
    waiters = {name: ["begin", hand(name), "commit"] for name in "xyz"}
    busy = ["begin", hand("w"), "commit"]
    found: dict[str, Callable[[], Scenario]] = {
        "overlap": lambda: funding,
        "kill": lambda: scripted({"h": busy, "w": [hand("w"), hand("v")]}, kinds=["crash"]),
        "term": lambda: scripted({"h": [hand("h")] * 2, "w": busy}, kinds=["stop", "rolling"]),
        "two languages": two_languages,
        "deadlock of two": lambda: scripted(crossing),
        "deadlock of three": circle,
        "three waiters on one row": lambda: scripted({"h": busy, **waiters}),
        "serialization failures, retried": retrying,
        "a pool of three": pool,
        "a timer of 1 ms": lambda: timer("0.001"),
        "a timer of 3,600 s": lambda: timer("3600"),
        "a lost answer": lost,
    }
    if NODE is None:
        del found["two languages"]
    return found


def two_languages() -> Scenario:
    @live_scenario(name="replay-languages")
    def deployed(world: LiveWorld) -> None:
        rules(world)
        world.service("python", **python("funding", "1"), boot=FORKED)
        world.service("node", [str(NODE), f"{ROOT}/tests/live/services/keeper.js"])

    return deployed


def circle() -> Scenario:
    @live_scenario(name="replay-circle")
    def deployed(world: LiveWorld) -> None:
        world.database(BOOKS + ";insert into books values ('cat', 0, '')")
        for name, one, other in (("a", "ann", "bob"), ("b", "bob", "cat"), ("c", "cat", "ann")):
            script = ["begin", hand(name, name=one), hand(name, name=other), "commit"]
            world.service(name, **python("script", *script, ME=name), boot=FORKED)
        world.observe("hands", "select string_agg(hands, ',' order by name) from books")

    return deployed


def retrying() -> Scenario:
    @live_scenario(name="replay-retrying")
    def deployed(world: LiveWorld) -> None:
        world.database(BOOKS)
        world.service("a", **python("retrying", "ann", "bob"), boot=FORKED)
        world.service("b", **python("retrying", "bob", "ann"), boot=FORKED)
        world.observe("amounts", "select string_agg(amount::text, ',' order by name) from books")

    return deployed


def pool() -> Scenario:
    @live_scenario(name="replay-pool", faults=[live_restart("p", kinds=["crash"])])
    def deployed(world: LiveWorld) -> None:
        world.database(BOOKS)
        world.service("p", **python("pool", "2"), boot=FORKED)
        world.observe("hands", "select string_agg(hands, ',' order by name) from books")

    return deployed


def timer(seconds: str) -> Scenario:
    return scripted(
        {"a": [f"sleep:{seconds}", hand("a"), f"sleep:{seconds}"], "b": [hand("b")] * 2}
    )


def lost() -> Scenario:
    @live_scenario(name="replay-lost", faults=[lost_answer("l", of="database")])
    def deployed(world: LiveWorld) -> None:
        world.database(BOOKS)
        world.service("l", **python("script", "begin", hand("l"), "commit"), boot=FORKED)
        world.service("h", **python("script", hand("h"), hand("i")), boot=FORKED)
        world.observe("hands", "select string_agg(hands, ',' order by name) from books")

    return deployed


# --- made again -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Replayed:
    """How often a scenario was made again, and what was not the same."""

    number: int
    differences: tuple[str, ...] = ()

    @property
    def same(self) -> int:
        """How many were."""
        return self.number - len(self.differences)


def replayed(scenario: Scenario, *, replays: int, each: int = 10) -> Replayed:
    """Make random schedules, and each of them again up to ``each`` times."""
    number, differences = 0, list[str]()
    while number < replays:
        choose = _drawing(f"{scenario.name} {number}")
        first = execute(scenario, seed=0, choose=choose, recorded=True)
        for _ in range(min(each, replays - number)):
            number += 1
            differences += list(_again(scenario, first))
    return Replayed(number, tuple(differences))


def _drawing(seed: str) -> Chooser:
    draw = Random(seed)
    return lambda options, step: draw.randrange(len(options))


def _again(scenario: Scenario, first: Run) -> Iterator[str]:
    try:
        again = execute(
            scenario, seed=0, choose=follow(first.schedule, first.deviations), recorded=True
        )
    except Misfit as misfit:
        yield f"{first.token}: {misfit}"
        return
    if (again.taken, again.offered) != (first.taken, first.offered):
        yield f"{first.token}: {again.offered} is not {first.offered}"
    elif again.digest != first.digest:
        events = zip(first.history, again.history, strict=False)
        told = (f"{a.canonical()} is not {b.canonical()}" for a, b in events if a != b)
        yield f"{first.token}: {next(told, f'{again.ending} is not {first.ending}')}"
