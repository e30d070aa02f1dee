"""What our speed is compared with: the same small program on less and less machinery.

Tasks read a value, let others go first, and write it back. The floor is bare coroutines; above it
stand trio's own loop, and that loop taken over without anything that makes runs repeatable.
"""

from __future__ import annotations

import math
import random
import types
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any

import trio
import trio._core._run as trio_run
from outcome import Error, Outcome, Value
from trio._core._traps import CancelShieldedCheckpoint, WaitTaskRescheduled
from trio.testing import MockClock

_CONTEXT: Any = trio_run.GLOBAL_RUN_CONTEXT

#: Runs a program of so many tasks with so many checkpoints each, by a seed; returns its steps.
Subject = Callable[[int, int, int], int]


async def lost_update(tasks: int, checkpoints: int) -> None:
    """The program, as anybody would write it for trio."""
    value = 0

    async def writer() -> None:
        nonlocal value
        for _ in range(checkpoints):
            seen = value
            await trio.lowlevel.checkpoint()
            value = seen + 1

    async with trio.open_nursery() as nursery:
        for _ in range(tasks):
            nursery.start_soon(writer)


@types.coroutine
def _let_others_go() -> Generator[None, None, None]:
    yield


def raw_coroutines(tasks: int, checkpoints: int, seed: int) -> int:
    """The program on bare coroutines: nothing in Python can be faster."""
    generator, steps, value = random.Random(seed), 0, 0

    async def writer() -> None:
        nonlocal value
        for _ in range(checkpoints):
            seen = value
            await _let_others_go()
            value = seen + 1

    living = [writer() for _ in range(tasks)]
    while living:
        index = int(generator.random() * len(living))
        try:
            living[index].send(None)
        except StopIteration:
            del living[index]
        steps += 1
    return steps


def stock_trio(tasks: int, checkpoints: int, seed: int) -> int:
    """The program under ``trio.run``; one step for each checkpoint and each end of a task."""
    trio.run(lost_update, tasks, checkpoints)
    return tasks * (checkpoints + 1)


class BareLoop:
    """trio's loop stepped one task at a time, and nothing else: no names, no record, no crash."""

    def __init__(self) -> None:
        runner: Any = trio_run.setup_runner(MockClock(), (), False, False)
        self.runner = runner
        runner.clock.start_clock()
        runner.init_task = runner.spawn_impl(
            runner.init, (trio.sleep_forever, ()), None, "<init>", system_task=True
        )
        self._run_until([], random.Random(0))
        del _CONTEXT.runner

    def __call__(self, tasks: int, checkpoints: int, seed: int) -> int:
        """Run the program in a random order."""
        finished: list[bool] = []

        async def root(program: Callable[[], Awaitable[None]]) -> None:
            try:
                await program()
            finally:
                finished.append(True)

        _CONTEXT.runner = self.runner
        try:
            self.runner.spawn_system_task(root, partial(lost_update, tasks, checkpoints))
            return self._run_until(finished, random.Random(seed))
        finally:
            del _CONTEXT.runner

    def _run_until(self, finished: list[bool], generator: random.Random) -> int:
        runner, steps = self.runner, 0
        ready = runner.runq
        while not finished:
            if not ready:
                assert math.isinf(runner.deadlines.next_deadline())
                return steps
            index = int(generator.random() * len(ready)) if len(ready) > 1 else 0
            task = ready[index]
            del ready[index]
            self._step(task)
            steps += 1
        return steps

    def _step(self, task: Any) -> None:
        _CONTEXT.task = task
        send, value = task._next_send_fn, task._next_send
        task._next_send_fn = task._next_send = None
        final: Outcome[Any] | None = None
        message: Any = None
        try:
            message = task.context.run(send, value)
        except StopIteration as stop:
            final = Value(stop.value)
        except BaseException as error:
            final = Error(error)
        if final is not None:
            self.runner.task_exited(task, final)
        elif message is CancelShieldedCheckpoint:
            self.runner.reschedule(task)
        else:
            assert type(message) is WaitTaskRescheduled
            task._cancel_points += 1
            task._abort_func = message.abort_func
            task._attempt_delivery_of_any_pending_cancel()
        del _CONTEXT.task
