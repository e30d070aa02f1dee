"""The strategies that sample by what steps touch: each draws what its paper promises."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest
import trio

from harness.engine import campaign, execute
from harness.scenario import Scenario
from harness.schedule.choices import OPERATION, Option, reads, writes
from harness.schedule.memory import Shared
from harness.schedule.strategies.delay import delay, whole_levels
from harness.schedule.strategies.misfortune import misfortune
from harness.schedule.strategies.portfolio import STRATEGIES
from harness.schedule.strategies.pos import pos
from harness.schedule.strategies.protocol import Profile, Seen
from harness.schedule.strategies.surw import kind_of, shared_objects, surw
from harness.world.world import World
from tests.engine.test_strategies import walked
from tests.engine.worlds import Fake, fault, orphan, task, timer


def noting(*, long: int, short: int, order: list[str]) -> Scenario:
    """A long and a short task that write to one variable; ``order`` says who wrote when."""

    async def story(world: World) -> None:
        order.clear()
        noise, shared = Shared("noise", 0), Shared("shared", "")

        async def write_often() -> None:
            for _ in range(long):
                await shared.set("long")
                order.append("L")

        async def write_once() -> None:
            await noise.set(1)
            for _ in range(short):
                await shared.set("short")
                order.append("s")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write_often)
            nursery.start_soon(write_once)

    return Scenario("noting", story, faults_max=0)


def sampled(name: str, scenario: Scenario, order: list[str], count: int) -> Counter[str]:
    """How often each order came, in so many runs of one strategy."""
    came: Counter[str] = Counter()
    with campaign():
        seen = Seen().after([execute(scenario, seed=0, profiled=True).lesson(1, "fifo")])
        for number in range(0, 2 * count, 2):  # every second round of surw draws by kind
            choose = STRATEGIES[name](number, Random(number), seen)
            assert choose is not None
            execute(scenario, seed=0, choose=choose)
            came["".join(order)] += 1
    return came


def test_surw_makes_every_order_of_the_accesses_equally_likely() -> None:
    order: list[str] = []
    came = sampled("surw", noting(long=6, short=1, order=order), order, 700)
    assert len(came) == 7
    assert all(60 <= count <= 145 for count in came.values()), came


def test_a_random_walk_does_not() -> None:
    order: list[str] = []
    came = sampled("random", noting(long=6, short=1, order=order), order, 700)
    assert min(came[order] for order in {"s" + "L" * 6, *came}) < 60, "some come hardly ever"


def test_surw_draws_by_kind_in_every_second_round() -> None:
    first: Counter[str] = Counter()

    async def story(world: World) -> None:
        order: list[str] = []
        shared = Shared("shared", 0)

        async def write() -> None:
            await shared.set(1)
            order.append("write")

        async def check() -> None:
            await shared.get()
            order.append("check")

        async with trio.open_nursery() as nursery:
            for _ in range(9):
                nursery.start_soon(write)
            nursery.start_soon(check)
        first[order[0]] += 1

    scenario = Scenario("kinds", story, faults_max=0)
    with campaign():
        seen = Seen().after([execute(scenario, seed=0, profiled=True).lesson(1, "fifo")])
        first.clear()
        for number in range(1, 401, 2):
            choose = surw(number, Random(number), seen)
            assert choose is not None
            execute(scenario, seed=0, choose=choose)
    assert 70 <= first["check"] <= 130


def test_tasks_of_one_function_are_of_one_kind() -> None:
    assert kind_of("main: write") == kind_of("main: write.49") == "main: write"
    assert kind_of("ledger#2: write") != kind_of("ledger#1: write")


def test_what_one_task_alone_touches_is_not_shared() -> None:
    profile = Profile(touches={"a": {"x": 2, "y": 1}, "b": {"y": 3}})
    assert shared_objects(profile) == ["y"]


def test_pos_draws_again_for_what_conflicts_and_only_for_that() -> None:
    """Of three pending writes two conflict; whoever loses to a conflict may win the next draw."""
    one, two, three = Fake("a: x"), Fake("b: x"), Fake("c: y")
    one.footprint = two.footprint = writes("x")
    three.footprint = writes("y")
    followed: Counter[tuple[int, int]] = Counter()
    for seed in range(600):
        choose = pos(0, Random(seed), Seen())
        assert choose is not None
        options: list[Option] = [one, two, three]
        first = choose(options, 1)
        left = [option for index, option in enumerate(options) if index != first]
        second = options.index(left[choose(left, 2)])
        followed[first, second] += 1
    # After x has won, y was the smaller of the old draws more often than not, and x draws anew.
    assert followed[0, 1] > followed[0, 2] + 20
    assert followed[1, 0] > followed[1, 2] + 20
    # After y has won nothing is drawn again: the two others are as they were.
    assert abs(followed[2, 0] - followed[2, 1]) < 60


@pytest.mark.parametrize(("bound", "points"), [(1, 5), (2, 4), (3, 3)])
def test_delay_bounding_visits_every_sum_of_choices_once(bound: int, points: int) -> None:
    """Others can go at every point, so that nobody who was put behind comes back."""
    seen = Seen(profile=Profile(widths=tuple((step, 9) for step in range(1, points + 1))))
    offered = [[task(f"{step}: {number}") for number in range(9)] for step in range(points)]
    schedules = []
    for number in itertools.count():
        choose = delay(bound)(number, Random(0), seen)
        if choose is None:
            break
        schedules.append(tuple(walked(choose, offered)))
    wanted = {
        choices
        for choices in itertools.product(range(bound + 1), repeat=points)
        if 0 < sum(choices) <= bound
    }
    assert len(schedules) == len(set(schedules)) == len(wanted)
    assert set(schedules) == wanted
    assert [sum(each) for each in schedules] == sorted(map(sum, schedules))


def delayed_runs(bound: int, offered: Sequence[Sequence[Option]]) -> list[list[str]]:
    """What each schedule of a delay bound takes, if at every step the same is offered."""
    seen = Seen(profile=Profile(widths=tuple((step, 9) for step in range(1, len(offered) + 1))))
    ran: list[list[str]] = []
    for number in itertools.count():
        choose = delay(bound)(number, Random(0), seen)
        if choose is None:
            return ran
        taken = zip(offered, walked(choose, offered), strict=True)
        ran.append([options[index].label for options, index in taken])
    raise AssertionError


def test_who_was_delayed_goes_when_only_it_can_go_even_after_the_clock() -> None:
    slow, other = task("a: slow"), task("b: other")
    both: list[Option] = [slow, other]
    ticking: list[Option] = [slow, timer("c: sleep")]
    offered: list[list[Option]] = [both, both, ticking, [slow, fault()], both]
    ran = delayed_runs(1, offered)
    assert ran[0][:1] == ["b: other"], "the first point was the delayed one"
    assert ran[0] == ["b: other", "b: other", "clock -> 5 ms for c: sleep", "a: slow", "a: slow"]
    assert sum(run[0] == "a: slow" for run in ran) == len(ran) - 1


def test_levels_of_a_delay_bound_are_whole_or_left_out() -> None:
    def levels(points: int, count_max: int) -> int:
        seen = Seen(profile=Profile(widths=tuple((step, 2) for step in range(points))))
        return whole_levels(seen, 2, count_max=count_max)

    assert levels(3, 10) == 3 + 6
    assert levels(3, 8) == 3
    assert levels(11, 10) == levels(0, 10) == 0


def test_faults_wait_for_what_is_durable_or_public_in_half_of_the_runs() -> None:
    idle: list[Option] = [task("a: run"), fault("nemesis: crash")]
    commit = Fake("a: anything", kind=OPERATION, boundary=True)
    writing: list[Option] = [commit, fault("nemesis: crash")]

    def struck_at(options: list[Option], seed: int) -> int:
        strike = misfortune(Random(seed), 80, 1.0)
        return next(step for step in range(1, 100) if strike(options, [1], step) == 1)

    waited = [struck_at(idle, seed) - struck_at(writing, seed) for seed in range(200)]
    assert set(waited) == {0, 10}, "no fault waits for ever"
    assert 70 <= waited.count(10) <= 130


def test_orphans_wait_for_what_they_conflict_with_in_half_of_the_runs() -> None:
    late = orphan("ledger#1: orphan put rows/a")
    idle, conflicting = Fake("b: get rows/b"), Fake("b: get rows/a")
    late.footprint, conflicting.footprint = writes("rows/a"), reads("rows/a")

    def landings(near: Option) -> list[bool]:
        offered: list[list[Option]] = [[near, late]] * 400
        runs = [misfortune(Random(seed), 80, 0.0) for seed in range(200)]
        return [
            any(strike(options, [1], step) == 1 for step, options in enumerate(offered, 1))
            for strike in runs
        ]

    assert all(landings(conflicting))
    assert 70 <= sum(landings(idle)) <= 130


@pytest.mark.parametrize("by_kind", [False, True])
def test_a_later_incarnation_is_expected_to_do_what_the_first_one_did(by_kind: bool) -> None:
    """Otherwise it would wait until everybody else is done with the object, or waits too."""
    profile = Profile(touches={"a#1: run": {"x": 4}, "client: run": {"x": 4}})
    second, client = Fake("a#2: run"), Fake("client: run")
    second.footprint = client.footprint = writes("x")
    firsts: Counter[int] = Counter()
    for number in range(by_kind, 400, 2):
        choose = surw(number, Random(number), Seen(profile=profile))
        assert choose is not None
        firsts[choose([client, second], 1)] += 1
    assert 75 <= firsts[1] <= 125, firsts


def test_a_child_of_a_later_incarnation_takes_its_tickets_from_its_own_parent() -> None:
    """The family of the second life has as many tickets as one client, whoever of it comes."""
    profile = Profile(
        touches={"a#1: run": {"x": 2}, "a#1: child": {"x": 2}, "client: run": {"x": 4}},
        parents={"a#1: child": "a#1: run"},
    )
    run, child, client = Fake("a#2: run"), Fake("a#2: child"), Fake("client: run")
    run.footprint = child.footprint = client.footprint = writes("x")
    firsts: Counter[int] = Counter()
    for number in range(0, 800, 2):
        choose = surw(number, Random(number), Seen(profile=profile))
        assert choose is not None
        firsts[choose([client, run, child], 1)] += 1
    assert 160 <= firsts[0] <= 240, firsts
    assert 70 <= firsts[1] <= 130 and 70 <= firsts[2] <= 130, firsts
