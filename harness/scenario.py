"""Scenarios: async functions with a name, the faults that may strike, and the limits of a run.

A scenario is declared by a decorator and found by its name. The registry is filled by importing
the modules named in ``[tool.changeover]`` and the built-in ones; the harness itself imports none.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from harness.errors import UsageError, closest
from harness.history import Site
from harness.schedule.stage import Stage
from harness.schedule.workload import WITHOUT
from harness.world.service import RESTART_KINDS

if TYPE_CHECKING:
    from harness.world.world import World

#: What the variant of a schedule may name: what is switched on, planted, and left out.
VARIANT = ("guards", "bug", WITHOUT)
Story = Callable[["World"], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class RestartFault:
    """The nemesis may restart ``service`` in any of ``kinds``; it is down for ``delay_s``.

    ``in_recovery`` lets it strike a second time before the first restart is over.
    """

    service: str
    kinds: tuple[str, ...] = ("crash",)
    delay_s: float = 0.1
    in_recovery: bool = False

    def allow(self, world: World) -> None:
        """Offer it in a run."""
        world.allow_restart(
            self.service, self.kinds, delay_s=self.delay_s, in_recovery=self.in_recovery
        )

    def __str__(self) -> str:
        kinds = (*self.kinds, *(("crash in recovery",) if self.in_recovery else ()))
        return f"restart {self.service}: {', '.join(kinds)}"


@dataclass(frozen=True, slots=True)
class ClockFault:
    """The nemesis may set the wall clock of ``service`` by one of ``by_s``, back or forward."""

    service: str
    by_s: tuple[float, ...]

    def allow(self, world: World) -> None:
        """Offer it in a run."""
        world.allow_clock_jump(self.service, self.by_s)

    def __str__(self) -> str:
        return f"clock of {self.service}: {', '.join(f'{each:+g} s' for each in self.by_s)}"


@dataclass(frozen=True, slots=True)
class LostAnswerFault:
    """The nemesis may lose what ``of`` answers a real ``service``, once the request took effect."""

    service: str
    of: str

    def allow(self, world: World) -> None:
        """Refuse it: the simulation has faults of the network of its own."""
        raise UsageError("answers of real processes are lost; see World.network for simulated ones")

    def __str__(self) -> str:
        return f"lost answer of {self.of} to {self.service}"


#: What may strike a real database.
POWER_CUT, PROMOTION = DATABASE_KINDS = ("power cut", "promotion")


@dataclass(frozen=True, slots=True)
class DatabaseFault:
    """The nemesis may strike the real database of a run in any of ``kinds``."""

    kinds: tuple[str, ...]

    def allow(self, world: World) -> None:
        """Refuse it: the simulation has a database of its own."""
        raise UsageError(
            "real databases are struck; see World.sqlite for power cuts in a simulation"
        )

    def __str__(self) -> str:
        return f"database: {', '.join(self.kinds)}"


#: What the nemesis may do to a service, or to what it asks.
Fault = RestartFault | ClockFault | LostAnswerFault | DatabaseFault


def restart(
    service: str,
    *,
    kinds: Iterable[str] = ("crash",),
    delay_s: float = 0.1,
    in_recovery: bool = False,
) -> RestartFault:
    """A fault: restarts of one service, of the kinds crash, stop, rolling and failover, or a pause.

    ``delay_s`` is for how long it is down, or paused, in virtual seconds.
    With ``in_recovery`` (and a ``faults_max`` of 2 or more) the incarnation that is just coming
    back may be crashed as well.
    """
    chosen = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    for kind in chosen:
        if kind not in RESTART_KINDS:
            raise closest(kind, RESTART_KINDS, kind="kind of restart")
    return RestartFault(service, chosen, delay_s, in_recovery)


def clock_jump(service: str, *, by_s: Iterable[float]) -> ClockFault:
    """A fault: the wall clock of the machine of one service jumps by so many seconds, or back.

    ``time.time`` and ``datetime.now`` of the service tell it from then on, in every incarnation;
    ``time.monotonic`` and trio's clock go on as they did, as on a real machine.
    """
    chosen = tuple(by_s)
    if not chosen or not all(math.isfinite(each) and each for each in chosen):
        raise UsageError(f"a clock jumps by numbers of seconds that are not 0, not by {chosen}")
    return ClockFault(service, chosen)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One story and what may happen in it.

    ``faults_max`` bounds how many faults strike in one run. ``guards`` are the protections that
    can be switched on, ``guards_default`` those that are; ``bugs`` the defects that can be planted,
    ``bug_default`` the one that is. A run ends at ``steps_max`` or ``time_max_s``. A campaign in
    which no run reached one of the marks ``must_reach`` is vacuous. A process may stall for
    ``stall_s`` virtual seconds past the next timer, and a step that takes more than
    ``step_wall_s`` real seconds is struck down; the wall clock begins at ``epoch_s``.
    """

    name: str
    story: Story
    description: str = ""
    faults: tuple[Fault, ...] = ()
    faults_max: int = 1
    guards: tuple[str, ...] = ()
    guards_default: tuple[str, ...] = ()
    bugs: Mapping[str, str] = field(default_factory=dict)
    bug_default: str = ""
    steps_max: int = 20_000
    time_max_s: float = 86_400.0
    stall_s: float = 60.0
    step_wall_s: float = 10.0
    epoch_s: float = 1_767_225_600.0
    must_reach: tuple[str, ...] = ()
    module: str = ""
    #: Where its function begins, as an absolute path.
    site: Site | None = None
    #: The specification of its module, which is another one after every import.
    imported: object = field(default=None, repr=False, compare=False)
    #: What runs it, if not the simulation.
    stage: Callable[..., Stage] | None = None

    def variant(self, *, guards: str | None = None, bug: str | None = None) -> dict[str, str]:
        """What of guards and bug differs from the defaults, as a schedule's variant.

        ``guards`` is ``all``, ``none`` or names joined by commas or dots; ``bug`` a name or
        ``none``. Unknown names raise :class:`UsageError` with the closest known one.
        """
        chosen: dict[str, str] = {}
        if guards is not None:
            names = self.parse_guards(guards)
            if names != frozenset(self.guards_default):
                everything = names == frozenset(self.guards)
                chosen["guards"] = (
                    "all" if everything else ".".join(g for g in self.guards if g in names)
                ) or "none"
        if bug is not None:
            if bug != "none" and bug not in self.bugs:
                raise closest(bug, (*self.bugs, "none"), kind=f"bug of scenario {self.name}")
            if bug != (self.bug_default or "none"):
                chosen["bug"] = bug
        return chosen

    def parse_guards(self, guards: str) -> frozenset[str]:
        """The guards that a text switches on."""
        if guards == "all":
            return frozenset(self.guards)
        if guards in ("none", ""):
            return frozenset()
        names = [name.strip() for name in guards.replace(".", ",").split(",") if name.strip()]
        for name in names:
            if name not in self.guards:
                raise closest(name, self.guards, kind=f"guard of scenario {self.name}")
        return frozenset(names)

    def settings_of(self, variant: Mapping[str, str]) -> tuple[frozenset[str], str]:
        """The guards that are on and the bug that is planted in a variant."""
        unknown = [key for key in variant if key not in VARIANT]
        if unknown:
            raise closest(unknown[0], VARIANT, kind="part of a schedule token")
        guards = variant.get("guards")
        bug = variant.get("bug", self.bug_default)
        if bug not in ("", "none") and bug not in self.bugs:
            raise closest(bug, (*self.bugs, "none"), kind=f"bug of scenario {self.name}")
        names = frozenset(self.guards_default) if guards is None else self.parse_guards(guards)
        return names, "" if bug == "none" else bug


