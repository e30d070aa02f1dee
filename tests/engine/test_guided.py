"""The search that is led by coverage: what it builds on, that it is pure, and that it helps."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from harness.engine import campaign
from harness.schedule.choices import Option
from harness.schedule.strategies.corpus import ENTRIES_MAX, Corpus, Entry
from harness.schedule.strategies.guided import guided
from harness.schedule.strategies.portfolio import STRATEGIES, Rotation
from harness.schedule.strategies.protocol import Lesson, Seen
from harness.schedule.strategies.walks import uniform
from tests.engine.deep import repairs, schedules_to_bug
from tests.engine.settings import examples
from tests.engine.test_strategies import RUNS, walked
from tests.engine.worlds import fault, task

CHOICES = st.dictionaries(st.integers(1, 30), st.integers(1, 8), max_size=8)
NAMES = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True)
LESSONS = st.lists(st.tuples(CHOICES, NAMES), min_size=1, max_size=6)


def seen_after(lessons: list[tuple[dict[int, int], list[str]]]) -> Seen:
    """What is known after runs with these choices that covered these things."""
    return Seen(steps=25).after(
        Lesson(number, "random", 25, covered=tuple(names), choices=tuple(sorted(choices.items())))
        for number, (choices, names) in enumerate(lessons)
    )


@given(LESSONS, st.integers(0, 20), st.integers(0, 99), RUNS)
@examples(300)
def test_choices_are_legal_and_a_pure_function_of_number_seed_and_seen(
    lessons: list[tuple[dict[int, int], list[str]]],
    number: int,
    seed: int,
    offered: list[list[Option]],
) -> None:
    seen = seen_after(lessons)
    assert seen == seen_after(lessons) and seen.corpus.entries
    first = guided(number, Random(seed), seen)
    second = guided(number, Random(seed), seen)
    assert first is not None and second is not None
    picks = walked(first, offered)
    assert picks == walked(second, offered)
    assert all(0 <= pick < len(options) for pick, options in zip(picks, offered, strict=True))


def test_without_a_corpus_it_is_the_random_walk() -> None:
    offered = [[task("a: one"), task("b: two"), fault()]] * 40
    for seed in range(20):
        led, alone = guided(0, Random(seed), Seen()), uniform(0, Random(seed), Seen())
        assert led is not None and alone is not None
        assert walked(led, offered) == walked(alone, offered)


def test_most_runs_keep_most_of_a_run_of_the_corpus() -> None:
    choices = dict.fromkeys(range(2, 40, 2), 1)
    seen = seen_after([(choices, ["a"])])
    offered = [[task("a: one"), task("b: two")]] * 25
    model = [choices.get(step, 0) for step in range(1, 26)]
    kept = []
    for seed in range(100):
        choose = guided(0, Random(seed), seen)
        assert choose is not None
        picks = walked(choose, offered)
        same = [pick == wanted for pick, wanted in zip(picks, model, strict=True)]
        kept.append(sum(same))
    assert sum(count >= 20 for count in kept) > 40
    assert sum(count < 25 for count in kept) > 60


def test_only_runs_with_news_are_kept_and_never_those_that_broke_a_rule() -> None:
    def lesson(number: int, *names: str, broken: tuple[str, ...] = ()) -> Lesson:
        return Lesson(number, "random", 9, broken, covered=names, choices=((number, 1),))

    lessons = [lesson(1), lesson(2, "a"), lesson(3, "a"), lesson(4, "a", "b", broken=("rule",))]
    lessons += [lesson(5, "b", "c"), lesson(6, "c", "d")]
    corpus = Seen().after(reversed(lessons)).corpus
    assert [entry.choices[0][0] for entry in corpus.entries] == [2, 5, 6]
    assert corpus.counts == {"a": 3, "b": 2, "c": 2, "d": 1, "broke rule": 1}
    assert corpus.energies == (1 / 3, 1.0, 1.5)
    halves = Seen().after(lessons[:3]).after(lessons[3:])
    assert halves.corpus == corpus


def test_the_corpus_is_bounded_and_drops_what_shows_least() -> None:
    corpus = Corpus()
    for number in range(3 * ENTRIES_MAX):
        names = (f"cell {number}", "everywhere") if number != 1 else ("everywhere", "often")
        corpus = corpus.after(Entry(9, ((number + 1, 1),), names), fit=True)
        if number > 1:
            corpus = corpus.after(Entry(9, (), ("often",)), fit=True)
    assert len(corpus.entries) == ENTRIES_MAX
    assert not any("often" in entry.covered for entry in corpus.entries)
    assert len(corpus.counts) == 3 * ENTRIES_MAX + 1


def test_it_finds_what_lies_three_restarts_deep_where_walking_does_not() -> None:
    with campaign():
        needed = {
            strategy: [schedules_to_bug(strategy, repairs(3), seed, most=600) for seed in range(4)]
            for strategy in (guided, uniform)
        }
    assert max(needed[guided]) <= 400, needed
    assert sum(needed[guided]) * 2 < sum(needed[uniform]), needed


def test_a_campaign_can_ask_for_it_and_leaves_its_choices_as_they_are() -> None:
    assert STRATEGIES["guided"] is guided
    rotation = Rotation(("guided",), seed=3)
    turns = [rotation.next(Seen()) for _ in range(4)]
    assert [turn[0] for turn in turns if turn] == ["fifo", *["guided"] * 3]
