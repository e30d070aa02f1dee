"""Every kind of scenario is the same when it is made again; the thousands are made at night."""

from __future__ import annotations

import pytest

from tests.live.replays import kinds, replayed


@pytest.mark.usefixtures("walls")
@pytest.mark.parametrize("kind", kinds())
def test_made_again_it_is_the_same(kind: str) -> None:
    made = replayed(kinds()[kind](), replays=2, each=1)
    assert made.same == made.number == 2, made.differences
