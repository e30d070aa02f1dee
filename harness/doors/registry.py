"""Fills the registry of scenarios: the built-in package and the modules that the settings name.

The harness imports no scenario by itself. Both are reached here, by name, and what goes wrong in a
user's module is told with the name of that module and in its own words.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module, util
from pathlib import Path

from harness import errors
from harness.errors import UsageError, closest
from harness.scenario import Scenario, registered
from harness.settings import Settings, from_here

#: What stands between a module and who imports it.
_HARNESS, _IMPORTLIB = (str(Path(file).parent) for file in (errors.__file__, importlib.__file__))
#: The package whose modules are imported besides those that the settings name.
BUILT_IN = "scenarios"
NAME_THEM = (
    "name the modules that declare them in pyproject.toml: "
    '[tool.changeover] scenarios = ["my.module"]'
)
NO_SCENARIO = f"no scenario is registered; {NAME_THEM}"


def load_scenarios(
    settings: Settings, *, problems: list[str] | None = None
) -> Mapping[str, Scenario]:
    """Import every scenario and return them all by name, under the limits of the settings.

    Modules are found from the folder of pyproject.toml. A module that cannot be imported is put
    among the ``problems``; who does not ask for these gets a :class:`UsageError`.
    """
    if settings.path is not None:
        find_from(settings.path.parent)
    for name in (*_built_in(), *settings.scenarios):
        try:
            imported(name, partial(import_module, name))
        except UsageError as error:
            if problems is None:
                raise
            problems.append(str(error))
    return {name: limited(each, settings) for name, each in registered().items()}


def find_from(folder: Path) -> None:
    """Let modules be found from a folder, before all others."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def of_the_project(scenarios: Mapping[str, Scenario], settings: Settings) -> Mapping[str, Scenario]:
    """What is meant where no scenario is named: those of the project, or all if it has none."""
    own = {
        name: each
        for name, each in scenarios.items()
        if each.module.partition(".")[0] != BUILT_IN or each.module in settings.scenarios
    }
    return own if settings.scenarios and own else scenarios


def named(name: str, scenarios: Mapping[str, Scenario], problems: Sequence[str] = ()) -> Scenario:
    """The scenario of a name; :class:`UsageError` names the closest one, or the first problem."""
    if name in scenarios:
        return scenarios[name]
    if problems:
        raise UsageError(f"{problems[0]}\nscenario {name!r} may be declared there")
    if not scenarios:
        raise UsageError(NO_SCENARIO)
    raise closest(name, scenarios, kind="scenario")


def limited(scenario: Scenario, settings: Settings) -> Scenario:
    """A scenario under the limits of the settings."""
    limits = settings.limits.of_scenario()
    return replace(scenario, **limits) if limits else scenario


def _built_in() -> Iterator[str]:
    if util.find_spec(BUILT_IN) is None:
        return
    package = imported(BUILT_IN, lambda: import_module(BUILT_IN))
    for module in sorted(pkgutil.iter_modules(getattr(package, "__path__", ())), key=_name):
        if not module.name.startswith("__"):
            yield f"{BUILT_IN}.{module.name}"


def _name(module: pkgutil.ModuleInfo) -> str:
    return module.name


def imported(name: str, load: Callable[[], object]) -> object:
    """The module that ``load`` loads; :class:`UsageError` says what went wrong in it, and where.

    A module for pytest may skip itself, which is no ``Exception``.
    """
    try:
        return load()
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        place = _place_of(error)
        raise UsageError(
            f"cannot import scenarios from {name}: {type(error).__name__}: {error}"
            + (f" ({place})" if place else "")
        ) from error


def _place_of(error: BaseException) -> str:
    """Where an import went wrong: innermost in what the user wrote."""
    if isinstance(error, SyntaxError) and error.filename:
        return ""  # its message says it
    frames = [
        f"{from_here(Path(frame.filename)).as_posix()}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((_HARNESS, _IMPORTLIB, "<"))
    ]
    return frames[-1] if frames else ""
