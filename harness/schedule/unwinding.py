"""The end of a run, after the verdict: what is left is cancelled and cleans up, and nobody listens.

Nothing that happens here takes effect on the world or reaches the history.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import TYPE_CHECKING

from harness.schedule.choices import TASK, Moves
from harness.schedule.kernel import close_coroutine

if TYPE_CHECKING:
    from harness.schedule.simulation import Simulation

#: How long the clean-up code of a target may go on after the verdict.
UNWIND_STEPS_MAX = 1_000


def cancel_all(simulation: Simulation) -> bool:
    """Cancel every task that is left; whether all of them let themselves be cancelled."""
    waiting = [*simulation.awake(), *simulation.arrivals]
    simulation.paused.clear()
    simulation.dead += [option.task for option in waiting if option.kind == TASK]
    simulation.ready, simulation.arrivals = Moves(), []
    simulation.unwinding = True
    for lane in simulation.lanes.values():
        lane.scope.cancel()
    with suppress(Exception), warnings.catch_warnings():
        # A generator that the target left unfinished is no news, now that we cancel its task.
        warnings.simplefilter("ignore", ResourceWarning)
        for _ in range(UNWIND_STEPS_MAX):
            if not _clean_up(simulation):
                break
    leftover = [option.task for option in simulation.tasks.values() if option.task.coro.cr_frame]
    for task in leftover:
        close_coroutine(task.coro)
    return not leftover


def _clean_up(simulation: Simulation) -> bool:
    """One more step of cleaning up, if there is one; virtual time passes when nobody can run."""
    if simulation.idle_tasks:
        simulation.settle_kernel()
    elif simulation.dead:
        simulation.kernel.step(simulation.dead.pop(0))
    elif simulation.timers.pending:
        deadline, _, timer = simulation.timers.pending[0]
        simulation.kernel.expire(deadline, timer.scope)
    else:
        return False
    return True
