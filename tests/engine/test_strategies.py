"""Strategies choose legally, purely, and as evenly as they promise; nothing is run here."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.schedule.choices import FAULT, ORPHAN, TASK, TIMER, Chooser, Option, reads, writes
from harness.schedule.strategies.pct import pct
from harness.schedule.strategies.portfolio import PORTFOLIO, STRATEGIES, Rotation, parse_names
from harness.schedule.strategies.protocol import Profile, Seen, spread
from harness.schedule.strategies.sweep import PATIENCE, fifo, sweep, sweep_twice
from harness.schedule.strategies.walks import batch_legal, uniform
from tests.engine.settings import examples
from tests.engine.worlds import Fake, fault, orphan, task, timer

KINDS = (TASK, TASK, TASK, TIMER, FAULT, ORPHAN)
POINTS = tuple((step, choice) for step in range(1, 9) for choice in (3, 4))


def options_of(numbers: bytes) -> list[Option]:
    """The options of a step, one for each number; one that has to happen comes first."""
    first: list[Option] = [task("a: first")]
    return first + [
        Fake(f"{'abcd'[number % 4]}: {number}", kind=KINDS[number % 6], batch_legal=number < 128)
        for number in numbers
    ]


#: The options of a few steps, at least two in each.
RUNS = st.lists(st.binary(min_size=1, max_size=6).map(options_of), min_size=1, max_size=25)


def walked(chooser: Chooser, offered: Sequence[Sequence[Option]]) -> list[int]:
    """What a chooser takes, step by step."""
    return [chooser(options, step) for step, options in enumerate(offered, start=1)]


def chooser_of(name: str, *, number: int, seed: int, seen: Seen) -> Chooser | None:
    """The chooser of one run of a named strategy."""
    return STRATEGIES[name](number, Random(seed), seen)


@given(st.sampled_from(sorted(STRATEGIES)), st.integers(0, 20), st.integers(0, 99), RUNS)
@examples(300)
def test_choices_are_legal_and_a_pure_function_of_number_seed_and_seen(
    name: str, number: int, seed: int, offered: list[list[Option]]
) -> None:
    seen = Seen(steps=25, profile=Profile(fault_points=POINTS))
    first = chooser_of(name, number=number, seed=seed, seen=seen)
    second = chooser_of(name, number=number, seed=seed, seen=seen)
    if first is None or second is None:
        assert first is second
        return
    taken = walked(first, offered)
    assert taken == walked(second, offered)
    assert all(0 <= index < len(options) for index, options in zip(taken, offered, strict=True))


@given(
    st.sampled_from(["random", "pct(2)", "pct(5)", "fifo"]),
    st.integers(0, 1),
    st.integers(0, 99),
    RUNS,
)
@examples(200)
def test_batch_legal_takes_nothing_else(
    name: str, number: int, seed: int, offered: list[list[Option]]
) -> None:
    chooser = batch_legal(STRATEGIES[name])(number, Random(seed), Seen())
    if chooser is None:
        assert (name, number) == ("fifo", 1)
        return
    for index, options in zip(walked(chooser, offered), offered, strict=True):
        assert options[index].batch_legal


def test_walks_differ_from_seed_to_seed() -> None:
    offered = [[task(f"{lane}: run") for lane in "abcd"] for _ in range(20)]
    for name in ("random", "pct(3)"):
        taken = set()
        for seed in range(20):
            chooser = chooser_of(name, number=0, seed=seed, seen=Seen(steps=20))
            assert chooser is not None
            taken.add(tuple(walked(chooser, offered)))
        assert len(taken) > 15


# --- first in, first out, and the sweep ---------------------------------------------------------


def test_first_in_first_out_runs_once() -> None:
    chooser = fifo(0, Random(0), Seen())
    assert chooser is not None
    assert walked(chooser, [[task("a: run"), fault()]] * 5) == [0] * 5
    assert fifo(1, Random(0), Seen()) is None


def struck(number: int, points: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Where a run of the sweep leaves first-in-first-out."""
    chooser = sweep(number, Random(number), Seen(profile=Profile(fault_points=tuple(points))))
    assert chooser is not None
    options: list[Option] = [task("a: run"), task("b: run"), timer("c: run"), fault(), fault()]
    taken = walked(chooser, [options] * 10)
    return [(step, index) for step, index in enumerate(taken, start=1) if index]


def test_the_sweep_strikes_once_a_run_and_everywhere_once() -> None:
    strikes = [struck(number, POINTS) for number in range(len(POINTS))]
    assert all(len(one) == 1 for one in strikes)
    assert sorted(one[0] for one in strikes) == sorted(POINTS)
    assert sweep(len(POINTS), Random(0), Seen(profile=Profile(fault_points=POINTS))) is None
    assert sweep(0, Random(0), Seen()) is None


