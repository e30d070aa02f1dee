"""Fills the registry of scenarios: the built-in package and the modules that the settings name.

The harness imports no scenario by itself. Both are reached here, by name, and what goes wrong in a
user's module is told with the name of that module and in its own words.
"""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib import import_module, util

from harness.errors import UsageError, closest
from harness.scenario import Scenario, registered
from harness.settings import Settings

#: The package whose modules are imported besides those that the settings name.
BUILT_IN = "scenarios"
NO_SCENARIO = (
    "no scenario is registered; name the modules that declare them in pyproject.toml: "
    '[tool.changeover] scenarios = ["my.module"]'
)


def load_scenarios(settings: Settings) -> Mapping[str, Scenario]:
    """Import every scenario and return them all by name, under the limits of the settings.

    Modules are found from the folder of pyproject.toml. Raises :class:`UsageError` for a module
    that cannot be imported.
    """
    if settings.path is not None and str(settings.path.parent) not in sys.path:
        sys.path.insert(0, str(settings.path.parent))
    for name in _built_in():
        _import(name)
    for name in settings.scenarios:
        _import(name)
    return {name: limited(each, settings) for name, each in registered().items()}


def named(name: str, scenarios: Mapping[str, Scenario]) -> Scenario:
    """The scenario of a name; :class:`UsageError` names the closest one."""
    if not scenarios:
        raise UsageError(NO_SCENARIO)
    if name not in scenarios:
        raise closest(name, scenarios, kind="scenario")
    return scenarios[name]


def limited(scenario: Scenario, settings: Settings) -> Scenario:
    """A scenario under the limits of the settings."""
    limits = settings.limits.of_scenario()
    return replace(scenario, **limits) if limits else scenario


def _built_in() -> Iterator[str]:
    if util.find_spec(BUILT_IN) is None:
        return
    package = _import(BUILT_IN)
    for module in sorted(pkgutil.iter_modules(getattr(package, "__path__", ())), key=_name):
        if not module.name.startswith("__"):
            yield f"{BUILT_IN}.{module.name}"


def _name(module: pkgutil.ModuleInfo) -> str:
    return module.name


def _import(name: str) -> object:
    try:
        return import_module(name)
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"cannot import scenarios from {name}: {type(error).__name__}: {error}"
        ) from error
