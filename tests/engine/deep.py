"""Restart races that lie several restarts deep: what a recovery does when it is cut short, too."""

from __future__ import annotations

from random import Random

import trio

from harness.engine import execute
from harness.history import derive_seed
from harness.invariants import Broken
from harness.scenario import Scenario
from harness.schedule.strategies.protocol import Seen, Strategy
from harness.world.service import Life
from harness.world.world import World
from tests.engine.worlds import crashes, told


def repairs(depth: int) -> Scenario:
    """A ledger that writes two rows; if only the first is there, it repairs, and so on.

    Each repair writes two rows as well, and has a repair of its own. The one at ``depth`` forgets
    the first row, so the bug needs ``depth`` power cuts, each between two writes that only the cut
    before made possible.
    """

    async def story(world: World) -> None:
        database = world.database("db")
        database.load("rows", {})

        async def pair(life: Life, level: int) -> None:
            await database.put("rows", f"first {level}", {"by": life.name})
            await database.put("rows", f"second {level}", {"by": life.name})

        async def ledger(life: Life) -> None:
            life.enter("hydrate")
            rows = await database.scan("rows")
            torn = sum(1 for key in rows if str(key).startswith("first"))
            whole = sum(1 for key in rows if str(key).startswith("second"))
            if torn and torn > whole:
                life.enter(f"repair {torn}")
                if torn == depth:
                    await database.put("rows", "lost", {"by": life.name})
                else:
                    await pair(life, torn + 1)
            life.enter("ready")
            if not torn:
                await pair(life, 1)
            for _ in range(6):
                await trio.sleep(0.05)
                await database.get("rows", "first 1")

        @world.invariant(name="no_row_is_lost", on=("db/",))
        def rule() -> None:
            if "lost" in database.table("rows"):
                raise Broken("the repair of a repair forgot a row")

        async def reads() -> None:
            for _ in range(5):
                await trio.sleep(0.04)
                await database.get("rows", "second 1")

        world.service("ledger", ledger)
        for name in ("left", "right"):
            world.start_client(name, reads)
        await trio.sleep(2)

    story.__name__ = f"repairs_{depth}"
    return told(story, crashes(delay_s=0.01), faults_max=depth + 1)


def schedules_to_bug(strategy: Strategy, scenario: Scenario, seed: int, *, most: int) -> int:
    """How many schedules a strategy needs; one more than ``most`` when it finds nothing."""
    seen, lessons = Seen(), [execute(scenario, seed=seed, profiled=True).lesson(0, "fifo")]
    for number in range(1, most + 1):
        if number % 50 == 1:
            seen, lessons = seen.after(lessons), []
        choose = strategy(number, Random(derive_seed(seed, number)), seen)
        assert choose is not None
        run = execute(scenario, seed=seed, choose=choose)
        if run.violated:
            return number
        lessons.append(run.lesson(number, ""))
    return most + 1
