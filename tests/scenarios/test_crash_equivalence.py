"""The exchange is what it would have been after crashes spread over a whole run, and its twins see.

The whole sweep, every restart at every step, is one command: docs/crash-equivalence.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from random import Random

import pytest

from harness.engine import UNFAIR_SHARE, Run, campaign, execute
from harness.equivalence import RULE, VACUITY, Equivalence
from harness.history import Event
from harness.invariants import NOTHING_TO_JUDGE
from harness.schedule.choices import Chooser, Option
from harness.schedule.strategies.protocol import Seen, Strategy
from harness.schedule.strategies.sweep import sweep, sweep_twice
from harness.world.world import World
from scenarios import crash_equivalence as module
from scenarios.crash_equivalence import (
    FAIR_S,
    MILESTONES,
    RESTARTS,
    WORK_S,
    TwinnedExchange,
    crash_equivalence,
    open_exchange,
)
from target_stub.bugs import BUGS, bugs_of
from target_stub.chain import Block
from target_stub.cloud.volumes import PERIODS, Counted, counted, with_period_over
from target_stub.core import (
    BTC_USD_PERP,
    JANUARY_2026,
    Deposit,
    Filled,
    FillType,
    Side,
    Usd,
    Usdc,
    genesis,
)
from target_stub.core.events import FillSide
from target_stub.core.money import ZERO
from tests.scenarios.crashes import struck_at
from tests.scenarios.searches import again, broken, found

GENESIS = genesis(JANUARY_2026, (BTC_USD_PERP,))

TWINS = (
    "market data",
    "volumes",
    "chain",
    "health checks",
    "order desk",
    "accounts at matching",
)
LATENT = tuple(name for name in bugs_of(crash_equivalence.name) if BUGS[name].breaks == RULE)


@pytest.fixture(scope="module")
def calm() -> Run:
    """First in first out, which nobody restarts."""
    return execute(crash_equivalence, seed=1, profiled=True)


def some(strategy: Strategy, calm: Run, *, runs: int) -> Iterator[Run]:
    """Runs of a sweep, spread over all places at which a fault can strike."""
    assert calm.profile is not None
    seen = Seen(profile=calm.profile)
    with campaign():
        for number in range(runs):
            choose = strategy(number, Random(number), seen)
            assert choose is not None
            yield execute(crash_equivalence, seed=1, choose=choose)


def test_the_workload_has_five_hundred_steps_and_every_service_can_be_struck(calm: Run) -> None:
    assert calm.steps >= 500
    assert not calm.violations and not calm.unknown
    assert calm.profile is not None
    kinds = sum(len(kinds) for kinds in RESTARTS.values())
    # Some steps come before a service is ready for the first time.
    assert len(calm.profile.fault_points) > 0.9 * kinds * calm.steps


@pytest.mark.parametrize(("strategy", "faults"), [(sweep, 1), (sweep_twice, 2)])
def test_after_crashes_all_over_a_run_the_exchange_is_what_it_would_have_been(
    strategy: Strategy, faults: int, calm: Run
) -> None:
    struck: set[str] = set()
    twice = 0
    for run in some(strategy, calm, runs=40):
        assert not run.violations, (run.token, run.violations)
        assert not run.unknown, (run.token, run.unknown)
        assert run.judged[VACUITY] == 1
        assert all(run.reached[f"{milestone} after a restart"] for milestone in MILESTONES)
        assert run.history.fair_from_ms is not None
        assert run.ended_at_ms <= max(WORK_S * 1000, run.history.fair_from_ms) + FAIR_S * 1000
        struck |= {each.taken for each in run.deviations if each.kind == "fault"}
        twice += len(run.deviations) == faults
    assert twice > 30
    services = {service for service in RESTARTS if any(service in fault for fault in struck)}
    assert services == set(RESTARTS)
    assert any("in recovery" in fault for fault in struck) == (faults == 2)


def overtaken(service: str, *, after: str = "", steps: int = 150) -> Chooser:
    """Replace a service while it boots, after some step of it; meanwhile it waits for so long."""
    first, restart = f"{service}#1", f"nemesis: rolling restart of {service}"
    reached, struck = not after, 0

    def choose(options: Sequence[Option], step: int) -> int:
        nonlocal reached, struck
        if not reached:
            reached = options[0].lane == first and after in options[0].label
        elif not struck:
            for place, option in enumerate(options):
                if option.label == restart:
                    struck = step
                    return place
        elif step < struck + steps:
            return next((place for place, each in enumerate(options) if each.lane != first), 0)
        return 0

    return choose


@pytest.mark.parametrize(
    ("service", "after"),
    [("market_data", ""), ("matching", ""), ("volumes", ""), ("volumes", "get for update")],
)
def test_who_boots_so_long_that_his_successor_is_there_takes_nothing_back(
    service: str, after: str
) -> None:
    run = execute(crash_equivalence, seed=1, choose=overtaken(service, after=after))
    ready = [event.lane for event in run.history if event.after == "ready"]
    assert (f"{service}#1" in ready) == bool(after)
    assert f"{service}#2" in ready
    assert not run.violations and not run.unknown, run.token


def shortening(calm: Run) -> range:
    """The steps in which matching saves its first snapshot and deletes what is before it."""
    told = [each for each in calm.history if each.lane == "matching#1" and each.kind == "write"]
    saved, later, *_ = (each.step for each in told if each.resource.startswith("storage/journal/"))
    deleted = [each.step for each in told if each.operation == "delete" and each.step < later]
    return range(saved - 1, max(deleted) + 3)


@pytest.mark.parametrize("bug", ["none", "shortened_before_saved"])
def test_matching_may_crash_anywhere_between_a_snapshot_and_the_end_of_the_rows_before_it(
    bug: str, calm: Run
) -> None:
    variant = crash_equivalence.variant(bug=bug)
    steps = shortening(calm)
    assert len(steps) > 15
    from_snapshot, lost = 0, 0
    with campaign():
        for step in steps if bug == "none" else steps[-2:]:
            choose = struck_at("crash restart of matching", step)
            run = execute(crash_equivalence, seed=1, choose=choose, variant=variant)
            from_snapshot += any(
                each.kind == "read" and each.resource.startswith("storage/journal/")
                for each in run.history
            )
            lost += bool(run.violations)
    assert from_snapshot
    assert bool(lost) == (bug != "none")


def test_a_run_may_last_as_long_as_a_fair_order_needs_after_an_unfair_one() -> None:
    assert crash_equivalence.time_max_s * (1 - UNFAIR_SHARE) > WORK_S + FAIR_S


def test_every_twin_is_fed_and_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[TwinnedExchange] = []

    def kept(world: World) -> TwinnedExchange:
        opened.append(open_exchange(world))
        return opened[-1]

    monkeypatch.setattr(module, "open_exchange", kept)
    execute(crash_equivalence, seed=1)
    twins = opened[0].equivalence.twins
    assert tuple(twins) == TWINS
    for twin in twins.values():
        assert twin.fed > 0 and twin.compared_at > 0, twin.name


# --- what equality at the restore point does not see ---------------------------------------------


class AtRestorePoint(Equivalence):
    """Compares everything when a service is ready again, and nothing after that.

    The first life of a service restores nothing: its start may lie long after somebody's crash.
    """

    def _judge(self, event: Event) -> object:
        if event.kind != "phase" or event.after != "ready" or event.lane.endswith("#1"):
            return NOTHING_TO_JUDGE
        judged = [self.compare(twin) for twin in self.twins.values()]
        return any(judged)

    @property
    def missing(self) -> tuple[str, ...]:
        """Twins are not waited for."""
        return tuple(name for name in self.milestones if name not in self._since)


@pytest.mark.parametrize("name", LATENT)
def test_a_latent_bug_is_equal_at_the_restore_point_and_shows_later(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = found(name)
    assert run is not None
    assert broken(run) == {RULE}
    monkeypatch.setattr(module, "Equivalence", AtRestorePoint)
    restored = again(run, crash_equivalence)
    assert restored.judged[RULE] > 0
    assert not restored.violations, restored.violations


# --- the count of volumes -------------------------------------------------------------------------


def traded(height: int, at_ms: int, *, size: int, kind: FillType = FillType.FILL) -> Block:
    """A block in which a buys from b at a price of 100."""
    maker, taker = (
        FillSide(
            account=account,
            side=side,
            order_id=None,
            fee=Usdc(ZERO),
            realised_pnl=Usdc(ZERO),
            realised_funding=Usdc(ZERO),
            position=ZERO,
        )
        for account, side in (("b", Side.SELL), ("a", Side.BUY))
    )
    fill = Filled(
        market="BTC-USD-PERP",
        fill_type=kind,
        price=Usd(Decimal(100)),
        size=Decimal(size),
        maker=maker,
        taker=taker,
    )
    deposit = Deposit(id=f"block-{height}", at_ms=at_ms, account="a", amount=Usdc(Decimal(1)))
    return Block(height, deposit, (fill,), GENESIS)


def test_a_trade_counts_for_both_sides_in_its_period_and_only_when_that_is_over() -> None:
    count = counted(Counted(), traded(1, 5, size=2), 10)
    count = counted(count, traded(2, 15, size=3), 10)
    assert (count.height, count.last) == (2, "block-2")
    assert [count.volume_usd(account) for account in ("a", "b", "c")] == [0, 0, 0]
    first, second = with_period_over(count, 0), with_period_over(count, 1)
    assert first.volume_usd("a") == first.volume_usd("b") == 200
    assert second.volume_usd("a") == second.volume_usd("b") == 500


def test_fourteen_periods_count_and_what_is_older_is_forgotten() -> None:
    count = Counted()
    for period in range(PERIODS + 2):
        count = counted(count, traded(period + 1, period * 10, size=1), 10)
        count = with_period_over(count, period)
        assert count.volume_usd("a") == 100 * min(period + 1, PERIODS)
    assert len(count.volumes["a"]) == PERIODS


def test_what_the_vault_takes_over_is_no_trade() -> None:
    count = counted(Counted(), traded(1, 5, size=2, kind=FillType.LIQUIDATION), 10)
    assert count.volumes == {}
