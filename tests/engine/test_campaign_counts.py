"""What a search tells about itself when it found nothing: numbers that add up."""

from __future__ import annotations

from harness.campaign import explore
from harness.replay import replay
from harness.schedule.choices import Schedule
from tests.engine.test_campaign import CALM, lossy, plan


def test_statistics_add_up() -> None:
    told_of: list[int] = []
    result = explore(
        lossy(), plan(seed=0), on_progress=lambda now: told_of.append(now.statistics.schedules)
    )
    statistics = result.statistics
    assert told_of == list(range(1, 61))
    assert statistics.schedules == 60
    assert 0 < statistics.steps_min < statistics.steps_max < statistics.steps_sum
    assert sum(statistics.by_strategy.values()) == 60
    assert 1 < len(statistics.distinct) <= 60
    assert 0 < statistics.faults <= 60 and statistics.restarts <= statistics.faults
    assert 0 < statistics.overlapped_runs <= statistics.restarts
    assert statistics.checked_twice == 3
    assert 0 < statistics.batch_legal <= 60
    assert statistics.judged["amounts_are_never_negative"] >= 60
    assert statistics.seconds > 0
    assert not result.vacuous and result.statistics.unproved == {}


def test_nothing_was_restarted_and_some_rules_are_unknown() -> None:
    result = explore(CALM, plan(schedules=10, strategies=("random",)))
    assert result.vacuous
    assert result.statistics.overlapped_runs == 0
    unproved = result.statistics.unproved
    assert unproved["crashes_itself"].startswith("KeyError: 'rule' (tests/engine/")
    assert {name: unproved[name] for name in ("never_asked", "not_yet")} == dict.fromkeys(
        ("never_asked", "not_yet"), "never had anything to judge"
    )
    assert len(unproved) == 3
    assert result.statistics.never_judged == ("never_asked", "not_yet", "crashes_itself")
    assert result.statistics.reached == {"the end": 10}
    assert result.statistics.judged["holds"] >= 40


def test_a_finding_replays_from_its_token_alone() -> None:
    result = explore(lossy("stale"), plan(shrink_budget=120, strategies=("pct(3)",)))
    finding = result.findings[0]
    done = replay(Schedule.parse(finding.token), scenario=lossy("stale"))
    assert done.digests == (finding.digest,)
