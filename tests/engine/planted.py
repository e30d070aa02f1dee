"""Small planted races, each with the smallest schedule that can show it known beforehand.

They are made for the shrinker: what a bug needs (``needs`` choices, ``faults`` of them faults) is
by construction, so that a schedule that was not made small enough cannot hide.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

from harness.invariants import Broken
from harness.scenario import Scenario
from harness.world.service import Life
from harness.world.world import World
from tests.engine.worlds import crashes, idle_service, told

Row = dict[str, object]


@dataclass(frozen=True)
class Planted:
    """A scenario with one bug, which strategy finds it, and the choices that it needs at least."""

    scenario: Scenario
    needs: int
    faults: int = 0
    strategy: str = "random"


def amount(row: object) -> int:
    """The amount of a row of the books."""
    assert isinstance(row, dict)
    return int(row["amount"])


def broken_when(world: World, condition: Callable[[], bool], *, name: str = "the_rule") -> None:
    """A rule about a state, judged whenever something is written or said."""

    @world.invariant(name=name, on=("db/", "said/"))
    def rule() -> None:
        if condition():
            raise Broken(f"{name} is broken")


def say(world: World, what: str) -> None:
    """Something that the rules look at."""
    world.simulation.emit("note", what, resource=f"said/{what}")


async def busy(world: World, steps: int = 6) -> None:
    """Somebody who has nothing to do with it, and makes schedules longer."""
    for _ in range(steps):
        await trio.lowlevel.checkpoint()
        await trio.sleep(0.01)


def bystanders(world: World) -> None:
    """Two of them."""
    for name in ("left", "right"):
        world.start_client(name, busy, world)


async def lost_update(world: World) -> None:
    """Two clients read, then write; the second begins long after the first, first in first out."""
    database = world.database("db")
    database.load("books", {"usdc": {"amount": 0}})
    done: list[int] = []

    async def deposit(wait_s: float) -> None:
        await trio.sleep(wait_s)
        row = await database.get("books", "usdc")
        await database.put("books", "usdc", {"amount": amount(row) + 1})
        done.append(1)
        say(world, "deposited")

    broken_when(world, lambda: amount(database.table("books")["usdc"]) < len(done))
    bystanders(world)
    lanes = [world.start_client(f"payer {n}", deposit, n / 4) for n in (1, 2)]
    for lane in lanes:
        await world.finished(lane)


async def check_then_act(world: World) -> None:
    """A withdrawal is checked, noted, and paid; a crash between the last two pays it twice."""
    database = world.database("db")
    database.load("books", {"usdc": {"amount": 5, "paid": 0}})
    paid: list[int] = []

    async def ledger(life: Life) -> None:
        life.enter("ready")
        row = await database.get("books", "usdc")
        if row and not row["paid"]:
            paid.append(1)
            say(world, "paid")
            await database.put("books", "usdc", {"amount": 0, "paid": 1})
        await trio.sleep_forever()

    broken_when(world, lambda: len(paid) > 1)
    bystanders(world)
    world.service("ledger", ledger)
    await trio.sleep(1)


async def timeout_or_done(world: World) -> None:
    """A client gives up on a statement that takes effect all the same, and tries again."""
    database = world.database("db")
    database.load("books", {"usdc": {"amount": 0}})

    async def pays() -> None:
        for attempt in (1, 2):
            with trio.move_on_after(0.5):
                row = await database.get("books", "usdc")
                await database.put("books", "usdc", {"amount": amount(row) + 1})
                say(world, f"paid at attempt {attempt}")
                return

    broken_when(world, lambda: amount(database.table("books")["usdc"]) > 1)
    bystanders(world)
    await world.client("payer", pays)


async def orphan_write(world: World) -> None:
    """What a dead incarnation had sent lands after the next one has read the books."""
    database = world.database("db")
    database.load("books", {"index": {"amount": 0}})
    known: dict[str, int] = {}

    async def funding(life: Life) -> None:
        row = await database.get("books", "index")
        known[life.name] = amount(row)
        life.enter("ready")
        if life.incarnation == 1:
            await database.put("books", "index", {"amount": 7})
        await trio.sleep_forever()

    def overtaken() -> bool:
        return known.get("funding#2", 7) != amount(database.table("books")["index"])

    @world.invariant(name="nobody_writes_behind_its_back", on=("db/",))
    def rule() -> None:
        if "funding#2" in known and overtaken():
            raise Broken("the index moved and nobody knows")

    bystanders(world)
    world.service("funding", funding)
    await trio.sleep(1)


async def two_faults(world: World) -> None:
    """Only an incarnation that follows two crashes forgets what it had."""
    broken_when(world, lambda: len(world.services["ledger"].lives) > 2)

    async def ledger(life: Life) -> None:
        life.enter("ready")
        say(world, f"life {life.incarnation}")
        await trio.sleep_forever()

    world.service("ledger", ledger)
    bystanders(world)
    await trio.sleep(2)


def turned_round(pairs: int) -> Callable[[World], Awaitable[None]]:
    """Broken only if each of so many pairs of clients goes the wrong way round."""

    async def story(world: World) -> None:
        arrived: list[str] = []

        async def goes(name: str, at_s: float) -> None:
            await trio.sleep(at_s)
            arrived.append(name)
            say(world, name)

        def all_wrong() -> bool:
            places = {name: place for place, name in enumerate(arrived)}
            return len(arrived) == 2 * pairs and all(
                places[f"second {pair}"] < places[f"first {pair}"] for pair in range(pairs)
            )

        broken_when(world, all_wrong)
        bystanders(world)
        for pair in range(pairs):
            world.start_client(f"first {pair}", goes, f"first {pair}", pair + 0.1)
            world.start_client(f"second {pair}", goes, f"second {pair}", pair + 0.2)
        await trio.sleep(pairs + 5)

    story.__name__ = f"turned_round_{pairs}"
    return story


async def out_of_step(world: World) -> None:
    """Two tasks of one lane; trio never lets the one take three steps while the other takes one."""
    taken = {"one": 0, "two": 0}

    async def turns(name: str) -> None:
        for _ in range(6):
            await trio.lowlevel.checkpoint()
            taken[name] += 1
            say(world, name)

    broken_when(world, lambda: taken["two"] - taken["one"] >= 2)
    bystanders(world)
    async with trio.open_nursery() as nursery:
        for name in taken:
            nursery.start_soon(turns, name)


async def drained_too_late(world: World) -> None:
    """While both incarnations are alive, the old one still writes."""
    database = world.database("db")
    database.load("books", {"leader": {"amount": 0}})

    async def ledger(life: Life) -> None:
        life.enter("ready")
        await database.put("books", "leader", {"amount": life.incarnation})
        await life.stop_requested()
        await database.put("books", "leader", {"amount": life.incarnation})

    written: list[int] = []

    @world.invariant(name="the_newest_leads", on=("db/",))
    def rule() -> None:
        written.append(amount(database.table("books")["leader"]))
        if written[-1] < max(written):
            raise Broken("the old one leads")

    world.service("ledger", ledger)
    world.service("other", idle_service)
    bystanders(world)
    await trio.sleep(1)


PLANTED = [
    Planted(told(lost_update), needs=1),
    Planted(told(check_then_act, crashes(delay_s=0.2)), needs=1, faults=1),
    Planted(told(timeout_or_done), needs=1),
    Planted(told(orphan_write, crashes("funding")), needs=2, faults=1),
    Planted(told(two_faults, crashes(), faults_max=2), needs=2, faults=2),
    Planted(told(turned_round(2)), needs=2),
    Planted(told(turned_round(3)), needs=3, strategy="pct(9)"),
    Planted(told(out_of_step), needs=1),
    Planted(told(drained_too_late, crashes("ledger", "rolling")), needs=1, faults=1),
]