def test_the_sweep_does_not_strike_where_nothing_is_offered() -> None:
    chooser = sweep(0, Random(0), Seen(profile=Profile(fault_points=((2, 3),))))
    assert chooser is not None
    assert walked(chooser, [[task("a: run"), task("b: run")]] * 3) == [0, 0, 0]


def struck_twice(number: int, wake: Sequence[Sequence[Option]]) -> list[tuple[int, str]]:
    """What a run of the double sweep strikes: at step 1, and later in what came of that."""
    seen = Seen(profile=Profile(fault_points=((1, 1),) * 200))
    chooser = sweep_twice(number, Random(0), seen)
    assert chooser is not None
    offered = [[task("a: run"), fault(), fault("nemesis: crash of other")], *wake]
    taken = walked(chooser, offered)
    return [
        (step, offered[step - 1][index].label) for step, index in enumerate(taken, start=1) if index
    ]


@pytest.mark.parametrize(("number", "wait"), [*enumerate(PATIENCE)])
def test_the_double_sweep_strikes_what_the_fault_made_possible_later_and_later(
    number: int, wait: int
) -> None:
    again = fault("nemesis: crash of ledger in recovery")
    wake = [[task("a: run"), fault(), again]] * 40
    first, second = struck_twice(number, wake)
    assert first == (1, fault().label)
    assert second == (2 + wait, again.label)


def test_the_double_sweep_takes_turns_among_what_became_possible() -> None:
    wake = [[task("a: run"), fault(), orphan(), fault("nemesis: crash of ledger in recovery")]] * 40
    seconds = {struck_twice(number, wake)[1][1] for number in range(2 * len(PATIENCE))}
    assert seconds == {orphan().label, "nemesis: crash of ledger in recovery"}


def test_where_nothing_became_possible_the_double_sweep_strikes_something_else_in_the_end() -> None:
    wake = [[task("a: run"), fault("nemesis: crash of other")]] * (PATIENCE[-1] + 3)
    first, second = struck_twice(0, wake)
    assert first[0] == 1
    assert second == (2 + PATIENCE[-1], "nemesis: crash of other")
    assert len(struck_twice(0, [[task("a: run")]] * 90)) == 1


def test_the_double_sweep_has_as_many_runs_as_the_sweep() -> None:
    seen = Seen(profile=Profile(fault_points=POINTS))
    assert sweep_twice(len(POINTS) - 1, Random(0), seen) is not None
    assert sweep_twice(len(POINTS), Random(0), seen) is None


@given(st.integers(1, 400))
@examples(150)
def test_the_sweep_visits_each_position_once(count: int) -> None:
    assert sorted(spread(number, count) for number in range(count)) == list(range(count))


@pytest.mark.parametrize("count", [10, 48, 97, 100, 137, 256, 360, 1000])
def test_every_prefix_of_the_sweep_is_spread(count: int) -> None:
    positions = [spread(number, count) for number in range(count)]
    for so_far in range(2, min(count, 60)):
        visited = sorted(positions[:so_far])
        gaps = [after - before for before, after in itertools.pairwise(visited)]
        gaps.append(visited[0] + count - visited[-1])
        # A prefix of the golden ratio leaves no gap above 2.62 times its mean; rounding adds one.
        assert max(gaps) <= 2.7 * count / so_far + 2, (count, so_far)


# --- random walks -------------------------------------------------------------------------------


def fault_steps(chooser: Chooser, *, steps: int) -> list[int]:
    """When a chooser strikes, if it could at every step."""
    options: list[Option] = [task("a: run"), task("b: run"), fault()]
    taken = walked(chooser, [options] * steps)
    return [step for step, index in enumerate(taken, start=1) if options[index].kind == FAULT]


@pytest.mark.parametrize("name", ["random", "pct(2)", "pct(5)"])
def test_faults_are_few_and_anywhere(name: str) -> None:
    strikes = []
    for seed in range(400):
        chooser = chooser_of(name, number=0, seed=seed, seen=Seen(steps=100))
        assert chooser is not None
        strikes.append(fault_steps(chooser, steps=100))
    counts = [len(one) for one in strikes]
    assert set(counts) >= {0, 1, 2}
    assert sum(count <= 1 for count in counts) > 250
    assert max(counts) <= 5
    lone = [one[0] for one in strikes if len(one) == 1]
    assert min(lone) < 10 and max(lone) > 90
    assert 40 < sum(lone) / len(lone) < 60


