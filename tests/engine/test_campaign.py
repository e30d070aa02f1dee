"""A search over many schedules: what it finds, hands out, counts, and why it ends."""

from __future__ import annotations

import signal
import weakref
from collections.abc import Callable
from dataclasses import replace

import pytest
import trio

from harness import campaign as campaign_module
from harness.campaign import Campaign, Plan, explore
from harness.errors import RefusedError, UntrustworthyError
from harness.findings.finding import Finding
from harness.invariants import NOTHING_TO_JUDGE, Broken
from harness.replay import STILL_FAILS, replay
from harness.scenario import Scenario
from harness.world.service import Life
from harness.world.world import World
from tests.engine.worlds import crashes, told


def lossy(*planted: str, name: str = "lossy") -> Scenario:
    """A ledger that keeps what it was told in memory for a moment; each bug has its own rule.

    ``stale`` loses a deposit at a crash, ``twice`` books one that was retried twice.
    """

    async def story(world: World) -> None:
        database = world.database("db")
        database.load("books", {"usdc": {"amount": 0, "retries": 0}})
        told_so = [0]

        async def ledger(life: Life) -> None:
            row = await database.get("books", "usdc")
            assert row is not None
            life.enter("ready")
            for number in range(int(str(row["amount"])), 4):
                if "stale" in planted:
                    told_so[0] = number + 1
                await database.put("books", "usdc", {"amount": number + 1, "retries": 0})
                told_so[0] = number + 1
                await trio.sleep(0.1)

        if "stale" in planted:

            @world.invariant(on=("ledger#2",))
            def acknowledged_deposits_survive() -> None:
                booked = int(str(database.table("books")["usdc"]["amount"]))
                if booked < told_so[0]:
                    raise Broken(f"{told_so[0]} were told, {booked} are in the books")

        if "twice" in planted:

            @world.invariant(on=("ledger#2",))
            def a_restart_is_never_seen() -> None:
                raise Broken("somebody saw it")

        @world.invariant(on=("db/",))
        def amounts_are_never_negative() -> None:
            assert int(str(database.table("books")["usdc"]["amount"])) >= 0

        world.service("ledger", ledger)
        await trio.sleep(2)

    return told(story, crashes(), name=name)


async def calm(world: World) -> None:
    """Nothing is restarted, and one rule never has anything to judge."""

    @world.invariant(on=("nothing/",))
    def never_asked() -> None:
        raise Broken("never")

    @world.invariant(name="not_yet")
    def judges_nothing() -> bool:
        return NOTHING_TO_JUDGE

    @world.invariant
    def crashes_itself() -> None:
        raise KeyError("rule")

    @world.invariant
    def holds() -> None:
        assert world.now_ms >= 0

    for _ in range(4):
        await trio.lowlevel.checkpoint()
        world.simulation.emit("write", "put", resource="db/a")
    world.reach("the end")


CALM = told(calm)


def plan(**details: object) -> Plan:
    """A small search that does not shrink."""
    return Plan(**{"seed": 7, "schedules": 60, "shrink_budget": 0, **details})  # type: ignore[arg-type]


# --- findings -----------------------------------------------------------------------------------


def test_a_finding_is_confirmed_three_of_three_times() -> None:
    result = explore(lossy("stale"), plan())
    (finding,) = result.findings
    assert finding.violation.invariant == "acknowledged_deposits_survive"
    assert finding.replays == (3, 3)
    assert result.ended_by == "finding"
    done = replay(finding, times=3, scenario=lossy("stale"))
    assert done.outcome == STILL_FAILS and done.exact
    assert finding.schedule_number == result.statistics.schedules
    assert finding.schedules_planned == 60
    assert finding.shrinking.ended_by == "not shrunk"


def test_a_finding_is_handed_out_before_and_after_it_is_shrunk() -> None:
    handed: list[tuple[Finding, Finding | None]] = []

    def keep(finding: Finding, unshrunk: Finding | None) -> Finding:
        handed.append((finding, unshrunk))
        return finding

    result = explore(
        lossy("stale"), plan(seed=8, strategies=("pct(3)",), shrink_budget=200), on_finding=keep
    )
    (first, none), (second, unshrunk) = handed
    assert none is None and unshrunk is first
    assert first.shrinking.ended_by == "not shrunk"
    assert first.shrinking.choices == (len(first.deviations),) * 2
    assert second.shrinking.ended_by == "one-minimal"
    assert second.shrinking.choices == (len(first.deviations), len(second.deviations))
    assert len(second.deviations) < len(first.deviations)
    assert second.violation.fingerprint == first.violation.fingerprint
    assert second.replays == (3, 3)
    assert (second.strategy, second.schedule_number) == (first.strategy, first.schedule_number)
    assert result.findings == [second]


def test_what_the_keeper_returns_is_what_the_campaign_keeps() -> None:
    def keep(finding: Finding, unshrunk: Finding | None) -> Finding:
        return replace(finding, saved="here" if unshrunk is None else f"{unshrunk.saved}, too")

    result = explore(lossy("stale"), plan(shrink_budget=100), on_finding=keep)
    assert [finding.saved for finding in result.findings] == ["here, too"]
    result = explore(lossy("stale"), plan(), on_finding=keep)
    assert [finding.saved for finding in result.findings] == ["here"]


def test_going_on_collects_each_bug_once() -> None:
    result = explore(lossy("stale", "twice"), plan(keep_going=True))
    fingerprints = [finding.violation.fingerprint for finding in result.findings]
    assert len(fingerprints) == len(set(fingerprints)) >= 2
    rules = {fingerprint[0] for fingerprint in fingerprints}
    assert rules == {"acknowledged_deposits_survive", "a_restart_is_never_seen"}
    assert result.ended_by == "all schedules done"
    assert result.statistics.schedules == 60


