"""trio's run loop, taken over: one task step at a time, when we say so.

This is the only file that touches private names of trio. It keeps one ``Runner`` for many runs,
replaces its queue of runnable tasks and its deadlines by our own collections, and takes away its
input and output. It decides nothing: which task goes next is the business of its caller. A version
of trio that it was not tested with is refused, because a loop that is only nearly trio's would
find bugs that do not exist.
"""

from __future__ import annotations

import ctypes
import sys
import types
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import Any, Protocol

import sniffio
import trio
import trio._core._run as trio_run
import trio._core._thread_cache as trio_threads
from outcome import Error, Outcome, Value
from trio._core._traps import (
    CancelShieldedCheckpoint,
    PermanentlyDetachCoroutineObject,
    WaitTaskRescheduled,
)
from trio.abc import Clock, Instrument

from harness.errors import RefusedError, UnsupportedTrioError
from harness.schedule.standins import NoInputOutput, Wakeup

#: Every minor version of trio in this range passes the conformance tests.
OLDEST_TRIO, NEWEST_TRIO = (0, 27), (0, 35)

Task = trio.lowlevel.Task
_CONTEXT: Any = trio_run.GLOBAL_RUN_CONTEXT


class _GoOn:
    """What a task is sent after a bare checkpoint: as ``Value(None)``, but never used up."""

    def unwrap(self) -> None:
        """Nothing happened meanwhile."""


_GO_ON: Any = _GoOn()


@types.coroutine
def checkpoint() -> Generator[Any, Any, None]:
    """``trio.lowlevel.checkpoint()`` with one layer instead of three, which halve its price."""
    yield CancelShieldedCheckpoint
    if _CONTEXT.task._cancel_status.effectively_cancelled:
        # What else there is to do then is left to trio: its coroutine, from that point on.
        rest = trio.lowlevel.checkpoint()
        rest.send(None)
        message = rest.send(_GO_ON)
        while True:
            message = rest.send((yield message))
    _CONTEXT.task._cancel_points += 1


def check_version(version: str = trio.__version__) -> None:
    """Raise :class:`UnsupportedTrioError` unless this trio was tested with the kernel."""
    found = tuple(int(part) for part in version.split("+", maxsplit=1)[0].split(".")[:2])
    if not OLDEST_TRIO <= found <= NEWEST_TRIO:
        oldest, newest = (".".join(map(str, bound)) for bound in (OLDEST_TRIO, NEWEST_TRIO))
        raise UnsupportedTrioError(
            f"trio {version} is not supported: the kernel steps trio's own run loop and was tested "
            f"with trio {oldest} to {newest}; install one of those, or a newer changeover"
        )


class ReadyQueue(Protocol):
    """Where trio puts a task that can run; the kernel's caller takes it from there."""

    def append(self, task: Task) -> None:
        """Put a task behind the others."""

    def __bool__(self) -> bool: ...

    def __len__(self) -> int: ...


class Deadlines(Protocol):
    """Where trio registers the deadlines of cancel scopes."""

    def add(self, deadline: float, cancel_scope: trio.CancelScope) -> None:
        """Register a deadline."""

    def remove(self, deadline: float, cancel_scope: trio.CancelScope) -> None:
        """Withdraw a deadline."""

    def next_deadline(self) -> float:
        """The earliest one; infinity without any."""


def _refuse_nesting() -> None:
    if "runner" in _CONTEXT.__dict__:
        raise RefusedError(
            "a simulation cannot be stepped from inside trio.run or another simulation; "
            "call it from ordinary synchronous code"
        )


def hears_cancelled(task: Task) -> bool:
    """Whether the next step of a task begins with a ``Cancelled``."""
    said = task._next_send
    return isinstance(said, Error) and isinstance(said.error, trio.Cancelled)


def is_cancelled(task: Task) -> bool:
    """Whether a scope round a task is cancelled, and no shield is between them."""
    return task.coro.cr_frame is not None and task._cancel_status.effectively_cancelled


def _innermost(coroutine: Any) -> Any:
    """The coroutine that this one awaits in the end, of those that have not ended."""
    inner = coroutine
    while isinstance(inner, types.CoroutineType) and inner.cr_frame is not None:
        coroutine, inner = inner, inner.cr_await
    return coroutine


