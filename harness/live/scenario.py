"""Scenarios of real processes: declared like those of the simulation, found by the same names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from harness.errors import UsageError, closest
from harness.live.incarnations import RESTART_KINDS
from harness.live.lanes import DATABASE
from harness.live.stage import LiveStage
from harness.live.world import LiveWorld
from harness.scenario import (
    DATABASE_KINDS,
    POWER_CUT,
    DatabaseFault,
    LostAnswerFault,
    RestartFault,
    Scenario,
    declared_at,
    register,
)
from harness.world.world import World

Deployment = Callable[[LiveWorld], None]


def live_restart(service: str, *, kinds: Iterable[str] = ("crash",)) -> RestartFault:
    """A fault: restarts of one real service.

    Its kinds are crash, stop, rolling, overlap, pause and failover.
    """
    chosen = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    for kind in chosen:
        if kind not in RESTART_KINDS:
            raise closest(kind, RESTART_KINDS, kind="kind of restart of a real service")
    return RestartFault(service, chosen)


def lost_answer(service: str, *, of: str = DATABASE) -> LostAnswerFault:
    """A fault: what a service asks takes effect, and instead of an answer its connection is cut."""
    return LostAnswerFault(service, of)


def database_fault(*, kinds: Iterable[str] = (POWER_CUT,)) -> DatabaseFault:
    """A fault: the power of the database server is cut, or its standby is promoted.

    After a ``power cut`` all connections are gone and the server has what was on disk. After a
    ``promotion`` new connections go to the new primary, old ones stay with the old one, which still
    takes writes. Every run has a PostgreSQL of its own.
    """
    chosen = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    for kind in chosen:
        if kind not in DATABASE_KINDS:
            raise closest(kind, DATABASE_KINDS, kind="fault of a real database")
    return DatabaseFault(chosen)


def live_scenario(
    *,
    name: str = "",
    faults: Iterable[RestartFault | LostAnswerFault | DatabaseFault] = (),
    faults_max: int = 1,
    guards: Iterable[str] = (),
    guards_default: Iterable[str] = (),
    bugs: Mapping[str, str] | None = None,
    bug_default: str = "",
    steps_max: int = 500,
    stall_s: float = 60.0,
    step_wall_s: float = 30.0,
    must_reach: Iterable[str] = (),
) -> Callable[[Deployment], Scenario]:
    """Declare a plain function that takes a :class:`LiveWorld` as a scenario of real processes.

    A step that takes longer than ``step_wall_s`` real seconds ends the run, named by who does not
    come to rest. A run ends when nobody has anything left to do, or with the services that
    ``LiveWorld.until`` names. Time is what the clock of the run shows (``harness.live.clock``); an
    alarm may ring although others are due earlier, but those by less than ``stall_s`` seconds.
    """

    def declare(function: Deployment) -> Scenario:
        if inspect.iscoroutinefunction(function):
            raise UsageError(
                f"a live scenario is a plain function, which says what to start; "
                f"{function.__name__} is async"
            )
        own = name or function.__name__

        async def story(world: World) -> None:
            raise UsageError(f"{own} is made of real processes, the simulation cannot run it")

        return register(
            Scenario(
                name=own,
                story=story,
                description=inspect.cleandoc(function.__doc__ or ""),
                faults=tuple(faults),
                faults_max=faults_max,
                guards=tuple(guards),
                guards_default=tuple(guards_default),
                bugs=dict(bugs or {}),
                bug_default=bug_default,
                steps_max=steps_max,
                stall_s=stall_s,
                step_wall_s=step_wall_s,
                must_reach=tuple(must_reach),
                **declared_at(function),
                stage=partial(LiveStage, deploy=function),
            )
        )

    return declare
