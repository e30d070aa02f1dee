"""Small planted races, each with the smallest schedule that can show it known beforehand.

They are made for the shrinker: what a bug needs is known by construction, so that a schedule that
was not made small enough cannot hide. :func:`noisy` makes schedules with plenty to leave out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

import trio

from harness.engine import Run, execute
from harness.invariants import Broken
from harness.scenario import Scenario
from harness.schedule.choices import Chooser, Option
from harness.world.service import Life
from harness.world.world import World
from tests.engine.worlds import crashes, idle_service, told


@dataclass(frozen=True)
class Planted:
    """A scenario with one bug, and the choices that show it.

    ``guide`` says what has to be taken when, one after the other: the text in the label of what is
    due, and the end of the label of what goes first. ``faults`` of these are faults.
    """

    scenario: Scenario
    guide: tuple[tuple[str, str], ...]
    faults: int = 0


def noisy(guide: Sequence[tuple[str, str]], seed: int, *, noise: float = 0.3) -> Chooser:
    """Follow a guide, and take anything that is no fault in between."""
    generator = Random(seed)
    coming = list(guide)

    def choose(options: Sequence[Option], step: int) -> int:
        if coming and coming[0][0] in options[0].label:
            for index, option in enumerate(options):
                # The nemesis at work has the same label as the fault that set it to work.
                at_work = option.lane == "nemesis" and not option.optional
                if option.label.endswith(coming[0][1]) and not at_work:
                    del coming[0]
                    return index
        moves = [index for index, option in enumerate(options) if not option.optional]
        return generator.choice(moves) if generator.random() < noise else 0

    return choose


def failing_runs(planted: Planted, count: int) -> list[Run]:
    """Some runs that show a planted bug, with plenty of choices that have nothing to do with it."""
    found: list[Run] = []
    for seed in range(2000):
        run = execute(planted.scenario, seed=5, choose=noisy(planted.guide, seed))
        if run.violated and len(run.deviations) > len(planted.guide):
            found.append(run)
            if len(found) == count:
                return found
    raise AssertionError(f"{planted.scenario.name} was shown only {len(found)} times")


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


@dataclass
class Edit:
    """What somebody has put into all targets since: so many more steps here and there."""

    steps: int = 0


EDIT = Edit()


@contextmanager
def edited() -> Iterator[None]:
    """Every target has got two more steps and a task that does nothing."""
    EDIT.steps = 2
    try:
        yield
    finally:
        EDIT.steps = 0


async def more_steps() -> None:
    """Where a target may have got more steps."""
    for _ in range(EDIT.steps):
        await trio.lowlevel.checkpoint()


async def busy(world: World, steps: int = 6) -> None:
    """Somebody who has nothing to do with it, and makes schedules longer."""
    for _ in range(steps):
        await trio.lowlevel.checkpoint()
        await trio.sleep(0.01)


def bystanders(world: World) -> None:
    """Two of them, and since an edit a third."""
    for name in ("left", "right", *(["newcomer"] if EDIT.steps else [])):
        world.start_client(name, busy, world)


async def lost_update(world: World) -> None:
    """Two clients read, then write; the second begins long after the first, first in first out."""
    database = world.database("db")
    database.load("books", {"usdc": {"amount": 0}})
    done: list[int] = []

    async def deposit(wait_s: float) -> None:
        await more_steps()
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
        await more_steps()
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
            await more_steps()
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
        await more_steps()
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
        await more_steps()
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
            await more_steps()
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
        await more_steps()
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
        await more_steps()
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
    Planted(told(lost_update), (("payer 1: deposit", "for payer 2: deposit"),)),
    Planted(
        told(check_then_act, crashes(delay_s=0.2)),
        (("put db/books", "crash restart of ledger"),),
        faults=1,
    ),
    Planted(told(timeout_or_done), (("payer: put db/books", "for payer: pays"),)),
    Planted(
        told(orphan_write, crashes("funding")),
        (
            ("funding#1: put db/books", "crash restart of funding"),
            ("wait until funding#2 is ready", "orphan put db/books/index"),
        ),
        faults=1,
    ),
    Planted(
        told(two_faults, crashes(), faults_max=2), (("", "crash restart of ledger"),) * 2, faults=2
    ),
    Planted(told(turned_round(2)), tuple(("", f"for second {n}: goes") for n in range(2))),
    Planted(told(turned_round(3)), tuple(("", f"for second {n}: goes") for n in range(3))),
    Planted(told(out_of_step), (("main: turns", "main: turns.2"),) * 2),
    Planted(
        told(drained_too_late, crashes("ledger", "rolling")), (("", "restart of ledger"),), faults=1
    ),
]
