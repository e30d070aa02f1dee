"""The configuration: ``[tool.changeover]`` of the nearest pyproject.toml, and what outranks it.

A flag outranks the environment, the environment a marker, a marker the profile, and the profile the
defaults. A key that nobody reads would be a promise that nobody keeps, so an unknown one is an
error that names the closest match, and so is a value of the wrong type.
"""

from __future__ import annotations

import os
import re
import tomllib
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from harness.errors import UsageError, closest

#: The environment variables that are read.
PROFILE_VARIABLE, SEED_VARIABLE = "CHANGEOVER_PROFILE", "CHANGEOVER_SEED"

#: As a number of schedules: as many as there are.
ALL = "all"

#: What a project's folder is known by, if nothing there speaks of changeover.
_MARKS = ("pyproject.toml", "pytest.ini", "tox.ini", "setup.cfg")

_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|m|min|h)?")
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Profile:
    """How much to search, and how strictly to judge.

    ``schedules`` is nothing for ``all``: until every strategy has tried all it had.
    ``seed`` is a number, ``random``, ``commit``, ``last`` or a git sha, as text. ``strategy`` is
    a comma list. ``time_limit_s`` is for each scenario; ``shrink_budget`` counts runs, 0 is off.
    """

    name: str = "dev"
    schedules: int | None = 50
    seed: str = "random"
    strategy: str = "portfolio"
    shrink_budget: int = 500
    time_limit_s: float | None = None
    keep_going: bool = False
    strict: bool = False
    statistics: bool = False


