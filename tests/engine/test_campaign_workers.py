"""However many workers there are, and whoever takes which number: the same search."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness import campaign as campaign_module
from harness import trial as trials_module
from harness.campaign import Alone, Campaign, Plan, Search, drive, explore
from harness.engine import campaign
from harness.knowledge import StrangeError
from harness.schedule.strategies.protocol import Seen
from harness.statistics import Distinct, Statistics
from harness.trial import GENERATION, Trial, TrialRunner, last_of_generation
from harness.world.world import World
from tests.engine.crews import Turns, searched
from tests.engine.planted import busy
from tests.engine.test_campaign import CALM, Clock, lossy, plan
from tests.engine.worlds import crashes, told


async def longer(world: World) -> None:
    """Two bugs, and runs so long that their lengths teach something."""
    world.start_client("busy", busy, world, 30)
    await lossy("stale", "twice").story(world)


SCENARIO = told(longer, crashes())
GOING_ON = plan(seed=2, schedules=115, keep_going=True, shrink_budget=40)


def essence(result: Campaign) -> tuple[object, ...]:
    """What must not depend on the workers: all but how long it took."""
    statistics = replace(result.statistics, seconds=0.0)
    findings = [
        (each.token, each.digest, each.schedule_number, each.strategy, each.shrinking)
        for each in result.findings
    ]
    return statistics, findings, result.ended_by


def told_by_one(plan: Plan) -> tuple[object, ...]:
    return essence(searched(SCENARIO, plan, Alone()))


ONE_GOING_ON = told_by_one(GOING_ON)
ONE_STOPPING = told_by_one(plan(seed=2, schedules=115, shrink_budget=40))


@pytest.mark.parametrize(("workers", "seed"), [(1, 1), (2, 1), (2, 2), (3, 1), (3, 2)])
def test_any_workers_run_the_same_schedules_and_find_the_same(workers: int, seed: int) -> None:
    crew = Turns(SCENARIO, GOING_ON, workers, seed)
    result = searched(SCENARIO, GOING_ON, crew)
    assert sorted(crew.made) == list(range(1, 116))
    assert len(set(crew.made.values())) == workers
    assert essence(result) == ONE_GOING_ON
    assert len(result.findings) >= 2


@pytest.mark.parametrize(("workers", "seed"), [(2, 1), (3, 2)])
def test_the_first_finding_is_that_of_the_lowest_number(workers: int, seed: int) -> None:
    stopping = plan(seed=2, schedules=115, shrink_budget=40)
    result = searched(SCENARIO, stopping, Turns(SCENARIO, stopping, workers, seed))
    assert essence(result) == ONE_STOPPING
    assert [each.schedule_number for each in result.findings] == [result.statistics.schedules]


def test_what_is_learned_decides_what_is_run() -> None:
    """Otherwise the tests above would hold for workers that learn nothing, or something else."""
    deaf = replace(GOING_ON, learning=False)
    tokens: list[list[str]] = [[], []]

    def note(trial: Trial, result: Campaign) -> None:
        tokens[result.plan is deaf].append(trial.token)

    for each in (GOING_ON, deaf):
        searched(SCENARIO, each, Alone(), on_trial=note)
    assert tokens[0][: GENERATION + 1] == tokens[1][: GENERATION + 1]
    assert tokens[0] != tokens[1]


@pytest.mark.parametrize("parts", [2, 3, 7])
def test_shards_are_together_what_one_does_that_learns_from_number_one_alone(parts: int) -> None:
    whole = searched(SCENARIO, replace(GOING_ON, learning=False), Alone()).statistics
    together, numbers = Statistics(), []
    for part in range(1, parts + 1):
        share = replace(GOING_ON, share=(part, parts), shrink_budget=0)
        result = searched(
            SCENARIO, share, Alone(), on_trial=lambda trial, _: numbers.append(trial.number)
        )
        together.absorb(result.statistics)
    assert sorted(numbers) == list(range(1, 116))
    for each in (together, whole):  # these depend on the order in which shares are added
        each.seconds, each.last_new, each.checked_twice = 0.0, 0, 0
    assert together == whole


def test_a_share_of_which_number_one_is_no_part_learns_from_it_all_the_same() -> None:
    numbers: list[int] = []
    share = plan(share=(2, 3), strategies=("sweep",), schedules=1000)
    result = searched(
        lossy(), share, Alone(), on_trial=lambda trial, _: numbers.append(trial.number)
    )
    assert numbers[0] == 2
    assert "fifo" not in result.statistics.by_strategy
    assert result.statistics.by_strategy["sweep"] == len(numbers) > 1
    assert result.ended_by == "every strategy has tried all it had"


def test_searches_share_the_time_however_long_their_runs_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(campaign_module, "_monotonic", clock)

    def slow(cost_s: float) -> Search:
        def spend(trial: Trial, result: Campaign) -> None:
            clock.now += cost_s

        return Search(CALM, plan(schedules=None, strategies=("random",)), on_trial=spend)

    searches = [slow(cost_s) for cost_s in (1, 4, 2)]
    with campaign():
        drive(
            searches,
            Alone(),
            lambda: "enough" if clock.now > 3000 else "",
            on_error=lambda search, error: pytest.fail(str(error)),
        )
    spent = [search.spent_s for search in searches]
    assert sum(spent) == pytest.approx(2000, abs=5)
    assert max(spent) - min(spent) <= 4 * GENERATION
    assert {search.result.ended_by for search in searches} == {"enough"}


def test_generations_begin_with_number_one_alone() -> None:
    ranges = list(plan(schedules=120).generations(0))
    assert [(each[0], each[-1]) for each in ranges] == [(1, 1), (2, 51), (52, 101), (102, 120)]
    assert [last_of_generation(each) for each in (1, 2, 51, 52)] == [1, 51, 51, 101]
    resumed = plan(schedules=None, corpus=("a@1", "b@1")).generations(101)
    assert [next(resumed), next(resumed)] == [range(-1, 1), range(102, 152)]


def test_where_a_search_stands_can_be_told_and_gone_on_from() -> None:
    def tokens(runner: TrialRunner, numbers: range) -> list[str]:
        made = [runner.trial(number) for number in numbers]
        assert None not in made
        return [each.token for each in made if each is not None]

    one = TrialRunner(SCENARIO, GOING_ON)
    for numbers in (range(1, 2), range(2, 52), range(52, 102)):
        made = [one.trial(number) for number in numbers]
        lessons = trials_module.lessons_of(each for each in made if each is not None)
        one.close(trials_module.Closed(numbers[-1], lessons, ()))
    known = one.knowledge()
    other = TrialRunner(SCENARIO, replace(GOING_ON, knowledge=known))
    assert other.number == 101
    assert other.seen == one.seen != Seen()
    assert tokens(other, range(102, 140)) == tokens(one, range(102, 140))
    with pytest.raises(StrangeError, match="cannot be used"):
        TrialRunner(SCENARIO, replace(GOING_ON, knowledge='{"number": 3}'))


def test_a_corpus_is_run_first_and_says_what_no_longer_fits() -> None:
    token = explore(lossy("stale"), plan(strategies=("pct(3)",))).findings[0].token
    tried: list[Trial] = []
    first = plan(schedules=3, keep_going=True, corpus=("lossy@7:2=99", token))
    result = searched(lossy("stale"), first, Alone(), on_trial=lambda trial, _: tried.append(trial))
    assert [each.number for each in tried] == [-1, 0, 1, 2, 3]
    assert "which cannot run now" in tried[0].misfit
    assert tried[1].token == token
    assert result.findings[0].token == token
    assert result.statistics.schedules == 4


def test_names_are_counted_exactly_until_there_are_too_many() -> None:
    names = [f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}" for number in range(5000)]
    few = Distinct()
    for name in names * 2:
        few.add(name)
    assert len(few) == 5000
    many, halves = Distinct(names_max=500), [Distinct(names_max=500) for _ in range(2)]
    for number, name in enumerate(names):
        many.add(name)
        halves[number % 2].add(name)
    assert abs(len(many) - 5000) < 1000
    halves[0].absorb(halves[1])
    assert halves[0] == many
