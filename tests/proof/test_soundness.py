"""The search against the truth: hundreds of small programs, of which every run can be made.

It must reach every final state, break every rule that can be broken, take every order that is not
the same as another, and none of them twice. And this test must notice when it does not: each way
of observing what steps touch is switched off in turn, and some program must then disagree.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from harness.engine import campaign
from harness.proof.resources import Touch
from harness.proof.vocabulary import Vocabulary
from tests.proof.acts import FAMILIES
from tests.proof.programs import programs
from tests.proof.soundness import Comparison, compared

PROGRAMS, RUNS_MAX = 330, 100
#: Of how many programs of a family every run was made at least.
CHECKED_MIN = {"transactions": 3, "maintenance": 7, "objects": 8}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_search_takes_every_order_of_every_program_once(family: str) -> None:
    found = [result for result in _comparisons(family) if result is not None]
    assert [result for result in found if not result.agrees] == []
    assert len(found) >= CHECKED_MIN.get(family, 10)
    assert sum(result.runs for result in found) > sum(result.made for result in found)


def _comparisons(family: str) -> Iterator[Comparison | None]:
    place = list(FAMILIES).index(family)
    with campaign():  # once, for it collects garbage
        for program in programs(PROGRAMS)[place :: len(FAMILIES)]:
            yield compared(program, runs_max=RUNS_MAX)


@pytest.mark.parametrize(
    ("hidden", "family"),
    [
        ("memory/", "memory"),
        ("db/", "rows"),
        ("store/", "objects"),
        ("disk/", "files"),
        ("net/", "topics"),
        ("net/listeners", "topics"),
        ("net/answers", "calls"),
        ("steps/", "calls"),
        ("random/", "chance"),
        ("rules/", "rows"),
        ("watch/", "rows"),
        ("clock", "time"),
        ("*", "time"),
    ],
)
def test_it_is_noticed_when_something_is_not_observed(
    hidden: str, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Vocabulary.set_of

    def set_of(self: Vocabulary, touches: Sequence[Touch]) -> int:
        return original(self, [touch for touch in touches if not touch[0].startswith(hidden)])

    monkeypatch.setattr(Vocabulary, "set_of", set_of)
    assert any(result is not None and not result.agrees for result in _comparisons(family))
