"""The search against the truth: hundreds of small programs, of which every run can be made.

It must reach every final state, break every rule that can be broken, take every order that is not
the same as another, and none of them twice. And this test must notice when it does not: what steps
touch is hidden in turn, and some program must then disagree. (For single observations see
``test_observations.py``.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import pytest

from harness.engine import campaign
from harness.proof.resources import Touch
from harness.proof.vocabulary import Vocabulary
from tests.proof.acts import FAMILIES
from tests.proof.programs import programs
from tests.proof.soundness import Comparison, compared

#: Of each family in its turn; no more than so many of one are enumerated.
PROGRAMS, CHECKED_MAX = 420, 20
#: Programs with more runs than this are left out; some families have none that are smaller.
RUNS_MAX, RUNS_MAX_OF = 200, {"transactions": 220, "files": 460, "services": 720, "deadlines": 160}
#: Of how many programs of a family every run was made at least, and of how many with a fault.
CHECKED_MIN = {"transactions": 5}
FAULTY_MIN = {
    "transactions": 0,
    "maintenance": 1,
    "tasks": 3,
    "memory": 3,
    "services": 4,
    "deadlines": 1,
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_search_takes_every_order_of_every_program_once(family: str) -> None:
    found = list(islice(_comparisons(family), CHECKED_MAX))
    assert [result for result in found if not result.agrees] == []
    assert len(found) >= CHECKED_MIN.get(family, 10)
    assert sum(bool(result.program.fault) for result in found) >= FAULTY_MIN.get(family, 6)
    assert sum(result.runs for result in found) > sum(result.made for result in found)
    if family == "timeouts":
        assert sum(0 < result.struck < result.runs for result in found) >= 10


def _comparisons(family: str) -> Iterator[Comparison]:
    place = list(FAMILIES).index(family)
    with campaign():  # once, for it collects garbage
        for program in programs(PROGRAMS)[place :: len(FAMILIES)]:
            result = compared(program, runs_max=RUNS_MAX_OF.get(family, RUNS_MAX))
            if result is not None:
                yield result


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
    assert any(not result.agrees for result in _comparisons(family))
