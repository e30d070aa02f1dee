"""A schedule in one line: what it looks like, that it comes back, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.scenario import Scenario
from harness.schedule.choices import NOTHING, Footprint, Schedule, reads, writes
from tests.engine.settings import examples

NAMES = st.from_regex(r"[A-Za-z0-9_.\-]+", fullmatch=True)
SCHEDULES = st.builds(
    Schedule,
    scenario=NAMES,
    seed=st.integers(0, 2**64),
    choices=st.dictionaries(st.integers(1, 10**6), st.integers(1, 99), max_size=9),
    variant=st.dictionaries(st.sampled_from(["guards", "bug"]), NAMES),
)
RESOURCES = st.sampled_from(["", "db", "db/*", "db/rows/a", "db/rows/*", "dbx/rows", "disk/*", "*"])
FOOTPRINTS = st.lists(st.tuples(RESOURCES, st.sampled_from(["read", "write"])), max_size=4).map(
    Footprint
)


@given(SCHEDULES)
@examples(200)
def test_a_token_says_the_whole_schedule(schedule: Schedule) -> None:
    assert Schedule.parse(schedule.token) == schedule
    assert Schedule.parse(f"  {schedule.token}\n") == schedule
    assert Schedule.parse(schedule.token).token == schedule.token


@pytest.mark.parametrize(
    ("schedule", "token"),
    [
        (Schedule("paradex-2026-01-19", 4211), "paradex-2026-01-19@4211"),
        (Schedule("funding_restart", 4211, {8: 1}), "funding_restart@4211:8=1"),
        (Schedule("funding", 7, {30: 2, 8: 1}), "funding@7:8=1,30=2"),
        (
            Schedule("funding", 0, {3: 1}, {"guards": "write_bound.mode_gate", "bug": "late"}),
            "funding+bug=late+guards=write_bound.mode_gate@0:3=1",
        ),
    ],
)
def test_a_token_is_readable_and_sorted(schedule: Schedule, token: str) -> None:
    assert schedule.token == token
    assert Schedule.parse(token) == schedule


def test_a_long_token_has_a_short_name_that_is_no_token() -> None:
    short, many = Schedule("funding", 7, {8: 1}), dict.fromkeys(range(1, 521), 2)
    assert short.brief == short.token
    brief = Schedule("funding", 7, many).brief
    assert brief.startswith("funding@7:1=2,2=2,") and brief.endswith("=2... (520 choices)")
    left_out = Schedule("funding", 7, {}, {"without": "x" * 500}).brief
    for name in (brief, left_out):
        assert len(name) < 200
        with pytest.raises(UsageError):
            Schedule.parse(name)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "funding",
        "funding@",
        "funding@x",
        "funding@-1",
        "@7",
        "funding@7:",
        "funding@7:8",
        "funding@7:8=",
        "funding@7:8=1,",
        "funding@7:8=1;9=1",
        "funding@7:8=-1",
        "funding@7:8=1 9=2",
        "funding+guards@7",
        "funding+GUARDS=all@7",
        "fund ing@7",
        "funding@7\n:8=1",
    ],
)
def test_what_is_no_token_is_told_the_form(token: str) -> None:
    with pytest.raises(UsageError) as refused:
        Schedule.parse(token)
    assert str(refused.value) == (
        f"{token!r} is not a schedule token; "
        "expected scenario@seed or scenario@seed:step=choice,step=choice"
    )


def test_first_in_first_out_is_never_written_down() -> None:
    schedule = Schedule("funding", 7, {8: 1}, {"bug": "late"}).with_choices({9: 0, 4: 2, 12: 0})
    assert schedule.token == "funding+bug=late@7:4=2"


@given(FOOTPRINTS, FOOTPRINTS)
@examples(300)
def test_a_conflict_is_mutual(one: Footprint, other: Footprint) -> None:
    assert one.conflicts(other) == other.conflicts(one)
    assert not one.conflicts(NOTHING)


@pytest.mark.parametrize(
    ("one", "other", "conflict"),
    [
        (reads("db/a"), reads("db/a"), False),
        (reads("db/a"), writes("db/a"), True),
        (writes("db/a"), writes("db/a"), True),
        (writes("db/a"), writes("db/b"), False),
        (reads("db/*"), writes("db/a"), True),
        (reads("db/*"), reads("db/a"), False),
        (writes("db/*"), reads("db/rows/*"), True),
        (writes("db/*"), writes("dbx/a"), False),
        (Footprint([("db/a", "read"), ("db/b", "write")]), reads("db/b"), True),
    ],
)
def test_order_matters_where_one_writes_what_the_other_touches(
    one: Footprint, other: Footprint, *, conflict: bool
) -> None:
    assert one.conflicts(other) is conflict


async def nothing(world: object) -> None:
    """A story of no interest."""


GUARDED = Scenario(
    name="guarded",
    story=nothing,
    guards=("write_bound", "mode_gate"),
    guards_default=("mode_gate",),
    bugs={"late": "It comes late.", "lost": "It never comes."},
    bug_default="late",
)


@pytest.mark.parametrize(
    ("guards", "bug", "variant"),
    [
        (None, None, {}),
        ("mode_gate", "late", {}),
        ("all", None, {"guards": "all"}),
        ("mode_gate,write_bound", None, {"guards": "all"}),
        ("none", "none", {"guards": "none", "bug": "none"}),
        ("write_bound", "lost", {"guards": "write_bound", "bug": "lost"}),
    ],
)
def test_a_variant_names_what_differs_from_the_default(
    guards: str | None, bug: str | None, variant: dict[str, str]
) -> None:
    found = GUARDED.variant(guards=guards, bug=bug)
    assert found == variant
    token = Schedule("guarded", 1, {}, found).token
    names, planted = GUARDED.settings_of(Schedule.parse(token).variant)
    assert names == (frozenset({"mode_gate"}) if guards is None else GUARDED.parse_guards(guards))
    assert planted == ("late" if bug is None else "" if bug == "none" else bug)


@pytest.mark.parametrize(
    ("variant", "told"),
    [
        ({"guards": "mode_gat"}, "did you mean 'mode_gate'"),
        ({"bug": "lst"}, "did you mean 'lost'"),
        ({"bugs": "lost"}, "did you mean 'bug'"),
    ],
)
def test_an_unknown_part_of_a_variant_names_the_closest(variant: dict[str, str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        GUARDED.settings_of(variant)
