"""Which of two runs that break the same rule is the smaller one, and the better one to read."""

from __future__ import annotations

from harness.engine import Run
from harness.schedule.workload import WITHOUT, left_out_of

#: A run that breaks after more steps than this, and so many times later, is no gain for a reader
#: if it saves no more choices than these.
STEPS_MIN, TIMES_LATER, CHOICES_SAVED = 100, 4, 8


def is_smaller(run: Run, than: Run) -> bool:
    """Whether it has fewer faults, then operations, then choices, and does not drag on for them.

    Of equally many the one is smaller whose order real trio allows, then the one that breaks first.
    """
    return _size(run) < _size(than) and not _drags_on(run, than)


def _drags_on(run: Run, than: Run) -> bool:
    """Whether it saves but few choices, and breaks so much later that this is no gain."""
    steps, before = run.violations[0].step, than.violations[0].step
    saved = len(than.deviations) - len(run.deviations)
    same = _size(run)[:2] == _size(than)[:2]
    return same and saved <= CHOICES_SAVED and steps > max(STEPS_MIN, TIMES_LATER * before)


def _size(run: Run) -> tuple[int, int, int, bool, int]:
    left_out = sum(1 for _ in left_out_of(run.schedule.variant.get(WITHOUT, "")))
    order = (len(run.deviations), not run.batch_legal, run.violations[0].step)
    return (run.faults, -left_out, *order)
