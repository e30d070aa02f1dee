"""Rules about clients and recovery, judged of real processes by what can be seen from outside.

Each planted bug is one that its rule finds in the simulation; here nobody looks into a memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from harness.engine import Run, execute
from harness.errors import UsageError
from harness.live.scenario import live_scenario
from harness.live.world import LiveWorld
from harness.scenario import Scenario
from harness.schedule.choices import Option
from scenarios.january import JANUARY
from scenarios.live_paradex import deploy, judge, paradex_reduced_live
from target_stub.bugs import BUGS
from tests.live.test_paradex import while_the_database_is_away

pytest.importorskip("h11", reason="needs h11: pip install 'changeover[live]'")
pytestmark = pytest.mark.usefixtures("walls")

#: Where a client cannot believe an answer, pays twice, or takes although he was only to rest.
PLANTED = ("refused_but_done", "short_memory", "looked_at_old_news")


@live_scenario(
    bugs={name: BUGS[name].text for name in PLANTED},
    steps_max=120,
    stall_s=10.0,
)
def people_trade(world: LiveWorld) -> None:
    """People pay in and trade while nothing restarts."""
    services = ("chain", "matching", "people")
    records = deploy(world, JANUARY, name="january", services=services)
    world.until("people")
    judge(world, records)


def last(words: str, *, until_step: int) -> Callable[[Sequence[Option], int], int]:
    """First-in-first-out, but what is labelled so waits for all else until some step."""

    def choose(options: Sequence[Option], step: int) -> int:
        if step < until_step:
            for at, option in enumerate(options):
                if words not in option.label and not option.optional:
                    return at
        return 0

    return choose


def played(scenario: Scenario, bug: str, choose: Callable[..., int]) -> Run:
    variant = scenario.variant(bug=bug)
    return execute(scenario, seed=1, choose=choose, variant=variant, recorded=True)


def broken_in(made: Run) -> dict[str, str]:
    return {each.invariant: each.message for each in made.violations}


@pytest.mark.parametrize(
    ("bug", "late", "rule", "words"),
    [
        ("refused_but_done", ("POST /submit", 30), "answers_are_true", "is refused"),
        ("short_memory", ("insert into chain_blocks", 60), "effects_happen_once", "took effect in"),
        ("looked_at_old_news", ("topic_books", 60), "books_are_never_crossed", "post-only order"),
    ],
)
def test_what_clients_are_told_is_heard_at_the_gate(
    bug: str, late: tuple[str, int], rule: str, words: str
) -> None:
    broken = broken_in(played(people_trade, bug, last(late[0], until_step=late[1])))
    assert words in broken[rule], broken


def test_who_does_what_he_says_is_not_accused_in_the_same_order() -> None:
    made = played(people_trade, "none", last("POST /submit", until_step=30))
    assert set(broken_in(made)) == {"finishes_within_limits"}
    rules = {"answers_are_true", "effects_happen_once", "books_are_never_crossed"}
    assert rules <= set(made.held)


def test_who_reads_the_same_again_and_again_does_not_come_back() -> None:
    bugs = {"reads_until_nothing_is_missing": "reads again until nothing is missing"}
    scenario = replace(paradex_reduced_live, bugs=bugs)
    made = played(scenario, "reads_until_nothing_is_missing", while_the_database_is_away)
    broken = broken_in(made)
    assert "#2 has read database/markets/* more than 30 times" in broken["recovery_completes"]


def test_only_services_that_are_asked_by_http_can_be_overheard() -> None:
    world = LiveWorld(seed=0, guards=frozenset(), bug="")
    world.service("ledger", ["ledger"], listens="http")
    with pytest.raises(UsageError, match="unknown service that is asked by HTTP 'ledgr'; did you"):
        world.overhear("ledgr", print)
