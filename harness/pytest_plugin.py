"""The pytest door: the marker ``race``, the fixture ``race``, and the options ``--race-…``.

Nothing is autouse, and no part of the machine is loaded before a race test really runs. What
matters travels in the reports of the tests, so that it survives pytest-xdist and reaches JUnit.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import UsageError, closest

if TYPE_CHECKING:
    from harness.doors.race import Told
    from harness.findings.finding import Finding
    from harness.schedule.choices import Schedule
    from harness.settings import Profile, Settings

MARKER = (
    "race(*scenarios, guards=None, bug=None, **settings): search these scenarios (names or "
    "objects) for a schedule that breaks a rule; settings are those of a profile"
)
_OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("profile", {"metavar": "NAME", "help": "dev, ci or nightly (ci when CI is set)"}),
    ("seed", {"metavar": "SEED", "help": "a number, random, commit, last or a git sha"}),
    ("schedules", {"metavar": "N", "type": int, "help": "schedules a scenario (dev 50, ci 300)"}),
    ("time-limit", {"metavar": "TIME", "help": "for each scenario, such as 30s (none)"}),
    ("strategy", {"metavar": "NAMES", "help": "comma list (a portfolio)"}),
    ("replay", {"metavar": "RUN", "help": "run only this token, file, finding, or 'last'"}),
    ("shrink-budget", {"metavar": "N", "type": int, "help": "runs a finding (500); 0 is off"}),
    ("shards", {"metavar": "N", "type": int, "help": "split each race test into N tests"}),
    ("keep-going", {"action": "store_const", "const": True, "help": "go on after a finding"}),
    ("statistics", {"action": "store_const", "const": True, "help": "tell what was tried"}),
    ("strict", {"action": "store_const", "const": True, "help": "unknown and vacuous fail"}),
)
_FLAGS = (
    "schedules",
    "seed",
    "strategy",
    "shrink_budget",
    "time_limit",
    "keep_going",
    "strict",
    "statistics",
)
_DRAWN = "changeover_drawn_seed"
_STATISTICS = "changeover statistics"
_REPORT = "changeover report"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options; all are long."""
    group = parser.getgroup("changeover", "races between a restart and a write (changeover)")
    for name, details in _OPTIONS:
        group.addoption(f"--race-{name}", default=None, **details)


@dataclass(slots=True)
class _State:
    """What this pytest run knows of changeover; made when it is first needed."""

    config: pytest.Config
    drawn: int
    headed: bool = False
    refusal: str = ""
    _settings: Settings | None = None
    _target: Finding | Schedule | None = None

    def option(self, name: str) -> Any:
        return self.config.getoption(f"race_{name}")

    @property
    def used(self) -> bool:
        """Whether anything was asked for on the command line."""
        names = (name.replace("-", "_") for name, _ in _OPTIONS)
        return any(self.option(name) is not None for name in names)

    @property
    def settings(self) -> Settings:
        if self._settings is None:
            from harness.settings import load_settings  # noqa: PLC0415  (not before it is needed)

            inifile = self.config.inipath
            start = inifile.parent if inifile is not None else self.config.rootpath
            self._settings = load_settings(start)
        return self._settings

    @property
    def root(self) -> Path:
        """Where findings are kept."""
        from harness.findings import store  # noqa: PLC0415  (not before it is needed)

        return self.settings.folder / store.ROOT

    def profile(self, marker: dict[str, object] | None = None) -> Profile:
        flags = {name: self.option(name) for name in _FLAGS}
        return self.settings.profile(self.option("profile"), marker=marker, flags=flags)

    @property
    def target(self) -> Finding | Schedule | None:
        """What is to be replayed, if anything is."""
        if self._target is None and self.option("replay") is not None:
            from harness.doors.reference import resolve  # noqa: PLC0415  (not before it is needed)

            self._target = resolve(self.option("replay"), self.root)
        return self._target

    def header(self) -> str:
        from harness.doors.reference import last_seed  # noqa: PLC0415  (not before it is needed)
        from harness.doors.seeds import choose_seed  # noqa: PLC0415

        self.headed = True
        profile = self.profile()
        last = partial(last_seed, self.root)
        seed = choose_seed(profile.seed, last=last, drawn=self.drawn)
        schedules = profile.schedules or "all"
        return f"changeover: profile {profile.name}, seed {seed}, {schedules} schedules"


