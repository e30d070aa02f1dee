"""A deadline that struck too early is told; a reason is about the run that is shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from harness.confirmation import finding_of
from harness.constraints import Explainer
from harness.engine import Run, execute
from harness.findings.finding import Constraint, Finding, StepName
from harness.findings.report import render_text
from harness.scenario import Scenario, scenario
from harness.schedule.orderings import by_constraints
from harness.shrink import Shrunk, shrink
from harness.steps import Clocked
from harness.world.database import Database
from harness.world.world import World
from tests.benchmarks.classics.catalogue import program_of
from tests.benchmarks.reasons import failing

pytestmark = pytest.mark.usefixtures("one_campaign")
HERE = "tests/engine/test_deadlines.py"


def line_of(text: str) -> int:
    """The line of this file that holds a text."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.strip() == text)


# --- an item that is dropped when its worker is too hasty ---------------------------------------


async def pump(receive: trio.MemoryReceiveChannel[int], database: Database) -> None:
    """It stores what it is given, and forgets what takes longer than a second."""
    async for item in receive:
        with trio.move_on_after(1):
            await database.put("items", str(item), {"v": item})


async def drops(world: World) -> None:
    """A worker stores two items; whoever hands them out waits for nothing."""
    database = world.database()
    database.load("items", {})

    @world.invariant(at_end=True)
    def no_item_is_lost() -> None:
        assert len(database.table("items")) == 2, f"only {sorted(database.table('items'))}"

    async def worker() -> None:
        send, receive = trio.open_memory_channel[int](5)
        async with trio.open_nursery() as nursery, send:
            nursery.start_soon(pump, receive, database)
            for item in range(2):
                await send.send(item)

    await world.client("worker", worker)


DROPS = scenario(name="drops")(drops)


@pytest.fixture(scope="module")
def dropped() -> Finding:
    """The second item was dropped."""
    late = StepName("worker: put database/items/1", 1, "operation")
    first = Constraint(StepName("main: drops", 2), late)
    run = execute(DROPS, seed=1, clocked=by_constraints([first]))
    assert run.violated
    return explained(run)[1]


def explained(run: Run) -> tuple[Shrunk, Finding]:
    """A run made small, and its finding with the reason."""
    small = shrink(run, budget_runs=300, wall_s=1e9)
    explanation = small.explanation
    return small, finding_of(small.run, explanation.constraints)


def test_the_deadline_that_gave_up_an_operation_is_named_with_its_line(dropped: Finding) -> None:
    text = render_text(dropped)
    why = " ".join(text[text.index("WHY") : text.index("  step  ")].split())
    line = line_of("with trio.move_on_after(1):")
    deadline = f"worker: deadline (1 s) at {HERE}:{line} before put database/items/1"
    assert deadline in why
    assert why.index(deadline) < why.index("main: goes on")
    assert "Without any one of these all rules hold (checked)." in why


def test_the_diagram_has_the_line_of_the_deadline_and_what_was_lost(dropped: Finding) -> None:
    text = render_text(dropped)
    rows = text[text.index("  step  ") : text.index("REPRODUCE")].splitlines()
    line = line_of("with trio.move_on_after(1):")
    struck = next(number for number, row in enumerate(rows) if f"{HERE}:{line}" in row)
    assert "put database/items/1 is not done" in rows[struck + 1]
    assert rows[struck].split()[1] == rows[struck + 1].split()[0], "at the same step"


# --- a lock that is taken when nobody waits for it any more --------------------------------------


async def takes_turns(world: World) -> None:
    """Two clients want one lock; who gives up may get it all the same, and never gives it back."""
    database = world.database()
    database.load("locks", {})

    @world.invariant(at_end=True)
    def the_lock_is_free() -> None:
        assert not database.table("locks"), f"locks {database.table('locks')}"

    async def wants(name: str, patience_s: float) -> None:
        with trio.move_on_after(patience_s):
            while not await database.compare_and_put("locks", "a", {"by": name}, None):
                await trio.sleep(0.5)
            with trio.CancelScope(shield=True):
                await database.put("jobs", name, {"done": 1})
                await database.delete("locks", "a")

    hasty = world.start_client("hasty", wants, "hasty", 1)
    await world.client("patient", wants, "patient", 50)
    await world.finished(hasty)


TURNS = scenario(name="turns", time_max_s=120)(takes_turns)
STRIKES = StepName("clock for hasty: wants", 1, "timer")
TAKES = StepName("hasty: compare and put database/locks/a", 1, "operation")
TRIES = StepName("patient: compare and put database/locks/a", 1, "operation")
FREES = StepName("patient: delete database/locks/a", 1, "operation")


def keeping(subject: Scenario, *constraints: Constraint) -> Run:
    """A run that keeps these, up to where it breaks."""
    return execute(subject, seed=1, clocked=by_constraints(constraints), until_violation=True)


def test_a_step_that_never_comes_is_no_reason() -> None:
    """``FREES`` before ``TAKES`` suffices to hold that one back, but here nobody frees the lock."""
    run = keeping(TURNS, Constraint(STRIKES, TAKES), Constraint(TAKES, TRIES))
    assert run.violated

    def executes(clocked: Clocked) -> Run:
        return execute(TURNS, seed=1, clocked=clocked, until_violation=True)

    explainer = Explainer(run, executes, lambda: True)
    never = Constraint(FREES, TAKES)
    assert FREES not in {step.name for step in explainer.failing}
    for given in ([never], [Constraint(STRIKES, TAKES), never]):
        told = explainer.explanation(given).constraints
        assert told and all(explainer.is_kept(each) for each in told)
        assert [(each.before, each.after) for each in told] == [(STRIKES, TAKES)]
        assert all(each.checked for each in told)


def test_few_choices_are_not_saved_by_hundreds_of_steps() -> None:
    small, finding = explained(failing(TURNS))
    assert small.shrinking.choices[0] > small.shrinking.choices[1]
    assert small.run.steps < 30, "with one choice less it takes hundreds, for the lock stays taken"
    assert comes_true(finding.constraints)


def comes_true(constraints: Sequence[Constraint]) -> bool:
    """Whether the first of each two steps came in the run, and not after the other one."""
    return bool(constraints) and all(
        each.before.step > 0 and (not each.after.step or each.before.step < each.after.step)
        for each in constraints
    )


def test_an_order_found_for_a_longer_run_is_not_told_of_the_small_one() -> None:
    _, finding = explained(failing(program_of("ack_before_write").scenario()))
    assert comes_true(finding.constraints)
