"""The project of a user, as a fixture."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.doors import registry
from harness.scenario import _registry
from tests.doors.projects import LEAKS, Project, printed_commands


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project in a folder of its own, with nothing of the others in this process."""
    for name in (*LEAKS, "CHANGEOVER_SEED", "CHANGEOVER_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(registry, "BUILT_IN", "no_built_in_scenarios")
    others = dict(_registry)
    _registry.clear()
    sys.modules.pop("ledgers", None)
    yield Project(tmp_path)
    sys.modules.pop("ledgers", None)
    _registry.clear()
    _registry.update(others)


@pytest.fixture
def commands_in() -> Callable[[str], list[list[str]]]:
    """The reader of printed commands."""
    return printed_commands
