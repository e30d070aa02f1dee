"""Who waits for what, when nothing can run any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from harness.history import relative

if TYPE_CHECKING:
    from harness.schedule.lanes import TaskOption
    from harness.schedule.simulation import Simulation


def describe(simulation: Simulation) -> str:
    """One line for each blocked task of a living lane, and for each lane that is down."""
    lines = []
    waiting = {
        operation.owner: operation
        for operation in simulation.ready
        if operation.kind == "operation" and operation.owner is not None
    }
    for option in simulation.living_tasks():
        operation = waiting.get(option)
        if operation is not None:
            wait = operation.describe_wait() if operation.describe_wait else ""
            reason = operation.name + (f", {wait}" if wait else "")
            since = operation.since
        else:
            reason, since = _in_memory(simulation, option), option.last_step
        if option.lane_of.parked is not None:
            reason = "its process to go on, which is paused"
        if reason:
            name = f"{option.lane}/{option.name}"
            lines.append(f"{name:<24} waits for  {reason}   since step {since}")
    for lane in simulation.lanes.values():
        if not lane.alive:
            lines.append(f"{lane.name:<24} is down    (crashed, no restart is scheduled)")
    return "\n".join(lines)


def _in_memory(simulation: Simulation, option: TaskOption) -> str:
    """The trio primitive in which a task sleeps, who holds it, and where the target called it."""
    place, primitive, holder = "", "", ""
    for frame, line in option.task.iter_await_frames():
        path = frame.f_code.co_filename
        if "/trio/" not in path:
            if "/harness/schedule/" not in path:
                place = f" at {relative(path)}:{line}"
            continue
        if frame.f_code.co_name in ("_nested_child_finished", "__aexit__"):
            return ""  # a nursery waits for its children, which have lines of their own
        function, owner = frame.f_code.co_name, frame.f_locals.get("self")
        if not primitive and function != "__aenter__":
            primitive = f"{type(owner).__name__}.{function}" if owner is not None else function
        if not holder and isinstance(owner, trio.Lock | trio.StrictFIFOLock):
            label = simulation.label_of(owner.statistics().owner)
            holder = f", held by {label}" if label else ""
    return f"{primitive}{holder}{place}" if primitive else ""
