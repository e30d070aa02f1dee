"""The space-time diagram: time runs down, every service is a column, arrows go to the other party.

All incarnations of a service share its column; the line of a column is missing while the service
is down. ``>>`` marks a choice that is not first-in-first-out, ``!!`` the step that broke the
invariant. A label that does not fit is shortened with a mark, never silently.
"""

from __future__ import annotations

from itertools import pairwise

from harness.findings.finding import Finding
from harness.findings.selection import Gap, Row, Scene, select
from harness.findings.strokes import Canvas, captions
from harness.findings.wording import column_of, columns, counted, joined, only_ascii, shortened

LANES_MAX = 5
ROWS_MAX = 16
WIDTH = 78

#: Beyond this a run's time is shown in seconds; a step or a time takes at most so many columns.
_SECONDS_FROM_MS = 1_000_000
_NUMBER_MAX = 9


def diagram(
    finding: Finding, *, ascii: bool = False, width: int = WIDTH, rows_max: int = ROWS_MAX
) -> list[str]:
    """The lines of the diagram, none wider than ``width`` columns and at most five lanes."""
    scene = select(finding, lanes_max=LANES_MAX, rows_max=rows_max)
    rows = [row for row in scene.rows if isinstance(row, Row)]
    scale = 1000 if max(row.event.at_ms for row in rows) >= _SECONDS_FROM_MS else 1
    steps = {row: shortened(str(row.event.step), _NUMBER_MAX) for row in rows}
    times = {row: shortened(str(row.event.at_ms // scale), _NUMBER_MAX) for row in rows}
    step_width = max(4, *map(len, steps.values()))
    time_width = max(3, *map(len, times.values()))

    def prefix(mark: str, step: str, time: str) -> str:
        return f"{mark:2} {step:>{step_width}} {time:>{time_width}}  "

    heading = prefix("", "step", "ms" if scale == 1 else "s")
    positions = _positions(scene, len(heading), width)
    canvas = Canvas(positions, len(heading), width, scene.incarnations)
    lines = [heading + _names(positions, width)]
    for row in scene.rows:
        if isinstance(row, Gap):
            lines.append(
                prefix("", "...", "") + canvas.remark(f"{counted(row.steps, 'step')} left out")
            )
        else:
            mark = "!!" if row.breaks else ">>" if row.deviates else ""
            lines.append(prefix(mark, steps[row], times[row]) + canvas.draw(row))
    lines += _left_out(scene, len(heading), width)
    return [(only_ascii(line) if ascii else line).rstrip() for line in lines]


def _left_out(scene: Scene, left: int, width: int) -> list[str]:
    """What the rows do not tell, in one line: no name is cut, those without room are counted."""
    told = {index for row in scene.rows if isinstance(row, Row) for index in row.stands_for}
    missing = len(scene.events) - len(told)
    if not missing and not scene.hidden:
        return []
    events = f"{missing:,} of {counted(len(scene.events), 'event')}" if missing else ""
    for named in range(len(scene.hidden), -1, -1):
        others = len(scene.hidden) - named
        lanes = [*scene.hidden[:named], *([counted(others, "more lane")] if others else [])]
        text = "not shown: " + "; ".join(part for part in (events, joined(lanes)) if part)
        if columns(text) <= width - left:
            break
    return [" " * left + shortened(text, width - left)]


def _positions(scene: Scene, left: int, width: int) -> dict[str, int]:
    """Where each column stands; the last one gets what its longest label needs."""
    count = len(scene.columns)
    last = scene.columns[-1]
    needs = [
        2 + columns(captions(row.event, "#0")[0])
        for row in scene.rows
        if isinstance(row, Row) and column_of(row.event.lane) == last
    ]
    share = (width - left) // count
    reserved = min(max([9, columns(last), *needs]), share + 4)
    pitch = min((width - left - reserved) // max(count - 1, 1), 18)
    # A whole name in the heading is worth more than a whole label at the right edge.
    names = max([columns(name) + 1 for name in scene.columns[:-1]], default=0)
    roomy = (width - left - max(9, columns(last))) // max(count - 1, 1)
    pitch = max(pitch, min(names, roomy))
    return {name: left + number * pitch for number, name in enumerate(scene.columns)}


def _names(positions: dict[str, int], width: int) -> str:
    edges = [*positions.values(), width + 1]
    rooms = (right - left for left, right in pairwise(edges))
    header = ""
    for name, room in zip(positions, rooms, strict=True):
        shown = shortened(name, room - 1)
        header += shown + " " * (room - columns(shown))
    return header
