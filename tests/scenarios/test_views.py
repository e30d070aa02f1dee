"""The rules as a library: they know no exchange, and say what they lack."""

from __future__ import annotations

import ast
import runpy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from harness.campaign import Plan, explore
from harness.engine import execute
from harness.errors import UsageError
from harness.history import Event, History
from harness.invariants import NOTHING_TO_JUDGE, Broken, Invariant
from harness.scenario import Scenario, restart, scenario
from harness.schedule.simulation import Simulation
from harness.world.world import World
from scenarios.clearing import ClearingView, pools
from scenarios.paradex import open_exchange
from scenarios.rules.accounts import fund_flows_balance, pools_pay_what_they_have
from scenarios.rules.catalogue import CATALOGUE, require, rules_of, standing
from scenarios.rules.markets import funding_index_step_is_bounded, market_time_never_runs_back
from scenarios.rules.services import recovery_completes
from scenarios.rules.trading import answers_are_true
from scenarios.rules.view import (
    PARTS,
    Answer,
    Flow,
    FundChange,
    FundEntry,
    Funds,
    Posting,
    Value,
    Values,
    View,
)
from scenarios.view import view_of
from target_stub.bugs import BUGS
from tests.scenarios.searches import SEED, broken, runs

ROOT = Path(__file__).parents[2]
#: The rules of the catalogue with all that they import; beside them are rules of one scenario.
LIBRARY = [
    ROOT / "scenarios" / "rules" / f"{name}.py"
    for name in (
        *("catalogue", "markets", "services", "accounts", "trading", "copies", "money"),
        *("view", "of_markets", "of_books"),
    )
]


