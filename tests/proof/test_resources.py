"""Masks say the same as footprints: which two steps get in each other's way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.proof.resources import ALL, ARRIVE, NONE, STEP, Resources
from harness.schedule.choices import Footprint

PLACES = ("db", "db/a", "db/a/x", "db/a/y", "db/b", "store/a", "dba/x")
FOOTPRINTS = st.lists(
    st.tuples(
        st.sampled_from([*PLACES, "db/*", "db/a/*", "store/*"]), st.sampled_from(["read", "write"])
    ),
    max_size=3,
)


@given(st.lists(st.tuples(FOOTPRINTS, FOOTPRINTS), min_size=1, max_size=4))
def test_masks_conflict_as_footprints_do(pairs: list[tuple[list[tuple[str, str]], ...]]) -> None:
    resources = Resources()
    for one, other in pairs:
        mine, theirs = resources.masks(one), resources.masks(other)
        assert mine.conflict(theirs) == Footprint(one).conflicts(Footprint(other))
        assert mine.conflict(theirs) == theirs.conflict(mine)


def test_steps_of_a_lane_meet_arrivals_there_but_not_each_other() -> None:
    resources = Resources()
    step, arrival = resources.masks([("steps/a", STEP)]), resources.masks([("steps/a", ARRIVE)])
    elsewhere = resources.masks([("steps/b", ARRIVE)])
    assert step.conflict(arrival)
    assert arrival.conflict(step)
    assert not step.conflict(step)
    assert not arrival.conflict(arrival)
    assert not step.conflict(elsewhere)


def test_everything_meets_even_what_touches_nothing() -> None:
    assert ALL.conflict(NONE)
    assert NONE.conflict(ALL)
    assert not NONE.conflict(NONE)
    assert ALL.conflict(ALL)