_STATE = pytest.StashKey[_State]()
_TOLD = pytest.StashKey["Told"]()


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; wrong options and configuration are told before anything runs."""
    config.addinivalue_line("markers", MARKER)
    given = getattr(config, "workerinput", {})
    state = _State(config, given.get(_DRAWN, secrets.randbelow(1_000_000)))
    config.stash[_STATE] = state
    if state.used:
        with _usage():
            shards = state.option("shards")
            if shards is not None and shards < 1:
                raise UsageError(f"--race-shards must be 1 or more, not {shards}")
            state.profile()
            _ = state.target


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Hand the random seed to the workers of pytest-xdist, so that there is one."""
    node.workerinput[_DRAWN] = node.config.stash[_STATE].drawn


def pytest_report_header(config: pytest.Config) -> str | None:
    """Profile and seed, in a project that uses changeover."""
    state = config.stash[_STATE]
    with _usage():
        return state.header() if state.used or state.settings.path is not None else None


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> str | None:
    """Profile and seed, where only the tests tell that changeover is used."""
    state = config.stash[_STATE]
    if state.headed or not any(item.get_closest_marker("race") for item in items):
        return None
    with _usage():
        return state.header()


@contextmanager
def _usage() -> Iterator[None]:
    """Turn an error of use into pytest's own, which ends it with code 4."""
    try:
        yield
    except UsageError as error:
        raise pytest.UsageError(f"changeover: {error}") from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each scenario of the marker, and for each shard; ids never hold a seed."""
    marker = metafunc.definition.get_closest_marker("race")
    if marker is None or "race" not in metafunc.fixturenames:
        return
    if not marker.args:
        raise pytest.Collector.CollectError(
            f"{metafunc.definition.nodeid}: name the scenarios, "
            'as in @pytest.mark.race("my_scenario"); a test id must not depend on what is loaded'
        )
    parts = metafunc.config.getoption("race_shards") or 1
    values, ids = [], []
    for scenario in marker.args:
        name = scenario if isinstance(scenario, str) else scenario.name
        for part in range(1, parts + 1):
            values.append((scenario, (part, parts)))
            ids.append(f"{name}-{part}of{parts}" if parts > 1 else name)
    metafunc.parametrize("race", values, ids=ids, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With ``--race-replay`` only the scenario that it names runs, and once."""
    state = config.stash[_STATE]
    with _usage():
        target = state.target
    if target is None:
        return
    named = [(item, *_share(item)) for item in items if item.get_closest_marker("race")]
    known = {name for _, name, _ in named if name}
    if target.scenario not in known:
        error = closest(target.scenario, known, kind="scenario of a race test")
        state.refusal = f"--race-replay would run nothing: {error}"
        if not hasattr(config, "workerinput"):  # a worker of pytest-xdist lets its tests fail
            raise pytest.UsageError(f"changeover: {state.refusal}")
        return
    for item, name, part in named:
        if name != target.scenario or part != 1:
            item.add_marker(pytest.mark.skip(reason=f"--race-replay runs {target.scenario} only"))


def _share(item: pytest.Item) -> tuple[str, int]:
    """The scenario of a race test, and which share of it."""
    callspec = getattr(item, "callspec", None)
    given = callspec.params.get("race") if callspec else None
    if given is None:
        return "", 1
    scenario, (part, _) = given
    return (scenario if isinstance(scenario, str) else scenario.name), part


@pytest.fixture
def race(request: pytest.FixtureRequest) -> Callable[[], None]:
    """Call it to search the scenario of this test, or to replay what ``--race-replay`` names."""
    if not hasattr(request, "param"):
        pytest.fail(
            'the fixture race needs its marker: @pytest.mark.race("my_scenario")', pytrace=False
        )
    node: pytest.Item = request.node
    scenario, share = request.param

    def run() -> None:
        __tracebackhide__ = True
        told = _run(node, scenario, share)
        node.stash[_TOLD] = told
        node.user_properties += told.properties
        if told.statistics:
            node.add_report_section("call", _STATISTICS, told.statistics)
        if told.interrupted:
            if not told.failed:
                raise KeyboardInterrupt
            request.session.shouldstop = "interrupted; findings so far are saved"
        if told.failed:
            pytest.fail(told.text, pytrace=node.config.get_verbosity() > 1)
        if told.text:
            node.add_report_section("call", _REPORT, told.text)

    return run


