"""What is said of every planted bug, beside the classes that plant it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar, cast

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bug:
    """One planted bug.

    ``family`` is the kind of mistake, ``scenario`` the story that has it as an option. ``breaks``
    is the rule that must catch it; the rules in ``also`` may see it too, and nobody else does.
    ``guards`` are those without which it is no bug: a defect of a guard needs the guard. ``budget``
    is how many schedules the default search may need. Incarnations before ``since`` are correct, so
    that a bug of booting is behind a service that runs for weeks.
    """

    text: str
    breaks: str
    incident: str
    family: str
    budget: int
    scenario: str = "paradex-2026-01-19"
    replaces: Mapping[type, type] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    guards: tuple[str, ...] = ()
    since: int = 1

    def variant(self, correct: type[T], incarnation: int = 1) -> type[T]:
        """The class that plays the part of ``correct`` in this incarnation."""
        if incarnation < self.since:
            return correct
        return cast("type[T]", self.replaces.get(correct, correct))


NO_BUG = Bug(text="nothing is wrong", breaks="", incident="", family="", budget=0)
