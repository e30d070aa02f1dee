"""What may be spent on a finding: runs and real seconds; a share is kept back for saying why."""

from __future__ import annotations

import time
from collections.abc import Callable

_monotonic = time.monotonic
#: For how many choices at most the report says what happens without each of them.
COUNTERFACTUALS_MAX = 12
#: The share of a budget that is kept back for saying why: of its runs, and of its time.
EXPLAINING_RUNS_SHARE, EXPLAINING_TIME_SHARE = 0.2, 0.3


class Budget:
    """Counts runs and real seconds; says what ended the search for something smaller."""

    def __init__(self, runs: int, wall_s: float, interrupted: Callable[[], bool]) -> None:
        self.runs, self.spent = runs, 0
        #: What is kept back for the last runs, which check what the report will say.
        self.last = 1 + min(COUNTERFACTUALS_MAX, runs // 10)
        self.reserve = self.last + int(runs * EXPLAINING_RUNS_SHARE)
        now = _monotonic()
        self.search_ends_at = now + wall_s * (1 - EXPLAINING_TIME_SHARE)
        self.ends_at = now + wall_s
        self.interrupted = interrupted
        self.ended_by = ""

    def left(self) -> bool:
        """Whether another run, and the one that confirms it, may be spent on a smaller schedule."""
        if self.spent + 2 + self.reserve > self.runs:
            self.ended_by = f"the budget of {self.runs} runs"
        elif _monotonic() > self.search_ends_at:
            self.ended_by = "the time limit"
        elif self.interrupted():
            self.ended_by = "an interrupt"
        return not self.ended_by

    def left_to_explain(self) -> bool:
        """Whether another run may be spent on the reason why it breaks."""
        enough = self.spent + 1 + self.last <= self.runs and _monotonic() <= self.ends_at
        return enough and not self.interrupted()
