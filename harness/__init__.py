"""Changeover finds the bugs that live between two incarnations of a service.

This is the public API on one screen. Each name is fetched from its module when it is first used,
so that importing the package, as a pytest plugin must, costs nothing and loads no scheduler.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.campaign import Plan, explore
    from harness.engine import execute
    from harness.equivalence import Equivalence
    from harness.errors import UsageError
    from harness.findings.finding import Finding
    from harness.invariants import Broken, Invariant
    from harness.replay import replay
    from harness.scenario import clock_jump, restart, scenario
    from harness.schedule.choices import Schedule
    from harness.schedule.memory import Shared, touch
    from harness.schedule.simulation import Simulation
    from harness.world.world import World

__all__ = [
    "Broken",
    "Equivalence",
    "Finding",
    "Invariant",
    "Plan",
    "Schedule",
    "Shared",
    "Simulation",
    "UsageError",
    "World",
    "clock_jump",
    "execute",
    "explore",
    "replay",
    "restart",
    "scenario",
    "touch",
]

_HOMES = {
    "Broken": "harness.invariants",
    "Equivalence": "harness.equivalence",
    "Finding": "harness.findings.finding",
    "Invariant": "harness.invariants",
    "Plan": "harness.campaign",
    "Schedule": "harness.schedule.choices",
    "Shared": "harness.schedule.memory",
    "Simulation": "harness.schedule.simulation",
    "UsageError": "harness.errors",
    "World": "harness.world.world",
    "clock_jump": "harness.scenario",
    "execute": "harness.engine",
    "explore": "harness.campaign",
    "replay": "harness.replay",
    "restart": "harness.scenario",
    "scenario": "harness.scenario",
    "touch": "harness.schedule.memory",
}


class _Package(ModuleType):
    """This package: a public name stays itself when a submodule of the same name is imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if name not in _HOMES or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    found: object = getattr(import_module(_HOMES[name]), name)
    setattr(sys.modules[__name__], name, found)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
