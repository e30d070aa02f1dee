"""What stands where trio kept its input and output, which no run has."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import trio

from harness.errors import RefusedError


class NoInputOutput:
    """Stands where trio's I/O manager stood, and says what to use instead."""

    def __getattr__(self, name: str) -> Any:
        sys.audit("trio.input_output", name)
        raise RefusedError(
            f"the target asked trio for real input or output ({name}) inside a run; "
            "hand it a port of the world instead: network, disk, database or object store"
        )

    def statistics(self) -> SimpleNamespace:
        """What ``trio.lowlevel.current_statistics`` says about input and output."""
        return SimpleNamespace(backend="simulated")

    def close(self) -> None:
        """Nothing was ever opened."""


class Wakeup:
    """In-memory stand-in for the socket pair by which other threads wake trio."""

    def __init__(self) -> None:
        self.waiting: trio.lowlevel.Task | None = None
        self.woken = False

    async def wait_woken(self) -> None:
        """Wait until somebody has called."""
        if not self.woken:
            self.waiting = trio.lowlevel.current_task()

            def abort(_: object) -> trio.lowlevel.Abort:
                self.waiting = None
                return trio.lowlevel.Abort.SUCCEEDED

            await trio.lowlevel.wait_task_rescheduled(abort)
        self.woken = False

    def wakeup_thread_and_signal_safe(self) -> None:
        """Wake who waits."""
        self.woken = True
        if self.waiting is not None:
            task, self.waiting = self.waiting, None
            trio.lowlevel.reschedule(task)

    def close(self) -> None:
        """Nothing was ever opened."""
