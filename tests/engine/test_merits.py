"""Whoever showed something new of late is given more runs, and everybody learns the same of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
import trio

from harness.engine import execute
from harness.invariants import Broken
from harness.knowledge import recalled, remembered
from harness.schedule.strategies.merit import Merit, favourite
from harness.schedule.strategies.portfolio import FAVOURED_SHARE, Rotation
from harness.schedule.strategies.protocol import Lesson, Profile, Seen
from harness.world.world import World
from tests.engine.worlds import told

NAMES = ("random", "pos", "pct(3)")


def lesson(number: int, strategy: str, *covered: str, broken: tuple[str, ...] = ()) -> Lesson:
    return Lesson(number, strategy, 9, broken, covered=covered)


def taken(seen: Seen, count: int, *, names: Sequence[str] = NAMES) -> list[str]:
    """Who the next runs are given to, after the one in order."""
    rotation = Rotation(names, seed=1)
    turns = [rotation.next(seen) for _ in range(count + 1)]
    return [turn[0].partition(",")[0] for turn in turns[1:] if turn]


def test_without_news_everybody_has_the_same_share() -> None:
    assert taken(Seen(), 9) == list(NAMES) * 3
    nothing = Seen().after(lesson(number, name) for number, name in enumerate(NAMES))
    assert taken(nothing, 9) == list(NAMES) * 3


def test_who_showed_something_new_has_a_share_more() -> None:
    seen = Seen().after([lesson(1, "random", "a"), lesson(2, "pos"), lesson(3, "pos", "a")])
    counted = Counter(taken(seen, 90))
    assert counted == {"random": 30 + 20, "pos": 20, "pct(3)": 20}
    assert taken(seen, 6).index("random") == 0
    assert FAVOURED_SHARE == 3


def test_a_rule_that_is_broken_for_the_first_time_is_news_and_only_then() -> None:
    first = [lesson(1, "pos", broken=("rule",)), lesson(2, "random", broken=("rule",))]
    assert favourite(NAMES, Seen().after(first).merits) == "pos"
    again = Seen().after([lesson(0, "corpus", broken=("rule",))]).after(first)
    assert favourite(NAMES, again.merits) == ""


def test_a_run_teaches_which_rules_it_broke() -> None:
    async def story(world: World) -> None:
        @world.invariant
        def never() -> None:
            raise Broken("at once")

        await trio.lowlevel.checkpoint()

    taught = execute(told(story), seed=0).lesson(1, "fifo")
    assert taught.broken == ("never",) and taught.shown == ("broke never",)


def test_lockstep_runs_of_a_strategy_are_runs_of_it() -> None:
    seen = Seen().after([lesson(1, "random"), lesson(2, "random, batch-legal", "a")])
    assert seen.merits == {"random": Merit(2, 1)}


def test_what_was_shown_long_ago_fades() -> None:
    seen = Seen().after([lesson(1, "random", "a"), lesson(2, "random", "b")])
    assert favourite(NAMES, seen.merits) == "random"
    seen = seen.after([lesson(3, "pos", "c"), lesson(4, "random")])
    assert favourite(NAMES, seen.merits) == "pos"
    for _ in range(3):
        seen = seen.after([lesson(5, "random"), lesson(6, "pos")])
    assert seen.merits["pos"].rate < 0.1


def test_one_lucky_run_is_less_than_many() -> None:
    assert Merit(1, 1).rate < Merit(10, 9).rate
    assert favourite(["pos", "random"], {"random": Merit(4, 2), "pos": Merit(4, 2)}) == "pos"


def test_who_has_nothing_left_to_try_is_no_favourite() -> None:
    points = Profile(fault_points=((3, 1),))
    seen = Seen(profile=points).after([lesson(1, "sweep", "a")])
    assert taken(seen, 5, names=("sweep", "random")) == ["sweep", *["random"] * 4]


def test_the_order_of_lessons_does_not_matter_but_that_of_their_numbers() -> None:
    lessons = [lesson(1, "pos", "a"), lesson(2, "random", "a"), lesson(3, "random", "b")]
    seen = Seen().after(lessons)
    assert seen == Seen().after(reversed(lessons))
    assert seen.merits == {"pos": Merit(1, 1), "random": Merit(2, 1)}


@pytest.mark.parametrize("done", [1, 5, 17])
def test_a_search_that_goes_on_knows_its_favourite(done: int) -> None:
    seen = Seen().after([lesson(1, "pos", "a")])
    one, other = Rotation(NAMES, seed=1), Rotation(NAMES, seed=1)
    for _ in range(done):
        one.next(seen)
    number, known = recalled(remembered(done, seen, one), other)
    assert (number, known) == (done, seen)
    turns = [[rotation.next(seen) for _ in range(9)] for rotation in (one, other)]
    first, second = ([turn[0] for turn in each if turn] for each in turns)
    assert first == second and "pos" in first