@pytest.mark.parametrize("name", ["random", "pct(2)"])
def test_an_orphan_lands_now_or_late_or_never(name: str) -> None:
    landings = []
    reader, late = Fake("a: get"), orphan()
    reader.footprint, late.footprint = reads("row"), writes("row")
    for seed in range(200):
        chooser = chooser_of(name, number=0, seed=seed, seen=Seen(steps=50))
        assert chooser is not None
        options: list[Option] = [reader, task("b: run"), late]
        taken = walked(chooser, [options] * 50)
        landings.append(taken.index(2) + 1 if 2 in taken else 0)
    assert sum(0 < step <= 5 for step in landings) > 30
    assert sum(step > 15 for step in landings) > 20
    assert 0 in landings


def test_time_passes_with_a_chance_of_the_run_even_while_tasks_are_ready() -> None:
    shares = set()
    for seed in range(100):
        chooser = uniform(0, Random(seed), Seen(steps=1))
        assert chooser is not None
        options: list[Option] = [task("a: run"), task("b: run"), timer("c: run"), timer("d: run")]
        taken = walked(chooser, [options] * 200)
        late = sum(index >= 2 for index in taken) / 200
        assert late < 0.5
        shares.add(round(late, 1))
    assert {0.0, 0.1, 0.3} <= shares


# --- probabilistic concurrency testing ----------------------------------------------------------


def overtaken(taken: Sequence[str]) -> int:
    """How often the one who ran is not the one who runs next."""
    return sum(one != other for one, other in itertools.pairwise(taken))


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_a_run_of_depth_d_preempts_d_minus_one_times(depth: int) -> None:
    """Four actors always ready: only a preemption (and a return from it) changes who runs."""
    options: list[Option] = [task(f"{lane}: run") for lane in "abcd"]
    most = 0
    for seed in range(60):
        chooser = pct(depth)(0, Random(seed), Seen(steps=200))
        assert chooser is not None
        ran = [options[index].label for index in walked(chooser, [options] * 200)]
        assert overtaken(ran) <= 2 * (depth - 1)
        most = max(most, overtaken(ran))
    assert most >= depth - 1


def test_the_highest_priority_runs_and_keeps_running() -> None:
    leaders = set()
    for seed in range(40):
        chooser = pct(2)(0, Random(seed), Seen(steps=10_000))
        assert chooser is not None
        ran = walked(chooser, [[task(f"{lane}: run") for lane in "abcd"]] * 5)
        assert len(set(ran)) == 1
        leaders.add(ran[0])
    assert leaders == {0, 1, 2, 3}


def frozen_runs() -> list[list[str]]:
    """Runs of one actor that is always ready and a clock that always could go on."""
    options: list[Option] = [task("a: run"), timer("b: sleep")]
    runs = []
    for seed in range(60):
        chooser = pct(2)(0, Random(seed), Seen(steps=30))
        assert chooser is not None
        runs.append([options[index].label for index in walked(chooser, [options] * 2000)])
    return runs


def test_the_clock_passes_a_frozen_actor_and_it_comes_back() -> None:
    stretches = []
    for ran in frozen_runs():
        passed = [step for step, label in enumerate(ran) if label.startswith("clock")]
        assert passed, "one preemption a run, and nobody else to run meanwhile"
        assert passed == list(range(passed[0], passed[-1] + 1))
        assert ran[-1] == "a: run"
        stretches.append(len(passed))
    assert min(stretches) < 20 and max(stretches) > 300


def test_a_frozen_actor_is_not_woken_by_its_own_timer() -> None:
    for seed in range(30):
        chooser = pct(2)(0, Random(seed), Seen(steps=5))
        assert chooser is not None
        together: list[Option] = [task("a: run"), timer("b: sleep")]
        ran = [together[index].label for index in walked(chooser, [together] * 6)]
        if "clock -> 5 ms for b: sleep" not in ran:
            continue
        frozen_at = ran.index("clock -> 5 ms for b: sleep") + 1
        alone: list[Option] = [timer("a: run"), timer("b: sleep")]
        assert alone[chooser(alone, frozen_at + 1)].actor == "b: sleep"


# --- the rotation -------------------------------------------------------------------------------


def turns(
    names: Sequence[str],
    count: int,
    *,
    seed: int = 1,
    faults: Sequence[tuple[int, int]] = ((3, 2), (5, 2)),
    points: int = 40,
) -> list[str]:
    """The names of the first runs of a rotation; what the fifo run shows are these places for a
    fault, and so many points for a delay.
    """
    rotation = Rotation(names, seed=seed)
    seen = Seen()
    taken = []
    for _ in range(count):
        turn = rotation.next(seen)
        if turn is None:
            break
        taken.append(turn[0])
        if turn[0] == "fifo":
            widths = tuple((step, 2) for step in range(1, points + 1))
            seen = Seen(40, profile=Profile(tuple(faults), widths))
    return taken