#: The profiles that always exist; a table of the same name changes them.
BUILT_IN: Mapping[str, Profile] = {
    "dev": Profile(),
    "ci": Profile("ci", schedules=300, seed="commit", statistics=True),
    "nightly": Profile("nightly", schedules=20_000, keep_going=True, statistics=True),
}


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Limits that replace those of every scenario, where given."""

    steps: int | None = None
    time_s: float | None = None
    step_wall_s: float | None = None

    def of_scenario(self) -> dict[str, Any]:
        """The fields of a scenario that they replace."""
        named = {"steps_max": self.steps, "time_max_s": self.time_s}
        named["step_wall_s"] = self.step_wall_s
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Settings:
    """What pyproject.toml says: modules with scenarios, profiles, and limits.

    ``path`` is the file that was read; without one everything is the default. ``folder`` is that
    of the project, from the current one: there its findings and regressions lie.
    """

    scenarios: tuple[str, ...] = ()
    profiles: Mapping[str, Profile] = field(default_factory=lambda: dict(BUILT_IN))
    limits: RunLimits = RunLimits()
    path: Path | None = None
    folder: Path = Path()

    def profile(
        self,
        name: str | None = None,
        *,
        marker: Mapping[str, object] | None = None,
        flags: Mapping[str, object] | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> Profile:
        """The profile that counts, with everything that outranks it; ``None`` in a flag is unset.

        Without a name it is that of the environment, ``ci`` when ``CI`` is set, or ``dev``.
        """
        chosen = (
            name or environment.get(PROFILE_VARIABLE) or ("ci" if _in_ci(environment) else "dev")
        )
        if chosen not in self.profiles:
            raise closest(chosen, self.profiles, kind="profile")
        profile = replace(self.profiles[chosen], **_checked(marker or {}, "the race marker"))
        if seed := environment.get(SEED_VARIABLE):
            profile = replace(profile, seed=seed)
        given = {key: value for key, value in (flags or {}).items() if value is not None}
        return replace(profile, **_checked(given, "the command line"))


def _in_ci(environment: Mapping[str, str]) -> bool:
    return environment.get("CI", "").lower() not in ("", "0", "false", "no")


def load_settings(start: Path | None = None) -> Settings:
    """The settings of the nearest ``[tool.changeover]``, looked for from ``start`` upwards.

    Where there is none, the folder of the nearest file that configures Python tools is that of the
    project, or else the current one, which is also ``start`` if nothing else is said.
    """
    here = (start or Path.cwd()).resolve()
    upwards = (here, *here.parents)
    for folder in upwards:
        path = folder / "pyproject.toml"
        if path.is_file():
            table = _table(path)
            if table is not None:
                return replace(_parse(table, path), folder=from_here(folder))
    marked = (each for each in upwards if any((each / name).is_file() for name in _MARKS))
    return Settings(folder=from_here(next(marked, Path.cwd())))


def from_here(path: Path) -> Path:
    """The shorter of two ways to a path: from the current folder, or from the root."""
    try:
        way = os.path.relpath(path)
    except ValueError:  # another drive of Windows
        return path
    return min(Path(way), path.resolve(), key=lambda each: len(str(each)))


def _table(path: Path) -> object:
    try:
        with path.open("rb") as file:
            return tomllib.load(file).get("tool", {}).get("changeover")
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None


def _parse(table: object, path: Path) -> Settings:
    where = f"[tool.changeover] of {path}"
    found = _known(table, ("scenarios", "profiles", "limits"), where)
    modules = found.get("scenarios", [])
    if not isinstance(modules, list) or not all(isinstance(name, str) for name in modules):
        raise UsageError(f"scenarios in {where} must be a list of modules to import")
    profiles = dict(BUILT_IN)
    for name, values in _known(found.get("profiles", {}), BUILT_IN, where, "profile").items():
        place = f"[tool.changeover.profiles.{name}] of {path}"
        given = _known(values, _PROFILE_KEYS, place)
        profiles[name] = replace(BUILT_IN[name], **_checked(given, place))
    place = f"[tool.changeover.limits] of {path}"
    limits = _known(found.get("limits", {}), _names_of(RunLimits), place)
    for name, value in limits.items():
        whole = name == "steps"
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise UsageError(f"{name} in {place} must be a number, not {value!r}")
        if value <= 0:
            raise UsageError(f"{name} in {place} must be more than 0, not {value!r}")
    return Settings(tuple(modules), profiles, RunLimits(**limits), path)


def _known(table: object, names: Iterable[str], where: str, kind: str = "key") -> Mapping[str, Any]:
    if not isinstance(table, dict):
        raise UsageError(f"{where} must be a table, not {table!r}")
    for name in table:
        if name not in names:
            raise UsageError(f"{closest(name, names, kind=kind)} ({where})")
    return table


def _names_of(record: type) -> tuple[str, ...]:
    return tuple(each.name for each in fields(record))


def _checked(given: Mapping[str, object], where: str) -> dict[str, Any]:
    """The fields of a profile, from values as a file, a marker or a flag gives them."""
    found: dict[str, Any] = {}
    for key, value in given.items():
        if key not in _PROFILE_KEYS:
            raise UsageError(f"{closest(key, _PROFILE_KEYS, kind='key')} ({where})")
        name = "time_limit_s" if key == "time_limit" else key
        try:
            found[name] = _PROFILE_KEYS[key](value)
        except ValueError as error:
            raise UsageError(f"{key} in {where} must be {error}, not {value!r}") from None
    return found


def _count(least: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"a whole number from {least}")
        return value

    return check


def _schedules(value: object) -> int | None:
    try:
        return None if value == ALL else _count(1)(value)
    except ValueError as error:
        raise ValueError(f"{error}, or {ALL}") from None


def number_or_all(text: str) -> int | str:
    """A number of schedules as somebody types it; ArgumentTypeError if it is no number nor all."""
    try:
        return text if text == ALL else int(text)
    except ValueError:
        raise ArgumentTypeError(f"a number of schedules, or all, not {text!r}") from None


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _seed(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, str)) or not str(value).strip():
        raise ValueError("a number, random, commit, last or a git sha")
    return str(value).strip()


def _strategies(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a comma list of strategies")
    return value


def duration_s(value: object) -> float:
    """The seconds of ``30s``, ``5m``, ``1h`` or a number of seconds."""
    match = _DURATION.fullmatch(str(value).strip().lower())
    if match is None or isinstance(value, bool):
        raise ValueError("a time such as 30s, 5m or 1h")
    return float(match["number"]) * _UNITS_S[match["unit"] or "s"]


_PROFILE_KEYS: Mapping[str, Callable[[object], object]] = {
    "schedules": _schedules,
    "seed": _seed,
    "strategy": _strategies,
    "shrink_budget": _count(0),
    "time_limit": duration_s,
    "keep_going": _switch,
    "strict": _switch,
    "statistics": _switch,
}
