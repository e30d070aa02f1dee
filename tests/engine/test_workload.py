"""Operations of clients that a schedule leaves out: named in its token, found by the shrinker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from harness.confirmation import finding_of
from harness.doors.regressions import same_variant
from harness.engine import Run, campaign, execute
from harness.errors import UsageError
from harness.findings import serial
from harness.findings.report import render_text
from harness.replay import STILL_FAILS, replay
from harness.schedule.choices import Option, Schedule
from harness.schedule.fragments import by_labels
from harness.schedule.workload import WITHOUT, Workload, left_out_of, left_out_text
from harness.shrink import Shrunk, shrink
from harness.world.world import World
from tests.engine.planted import amount, broken_when, bystanders, noisy, say
from tests.engine.worlds import run_of, told

pytestmark = pytest.mark.usefixtures("one_campaign")

DEPOSITS, BONUSES = 20, 3
#: The one deposit that is booked without looking whether the balance is still what was read.
CARELESS = 13


async def deposits(world: World) -> None:
    """Twenty deposits and three bonuses; the careless one loses what comes between."""
    database = world.database("db")
    database.load("books", {"usdc": {"amount": 0}})
    booked: list[int] = []

    async def books(careless: bool) -> None:
        row = await database.get("books", "usdc")
        more = {"amount": amount(row) + 1}
        if careless:
            await database.put("books", "usdc", more)
        elif not await database.compare_and_put("books", "usdc", more, row):
            return
        booked.append(1)
        say(world, "booked")

    async def client(name: str, operations: int, at_s: float) -> None:
        await trio.sleep(at_s)
        for number in range(1, operations + 1):
            await trio.sleep(0.01)
            if world.does(name):
                await books(careless=(name, number) == ("payer", CARELESS))

    broken_when(world, lambda: amount(database.table("books")["usdc"]) < len(booked))
    bystanders(world)
    lanes = [
        world.start_client("payer", client, "payer", DEPOSITS, 0),
        world.start_client("bank", client, "bank", BONUSES, CARELESS / 100 - 0.015),
    ]
    for lane in lanes:
        await world.finished(lane)


SCENARIO = told(deposits)
#: The bank comes between what the careless deposit reads and what it writes.
GUIDE = tuple(
    ("payer: put db/books", f"bank: {doing}")
    for doing in (
        "client",
        "client",
        "get db/books/usdc",
        "client",
        "compare and put db/books/usdc",
    )
)


def failing() -> Run:
    """A run with choices to leave out."""
    for seed in range(200):
        run = execute(SCENARIO, seed=5, choose=noisy(GUIDE, seed, noise=0.05))
        if run.violated and len(run.deviations) > len(GUIDE):
            return run
    raise AssertionError("no deposit was ever lost")


@pytest.fixture(scope="module")
def small() -> Shrunk:
    """The smallest run."""
    with campaign():
        return shrink(failing(), budget_runs=800, wall_s=1e9)


def done(run: Run) -> dict[str, list[int]]:
    """What each client did, by number."""
    left_out = set(left_out_of(run.schedule.variant.get(WITHOUT, "")))
    return {
        client: [number for number in range(1, last + 1) if (client, number) not in left_out]
        for client, last in run.operations.items()
    }


def test_only_the_operations_that_matter_are_left(small: Shrunk) -> None:
    assert small.shrinking.ended_by == "one-minimal"
    left = done(small.run)
    assert left["payer"] == [CARELESS] and len(left["bank"]) == 1
    assert small.shrinking.operations == (DEPOSITS + BONUSES, 2)
    assert 1 <= len(small.run.deviations) <= 3


def test_none_of_them_can_be_left_out(small: Shrunk) -> None:
    left_out = set(left_out_of(small.run.schedule.variant[WITHOUT]))
    for client, numbers in done(small.run).items():
        for number in numbers:
            more = {WITHOUT: left_out_text({*left_out, (client, number)})}
            moved = by_labels(small.run.deviations)
            assert not execute(SCENARIO, seed=5, clocked=moved, variant=more).violated


async def appointment(world: World) -> None:
    """Who comes before anybody waits for him wakes nobody; who never comes does not, either."""
    here: list[str] = []
    met = trio.Event()

    async def ann() -> None:
        for _ in range(3):
            await trio.lowlevel.checkpoint()
        if world.does("ann"):
            somebody_waits = "main" in here
            here.append("ann")
            if somebody_waits:
                met.set()

    world.start_client("ann", ann)
    if "ann" not in here:
        await trio.lowlevel.checkpoint()
        here.append("main")
        await met.wait()


def test_what_the_story_waits_for_is_not_left_out() -> None:
    def hasty(options: Sequence[Option], step: int) -> int:
        return next((i for i, each in enumerate(options) if each.lane == "ann"), 0)

    scenario = told(appointment)
    run = execute(scenario, seed=1, choose=hasty)
    assert run.violated and not execute(scenario, seed=1).violated
    small = shrink(run, budget_runs=200, wall_s=1e9)
    assert small.shrinking.ended_by == "one-minimal"
    assert done(small.run) == {"ann": [1]}
    assert small.run.deviations


def test_the_token_says_it_all(small: Shrunk) -> None:
    assert "+without=" in small.run.token
    assert Schedule.parse(small.run.token) == small.run.schedule
    finding = replace(finding_of(small.run), shrinking=small.shrinking)
    assert serial.loads(serial.dumps(finding)) == finding
    again = replay(finding, times=2, scenario=SCENARIO)
    assert again.outcome == STILL_FAILS and again.exact
    bare = replay(Schedule.parse(finding.token), scenario=SCENARIO)
    assert bare.digests == again.digests[:1]
    assert f"{DEPOSITS + BONUSES} -> 2 operations" in " ".join(render_text(finding).split())
    assert same_variant(finding, {}), "what was left out is no other variant of the target"
    assert not same_variant(finding, {"bug": "other"})


def test_nothing_changes_where_nothing_is_left_out() -> None:
    """Asking adds no step and no option: the run is the same as if nobody had asked."""

    def story(*, asks: bool) -> Run:
        async def told_so(world: World) -> None:
            assert not asks or world.does("payer")
            bystanders(world)
            await trio.sleep(0.05)

        return run_of(told(told_so))

    asked, unasked = story(asks=True), story(asks=False)
    assert asked.digest == unasked.digest and asked.token == unasked.token
    assert asked.operations == {"payer": 1} and unasked.operations == {}


def test_clients_count_their_operations_and_skip_those_that_are_left_out() -> None:
    workload = Workload("bob.1.alice.2-3")
    assert [workload.does("alice") for _ in range(4)] == [True, False, False, True]
    assert [workload.does("bob") for _ in range(2)] == [False, True]
    assert workload.offered == {"alice": 4, "bob": 2}


@pytest.mark.parametrize("text", ["3", "alice.", "alice.3-", ".", "alice.x y"])
def test_a_text_that_names_no_operations_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected client\.1-6\.8"):
        Workload(text)


def test_a_client_whose_name_cannot_stand_in_a_token_is_told_so() -> None:
    with pytest.raises(UsageError, match="a letter first"):
        Workload().does("payer 1")


@given(st.sets(st.tuples(st.sampled_from(["a", "b-1", "c_2"]), st.integers(1, 30))))
def test_what_is_left_out_survives_the_token(left_out: set[tuple[str, int]]) -> None:
    text = left_out_text(left_out)
    assert set(left_out_of(text)) == left_out
    variant: Mapping[str, str] = {WITHOUT: text} if text else {}
    assert Schedule.parse(Schedule("some", 1, {}, variant).token).variant == variant
