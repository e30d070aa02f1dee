"""All programs and restart races by name, and the scenarios that run them.

A classic program is alone in one lane; a restart race has a world and a nemesis.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from harness.errors import closest
from harness.scenario import RestartFault, Scenario, restart
from harness.world.world import World
from tests.benchmarks.classics.programs import (
    buffers,
    counters,
    deadlocks,
    lockfree,
    recoveries,
    restarts,
    sorting,
)

#: A program: run it with its bug, or ``repaired``; a restart race is handed a world first.
Text = Callable[..., Awaitable[None]]

CLASSIC, RESTART = "classic", "restart race"


@dataclass(frozen=True, slots=True)
class Program:
    """One program with one bug, and its repaired twin.

    ``threads`` counts the tasks of a classic, the main one included, and is 0 for a restart race,
    where the nemesis may strike ``faults_max`` times with ``faults``. A ``challenge`` need not be
    found by anybody.
    """

    name: str
    text: Text
    threads: int = 0
    faults: tuple[RestartFault, ...] = ()
    faults_max: int = 1
    challenge: bool = False

    @property
    def kind(self) -> str:
        """Whether others have published figures of it, or it is our own."""
        return CLASSIC if self.threads else RESTART

    def scenario(self, *, repaired: bool = False) -> Scenario:
        """The program or its twin as something that the engine can run."""

        async def story(world: World) -> None:
            await (self.text if self.threads else partial(self.text, world))(repaired=repaired)

        return Scenario(
            name=f"{self.name}.repaired" if repaired else self.name,
            story=story,
            faults=self.faults,
            faults_max=self.faults_max if self.faults else 0,
        )


def _classics() -> tuple[Program, ...]:
    reorders = {3: (2, 1), 4: (3, 1), 5: (4, 1), 10: (9, 1), 20: (10, 10), 50: (49, 1)}
    return (
        Program("account", counters.account, 4),
        Program("bluetooth_driver", counters.bluetooth_driver, 2),
        Program("boundedBuffer", buffers.bounded_buffer, 5),
        Program("carter01", deadlocks.carter01, 5),
        Program("circular_buffer", buffers.circular_buffer, 3),
        Program("deadlock01", deadlocks.deadlock01, 3),
        Program("dining_3", partial(deadlocks.philosophers, 3), 4),
        Program("dining_7", partial(deadlocks.philosophers, 7), 8),
        Program("lazy01", counters.lazy01, 4),
        Program("qsort_mt", sorting.qsort_mt, 3),
        Program("queue", buffers.queue, 3),
        *(
            Program(f"reorder_{number}", partial(counters.reorder, *counts), sum(counts) + 1)
            for number, counts in reorders.items()
        ),
        Program("stack", buffers.stack, 3),
        Program("stringbuffer", buffers.stringbuffer, 2),
        Program("token_ring", counters.token_ring, 5),
        Program("twostage", partial(counters.twostage, 2), 3),
        Program("twostage_20", partial(counters.twostage, 20), 21),
        Program("twostage_50", partial(counters.twostage, 50), 51),
        Program("WorkStealQueue", lockfree.work_steal_queue, 3),
        Program("wronglock", partial(counters.wronglock, 7), 9),
        Program("wronglock_3", partial(counters.wronglock, 3), 5),
        Program("SafeStack", lockfree.safestack, 4, challenge=True),
    )


def _races() -> tuple[Program, ...]:
    crash, rolling, failover = (
        (restart("ledger", kinds=[kind], delay_s=0),) for kind in ("crash", "rolling", "failover")
    )
    market = (restart("market", kinds=["stop"], delay_s=0),)
    return (
        Program("ack_before_write", restarts.ack_before_write, faults=crash),
        Program("ack_before_fsync", restarts.ack_before_fsync, faults=crash),
        Program("half_a_pair", restarts.half_a_pair, faults=crash),
        Program("total_over_rolling", restarts.total_over_rolling, faults=rolling),
        Program("orphan_after_failover", restarts.orphan_after_failover, faults=failover),
        Program("default_before_hydrate", recoveries.default_before_hydrate, faults=market),
        Program("snapshot_and_truncate", recoveries.snapshot_and_truncate, faults=crash),
        Program("restart_in_recovery", recoveries.restart_in_recovery, faults=crash, faults_max=2),
        Program("retry_after_orphan", recoveries.retry_after_orphan, faults=crash),
        Program("four_windows", recoveries.four_windows),
    )


PROGRAMS: Mapping[str, Program] = {program.name: program for program in (*_classics(), *_races())}


def program_of(name: str) -> Program:
    """The program of that name; :class:`~harness.errors.UsageError` names the closest one."""
    if name not in PROGRAMS:
        raise closest(name, PROGRAMS, kind="program")
    return PROGRAMS[name]
