"""The reference exchange under its own scheduler: what ``pytest -k race`` runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.mark.race("paradex-2026-01-19", guards="all")
def test_race(race: Callable[[], None]) -> None:
    """With all guards on, the exchange of that day holds, planted bug included."""
    race()


@pytest.mark.race("paradex-2026-01-19", bug="none")
def test_race_without_the_bug(race: Callable[[], None]) -> None:
    """Without the planted bug nobody is accused, guards or no guards."""
    race()
