"""A pytest plugin for a process of its own: our kernel runs trio's tests, not ``trio.run``.

``trio.run`` is replaced before any test is imported. Which of the runnable tasks goes next is told
by the environment: ``CHANGEOVER_ORDER`` is ``stock`` (nothing is replaced), ``fifo``, ``batch``
(shuffled within one batch, as trio may) or ``any`` (any ready task at all), drawn with
``CHANGEOVER_SEED``. What became of each test is written to ``CHANGEOVER_RESULTS`` as JSON.
"""

from __future__ import annotations

import json
import math
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
import trio._core
import trio._core._run as trio_run
from outcome import Error
from trio._deprecate import warn_deprecated
from trio.abc import Clock, Instrument

from harness.errors import RefusedError
from harness.schedule.kernel import Kernel, Task
from harness.schedule.timers import VirtualClock

ORDER = os.environ["CHANGEOVER_ORDER"]
_generator = random.Random(int(os.environ.get("CHANGEOVER_SEED", "0")))
_outcomes: dict[str, str] = {}
#: A clock that says so has nothing to wait for (trio's ``MockClock`` says 999,999,999).
FOREVER_S = 999_999_999


class StuckError(Exception):
    """Nothing can run and no deadline will come; real trio would wait for ever."""


class Loop:
    """trio's main loop round a kernel: time, idleness and the instruments, batch by batch."""

    def __init__(
        self,
        main: Callable[..., Any],
        arguments: tuple[object, ...],
        *,
        clock: Clock | None,
        instruments: Sequence[Instrument],
        strict_exception_groups: bool,
    ) -> None:
        self.ready: deque[Task] = deque()
        self.deadlines = trio_run.Deadlines()
        self.clock = clock or VirtualClock()
        self.kernel = Kernel(
            ready=self.ready,  # type: ignore[arg-type]
            deadlines=self.deadlines,
            clock=self.clock,
            main=main,
            arguments=arguments,
            instruments=instruments,
            strict_exception_groups=strict_exception_groups,
        )
        self.runner = self.kernel.runner

    def run(self) -> None:
        """Until the last of trio's own tasks is gone."""
        while self.kernel.tasks_alive:
            self._wait()
            for left in range(
                min(1, len(self.ready)) if ORDER == "any" else len(self.ready), 0, -1
            ):
                index = 0
                if ORDER != "fifo":
                    index = _generator.randrange(len(self.ready) if ORDER == "any" else left)
                task = self.ready[index]
                del self.ready[index]
                self.kernel.step(task)
                del task

    def _wait(self) -> None:
        """Where trio waits for input and output; without any, only time and idleness are left."""
        instruments, idle = self.runner.instruments, self.kernel.idle_waiters()
        wait_s = 0.0 if self.ready else self._until_due_s()
        cushion_s = min((key[0] for key in self.runner.waiting_for_idle), default=math.inf)
        settled = bool(idle) and cushion_s < wait_s
        jumps = not idle and self.runner.clock_autojump_threshold < wait_s
        if settled:
            wait_s = cushion_s
        if "before_io_wait" in instruments:
            instruments.call("before_io_wait", wait_s)
        if wait_s >= FOREVER_S and not jumps:
            raise StuckError("nothing can run any more")
        if isinstance(self.clock, VirtualClock):
            self.clock.now += wait_s
        elif wait_s and not jumps:
            time.sleep(wait_s)
        if "after_io_wait" in instruments:
            instruments.call("after_io_wait", wait_s)
        if self.deadlines.expire(self.clock.current_time()) or self.ready:
            return
        if settled:
            self.kernel.wake_idle(idle)
        elif jumps:
            self.clock._autojump()  # type: ignore[attr-defined]

    def _until_due_s(self) -> float:
        deadline = self.deadlines.next_deadline()
        if isinstance(self.clock, VirtualClock):
            return max(0.0, deadline - self.clock.now)
        return max(0.0, self.clock.deadline_to_sleep_time(deadline))


_real_start_thread = threading.Thread.start


def _start_thread(thread: threading.Thread) -> None:
    if hasattr(trio_run.GLOBAL_RUN_CONTEXT, "runner"):
        raise RefusedError("a thread inside a simulated run")
    _real_start_thread(thread)


def simulated_run(
    async_fn: Callable[..., Any],
    *args: object,
    clock: Clock | None = None,
    instruments: Sequence[Instrument] = (),
    restrict_keyboard_interrupt_to_checkpoints: bool = False,
    strict_exception_groups: bool = True,
) -> Any:
    """``trio.run`` without input and output, in the order that ``CHANGEOVER_ORDER`` asks for."""
    if not strict_exception_groups:
        warn_deprecated(
            "trio.run(..., strict_exception_groups=False)",
            "0.25.0",
            issue=2929,
            instead="the default value of True",
            use_triodeprecationwarning=True,
        )
    if hasattr(trio_run.GLOBAL_RUN_CONTEXT, "runner"):
        raise RuntimeError("Attempted to call run() from inside a run()")
    try:
        loop = Loop(
            async_fn,
            args,
            clock=clock,
            instruments=instruments,
            strict_exception_groups=strict_exception_groups,
        )
        with loop.kernel.running():
            try:
                loop.run()
            finally:
                loop.kernel.dispose()
                loop.runner.close()
    except trio.TrioInternalError:
        raise
    except BaseException as error:
        raise trio.TrioInternalError("internal error in Trio - please file a bug!") from error
    result = loop.runner.main_task_outcome
    if isinstance(result, Error):
        raise result.error
    return result.value


if ORDER != "stock":
    for module in (trio, trio._core, trio_run):
        module.run = simulated_run  # type: ignore[attr-defined]
    threading.Thread.start = _start_thread  # type: ignore


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note what became of each test: the worst of its three phases."""
    report = yield
    name = f"{item.nodeid.rpartition('::')[0]}::{item.name}"
    if isinstance(item, pytest.Function):
        name = f"{item.module.__name__}::{item.name}"
    outcome: str = report.outcome
    if hasattr(report, "wasxfail"):
        outcome = "xfailed" if report.skipped else "xpassed"
    if report.when == "call" or outcome != "passed":
        _outcomes[name] = outcome
    return report


def pytest_sessionfinish() -> None:
    """Hand the outcomes to the test that started this process."""
    report = {"trio": trio.__version__, "outcomes": _outcomes}
    Path(os.environ["CHANGEOVER_RESULTS"]).write_text(json.dumps(report, indent=1))
