"""Live tests need PostgreSQL and Linux; elsewhere they say why they are skipped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.engine import campaign
from harness.live import launching, readiness, servers

#: The files that need a server.
LIVE = (
    "test_stage",
    "test_safety",
    "test_search",
    "test_databases",
    "test_greeted",
    "test_languages",
    "test_peers",
    "test_trackers",
    "test_disasters",
    "test_clock",
    "test_paradex",
    "test_real_ports",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    why = servers.missing()
    for item in items:
        if why and item.path.parent.name == "live" and item.path.stem in LIVE:
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture(scope="session", autouse=True)
def stopped_in_the_end() -> Iterator[None]:
    yield
    servers.stop()
    readiness.stop()
    launching.stop()


@pytest.fixture
def walls() -> Iterator[None]:
    """What is round every campaign: time does not move, threads cannot be started."""
    with campaign():
        yield
