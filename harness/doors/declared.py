"""Finds the scenario of a recorded run where no module that somebody named declares it.

A finding says where its scenario is declared, and so do the others of that scenario, saved or kept;
what a test declares for itself can thus be run again by its token alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module, util
from pathlib import Path
from types import ModuleType

from harness.doors.registry import NAME_THEM, find_from, imported, limited, load_scenarios, named
from harness.errors import UsageError
from harness.findings import store
from harness.findings.finding import Finding
from harness.scenario import Scenario, registered
from harness.schedule.choices import Schedule
from harness.settings import Settings, load_settings

#: In which folders of a project its findings are.
_HOMES = (
    (store.ROOT.name, "findings"),
    store.REGRESSIONS.parts,
)


def settings_of(target: Finding | Schedule, settings: Settings) -> Settings:
    """The settings of the project in which a finding is saved, which may be another one."""
    if not isinstance(target, Finding) or not target.saved:
        return settings
    path = Path(target.saved).resolve()
    if path.parts[-3:-1] not in _HOMES or path.parents[2] == settings.folder.resolve():
        return settings
    return load_settings(path.parents[2])


def scenario_of(
    target: Finding | Schedule,
    settings: Settings,
    *,
    on_problem: Callable[[str], None] = lambda problem: None,
) -> Scenario:
    """The scenario of a finding or a schedule, imported if need be.

    Modules that cannot be imported are told if the scenario is found without them. Raises
    :class:`UsageError` with the remedy where nobody knows it.
    """
    problems: list[str] = []
    scenarios = load_scenarios(settings, problems=problems)
    if target.scenario not in scenarios:
        for recorded in _recorded(target, settings.folder):
            _import(recorded.module, recorded.file, settings.folder)
            if target.scenario in registered():
                break
    known = registered()
    if target.scenario not in known:
        try:
            named(target.scenario, scenarios, problems)
        except UsageError as error:
            remedy = "" if problems else f"\n{NAME_THEM}, or replay it in its test"
            raise UsageError(f"{error}{remedy}") from None
    for problem in problems:
        on_problem(problem)
    return limited(known[target.scenario], settings)


def _recorded(target: Finding | Schedule, folder: Path) -> Iterator[Finding]:
    """The findings that say where a scenario is declared, each place once."""
    seen: set[tuple[str, str]] = set()
    for each in _findings(target, folder):
        place = (each.module, each.file)
        if each.scenario == target.scenario and each.module and place not in seen:
            seen.add(place)
            yield each


def _findings(target: Finding | Schedule, folder: Path) -> Iterator[Finding]:
    if isinstance(target, Finding):
        yield target
    root = folder / store.ROOT
    yield from store.list_findings(root).findings
    yield from store.list_regressions(store.regressions_beside(root)).findings


def _import(module: str, file: str, folder: Path) -> None:
    """Import a module from the file of a project, as pytest would, or else by its name."""
    top = folder.resolve()
    find_from(top)
    path = (top / file).resolve()
    if not path.is_file() or not path.is_relative_to(top):
        if util.find_spec(module.partition(".")[0]) is not None:
            imported(module, lambda: import_module(module))
        return
    parts = tuple(module.split("."))
    if path.with_suffix("").parts[-len(parts) :] == parts:
        find_from(path.parents[len(parts) - 1])
        imported(file, lambda: import_module(module))
    else:
        find_from(path.parent)
        imported(file, lambda: _from_file(path))


def _from_file(path: Path) -> ModuleType:
    """A module of a file that is found by no name."""
    spec = util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module
