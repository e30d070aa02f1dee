"""A finding says what its steps were about: what timed out, was sent, or where it went on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
import trio

from harness.confirmation import finding_of
from harness.engine import Run, execute
from harness.findings.finding import Constraint, Finding, StepName
from harness.findings.html import render_html
from harness.findings.report import render_text
from harness.scenario import Scenario, restart, scenario
from harness.schedule.orderings import by_constraints
from harness.shrink import shrink
from harness.world.database import Database
from harness.world.network import Network
from harness.world.service import Life
from harness.world.world import World

pytestmark = pytest.mark.usefixtures("one_campaign")
HERE = "tests/engine/test_narration.py"


def line_of(text: str) -> int:
    """The line of this file that holds a text."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.strip() == text)


async def bank(database: Database, network: Network, life: Life) -> None:
    """It pays whatever it is asked to, and then says so."""
    requests = network.listen("bank")
    life.enter("ready")
    async for request in requests:
        paid = len(await database.scan("paid"))
        await database.put("paid", f"p{paid}", {"amount": request.payload})
        await request.reply("ok")


async def worker(network: Network, life: Life) -> None:
    """It asks again when it hears nothing."""
    life.enter("ready")
    for _ in range(2):
        try:
            await network.call("bank", "pay", 10, timeout_s=2)
        except TimeoutError:
            continue
        break
    await trio.sleep_forever()


async def pays(world: World) -> None:
    """Somebody is paid by a worker that is not patient."""
    database, network = world.database(), world.network()
    database.load("paid", {})

    @world.invariant(at_end=True)
    def paid_once() -> None:
        paid = len(database.table("paid"))
        assert paid < 2, f"paid {paid} times"

    await world.service("bank", partial(bank, database, network)).ready()
    await world.service("worker", partial(worker, network)).ready()
    await trio.sleep(10)


async def counts(database: Database, told: list[int], life: Life) -> None:
    """It counts in memory what it has read once."""
    row = await database.get("counts", "a")
    count = row["count"] if row else 0
    assert isinstance(count, int)
    life.enter("ready")
    for _ in range(3):
        await trio.sleep(1)
        count += 1
        await database.put("counts", "a", {"count": count})
        told.append(count)
    await trio.sleep_forever()


async def is_counted(world: World) -> None:
    """A counter is replaced while it counts."""
    database, told = world.database(), list[int]()
    database.load("counts", {"a": {"count": 0}})

    @world.invariant(at_end=True)
    def nothing_is_forgotten() -> None:
        assert told[-1:] >= [len(told)]

    await world.service("counter", partial(counts, database, told)).ready()
    await trio.sleep(20)


def keeping(subject: Scenario, *orders: tuple[StepName, StepName]) -> Run:
    """A run that keeps these orders, and breaks a rule."""
    constraints = [Constraint(before, after) for before, after in orders]
    run = execute(subject, seed=1, clocked=by_constraints(constraints))
    assert run.violated
    return run


def explained(run: Run) -> Finding:
    """The finding of a run, with its reason."""
    small = shrink(run, budget_runs=200, wall_s=1e9)
    return finding_of(small.run, small.explanation.constraints)


@pytest.fixture(scope="module")
def impatient() -> Finding:
    """A call timed out before the bank had paid."""
    timeout = StepName("clock for worker#1: run", 1, "timer")
    put = StepName("bank#1: put database/paid/p0", 1, "operation")
    return explained(keeping(scenario(name="impatient")(pays), (timeout, put)))


def section(text: str, name: str, until: str) -> str:
    """A part of a report on one line."""
    return " ".join(text[text.index(name) : text.index(until)].split())


def test_a_call_that_timed_out_is_the_reason(impatient: Finding) -> None:
    why = section(render_text(impatient), "WHY", "  step  ")
    assert "worker#1: timeout of call bank.pay (2 s) before bank#1: put database/paid/p0" in why
    assert "all rules hold (checked)" in why
    for page in (render_text(impatient), render_html(impatient)):
        assert "clock ->" not in page


def test_the_diagram_shows_the_call_that_timed_out_and_what_it_wrote(impatient: Finding) -> None:
    text = render_text(impatient)
    rows = text[text.index("  step  ") : text.index("REPRODUCE")].splitlines()
    assert all(name in rows[0] for name in ("worker", "bank", "database"))
    called, timed_out, wrote = (
        next(number for number, row in enumerate(rows) if words in row)
        for words in ("call 10", "timeout of call bank.pay", "put -> amount=10")
    )
    assert called < timed_out < wrote


def test_the_steps_of_a_late_rule_have_rows_and_columns() -> None:
    subject = scenario(name="counted", faults=[restart("counter", kinds=["rolling"])])(is_counted)
    names: Sequence[StepName] = (
        StepName("nemesis: rolling restart of counter", 1, "fault"),
        StepName("counter#2: get database/counts/a", 1, "operation"),
        StepName("counter#1: put database/counts/a", 1, "operation"),
    )
    finding = explained(keeping(subject, (names[0], names[2]), (names[1], names[2])))
    text = render_text(finding)
    told = [name for each in finding.constraints for name in (each.before, each.after)]
    assert told and all(name.step for name in told)
    rows = text[text.index("  step  ") : text.index("REPRODUCE")].splitlines()
    assert "counter " in rows[0] and "database" in rows[0]
    shown = {int(row[2:7]) for row in rows[1:] if row[2:7].strip().isdigit()}
    assert {name.step for name in told} <= shown
    page = render_html(finding)
    assert "<th>counter</th>" in page and "<th>the others</th>" not in page


def test_a_step_without_a_name_says_what_it_sends_or_where_it_goes_on() -> None:
    async def spoiled(world: World) -> None:
        await is_counted(world)
        raise ValueError("for a finding")

    sends = StepName("counter#1: run", 3)
    goes_on = StepName("counter#1: run", 2)
    sleeps = StepName("clock for counter#1: run", 1, "timer")
    run = execute(scenario(name="spoiled")(spoiled), seed=1)
    asked = (Constraint(goes_on, sleeps), Constraint(sleeps, sends))
    first, second = finding_of(run, asked).constraints
    line = line_of("await trio.sleep(1)")
    got = line_of('row = await database.get("counts", "a")')
    assert first.before.words == f"goes on at {HERE}:{got}"
    assert first.after.words == f"end of sleep (1 s) at {HERE}:{line}"
    assert second.after.words == "sends put database/counts/a"
    assert (first.before.step, first.after.step) < (second.before.step, second.after.step)


def test_a_deadline_of_the_target_says_where_it_was_set() -> None:
    async def limited(world: World) -> None:
        with trio.move_on_after(3):
            await trio.sleep(60)
        raise ValueError("too slow")

    run = execute(scenario(name="limited")(limited), seed=1)
    asked = Constraint(StepName("clock for main: limited", 1, "timer"), StepName("main: limited"))
    (told,) = finding_of(run, [asked]).constraints
    assert told.before.words == f"deadline (3 s) at {HERE}:{line_of('with trio.move_on_after(3):')}"
