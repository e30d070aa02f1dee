"""Who closes a circle of waiting is not stopped: nobody else would notice the deadlock."""

from __future__ import annotations

import pytest

from harness.live.locks import in_circle


@pytest.mark.parametrize(
    ("graph", "closes"),
    [
        ({1: (2,)}, False),
        ({1: (2,), 2: (3,)}, False),
        ({1: (2,), 2: (1,)}, True),
        ({1: (2, 4), 2: (3,), 3: (1,)}, True),
        ({1: (2,), 2: (3,), 3: (2,)}, False),
        ({}, False),
    ],
)
def test_a_circle_is_told_from_a_queue(graph: dict[int, tuple[int, ...]], closes: bool) -> None:
    assert in_circle(1, graph) is closes
