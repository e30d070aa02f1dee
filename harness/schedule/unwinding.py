"""The end of a run, after the verdict: what is left is cancelled and cleans up, and nobody listens.

Nothing that happens here takes effect on the world or reaches the history. Only one thing is still
noted: who swallows his cancellation, because nothing could ever end such a process.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from harness.errors import StepNeverYieldsError
from harness.history import relative
from harness.schedule.choices import TASK, Moves
from harness.schedule.kernel import hears_cancelled, is_cancelled

if TYPE_CHECKING:
    from harness.schedule.kernel import Task
    from harness.schedule.simulation import Simulation

#: How long the clean-up code of a target may go on after the verdict.
UNWIND_STEPS_MAX = 1_000
#: Who goes on after so many cancellations swallows them, and how many steps a task is looked at.
_SWALLOWED_MIN, _LOOKS = 2, 8


@dataclass(frozen=True, slots=True)
class Swallowed:
    """A lane that goes on when it is cancelled; ``site`` is where, as ``path:line function``."""

    lane: str
    site: str


def unwind(simulation: Simulation) -> bool:
    """Cancel every task that is left, and close those that go on; whether there are none."""
    waiting = [*simulation.awake(), *simulation.arrivals]
    simulation.paused.clear()
    simulation.dead += [option.task for option in waiting if option.kind == TASK]
    simulation.ready, simulation.arrivals = Moves(), []
    simulation.unwinding = True
    for lane in simulation.lanes.values():
        lane.scope.cancel()
    endless: dict[Task, str] = {}
    with suppress(Exception, StepNeverYieldsError), warnings.catch_warnings():
        # A generator that the target left unfinished is no news, now that we cancel its task.
        warnings.simplefilter("ignore", ResourceWarning)
        for _ in range(UNWIND_STEPS_MAX):
            if not _clean_up(simulation):
                break
        else:
            endless = _endless(simulation)
    simulation.swallowed = [
        Swallowed(option.lane, endless[task])
        for task, option in simulation.tasks.items()
        if task in endless
    ]
    ended = not any(option.task.coro.cr_frame for option in simulation.tasks.values())
    if not ended:
        with suppress(StepNeverYieldsError):
            simulation.kernel.dispose(simulation.watch)
    simulation.cleaning = None
    return ended


def _clean_up(simulation: Simulation) -> bool:
    """One more step of cleaning up, if there is one; virtual time passes when nobody can run."""
    if simulation.idle_tasks:
        simulation.settle_kernel()
    elif simulation.dead:
        task = simulation.dead.pop(0)
        simulation.watch(task)
        simulation.kernel.step(task)
    elif simulation.timers.pending:
        deadline, _, timer = simulation.timers.pending[0]
        simulation.kernel.expire(deadline, timer.scope)
    else:
        return False
    return True


def _endless(simulation: Simulation) -> dict[Task, str]:
    """The tasks that go on however often they are cancelled, and where each of them does."""
    swallowed: dict[Task, int] = {}
    found: dict[Task, str] = {}
    for _ in range(_LOOKS * len(simulation.dead)):
        if simulation.idle_tasks or not simulation.dead:
            _clean_up(simulation)
            continue
        task = simulation.dead[0]
        before = [*task.iter_await_frames()] if hears_cancelled(task) else []
        _clean_up(simulation)
        if before and is_cancelled(task):
            swallowed[task] = swallowed.get(task, 0) + 1
            if swallowed[task] >= _SWALLOWED_MIN:
                found[task] = _site(before, [frame for frame, _ in task.iter_await_frames()])
    return found


def _site(before: Sequence[tuple[FrameType, int]], now: Sequence[FrameType]) -> str:
    """Where the target awaited what was cancelled, in the innermost function that has survived."""
    place = ""
    for frame, line in before:
        path = frame.f_code.co_filename
        if frame in now and "/trio/" not in path and "/harness/" not in path:
            place = f"{relative(path)}:{line} {frame.f_code.co_name}"
    return place
