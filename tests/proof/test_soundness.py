"""The search against the truth: hundreds of small programs, of which every run can be made.

It must reach every final state, break every rule that can be broken, take every order that is not
the same as another, and none of them twice. And this test must notice when it does not: each way
of observing what steps touch is switched off in turn, and some program must then disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from harness.proof import witness
from harness.proof.resources import Touch
from harness.proof.witness import Witness
from harness.schedule.books import Books
from tests.proof.acts import FAMILIES
from tests.proof.programs import programs
from tests.proof.soundness import Comparison, compared

PROGRAMS, RUNS_MAX, PARTS = 660, 60, 11


@pytest.mark.parametrize("part", range(PARTS), ids=list(FAMILIES))
def test_the_search_takes_every_order_of_every_program_once(part: int) -> None:
    checked = 0
    for program in programs(PROGRAMS)[part::PARTS]:
        result = compared(program, runs_max=RUNS_MAX)
        if result is not None:
            checked += 1
            assert result.agrees, result
    assert checked >= 10, "hardly a program is small enough"


def _first_disagreement(family: str) -> Comparison | None:
    part = list(FAMILIES).index(family)
    for program in programs(PROGRAMS)[part::PARTS]:
        try:
            result = compared(program, runs_max=RUNS_MAX)
        except (AssertionError, KeyError, IndexError):
            raise
        if result is not None and not result.agrees:
            return result
    return None


def _without(*hidden: str) -> Callable[[Books, str, str], None]:
    original = Books.touches

    def touches(self: Books, resource: str, how: str = "write") -> None:
        if not any(part in resource for part in hidden):
            original(self, resource, how)

    return touches


def _dropping(name: str, *hidden: str) -> Callable[..., list[Touch]]:
    original = getattr(Witness, name)

    def method(self: Witness, *arguments: object) -> list[Touch]:
        found: Sequence[Touch] = original(self, *arguments)
        return [touch for touch in found if not any(part in touch[0] for part in hidden)]

    return method


@pytest.mark.parametrize(
    ("family", "place", "name", "substitute"),
    [
        pytest.param("memory", Witness, "_expected", _dropping("_expected", "memory/"), id="memory"),
        pytest.param("rows", Witness, "_expected", _dropping("_expected", "db/"), id="footprints"),
        pytest.param("time", Witness, "_expected", _dropping("_expected", "steps/"), id="arrivals"),
        pytest.param("topics", Books, "touches", _without("steps/"), id="what the world tells"),
        pytest.param("topics", Books, "touches", _without("listeners"), id="listeners"),
        pytest.param("chance", Books, "touches", _without("random/"), id="random numbers"),
        pytest.param("rows", Witness, "_judged", _dropping("_judged", "rules/"), id="rules"),
        pytest.param("rows", Witness, "_judged", _dropping("_judged", "watch/"), id="watchers"),
        pytest.param("objects", Witness, "_crashed", lambda self, lane: None, id="crashes"),
        pytest.param("transactions", Witness, "_sent", lambda self: [], id="conditions"),
        pytest.param("time", witness, "EVERYTHING", ("memory/nowhere", "read"), id="time passes"),
    ],
)
def test_it_is_noticed_when_something_is_not_observed(
    family: str,
    place: object,
    name: str,
    substitute: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(place, name, substitute)
    assert _first_disagreement(family) is not None
