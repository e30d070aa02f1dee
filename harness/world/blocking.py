"""Synchronous and asyncio programs as lanes: code that blocks, resumed step by step.

A synchronous client cannot ``await``, yet each of its calls has to take as many steps as the
schedule likes. It runs in a greenlet, a stack of its own in the same thread: where it would block,
it hands over to its trio task, which awaits in its place and then resumes it. No thread is started,
so the order stays that of the simulation. Needs the package ``greenlet``.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any, ParamSpec, TypeVar

import trio
from outcome import Error, Outcome, Value

from harness.errors import UsageError

P = ParamSpec("P")
T = TypeVar("T")


def _greenlets() -> Any:
    try:
        return import_module("greenlet")
    except ImportError:
        raise UsageError(
            "a synchronous client as a lane needs greenlet; run: pip install greenlet"
        ) from None


async def run_blocking(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a synchronous function in this task; where it calls :func:`wait`, the task awaits.

    Raises what the function raises, and UsageError if greenlet is not installed.
    """
    greenlet = _greenlets().greenlet
    child = greenlet(function)
    child.gr_context = contextvars.copy_context()
    said = child.switch(*args, **kwargs)
    while not child.dead:
        said = child.switch(await _settled(said))
    result: T = said
    return result


async def _settled(awaiting: Callable[[], Awaitable[Any]]) -> Outcome[Any]:
    try:
        return Value(await awaiting())
    except BaseException as error:
        # A cancellation, too, is for the program to see: it cleans up and ends.
        return Error(error)


def wait(async_function: Callable[..., Awaitable[T]], *arguments: object) -> T:
    """Block, inside of :func:`run_blocking`, until an async function of trio has returned.

    Raises what that raises; RuntimeError outside of ``run_blocking``.
    """
    parent = _greenlets().getcurrent().parent
    if parent is None:
        raise RuntimeError("wait() was called outside of run_blocking()")
    # What asyncio keeps for the thread belongs to this program alone.
    loop, hooks = asyncio._get_running_loop(), sys.get_asyncgen_hooks()
    asyncio._set_running_loop(None)
    if loop is not None:
        sys.set_asyncgen_hooks(*loop.outer_hooks)  # type: ignore[attr-defined]
    try:
        answer: Outcome[T] = parent.switch(lambda: async_function(*arguments))
    finally:
        asyncio._set_running_loop(loop)
        sys.set_asyncgen_hooks(*hooks)
    return answer.unwrap()


class _Waiter:
    """Stands where asyncio's selector stood: it waits in trio until something was said."""

    def __init__(self) -> None:
        self.news = trio.Event()

    def select(self, timeout_s: float | None) -> list[object]:
        wait(self._until_news, timeout_s)
        self.news = trio.Event()
        return []

    async def _until_news(self, timeout_s: float | None) -> None:
        if timeout_s is None:
            await self.news.wait()
            return
        with trio.move_on_after(timeout_s):
            await self.news.wait()


class AsyncioLoop(asyncio.BaseEventLoop):
    """An asyncio event loop whose time and whose waiting are those of the simulation.

    It has no sockets, processes or signals. Between two of its rounds other lanes may take steps;
    inside a round it blocks like any event loop does.
    """

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Waiter()
        self.outer_hooks = sys.get_asyncgen_hooks()

    def time(self) -> float:
        """The virtual time in seconds."""
        return trio.current_time()

    def call_soon_from_trio(self, function: Callable[..., object], *arguments: object) -> None:
        """Let another task of this lane, one of trio, say something to the loop.

        A loop that is closed has nobody left who could hear it: a task that was woken before its
        program ended, and cancelled after that, comes too late.
        """
        if self.is_closed():
            return
        self.call_soon(function, *arguments)
        self._selector.news.set()

    def _process_events(self, event_list: list[object]) -> None:
        """Nothing comes from outside."""

    def _write_to_self(self) -> None:
        self._selector.news.set()


async def run_asyncio(main: Callable[..., Awaitable[T]], *arguments: object) -> T:
    """Run an asyncio program in this task, on an event loop of its own.

    Its coroutines may use :func:`wait` too, which blocks the whole loop, as a synchronous call in
    an asyncio program does.
    """
    loop = AsyncioLoop()

    async def program() -> T:
        return await main(*arguments)

    def run() -> T:
        try:
            return loop.run_until_complete(program())
        finally:
            _end(loop)

    return await run_blocking(run)


def _end(loop: AsyncioLoop) -> None:
    """Cancel what is left, as ``asyncio.run`` does, and close."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
        # Nobody needs to be told of a task that a crash keeps from ending.
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    try:
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    finally:
        loop.close()
