"""The lost update of an overlapping restart, found and closed by the searches we have."""

from __future__ import annotations

from collections import deque
from statistics import median

import pytest

from harness.campaign import NOT_DETERMINISTIC, Plan, explore
from harness.cli import main
from harness.engine import execute
from harness.errors import UntrustworthyError
from harness.live.footprints import Footprints
from harness.proof.bounds import Bound
from harness.proof.errands import Errand, Subject, observe
from harness.proof.explorer import Explorer
from harness.schedule.choices import EVERYTHING
from harness.schedule.strategies.portfolio import Rotation
from harness.schedule.strategies.protocol import Seen
from tests.live.deployments import funding, moody

walls = pytest.mark.usefixtures("walls")


@walls
def test_first_in_first_out_never_loses_an_update() -> None:
    made = execute(funding, seed=0)
    assert made.ending.kind == "finished" and not made.violations
    assert made.held == ("the_index_is_what_was_paid",)


@walls
def test_a_random_order_loses_one_soon() -> None:
    first = execute(funding, seed=0, profiled=True)
    seen = Seen().after([first.lesson(1, "fifo")])
    needed: list[int] = []
    for seed in range(3):
        rotation, number = Rotation(("random",), seed=seed), 0
        violated = False
        while not violated and number < 12:
            turn = rotation.next(seen)
            assert turn is not None
            number += 1
            violated = execute(funding, seed=0, choose=turn[1], until_violation=True).violated
        needed.append(number)
    assert median(needed) <= 5, needed


@walls
def test_the_atomic_update_holds_under_the_order_that_breaks_the_other() -> None:
    for variant, broken in (({}, True), ({"guards": "all"}, False)):
        made = execute(
            funding, seed=0, choose=lambda options, step: int(step == 1), variant=variant
        )
        assert made.restarts == 1 and made.overlapped
        assert made.violated is broken
        # What it cost is asked while the database is still there, and only if a rule is broken.
        assert [str(fact.value) for fact in made.blast_radius] == (["2"] if broken else [])


@walls
def test_an_exhaustive_search_is_closed_and_makes_every_order_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Footprints, "of_last_step", lambda *_: EVERYTHING)
    subject = Subject(funding, 0, {}, Bound())
    explorer = Explorer(subject)
    explorer.past_violations = True
    orders: set[tuple[int, ...]] = set()
    broken = 0
    errands: deque[Errand] = deque()
    while not explorer.done:
        errands += explorer.errands()
        errand = errands.popleft()
        seen = observe(subject, errand, explorer.vocabulary, past_violations=True)
        explorer.learn(seen)  # raises if the same choices led to another place
        orders.add((*errand.prefix, *(step.choice for step in seen.steps)))
        broken += bool(seen.violations)
        assert explorer.tally.runs <= 60
    assert explorer.tally.complete == len(orders) == len(list(interleavings())) == 25
    assert broken == sum(map(loses, interleavings())) == 20


# --- the same counted by hand -----------------------------------------------------------------

Order = tuple[str, ...]


def interleavings(done: Order = ()) -> list[Order]:
    """All orders of: read, write under a lock, commit, of one service and of one that follows it.

    ``new`` starts the second one. Who writes while the other one holds the lock waits, and has
    written as soon as the other one has committed.
    """
    counts = {who: sum(each.startswith(who) for each in done) for who in ("1", "2")}
    started = "new" in done
    can: list[str] = []
    for who, other in (("1", "2"), ("2", "1")):
        waits = (
            counts[who] == 2
            and counts[other] == 2
            and done.index(who + "w") > done.index(other + "w")
        )
        if counts[who] < 3 and not waits and (who == "1" or started):
            can.append(who + "rwc"[counts[who]])
    if not can:
        return [done]
    if not started and counts["1"] < 3:
        can.append("new")
    return [order for move in can for order in interleavings((*done, move))]


def loses(order: Order) -> bool:
    """Whether the second one has read before the first one had committed, or the other way."""
    if "new" not in order:
        return False
    return order.index("2r") < order.index("1c") and order.index("1r") < order.index("2c")


# --- findings ---------------------------------------------------------------------------------


@walls
def test_a_finding_comes_back_three_times_and_is_made_small() -> None:
    plan = Plan(seed=1, schedules=12, strategies=("random",), shrink_budget=20)
    result = explore(funding, plan)
    (finding,) = result.findings
    assert finding.replays == (3, 3)
    assert finding.violation.invariant == "the_index_is_what_was_paid"
    assert finding.order == "real"
    assert [each.taken for each in finding.deviations] == ["nemesis: overlap restart of funding"]


@walls
def test_a_service_that_does_not_do_the_same_twice_is_not_judged() -> None:
    try:
        result = explore(moody, Plan(seed=0, schedules=3, strategies=("random",)))
    except UntrustworthyError:
        return
    assert result.ended_by == NOT_DETERMINISTIC


def test_the_command_finds_it_and_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.chdir(str(tmp_path))
    arguments = ["--schedules", "12", "--seed", "1", "--shrink-budget", "0"]
    assert main(["live", "live-funding", *arguments]) == 1
    out = capsys.readouterr().out
    assert "RACE  the_index_is_what_was_paid" in out and "1 violated" in out


def test_the_command_knows_what_is_not_live(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.chdir(str(tmp_path))
    assert main(["live", "paradex-2026-01-19"]) == 4
    assert "changeover run paradex-2026-01-19" in capsys.readouterr().err
