"""A process as its service sees it, and how it is made to do the same twice."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Awaitable, Callable

import trio

from target_stub.real.clock import clock_of_environment


class ProcessLife:
    """One incarnation as a process of the operating system; it is asked to stop by SIGTERM."""

    def __init__(self, service: str, incarnation: int) -> None:
        self.name = f"{service}#{incarnation}"
        self.incarnation = incarnation

    def enter(self, phase: str) -> None:
        """Say on a line of the output which phase of life begins."""
        sys.stdout.write(f"phase: {phase}\n")
        sys.stdout.flush()

    async def stop_requested(self) -> None:
        """Return at the first SIGTERM; before anybody waits for it, it simply ends the process."""
        with trio.open_signal_receiver(signal.SIGTERM) as signals:
            async for _ in signals:
                return


def run(service: str, main: Callable[[ProcessLife], Awaitable[None]], *, seed: int) -> None:
    """Be one incarnation of a service, the one that ``INCARNATION`` names, until it ends."""
    life = ProcessLife(service, int(os.environ["INCARNATION"]))
    random.seed(f"{seed}/{life.name}")
    repeat_order_of_tasks()
    clock = clock_of_environment()

    async def live() -> None:
        if clock is not None:
            trio.lowlevel.spawn_system_task(clock.hear)
        await main(life)

    trio.run(live, clock=clock)


def repeat_order_of_tasks() -> None:
    """Let trio shuffle tasks that can run at the same time alike in every process.

    The two names are private; Hypothesis relies on them in the same way for its own users.
    """
    vars(trio._core._run)["_ALLOW_DETERMINISTIC_SCHEDULING"] = True
    trio._core._run._r.seed(0)