_registry: dict[str, Scenario] = {}


def register(declared: Scenario) -> Scenario:
    """Let a scenario be found by its name.

    Raises :class:`UsageError` that names both places if another one has the name already. A module
    that is imported again replaces what it declared before, and so does a function that declares a
    scenario inside itself each time it is called.
    """
    present = _registry.get(declared.name)
    if present is not None and _rivals(present, declared):
        raise UsageError(
            f"two scenarios are named {declared.name!r}: {present.site} and {declared.site}; "
            "give one of them another name"
        )
    _registry[declared.name] = declared
    return declared


def _rivals(present: Scenario, declared: Scenario) -> bool:
    """Whether two scenarios are there at once that are not one and the same."""
    if present.site is None or declared.site is None or present.site == declared.site:
        return False
    module = sys.modules.get(present.module)
    if module is None or getattr(module, "__spec__", None) is not present.imported:
        return False
    return not (_passing(present.site) and _passing(declared.site))


def _passing(site: Site) -> bool:
    """Whether a scenario is declared inside a function, as tests do."""
    return "<locals>" in site.function


def declared_at(function: Callable[..., object]) -> dict[str, Any]:
    """The fields of a scenario that say where its function is."""
    inner: Any = inspect.unwrap(function)
    found: dict[str, Any] = {"module": inner.__module__}
    if not hasattr(inner, "__code__"):
        return found
    code = inner.__code__
    site = Site(str(Path(code.co_filename).resolve()), code.co_firstlineno, inner.__qualname__)
    return {**found, "site": site, "imported": inner.__globals__.get("__spec__")}


