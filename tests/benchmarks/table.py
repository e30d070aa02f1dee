"""Measuring side by side, and the table that tells it: 80 columns, one line for each fact."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from time import process_time

WIDTH = 80
#: One line for whoever waits for it.
say = partial(print, flush=True)


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what was measured, the figure, what it is compared with, and the target if any."""

    name: str
    figure: str
    compared: str = ""
    target: str = ""
    met: bool = True

    def __str__(self) -> str:
        line = f"  {self.name:<31}{self.figure:>15}{self.compared:>15}"
        if self.target:
            line = f"{line} {self.target:<8} {'ok' if self.met else 'missed':>6}"
        return line.rstrip()


def side_by_side(
    subjects: Mapping[str, Callable[[], float]], repeats: int
) -> dict[str, list[float]]:
    """What each subject says of itself, ``repeats`` times, taking turns."""
    figures: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(repeats):
        for name, subject in subjects.items():
            figures[name].append(subject())
        gc.collect()
    return figures


def seconds(work: Callable[[], object]) -> float:
    """How long a piece of work keeps the processor busy; whoever else uses it does not count."""
    started = process_time()
    work()
    return process_time() - started


def median(figures: Iterable[float]) -> float:
    """The one in the middle."""
    return statistics.median(figures)


def ratio(figures: Iterable[float], others: Iterable[float]) -> float:
    """The median of what one is to the other in the same turn: a busy machine slows down both."""
    return median(one / other for one, other in zip(figures, others, strict=True))
