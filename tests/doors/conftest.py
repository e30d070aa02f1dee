"""The project of a user, as a fixture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.doors.projects import Project, printed_commands


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project in a folder of its own."""
    return Project(tmp_path)


@pytest.fixture
def commands_in() -> Callable[[str], list[list[str]]]:
    """The reader of printed commands."""
    return printed_commands