def test_the_same_plan_finds_the_same() -> None:
    tokens = [explore(lossy("stale"), plan(shrink_budget=80)).findings[0].token for _ in range(2)]
    assert tokens[0] == tokens[1]
    other = explore(lossy("stale"), plan(strategies=("random",), seed=8)).findings[0].token
    assert other != explore(lossy("stale"), plan(strategies=("random",))).findings[0].token


def test_what_does_not_come_back_is_no_finding() -> None:
    remembered: list[int] = []

    async def breaks_once(world: World) -> None:
        @world.invariant
        def only_the_first_time() -> None:
            remembered.append(1)
            if len(remembered) == 1:
                raise Broken("never again")

        await trio.lowlevel.checkpoint()

    with pytest.raises(UntrustworthyError, match="does the target remember earlier runs") as raised:
        explore(told(breaks_once), plan())
    assert "changeover replay breaks_once@7" in str(raised.value)


# --- runs that cannot be judged -----------------------------------------------------------------


def test_a_target_that_cannot_be_repeated_is_not_judged() -> None:
    numbers = iter(range(10**6))

    async def counts(world: World) -> None:
        @world.invariant
        def never() -> None:
            raise Broken("not to be judged")

        world.simulation.emit("note", "n", value=next(numbers))
        await trio.lowlevel.checkpoint()

    result = explore(told(counts), plan())
    assert result.ended_by == "not deterministic"
    assert result.difference is not None and result.difference.step == 1
    assert result.difference_token == "counts@7"
    assert result.findings == []


def test_a_target_that_leaves_the_simulation_ends_the_search() -> None:
    async def opens(world: World) -> None:
        open(__file__, encoding="utf-8")  # noqa: SIM115

    with pytest.raises(RefusedError, match="a file"):
        explore(told(opens), plan())


# --- why it ends --------------------------------------------------------------------------------


class Clock:
    """Real time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The real time of a campaign."""
    clock = Clock()
    monkeypatch.setattr(campaign_module, "_monotonic", clock)
    return clock


def test_the_time_limit_is_checked_after_every_schedule(clock: Clock) -> None:
    def a_second_later(_: Campaign) -> None:
        clock.now += 1

    limited = plan(time_limit_s=3.5, strategies=("random",))
    result = explore(CALM, limited, on_progress=a_second_later)
    assert result.statistics.schedules == 4
    assert result.ended_by == "the time limit of 3.5 s"
    assert result.statistics.seconds == 4.0


def test_no_time_at_all_is_no_schedule(clock: Clock) -> None:
    result = explore(CALM, plan(time_limit_s=0))
    assert result.statistics.schedules == 0
    assert result.ended_by == "the time limit of 0 s"


def press_ctrl_c_at(schedule: int) -> Callable[[Campaign], None]:
    """Ctrl-C while a schedule is told."""

    def press(result: Campaign) -> None:
        if result.statistics.schedules == schedule:
            signal.raise_signal(signal.SIGINT)

    return press


def test_ctrl_c_ends_the_search_and_keeps_the_findings() -> None:
    before = signal.getsignal(signal.SIGINT)
    result = explore(
        lossy("twice"), plan(keep_going=True, schedules=5000), on_progress=press_ctrl_c_at(30)
    )
    assert result.ended_by == "interrupted"
    assert result.statistics.schedules == 30
    assert [finding.violation.invariant for finding in result.findings] == [
        "a_restart_is_never_seen"
    ]
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_while_shrinking_keeps_the_best_so_far() -> None:
    handed: list[Finding] = []

    def press(finding: Finding, unshrunk: Finding | None) -> Finding:
        if unshrunk is None:
            signal.raise_signal(signal.SIGINT)
        handed.append(finding)
        return finding

    result = explore(
        lossy("stale"), plan(strategies=("random",), shrink_budget=500), on_finding=press
    )
    assert result.ended_by == "interrupted"
    assert len(handed) == 2
    assert handed[1].shrinking.ended_by == "an interrupt"
    assert handed[1].deviations == handed[0].deviations
    assert result.findings == handed[1:]


def test_a_second_ctrl_c_strikes_at_once() -> None:
    def press_twice(_: Campaign) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        explore(CALM, plan(), on_progress=press_twice)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_inside_a_run_is_no_finding() -> None:
    async def pressed(world: World) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        explore(told(pressed), plan())


def test_all_strategies_may_run_dry() -> None:
    result = explore(lossy(), plan(strategies=("fifo", "sweep"), schedules=5000))
    assert result.ended_by == "every strategy has tried all it had"
    points = result.statistics.by_strategy["sweep"]
    assert result.statistics.by_strategy == {"fifo": 1, "sweep": points}
    assert result.statistics.schedules == 1 + points
    assert result.statistics.faults == points


def test_the_sweep_alone_finds_what_the_sweep_finds() -> None:
    result = explore(lossy("twice"), plan(strategies=("sweep",)))
    assert [finding.strategy for finding in result.findings] == ["sweep"]


def test_what_a_target_leaves_behind_is_collected_between_runs() -> None:
    class Cyclic:
        """Only the garbage collector gets rid of it."""

        def __init__(self) -> None:
            self.myself = self

    left: list[weakref.ref[Cyclic]] = []
    alive: list[int] = []

    async def litters(world: World) -> None:
        left.append(weakref.ref(Cyclic()))
        await trio.lowlevel.checkpoint()

    def count(_: Campaign) -> None:
        alive.append(sum(reference() is not None for reference in left))

    explore(told(litters), plan(schedules=170, strategies=("random",)), on_progress=count)
    assert len(left) >= 170
    assert 20 < max(alive) < 80
