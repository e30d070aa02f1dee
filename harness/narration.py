"""What each step of a run was about, in words, where its label says little.

``main: step 3 of story`` tells nobody anything; ``main: sends get database/wallets/ann`` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from harness.findings.finding import SENDS, Constraint, StepName
from harness.schedule.choices import OPERATION, TASK, Chooser, Deviation, Option
from harness.schedule.orderings import Names


@dataclass(slots=True)
class _Told:
    """A step: its name, and what is known of it in words."""

    name: StepName
    words: str


class Narrator:
    """A chooser that notes what each step is about which another one lets happen."""

    def __init__(self, choose: Chooser) -> None:
        self._choose = choose
        self._names = Names()
        self._steps: list[_Told] = []
        #: The task that made the last step, and how many options it had made possible before.
        self._task: Option | None = None
        self._children = 0

    def __call__(self, now_ms: Callable[[], int]) -> Chooser:
        """The chooser of one run."""
        return self._noting

    def _noting(self, options: Sequence[Option], step: int) -> int:
        self._note_what_was_sent(options)
        index = self._choose(options, step)
        one = options[index]
        self._steps.append(_Told(self._names.take(one), one.purpose()))
        self._task, self._children = (one if one.kind == TASK else None), one.children
        return index

    def _note_what_was_sent(self, options: Sequence[Option]) -> None:
        """The first request that came of the last step says more than where it came from."""
        for option in options if self._task is not None else ():
            new = option.parent is self._task and option.ordinal > self._children
            if new and option.kind == OPERATION:
                name = option.label.partition(": ")[2]
                self._steps[-1].words = f"{SENDS}{name.removeprefix('deliver ')}"
                return

    def told(self, constraints: Iterable[Constraint]) -> tuple[Constraint, ...]:
        """Constraints with the number of each step in this run, and in its words."""
        known: dict[StepName, StepName] = {}
        for number, step in enumerate(self._steps, 1):
            known[step.name] = replace(step.name, step=number, words=step.words)
        return tuple(
            Constraint(
                known.get(each.before, each.before), known.get(each.after, each.after), each.checked
            )
            for each in constraints
        )

    def described(self, deviations: Iterable[Deviation]) -> tuple[Deviation, ...]:
        """Deviations in words."""
        return tuple(
            replace(each, words=self._steps[each.step - 1].words)
            if each.step <= len(self._steps)
            else each
            for each in deviations
        )
