"""The rules as a library: they know no exchange, and say what they lack."""

from __future__ import annotations

import ast
import runpy
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from harness.campaign import Plan, explore
from harness.engine import execute
from harness.errors import UsageError
from harness.history import Event, History
from harness.invariants import NOTHING_TO_JUDGE, Broken
from harness.scenario import Scenario, restart, scenario
from harness.schedule.simulation import Simulation
from harness.world.world import World
from scenarios.clearing import ClearingView, pools
from scenarios.paradex import open_exchange
from scenarios.rules.accounts import fund_flows_balance, pools_pay_what_they_have
from scenarios.rules.catalogue import CATALOGUE, require, rules_of, standing
from scenarios.rules.services import recovery_completes
from scenarios.rules.view import PARTS, Flow, FundChange, FundEntry, Funds, Posting, View
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


def tell(*told: tuple[int, str, str, str]) -> History:
    """A history of time, kind, resource and phase."""
    history = History()
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


def test_what_is_ready_may_read_as_often_as_it_likes() -> None:
    check = recovery_completes(Quick()).check
    assert check(tell(BOOT, READY, *[READ] * 9)) is None


def test_the_reference_exchange_is_judged_in_order_too() -> None:
    run = execute(pools, seed=SEED)
    assert set(run.held) == {"pools_pay_what_they_have", "rollback_is_complete"}
