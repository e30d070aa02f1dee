"""Fixtures that several tests of the engine share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.engine import campaign
from tests.engine.planted import PLANTED, Planted


@pytest.fixture
def one_campaign() -> Iterator[None]:
    """Many runs in a row."""
    with campaign():
        yield


@pytest.fixture(scope="module", params=PLANTED, ids=lambda planted: planted.scenario.name)
def planted(request: pytest.FixtureRequest) -> Planted:
    """One of the bugs."""
    chosen: Planted = request.param
    return chosen