@overload
def scenario(story: Story, /) -> Scenario: ...


@overload
def scenario(
    *,
    name: str = "",
    faults: Iterable[Fault] = (),
    faults_max: int = 1,
    guards: Iterable[str] = (),
    guards_default: Iterable[str] = (),
    bugs: Mapping[str, str] | None = None,
    bug_default: str = "",
    steps_max: int = 20_000,
    time_max_s: float = 86_400.0,
    stall_s: float = 60.0,
    step_wall_s: float = 10.0,
    epoch_s: float = 1_767_225_600.0,
    must_reach: Iterable[str] = (),
) -> Callable[[Story], Scenario]: ...


def scenario(
    story: Story | None = None,
    /,
    *,
    name: str = "",
    faults: Iterable[Fault] = (),
    faults_max: int = 1,
    guards: Iterable[str] = (),
    guards_default: Iterable[str] = (),
    bugs: Mapping[str, str] | None = None,
    bug_default: str = "",
    steps_max: int = 20_000,
    time_max_s: float = 86_400.0,
    stall_s: float = 60.0,
    step_wall_s: float = 10.0,
    epoch_s: float = 1_767_225_600.0,
    must_reach: Iterable[str] = (),
) -> Callable[[Story], Scenario] | Scenario:
    """Declare an async function that takes a :class:`~harness.world.world.World` as a scenario."""

    def declare(function: Story) -> Scenario:
        if not inspect.iscoroutinefunction(function):
            name_of = getattr(function, "__qualname__", repr(function))
            raise UsageError(f"a scenario is an async function; {name_of} is not")
        declared = Scenario(
            name=name or function.__name__,
            story=function,
            description=inspect.cleandoc(function.__doc__ or ""),
            faults=tuple(faults),
            faults_max=faults_max,
            guards=tuple(guards),
            guards_default=tuple(guards_default),
            bugs=dict(bugs or {}),
            bug_default=bug_default,
            steps_max=steps_max,
            time_max_s=time_max_s,
            stall_s=stall_s,
            step_wall_s=step_wall_s,
            epoch_s=epoch_s,
            must_reach=_marks(must_reach),
            **declared_at(function),
        )
        return register(declared)

    return declare(story) if story is not None else declare


def _marks(names: Iterable[str]) -> tuple[str, ...]:
    """The marks that somebody declares; a lone text would be a mark for each of its letters."""
    if isinstance(names, str):
        raise UsageError(f"must_reach takes several marks: write ({names!r},)")
    return tuple(names)


def registered() -> Mapping[str, Scenario]:
    """All scenarios that were declared so far, by name."""
    return dict(sorted(_registry.items()))


def find(name: str) -> Scenario:
    """The scenario of that name; :class:`UsageError` names the closest one."""
    if name not in _registry:
        raise closest(name, _registry, kind="scenario")
    return _registry[name]