def _run(node: pytest.Item, scenario: Any, share: tuple[int, int]) -> Told:
    from harness.doors import race as races  # noqa: PLC0415  (the machine is loaded here, not before)

    state = node.config.stash[_STATE]
    if state.refusal:
        pytest.fail(state.refusal, pytrace=False)
    marker = node.get_closest_marker("race")
    given = dict(marker.kwargs) if marker is not None else {}
    guards, bug = given.pop("guards", None), given.pop("bug", None)
    this = races.Race(scenario, guards, bug, share, _place(node), _only_ascii())
    profile, wrong = None, ""
    try:
        profile = state.profile(given)
    except UsageError as error:
        wrong = str(error)
    if profile is None:  # outside of the handler, which would be told as well
        pytest.fail(wrong, pytrace=False)
    if state.target is not None:
        return races.replay_race(this, state.settings, state.target)
    return races.run_race(this, state.settings, profile, state.drawn)


def _place(node: pytest.Item) -> str:
    """The id of a test, with its file from the current folder, as one types it."""
    from harness.settings import from_here  # noqa: PLC0415  (a race test runs, it is loaded)

    return f"{from_here(node.path).as_posix()}::{node.name}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """A test that is marked to search and did not search has not passed."""
    yield
    if item.get_closest_marker("race") is None or _TOLD in item.stash:
        return
    takes = "race" in getattr(item, "fixturenames", ())
    remedy = "call race() in it" if takes else "let it take the fixture race and call race()"
    pytest.fail(f"this test has the marker race and searched nothing: {remedy}", pytrace=False)


def _only_ascii() -> bool:
    encoding = getattr(sys.__stdout__, "encoding", None) or "utf-8"
    return "utf" not in encoding.lower()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say in the short summary what broke, from what to what, and the token."""
    report = yield
    told = item.stash.get(_TOLD, None)
    if told is not None and report.when == "call" and report.failed:
        place = getattr(report.longrepr, "reprcrash", None)
        if place is not None:
            place.message = told.headline
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """One line for each race test, and what was tried where that was asked for."""
    told = list(_race_reports(terminalreporter))
    if not told:
        return
    state = config.stash[_STATE]
    tables = state.profile().statistics
    terminalreporter.section("changeover")
    for report, properties in told:
        statistics = _section(report, _STATISTICS)
        if tables and statistics and report.passed:
            terminalreporter.write(statistics)
        else:
            terminalreporter.write_line(properties["race_summary"])
        if text := _section(report, _REPORT):
            terminalreporter.write(text, yellow=True)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        from harness.doors.output import github_lines  # noqa: PLC0415  (only where GitHub runs it)

        saved = [file for _, each in told for file in each.get("race_finding", "").split()]
        for line in github_lines(saved):
            terminalreporter.write_line(line)
    _remember(terminalreporter, [properties for _, properties in told], state)


def _race_reports(reporter: Any) -> Iterator[tuple[pytest.TestReport, dict[str, str]]]:
    for outcome in ("passed", "failed"):
        for report in reporter.stats.get(outcome, ()):
            properties = dict(getattr(report, "user_properties", ()))
            if report.when == "call" and "race_summary" in properties:
                yield report, properties


def _section(report: pytest.TestReport, title: str) -> str:
    return "".join(text for name, text in report.sections if title in name)


def _remember(reporter: Any, results: list[dict[str, str]], state: _State) -> None:
    """Keep a summary for ``--race-seed last``, but make no folder for it."""
    from datetime import UTC, datetime  # noqa: PLC0415

    from harness.findings import store  # noqa: PLC0415  (a race test has run, it is loaded)

    if not state.root.is_dir():
        return
    seeds = [int(each["race_seed"]) for each in results if "race_seed" in each]
    if not seeds:
        return
    summary = {"seed": seeds[0], "profile": state.profile().name, "results": results}
    try:
        store.write_summary(summary, state.root, now=datetime.now(UTC))
    except store.StoreError as error:
        reporter.write_line(f"WARNING  the summary of this run could not be written: {error}")
