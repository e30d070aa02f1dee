"""What a timer is for and where a task goes on, read from the target's frames.

A label must be the same in every run and costs something at every step, so it says little of
these two. This is asked only of the runs that somebody will read about.
"""

from __future__ import annotations

from types import FrameType
from typing import TYPE_CHECKING

import trio
import trio._core._run as trio_run

from harness.findings.finding import DEADLINE, TIMEOUT
from harness.history import relative
from harness.schedule.sites import is_own

if TYPE_CHECKING:
    from harness.schedule.kernel import Task
    from harness.schedule.timers import TimerOption


def of_timer(task: Task, timer: TimerOption) -> str:
    """What ends when this deadline strikes: a call, a sleep, or what the target has limited."""
    scope, deadline_s = timer.scope, timer.deadline
    frames = [frame for frame, _ in task.iter_await_frames()]
    for frame in frames:
        if "/harness/" in frame.f_code.co_filename and frame.f_locals.get("patience") is scope:
            call, timeout_s = frame.f_locals["call"], frame.f_locals["timeout_s"]
            return f"{TIMEOUT}{call.label} ({timeout_s:g} s)"
    place = _place(frames)
    where = f" at {place}" if place else ""
    for frame in frames:
        code = frame.f_code
        trios = code.co_name == "sleep" and "/trio/" in code.co_filename
        if trios and _waits_until(frames, deadline_s):
            return f"end of sleep ({frame.f_locals['seconds']:g} s){where}"
    if _waits_until(frames, deadline_s):
        return f"end of sleep until {round(deadline_s * 1000)} ms{where}"
    if timer.site is None:
        return ""
    patience_s = max(0.0, deadline_s - timer.since_s)
    return f"{DEADLINE}({patience_s:g} s) at {timer.site}"


def is_limited_by(task: Task, scope: trio.CancelScope) -> bool:
    """Whether what a task waits for ends with this scope."""
    status: trio_run.CancelStatus | None = task._cancel_status
    while status is not None and status._scope is not scope and not status._scope.shield:
        status = status._parent
    return status is not None and status._scope is scope


def of_task(task: Task) -> str:
    """At which line of the target a task goes on; empty if it has not come to one yet."""
    place = _place([frame for frame, _ in task.iter_await_frames()])
    return f"goes on at {place}" if place else ""


def _waits_until(frames: list[FrameType], deadline_s: float) -> bool:
    """Whether the task sleeps until then, and not in something else that it has limited."""
    return any(
        "/trio/" in frame.f_code.co_filename
        and frame.f_code.co_name == "sleep_until"
        and frame.f_locals.get("deadline") == deadline_s
        for frame in frames
    )


def _place(frames: list[FrameType]) -> str:
    """The innermost place of the target."""
    own = [frame for frame in frames if is_own(frame.f_code.co_filename)]
    return f"{relative(own[-1].f_code.co_filename)}:{own[-1].f_lineno}" if own else ""