@lru_cache(maxsize=1)
def tinydex() -> dict[str, Any]:
    """What the example of somebody else's exchange defines."""
    return runpy.run_path(str(ROOT / "docs" / "examples" / "test_tinydex_race.py"))


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.stem)
def test_no_rule_knows_an_exchange(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            assert not name.startswith("target_stub"), name
            assert not name.startswith("scenarios") or name.startswith("scenarios.rules"), name


def test_every_part_is_asked_for_and_every_rule_asks_for_parts() -> None:
    asked = {part for rule in CATALOGUE.values() for part in rule.asks}
    assert asked == set(PARTS)
    assert list(CATALOGUE) == [f"I{number}" for number in range(1, 23)]


def test_every_rule_alone_catches_a_bug() -> None:
    alone = {bug.breaks for bug in BUGS.values() if not bug.also}
    assert {rule.name for rule in CATALOGUE.values()} <= alone


def test_a_rule_without_its_part_is_not_in_force_and_says_what_it_lacks() -> None:
    shown = view_of(open_exchange(World(Simulation())))
    stands = {each.number: each for each in standing(shown)}
    assert stands["I1"].is_in_force
    assert str(stands["I16"]).endswith("not in force, the view does not show pools")
    assert str(stands["I10"]).endswith("not in force, nothing promises it without freshness")
    in_force = [each.name for each in stands.values() if each.is_in_force]
    assert [rule.name for rule in rules_of(shown)] == in_force


def test_whoever_counts_on_a_rule_learns_at_once_that_it_cannot_judge() -> None:
    shown = view_of(open_exchange(World(Simulation())))
    require(shown, "I1", "I8")
    with pytest.raises(UsageError, match="does not show projections"):
        require(shown, "I17")
    with pytest.raises(UsageError, match="did you mean"):
        require(shown, "I111")
    with pytest.raises(UsageError, match="shows nothing"):
        list(rules_of(View()))


def test_the_exchange_of_somebody_else_is_clean() -> None:
    for run in runs(seed=SEED, schedules=10, variant={}, scenario=tinydex()["tinydex"]):
        assert not run.violations, run.violations
        assert not run.unknown
        assert set(run.held) == {
            "positions_sum_to_zero",
            "cash_is_conserved",
            "effects_happen_once",
        }


def forgetful() -> Scenario:
    """The same exchange, which after a restart has forgotten the ids that it has seen."""
    correct, story = tinydex()["TinyDex"], tinydex()["story"]

    class Forgetful(correct):  # type: ignore[misc, valid-type]
        async def boot(self) -> None:
            await super().boot()
            self.uids: set[str] = set()

    @scenario(name="forgetful-tinydex", faults=[restart("dex")])
    async def forgets(world: World) -> None:
        await story(world, Forgetful)

    return forgets


def test_a_bug_of_somebody_elses_exchange_is_found_by_the_same_rule() -> None:
    tried = runs(seed=SEED, schedules=40, variant={}, scenario=forgetful())
    found = next(run for run in tried if run.violations)
    assert broken(found) == {"effects_happen_once"}


def test_clearing_without_a_bug_is_never_accused() -> None:
    plan = Plan(seed=SEED, schedules=60, shrink_budget=0)
    campaign = explore(pools, plan)
    assert not campaign.findings
    assert not campaign.statistics.never_judged


# --- rules on their own -------------------------------------------------------------------------


class Fund:
    """One entry in which a fund changed."""

    number = 7

    def __init__(self, *funds: FundChange) -> None:
        self.funds = funds

    def entries(self) -> list[FundEntry]:
        """This one."""
        return [self]


def check_funds(funds: Funds) -> object:
    """What the rule says of it."""
    return fund_flows_balance(funds).check()


PENALTY = Flow("penalty of ann", Decimal(5))


def test_a_fund_that_changes_as_it_was_paid_is_right() -> None:
    assert check_funds(Fund(FundChange("fund", Decimal(1), Decimal(6), [PENALTY]))) is None
    assert check_funds(Fund()) is NOTHING_TO_JUDGE


def test_a_fund_that_owes_money_has_to_say_so() -> None:
    owes = FundChange("fund", Decimal(-6), Decimal(-1), [PENALTY])
    with pytest.raises(Broken, match=r"owes 1\.00 USDC"):
        check_funds(Fund(owes))
    declared = FundChange("fund", Decimal(-6), Decimal(-1), [PENALTY], declared=True)
    assert check_funds(Fund(declared)) is None


def test_a_flow_that_does_not_arrive_is_told() -> None:
    with pytest.raises(Broken, match=r"by 4\.00 USDC; what was paid was 5\.00 USDC"):
        check_funds(Fund(FundChange("fund", Decimal(1), Decimal(5), [PENALTY])))


class TwoPools(ClearingView):
    """Pools with postings that somebody chose."""

    def __init__(self, *postings: tuple[str, int]) -> None:
        self.postings = [Posting(pool, Decimal(usdc)) for pool, usdc in postings]

    def opening(self) -> dict[str, Decimal]:
        """Ten in one pool."""
        return {"insurance": Decimal(10)}

    def transactions(self) -> Iterator[tuple[str, Sequence[Posting]]]:
        """One."""
        yield "close", self.postings


def test_a_pool_that_is_covered_first_is_never_below_zero() -> None:
    rule = pools_pay_what_they_have(TwoPools(("insurance", -5), ("market", 5), ("market", -5)))
    assert rule.check() is None
    with pytest.raises(Broken, match="before it was there"):
        pools_pay_what_they_have(TwoPools(("market", -5), ("insurance", -5), ("market", 5))).check()


def test_a_bankruptcy_is_no_matter_of_order() -> None:
    assert pools_pay_what_they_have(TwoPools(("market", -11))).check() is None


class Quick:
    """One second to come back, and three reads."""

    on = ("database/",)
    reads_max = 3
    ready_ms_max = 1_000


def tell(*told: tuple[int, str, str, str], fair_from_ms: int | None = 0) -> History:
    """A history of time, kind, resource and phase."""
    history = History()
    history.fair_from_ms = fair_from_ms
    for step, (at_ms, kind, resource, after) in enumerate(told):
        history.append(Event(step, at_ms, "dex#2", kind, "scan", resource=resource, after=after))
    return history


BOOT, READY = (0, "phase", "dex#2", "boot"), (900, "phase", "dex#2", "ready")
READ = (10, "read", "database/rows/*", "")


def test_a_recovery_may_read_a_few_times_and_has_to_come_to_its_end() -> None:
    check = recovery_completes(Quick()).check
    assert check(tell(BOOT, *[READ] * 3, READY)) is None
    assert check(tell(BOOT, READ)) is NOTHING_TO_JUDGE
    with pytest.raises(Broken, match="more than 3 times"):
        check(tell(BOOT, *[READ] * 4, READY))
    with pytest.raises(Broken, match="was not ready 2 s later"):
        check(tell(BOOT, READ, (2_000, "read", "database/rows/*", "")))
    with pytest.raises(Broken, match=r"was not ready 1\.5 s later"):
        check(tell(BOOT, (1_500, "phase", "dex#2", "ready")))


def test_the_time_in_which_the_order_was_unfair_does_not_count() -> None:
    check = recovery_completes(Quick()).check
    late = (2_500, "phase", "dex#2", "ready")
    for fair_from_ms in (1_500, 2_500, None):
        assert check(tell(BOOT, late, fair_from_ms=fair_from_ms)) is None
    with pytest.raises(Broken, match=r"was not ready 2\.5 s later"):
        check(tell(BOOT, late, fair_from_ms=1_499))
    still = (9_000, "read", "database/rows/*", "")
    with pytest.raises(Broken, match="was not ready 9 s later"):
        check(tell(BOOT, READ, still, fair_from_ms=7_999))
    assert check(tell(BOOT, READ, still, fair_from_ms=8_000)) is NOTHING_TO_JUDGE


def test_what_is_ready_may_read_as_often_as_it_likes() -> None:
    check = recovery_completes(Quick()).check
    assert check(tell(BOOT, READY, *[READ] * 9)) is None


class Clock:
    """One market, whose index and time are what a test says next."""

    on = ("rows/",)
    tick_ms = 5_000
    gap_ms_max = 30_000

    def __init__(self, *, is_ordered: bool = True) -> None:
        self.is_ordered = is_ordered
        self.said = (0, 100)

    def value(self) -> Value:
        """What is said now."""
        at_ms, index = self.said
        return Value(
            market="BTC",
            place="committed",
            index=Decimal(index),
            mark=Decimal(1),
            at_ms=at_ms,
            never_zero={},
            is_ordered=self.is_ordered,
        )

    def opening(self) -> dict[str, Value]:
        """It begins at 0 ms with an index of 100."""
        return {"rows/BTC": self.value()}

    def after(self, event: Event) -> Value:
        """What was said."""
        return self.value()

    def step_max(self, before: Value, after: Value, elapsed_ms: int) -> Decimal:
        """One for each second."""
        return Decimal(elapsed_ms) / 1000

    def sizes(self, market: str) -> list[Decimal]:
        """One long and one short."""
        return [Decimal(2), Decimal(-2)]


def says(
    rule: Callable[[Values], Invariant], *said: tuple[int, int], **clock: bool
) -> list[object]:
    """What a rule says of values that are written one after the other."""
    values = Clock(**clock)
    check, results = rule(values).check, []
    for step, values.said in enumerate(said):
        results.append(check(Event(step, 0, "dex#1", "write", "put", resource="rows/BTC")))
    return results


def test_time_may_stand_still_but_not_run_back() -> None:
    assert says(market_time_never_runs_back, (5_000, 101), (5_000, 101)) == [None, None]
    with pytest.raises(Broken, match="ran back by 1 s"):
        says(market_time_never_runs_back, (5_000, 101), (4_000, 101))
    unordered = says(market_time_never_runs_back, (5_000, 101), (4_000, 101), is_ordered=False)
    assert unordered == [NOTHING_TO_JUDGE, NOTHING_TO_JUDGE]


def test_no_funding_accrues_over_a_gap() -> None:
    assert says(market_time_never_runs_back, (30_000, 101), (61_000, 101)) == [None, None]
    with pytest.raises(Broken, match="was not updated for 31 s"):
        says(market_time_never_runs_back, (30_000, 101), (61_000, 102))


def test_an_index_may_move_as_far_as_the_time_allows() -> None:
    assert says(funding_index_step_is_bounded, (5_000, 105), (5_000, 110)) == [None, None]
    with pytest.raises(Broken, match="jumped from 100 to 106") as it:
        says(funding_index_step_is_bounded, (5_000, 106))
    assert "longs owe 12.00 USDC" in it.value.violation.consequence


class Told:
    """Answers that a client got, and what took effect."""

    def __init__(self, *told: Answer, effects: Mapping[str, str], withdrawn: str = "") -> None:
        self.answers = told
        self.effects_of = effects
        self.withdrawn = withdrawn

    def told(self, history: History) -> Iterable[Answer]:
        """All of them."""
        return self.answers

    def effects(self) -> Mapping[str, str]:
        """Where each had one."""
        return self.effects_of

    def is_withdrawn(self, identity: str) -> bool:
        """One at most."""
        return identity == self.withdrawn


YES, NO = Answer("a", "ann", False, "done"), Answer("a", "ann", True, "overloaded")


def test_an_answer_is_true_if_it_happens_as_told() -> None:
    check = History()
    assert answers_are_true(Told(YES, effects={"a": "block 1"})).check(check) is None
    assert answers_are_true(Told(NO, effects={})).check(check) is None
    assert answers_are_true(Told(YES, effects={}, withdrawn="a")).check(check) is None
    assert answers_are_true(Told(effects={})).check(check) is NOTHING_TO_JUDGE
    with pytest.raises(Broken, match=r"is refused \(overloaded\), and it took effect in block 1"):
        answers_are_true(Told(NO, effects={"a": "block 1"})).check(check)
    with pytest.raises(Broken, match=r"is done \(done\), and it never took effect"):
        answers_are_true(Told(YES, effects={})).check(check)


def test_the_reference_exchange_is_judged_in_order_too() -> None:
    run = execute(pools, seed=SEED)
    assert set(run.held) == {"pools_pay_what_they_have", "rollback_is_complete"}
