"""Small programs of SQL, drawn at random: is every final state that some order has still found?

A program is two or three lanes of a few statements. Its final states are what the tables hold and
what every lane was answered. They are collected over all orders, and over those that footprints
leave; both sets must be the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from harness.live.footprints import Footprints
from harness.live.launching import KEPT
from harness.live.scenario import live_scenario
from harness.live.stage import LiveStage
from harness.live.world import LiveWorld
from harness.proof.bounds import Bound
from harness.proof.errands import ASLEEP, Errand, Subject, observe
from harness.proof.explorer import Explorer
from harness.scenario import Scenario
from harness.schedule.choices import EVERYTHING
from tests.live.deployments import BOOKS, python

Lanes = tuple[tuple[str, ...], ...]
STATEMENTS = (
    "update books set hands = hands || '{me}' where name = 'ann'",
    "update books set hands = hands || '{me}' where name = 'bob'",
    "update books set amount = amount + 1",
    "update books set amount = (select sum(amount) + 1 from books) where name = 'bob'",
    "update books set hands = '{me}' where hands = ''",
    "update books set name = 'cat' where name = 'bob'",
    "select hands from books where name = 'ann'",
    "select string_agg(hands, ',' order by name) from books",
    "select amount from books where name = 'bob' for update",
    "select count(*) from said",
    "insert into said (what) values ('{me}')",
    "insert into said (what) select hands from books where name = 'ann'",
    "insert into books (name, amount, hands) values ('cat', 0, '{me}')",
    "insert into books (name, amount, hands) values ('bob', 0, '') on conflict do nothing",
    "delete from books where name = 'bob'",
    "select nextval('said_id_seq')",
    "select pg_advisory_xact_lock(1)",
)
BEGINS = ("begin", "begin", "begin", "begin isolation level repeatable read")
ENDS = ("commit", "commit", "commit", "rollback")


def program(seed: int) -> Lanes:
    """A program, always the same for a seed."""
    draw = Random(f"program {seed}")
    lanes: list[tuple[str, ...]] = []
    for me in "xyz"[: draw.choice((2, 2, 3))]:
        count = draw.choice((1, 2, 2))
        body = [draw.choice(STATEMENTS).format(me=me) for _ in range(count)]
        if draw.random() < 0.6:
            body = [draw.choice(BEGINS), *body, draw.choice(ENDS)]
        lanes.append(tuple(body))
    return tuple(lanes)


def scenario_of(lanes: Lanes) -> Scenario:
    """A program as a scenario of services that are kept."""

    @live_scenario(name="live-program")
    def deployed(world: LiveWorld) -> None:
        world.database(BOOKS)
        for name, script in zip("xyz", lanes, strict=False):
            world.service(name, **python("script", *script, ME=name, KEPT="1"), boot=KEPT)
        row = "concat_ws(' ', name, amount, hands)"
        world.observe("books", f"select string_agg({row}, ',' order by name) from books")
        world.observe("said", "select string_agg(concat(id, what), ',' order by id) from said")

    return deployed


@dataclass(frozen=True, slots=True)
class Closed:
    """What a closed search came to: how many runs it took, and the final states."""

    runs: int
    states: frozenset[object]


class TooManyError(Exception):
    """A program has more orders than are wanted."""


def closed(scenario: Scenario, *, runs_max: int) -> Closed:
    """Close a search and collect the final states; raises :class:`TooManyError`."""
    stages: list[LiveStage] = []
    made = scenario.stage
    assert made is not None

    def remembered(*arguments: Any, **options: Any) -> LiveStage:
        stage = made(*arguments, **options)
        assert isinstance(stage, LiveStage)
        stages[:] = [stage]
        return stage

    subject = Subject(replace(scenario, stage=remembered), 0, {}, Bound())
    explorer = Explorer(subject)
    explorer.past_violations = True
    errands: deque[Errand] = deque()
    states: set[object] = set()
    while not explorer.done:
        if explorer.tally.runs >= runs_max:
            raise TooManyError
        errands += explorer.errands()
        seen = observe(subject, errands.popleft(), explorer.vocabulary, past_violations=True)
        explorer.learn(seen)
        if seen.ending != ASLEEP:
            states.add(_state(stages[0]))
    return Closed(explorer.tally.runs, frozenset(states))


def _state(stage: LiveStage) -> object:
    answers: dict[str, list[str]] = {}
    for event in stage.history:
        if event.peer == "database" and event.kind in ("read", "write"):
            answers.setdefault(event.lane, []).append(f"{event.value}")
    return (
        tuple(sorted(stage.world.values.items())),
        tuple((lane, *told) for lane, told in sorted(answers.items())),
        f"{stage.ending}",
    )


@contextmanager
def blind(known: Callable[..., object] = lambda *_: EVERYTHING) -> Iterator[None]:
    """Nothing is known of what a step touches, or only what somebody says."""
    real = Footprints.of_last_step
    Footprints.of_last_step = known  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        Footprints.of_last_step = real  # type: ignore[method-assign]


def compare(lanes: Lanes, *, runs_max: int) -> tuple[Closed, Closed]:
    """The search with footprints and the one without; raises :class:`TooManyError`."""
    scenario = scenario_of(lanes)
    few = closed(scenario, runs_max=runs_max)
    with blind():
        return few, closed(scenario, runs_max=runs_max)
