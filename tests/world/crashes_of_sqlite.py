"""What power cuts leave of databases of SQLite, by journal mode and pragma synchronous.

python -m tests.world.crashes_of_sqlite       a table, and how many crash runs a second
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import apsw

from harness.engine import Run, campaign, execute
from harness.scenario import Scenario, restart, scenario
from harness.schedule.choices import DECISION, Option
from harness.world.service import Life
from harness.world.sqlite import Sqlite
from harness.world.world import World

_monotonic = time.perf_counter
PAYMENTS = 6
#: Why a rule accuses a run.
LOST, DAMAGED = "every_acknowledged_payment_survives", "the_database_is_sound"


@dataclass(frozen=True, slots=True)
class Setting:
    """How the service sets SQLite up, and whether names are durable at once."""

    journal: str = "delete"
    synchronous: str = "full"
    names_survive: bool = True


def books(setting: Setting, *, kind: str = "power cut") -> Scenario:
    """A service that books payments, and the power of its machine is cut once."""

    @scenario(name="books-in-sqlite", faults=[restart("books", kinds=[kind])])
    async def story(world: World) -> None:
        disk = world.sqlite("disk", of="books", names_survive=setting.names_survive)
        acknowledged: list[int] = []

        async def run(life: Life) -> None:
            await book(life, disk, setting, acknowledged)

        @world.invariant(name=DAMAGED, at_end=True)
        def sound() -> None:
            damage = disk.damage("books.db")
            assert not damage, damage

        @world.invariant(name=LOST, at_end=True)
        def complete() -> None:
            try:
                kept = [row[0] for row in disk.read("books.db", "select amount from payments")]
            except apsw.SQLError:  # not even the table is there
                kept = []
            assert set(acknowledged) <= set(kept), f"{acknowledged} were booked, {kept} are there"

        service = world.service("books", run)
        await service.gone(service.lives[0])

    return story


async def book(life: Life, disk: Sqlite, setting: Setting, acknowledged: list[int]) -> None:
    database = await disk.connect("books.db")
    if setting.journal == "wal":
        await database.execute("pragma locking_mode = exclusive")
    await database.execute(f"pragma journal_mode = {setting.journal}")
    await database.execute(f"pragma synchronous = {setting.synchronous}")
    await database.execute("create table if not exists payments (amount int, words text)")
    life.enter("ready")
    for number in range(life.incarnation * 100, life.incarnation * 100 + PAYMENTS):
        await database.execute("insert into payments values (?, ?)", (number, "x" * 700))
        acknowledged.append(number)


def crash(setting: Setting, *, seed: int, kind: str = "power cut") -> Run:
    """One run in which the power is cut somewhere, by lot, or whatever ``kind`` does."""
    lot = Random(seed)
    strikes_at = lot.randint(2, 3 * PAYMENTS + 10)

    def choose(options: Sequence[Option], step: int) -> int:
        if options[0].kind == DECISION:
            return lot.randrange(len(options))
        faults = [at for at, each in enumerate(options) if f"{kind} restart" in each.label]
        return faults[0] if faults and step >= strikes_at else 0

    return execute(books(setting, kind=kind), seed=seed, choose=choose)


SETTINGS = (
    Setting(synchronous="off"),
    Setting(synchronous="normal"),
    Setting(synchronous="full"),
    Setting(synchronous="full", names_survive=False),
    Setting(synchronous="extra", names_survive=False),
    Setting("truncate", "off"),
    Setting("truncate", "full"),
    Setting("wal", "off"),
    Setting("wal", "normal"),
    Setting("wal", "full"),
)


def main(runs: int = 200) -> None:
    """The table."""
    with campaign():
        for setting in SETTINGS:
            began = _monotonic()
            broken = [crash(setting, seed=seed) for seed in range(runs)]
            seconds = _monotonic() - began
            names = [tuple(each.invariant for each in run.violations) for run in broken]
            damaged = sum(any(name != LOST for name in each) for each in names)
            lost = sum(each == (LOST,) for each in names)
            print(  # noqa: T201
                f"{setting.journal:<9} {setting.synchronous:<7} "
                f"{'' if setting.names_survive else 'names can be lost':<18} "
                f"{damaged:4} damaged {lost:4} lost of {runs}   {runs / seconds:.0f} runs/s"
            )


if __name__ == "__main__":
    main()