def test_first_in_first_out_comes_first_and_once() -> None:
    taken = turns(PORTFOLIO, 60)
    assert taken[0] == "fifo"
    assert taken.count("fifo") == 1


def test_an_exhausted_strategy_leaves_and_the_others_go_on() -> None:
    taken = turns(PORTFOLIO, 60)
    assert taken.count("sweep") == 2
    assert len(taken) == 60
    assert turns(("fifo", "sweep"), 60) == ["fifo", "sweep", "sweep"]


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_whoever_searches_alone_learns_from_one_run_in_order(name: str) -> None:
    taken = turns((name,), 4)
    assert [each.partition(",")[0] for each in taken[:2]] == ["fifo", name][: len(taken)]
    assert taken.count("fifo") == 1


def test_a_run_in_order_that_is_asked_for_later_was_there_already() -> None:
    assert turns(("sweep",), 9) == ["fifo", "sweep", "sweep"]
    assert turns(("sweep", "fifo"), 9) == ["fifo", "sweep", "sweep"]


@pytest.mark.parametrize(("points", "few"), [(0, 0), (2, 5), (3, 9), (4, 4), (10, 10), (11, 0)])
def test_few_delays_come_before_the_rotation_where_no_fault_can_strike(
    points: int, few: int
) -> None:
    turn = list(PORTFOLIO[1:3])
    taken = turns(PORTFOLIO, few + 3, faults=(), points=points)
    assert taken == ["fifo", *["delay(2)"] * few, *turn]
    assert turns(PORTFOLIO, 3, faults=((3, 2),), points=points) == ["fifo", *turn]
    assert "delay(2)" not in turns(("random", "pos"), 12, faults=(), points=points)


def test_every_second_walk_is_batch_legal() -> None:
    taken = turns(("random", "pct(3)"), 9)
    assert taken[1:] == [
        "random",
        "pct(3)",
        "random, batch-legal",
        "pct(3), batch-legal",
        "random",
        "pct(3)",
        "random, batch-legal",
        "pct(3), batch-legal",
    ]
    offered: list[Option] = [task("a: run"), *(task(f"{x}: run", batch_legal=False) for x in "bcd")]
    rotation = Rotation(("random",), seed=3)
    assert rotation.next(Seen()) is not None
    for number in range(10):
        turn = rotation.next(Seen())
        assert turn is not None
        assert any(walked(turn[1], [offered] * 20)) is (number % 2 == 0)


def test_the_same_seed_is_the_same_sequence_of_runs() -> None:
    def sequence(seed: int) -> list[tuple[str, tuple[int, ...]]]:
        rotation = Rotation(("random", "pct(3)", "random"), seed=seed)
        made: list[tuple[str, tuple[int, ...]]] = []
        for _ in range(12):
            turn = rotation.next(Seen(20))
            assert turn is not None
            offered: list[Option] = [task(f"{lane}: run") for lane in "abcd"]
            made.append((turn[0], tuple(walked(turn[1], [offered] * 20))))
        return made

    assert sequence(5) == sequence(5)
    assert sequence(5) != sequence(6)
    walks = [taken for _, taken in sequence(5)[1:]]
    assert len(set(walks)) == len(walks)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("fifo", ("fifo",)),
        ("pct", ("pct(3)",)),
        ("random, pct(7)", ("random", "pct(7)")),
        ("portfolio", PORTFOLIO),
        ("fifo,portfolio", ("fifo", *PORTFOLIO)),
    ],
)
def test_strategies_are_named_in_a_comma_list(text: str, names: tuple[str, ...]) -> None:
    assert parse_names(text) == names


@pytest.mark.parametrize(
    ("text", "closest"), [("randm", "random"), ("fifo,swep", "sweep"), ("portfolo", "portfolio")]
)
def test_an_unknown_strategy_names_the_closest(text: str, closest: str) -> None:
    with pytest.raises(UsageError, match=f"unknown strategy .*; did you mean '{closest}'"):
        parse_names(text)


def test_a_depth_out_of_range_lists_what_there_is() -> None:
    with pytest.raises(UsageError, match=r"unknown strategy 'pct\(11\)'"):
        parse_names("pct(11)")
    with pytest.raises(UsageError, match=r"known: delay\(1\), .*, fifo, guided, pct"):
        parse_names("")