class _AuditedThreads:
    """trio's cache of threads, which announces a reused thread as Python announces a new one."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def start_thread_soon(self, function: Callable[[], Any], *details: Any) -> None:
        sys.audit("_thread.start_new_thread", function, (), None)
        self._cache.start_thread_soon(function, *details)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)


#: What to patch where, so that audit hooks see every thread that trio uses.
AUDITED_THREADS = (trio_threads, "THREAD_CACHE", _AuditedThreads(trio_threads.THREAD_CACHE))


#: Kernels that nobody has disposed of. Garbage collection must not find them: it would close the
#: tasks of trio in any order, with an error message for each.
_undisposed: set[Kernel] = set()
#: How often a task may go on awaiting while it is closed.
_CLOSINGS_MAX = 100


class Kernel:
    """One trio ``Runner`` that runs nothing by itself.

    ``main`` is trio's main task; without one the runner idles for ever and tasks are added with
    :meth:`spawn`. The kernel can be entered and left any number of times; while it is entered,
    trio's functions work and a nested ``trio.run`` is refused, as in a real run.
    """

    def __init__(
        self,
        *,
        ready: ReadyQueue,
        deadlines: Deadlines,
        clock: Clock,
        main: Callable[..., Any] = trio.sleep_forever,
        arguments: tuple[object, ...] = (),
        instruments: Sequence[Instrument] = (),
        strict_exception_groups: bool = True,
    ) -> None:
        check_version()
        _refuse_nesting()
        hooks = sys.get_asyncgen_hooks()
        runner: Any = trio_run.setup_runner(clock, instruments, True, strict_exception_groups)
        runner.ki_manager.close()
        runner.io_manager.close()
        runner.entry_queue.wakeup.close()
        # A plain tuple: the garbage collector does not see into the named one, and would leak us.
        self.hooks = tuple(sys.get_asyncgen_hooks())
        sys.set_asyncgen_hooks(*hooks)
        del _CONTEXT.runner
        runner.io_manager = NoInputOutput()
        runner.entry_queue.wakeup = Wakeup()
        runner.runq = ready
        runner.deadlines = deadlines
        self.runner = runner
        # All that are active, in a plain dictionary: asking trio's own takes as long as a step.
        self._instruments: dict[Instrument, None] = runner.instruments["_all"]
        self.entered = False
        _undisposed.add(self)
        with self.running():
            self._tell("before_run")
            clock.start_clock()
            runner.init_task = runner.spawn_impl(
                runner.init, (main, arguments), None, "<init>", system_task=True
            )

    def rebind(self, *, ready: ReadyQueue, deadlines: Deadlines, clock: Clock) -> None:
        """Serve another run; only when the last one left no task behind."""
        self.runner.runq = ready
        self.runner.deadlines = deadlines
        self.runner.clock = clock

    def enter(self) -> None:
        """Make this kernel the running trio of this thread."""
        _refuse_nesting()
        self._outer_hooks = sys.get_asyncgen_hooks()
        self._outer_library = getattr(sniffio.thread_local, "name", None)
        sys.set_asyncgen_hooks(*self.hooks)
        sniffio.thread_local.name = "trio"
        self._context = _CONTEXT.__dict__
        self._context["runner"] = self.runner
        self.entered = True

    def leave(self) -> None:
        """Give the thread back."""
        self.entered = False
        # All of it: a step that was struck down half-way leaves its task behind.
        _CONTEXT.__dict__.clear()
        sniffio.thread_local.name = self._outer_library
        sys.set_asyncgen_hooks(*self._outer_hooks)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Enter, and leave again whatever happens; nests."""
        if self.entered:
            yield
            return
        self.enter()
        try:
            yield
        finally:
            self.leave()

    def spawn(self, async_function: Callable[..., Any], *arguments: object, name: str) -> Task:
        """Start a task outside every nursery of the target; call it while entered."""
        task: Task = self.runner.spawn_impl(
            async_function, arguments, self.runner.system_nursery, name, system_task=True
        )
        return task

    def step(self, task: Task) -> None:
        """Run one task to its next scheduling point, exactly as trio's own loop would."""
        if self.advance(task):
            self.runner.runq.append(task)

    def advance(self, task: Task) -> bool:
        """Run one task like :meth:`step`; true if it stays ready and is now the caller's to queue.

        That is the commonest step of all, and it costs half as much when trio need not be told.
        """
        context = self._context
        context["task"] = task
        if self._instruments:
            self._tell("before_task_step", task)
        send, value = task._next_send_fn, task._next_send
        task._next_send_fn = task._next_send = None
        final: Outcome[object] | None = None
        message: Any = None
        try:
            message = task.context.run(send, value)  # type: ignore[arg-type]
        except StopIteration as stop:
            final = Value(stop.value)
        except BaseException as error:
            # Our own frame is of no interest to whoever reads the error.
            final = Error(error.with_traceback(error.__traceback__ and error.__traceback__.tb_next))
        if message is CancelShieldedCheckpoint and not self._instruments:
            # What trio's reschedule() does, with an answer that can be given again and again.
            task._schedule_points += 1
            task._next_send_fn = send if value is _GO_ON else task.coro.send
            task._next_send = _GO_ON
            task.custom_sleep_data = None
            del context["task"]
            return True
        if final is not None:
            self.runner.task_exited(task, final)
        else:
            self._heed(task, message)
        if self._instruments:
            self._tell("after_task_step", task)
        del context["task"]
        return False

    def _tell(self, hook: str, *details: object) -> None:
        """Call the instruments that want to know of this."""
        if hook in self.runner.instruments:
            self.runner.instruments.call(hook, *details)

    def _heed(self, task: Task, message: Any) -> None:
        """Do what a task asked for when it yielded."""
        task._schedule_points += 1
        if message is CancelShieldedCheckpoint:
            self.runner.reschedule(task)
        elif type(message) is WaitTaskRescheduled:
            task._cancel_points += 1
            task._abort_func = message.abort_func
            task._attempt_delivery_of_any_pending_cancel()
        elif type(message) is PermanentlyDetachCoroutineObject:
            self.runner.task_exited(task, message.final_outcome)
        else:
            self.runner.reschedule(
                task,
                TypeError(
                    f"trio.run received unrecognized yield message {message!r}. Are you trying "
                    "to use a library written for some other framework like asyncio? That "
                    "won't work without some kind of compatibility shim."
                ),
            )
            task._next_send_fn = task.coro.throw

    def expire(self, deadline: float, scope: trio.CancelScope) -> None:
        """Let one deadline strike, through trio's own code for it."""
        expiry = trio_run.Deadlines()
        expiry.add(deadline, scope)
        expiry.expire(deadline)

    def idle_waiters(self) -> tuple[Task, ...]:
        """The tasks in ``wait_all_tasks_blocked`` that wake first when all else is blocked."""
        waiting = self.runner.waiting_for_idle
        if not waiting:
            return ()
        cushion = min(key[0] for key in waiting)
        return tuple(task for key, task in waiting.items() if key[0] == cushion)

    def wake_idle(self, tasks: Sequence[Task]) -> None:
        """Wake tasks of :meth:`idle_waiters`."""
        waiting = self.runner.waiting_for_idle
        for key in [key for key, task in waiting.items() if task in tasks]:
            self.runner.reschedule(waiting.pop(key))

    def dispose(self, told: Callable[[Task], object] = id) -> None:
        """Close every task that is left, innermost first, and forget the kernel for good.

        ``told`` hears of each before.
        """
        for task in sorted(self.runner.tasks, key=attrgetter("_counter"), reverse=True):
            told(task)
            if not self._close(task):
                # Python closes what is garbage, also when it exits, and then hears of no end: one
                # reference too many, which is nobody's, keeps it from ever becoming that.
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(task.coro))
            for nursery in task._child_nurseries:
                nursery._children.clear()
        _undisposed.discard(self)

    def _close(self, task: Task) -> bool:
        """Close a task, which may go on awaiting meanwhile; whether it ended."""
        # Without a current task whatever it awaits would raise at once; a loop would never yield.
        _CONTEXT.task = task
        refused = 0
        try:
            while task.coro.cr_frame is not None and refused < _CLOSINGS_MAX:
                try:
                    # From inside out: what its outer part has given up would close as garbage.
                    _innermost(task.coro).close()
                except RuntimeError:
                    refused += 1
                except KeyboardInterrupt:
                    raise
                except BaseException:
                    pass  # the verdict is spoken; nobody wants to hear it
            return task.coro.cr_frame is None
        finally:
            del _CONTEXT.task

    @property
    def tasks_alive(self) -> int:
        """How many tasks exist, trio's own included."""
        return len(self.runner.tasks)
