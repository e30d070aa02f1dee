"""The price of whole scenarios: the incident, a small ledger, judging, digests and shrinking."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

from harness.engine import Run, execute
from harness.invariants import Invariant, Judge
from harness.scenario import Scenario, restart
from harness.schedule.choices import Chooser
from harness.schedule.strategies.portfolio import STRATEGIES
from harness.schedule.strategies.protocol import Seen, choose_first
from harness.shrink import shrink
from harness.world.service import Life
from harness.world.world import World
from tests.benchmarks.detection import load, search
from tests.benchmarks.table import Row, median, ratio, seconds, side_by_side

INCIDENT = "paradex-2026-01-19"


async def deposit_and_restart(world: World) -> None:
    """Ten deposits into a service that writes through to its database and is restarted once."""
    database, network = world.database("ledger"), world.network("network")

    async def ledger(life: Life) -> None:
        life.enter("hydrate")
        row = await database.get("accounts", "trader")
        balance = row["balance"] if row else 0
        assert isinstance(balance, int)
        async with network.listen("ledger") as requests:
            life.enter("ready")
            async for request in requests:
                balance += request.payload
                await database.put("accounts", "trader", {"balance": balance})
                await request.reply(balance)

    service = world.service("ledger", ledger)

    async def deposit_ten_times() -> int:
        await service.ready()
        done = 0
        while done < 10:
            try:
                done = int(await network.call("ledger", "deposit", 1))
            except ConnectionError:
                await service.ready()
        return done

    @world.invariant(on=("ledger/",))
    def no_balance_is_negative() -> None:
        """Nobody owes the ledger."""
        row = database.table("accounts").get("trader")
        assert row is None or str(row["balance"]).isdigit()

    client = world.start_client("trader", deposit_ten_times)
    await service.restart("crash")
    await world.finished(client)


SMALL_LEDGER = Scenario("small-ledger", deposit_and_restart, faults=(restart("ledger"),))


class _Deaf(Judge):
    """A judge who is told no rule."""

    def add(self, invariant: Invariant) -> None:
        """Forget it."""


def unjudged(scenario: Scenario) -> Scenario:
    """The same story without a judge."""

    async def story(world: World) -> None:
        world.judge = _Deaf()
        await scenario.story(world)

    return replace(scenario, story=story)


def rows(*, quick: bool) -> Iterator[Row]:
    """Runs and steps a second of whole scenarios, and what the extras cost."""
    incident, repeats = load(INCIDENT), 2 if quick else 9
    guarded = incident.variant(guards="all")
    subjects: dict[str, Callable[[int], Run]] = {
        "incident, first in first out": partial(_run, incident, choose_first),
        "incident, random": partial(_randomly, incident, {}),
        "incident, random, all guards": partial(_randomly, incident, guarded),
        "small ledger, random": partial(_randomly, SMALL_LEDGER, {}),
    }
    counts: dict[str, list[int]] = {name: [] for name in subjects}
    figures = side_by_side(
        {
            name: partial(_seconds_of_run, subject, counts[name], 2 if quick else 6)
            for name, subject in subjects.items()
        },
        repeats,
    )
    for name, spent in figures.items():
        steps_per_s = median(
            n / s for n, s in zip(_per_turn(counts[name], spent), spent, strict=True)
        )
        yield Row(name, f"{1 / median(spent):,.0f} runs/s", f"{steps_per_s:,.0f} steps/s")
    yield from _extras(incident, repeats)
    yield _shrinking(incident, quick=quick)


def _per_turn(counts: list[int], spent: list[float]) -> list[float]:
    """The mean number of steps of a run, turn by turn."""
    runs = len(counts) // len(spent)
    return [sum(counts[turn * runs :][:runs]) / runs for turn in range(len(spent))]


def _seconds_of_run(subject: Callable[[int], Run], counts: list[int], runs: int) -> float:
    def work() -> None:
        counts.extend(subject(number).steps for number in range(runs))

    return seconds(work) / runs


def _run(scenario: Scenario, choose: Chooser, number: int, *, digested: bool = False) -> Run:
    return execute(scenario, seed=number, choose=choose, digested=digested)


def _randomly(scenario: Scenario, variant: Mapping[str, str], number: int) -> Run:
    chooser = STRATEGIES["random"](number, random.Random(number), Seen(1_000))
    assert chooser is not None
    return execute(scenario, seed=0, choose=chooser, variant=variant)


def _extras(incident: Scenario, repeats: int) -> Iterator[Row]:
    """The same first-in-first-out run with more or less done besides."""
    subjects: dict[str, Callable[[], object]] = {
        "judged": lambda: _run(incident, choose_first, 0),
        "unjudged": lambda: _run(unjudged(incident), choose_first, 0),
        "digested": lambda: _run(incident, choose_first, 0, digested=True),
    }
    spent = side_by_side({name: partial(seconds, work) for name, work in subjects.items()}, repeats)
    ms = {name: f"{median(figures) * 1000:.1f} ms" for name, figures in spent.items()}
    yield Row("one run without judging", ms["unjudged"])
    yield Row("one run, judged", ms["judged"], f"{ratio(spent['judged'], spent['unjudged']):.2f} x")
    yield Row(
        "one run, judged and digested",
        ms["digested"],
        f"{ratio(spent['digested'], spent['unjudged']):.2f} x",
    )


def _shrinking(incident: Scenario, *, quick: bool) -> Row:
    """The first finding of the default search, made small."""
    name = "shrinking the first finding"
    found = search(incident, "portfolio", seed=0, schedules=20 if quick else 300)
    if found.run is None:
        return Row(name, "nothing found")
    run, runs = found.run, 0

    def work() -> None:
        nonlocal runs
        runs = shrink(run, budget_runs=10 if quick else 500, wall_s=120.0).shrinking.runs

    spent_s = seconds(work)
    return Row(name, f"{spent_s:.1f} s", f"{runs} runs")
