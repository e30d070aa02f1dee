"""Answers that get lost and processes that are stopped for a while, and the bugs they find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from harness.campaign import Plan, explore
from harness.engine import execute
from harness.errors import UsageError
from harness.live.launching import FORKED
from harness.live.scenario import live_restart, live_scenario, lost_answer
from harness.live.world import LiveWorld, Overheard
from harness.scenario import Scenario
from tests.live.deployments import BOOKS, hand, python, scripted
from tests.live.test_peers import streaming
from tests.live.test_stage import last, run

pytestmark = pytest.mark.usefixtures("walls")


@live_scenario(name="live-payer", faults=[lost_answer("payer")], guards=["key"])
def payer(world: LiveWorld) -> None:
    """A service that pays once, and again if nobody has answered."""
    world.database("create table paid (id serial primary key, name text unique)")
    world.service("payer", **python("payer", "database", *sorted(world.guards)), boot=FORKED)
    world.observe("paid", "select count(*) from paid")

    @world.invariant(on=("paid",))
    def nothing_is_paid_twice() -> None:
        assert world.value("paid") in ("0", "1")


def test_a_payment_is_made_twice_when_its_answer_gets_lost() -> None:
    lose = "nemesis: lose the answer to payer#1.0: insert into paid"
    made = run(payer, lose, "payer#1.1: insert")
    assert last(made, "paid") == "2" and made.overlapped
    assert [each.invariant for each in made.violations] == ["nothing_is_paid_twice"]
    struck = next(event for event in made.history if event.kind == "fault")
    assert (struck.operation, struck.resource) == ("lost answer", "payer#1")
    # One fault in a run, and none when it is first in, first out.
    assert made.offered[1] == made.taken[1:2]
    assert not execute(payer, seed=0).violations


def test_a_key_that_is_taken_once_stops_it() -> None:
    plan = Plan(seed=0, schedules=4, strategies=("random",), variant={"guards": "all"})
    result = explore(payer, plan)
    assert not result.findings and not result.vacuous


def test_the_lost_answer_is_found_by_the_search() -> None:
    result = explore(payer, Plan(seed=0, schedules=8, strategies=("random",), shrink_budget=10))
    (finding,) = result.findings
    assert finding.replays == (3, 3)
    assert [each.taken.partition(":")[0] for each in finding.deviations] == ["nemesis"]


def test_the_answer_of_a_service_gets_lost_after_all_it_had_to_do() -> None:
    heard: list[Overheard] = []

    @live_scenario(name="live-again", faults=[lost_answer("payer", of="ledger")])
    def again(world: LiveWorld) -> None:
        world.database(BOOKS)
        world.service("ledger", **python("ledger"), listens="http", boot=FORKED)
        world.service("payer", **python("payer", "ledger"), boot=FORKED)
        world.observe("amount", "select amount from books where name = 'ann'")
        world.overhear("ledger", heard.append)

    made = run(again, "nemesis: lose the answer to payer#1.ledger.0: POST /add", "ledger#1.0: sel")
    assert last(made, "amount") == "2"
    asked = [event for event in made.history if event.peer == "ledger" and event.lane == "payer#1"]
    assert [str(event.value)[:3] for event in asked] == ["200", "200"]
    assert asked[0].step == 3 and made.taken[3] == "payer#1.ledger.1: POST /add"
    add = Overheard("payer#1", "add", b"")
    once = [add, add, replace(add, status=200, told=b"done")]
    assert heard == 2 * once, "the first answer is not told; the run was made twice"


def test_only_what_may_change_something_is_worth_losing() -> None:
    @live_scenario(name="live-reader", faults=[lost_answer("ann", of="store")])
    def reader(world: LiveWorld) -> None:
        world.server("store", **python("store"), prepare=["POST /reset"])
        world.service("ann", **python("caller", "store GET /n", "store PUT /n {}"), boot=FORKED)

    assert [len(each) for each in run(reader).offered] == [1, 2]


# --- stopped for a while --------------------------------------------------------------------------


def paused(script: Sequence[str], kind: str = "pause") -> Scenario:
    """Two services that do what they are told; the second one is stopped for a while."""
    return scripted({"b": [hand("b")], "a": script}, kinds=[kind])


def test_who_is_stopped_does_nothing_until_it_goes_on() -> None:
    scenario = paused([hand("1"), hand("2")])
    made = run(scenario, "nemesis: pause a", "a#1.0: update", "b#1.0: update", "nemesis: continue")
    # What it had sent arrives, and the answer is not read.
    assert made.offered[2] == ("b#1.0: " + hand("b")[:72], "nemesis: continue a#1")
    assert made.offered[3] == ("nemesis: continue a#1",)
    assert last(made, "hands") == "1b2," and made.overlapped
    assert not made.violations


def test_going_on_is_no_choice_to_leave_out() -> None:
    made = run(paused([hand("1")]), "nemesis: pause a")
    assert "nemesis: continue a#1" in made.taken


def test_a_sleep_that_was_stopped_goes_on() -> None:
    scenario = paused(["sleep:3600", hand("1")])
    made = run(scenario, "nemesis: pause a", "b#1.0: update", "nemesis: continue a#1")
    assert made.offered[1] == ("b#1.0: " + hand("b")[:72], "nemesis: continue a#1")
    assert made.taken[3:] == ("nemesis: a#1 has slept", "a#1.0: " + hand("1")[:72])


def test_an_event_loop_that_was_stopped_waits_for_the_same_as_before() -> None:
    scenario = streaming(housekeeping=True, faults=[live_restart("plain", kinds=["pause"])])
    made = run(scenario, "nemesis: pause plain", "ann#1.plain.0: POST", "nemesis: continue")
    assert made.offered[2] == ("nemesis: continue plain#1",)
    assert last(made, "said") == "100 200 4, 2" and not made.violations


FAILOVER = [live_restart("leader", kinds=["failover"])]


@live_scenario(name="live-leader", faults=FAILOVER)
def leader(world: LiveWorld) -> None:
    """A leader that is stopped is followed by another one, and goes on."""
    leader_of(world)


def leader_of(world: LiveWorld, *arguments: str) -> None:
    world.database(
        "create table epochs (number int); insert into epochs values (0);"
        "create table writes (id serial primary key, epoch int)"
    )
    world.service("leader", **python("leader", *arguments), boot=FORKED)
    world.observe("writes", "select string_agg(epoch::text, ',' order by id) from writes")

    @world.invariant(on=("writes",))
    def no_leader_writes_after_the_next_one() -> None:
        assert world.value("writes") != "2,1"


STALE = (
    "leader#1.0: update",
    "nemesis: failover restart of leader",
    "nemesis: start leader#2",
    "leader#2.0: update",
    "leader#2.0: insert",
)


def test_a_leader_that_was_stopped_writes_after_the_one_that_followed_it() -> None:
    made = run(leader, *STALE)
    assert last(made, "writes") == "2,1"
    assert [each.invariant for each in made.violations] == ["no_leader_writes_after_the_next_one"]


def test_a_fence_stops_the_same_schedule() -> None:
    @live_scenario(name="live-fenced", faults=FAILOVER)
    def fenced(world: LiveWorld) -> None:
        leader_of(world, "fence")

    made = run(fenced, *STALE)
    assert last(made, "writes") == "2" and not made.violations


def test_a_fault_that_does_not_exist_is_told() -> None:
    with pytest.raises(UsageError, match="did you mean 'pause'"):
        live_restart("a", kinds=["pauses"])
