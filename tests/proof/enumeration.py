"""Every run of a program, without any reduction, and what makes two runs the same.

Nothing here uses the masks, sleep sets or races of the search: the two must only agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.engine import campaign
from harness.proof.errands import ASLEEP, CHOSEN, Errand, Observation, Step, Subject, observe
from harness.proof.explorer import Explorer
from harness.proof.vocabulary import Vocabulary

#: How a run ended, for whoever looks: the notes of its scenario and the rules that it broke.
Final = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass
class Seen:
    """What a set of runs came to; ``classes`` counts the runs of each normal form.

    ``struck`` counts those in which a timeout struck.
    """

    runs: int = 0
    asleep: int = 0
    struck: int = 0
    whole: bool = True
    finals: set[Final] = field(default_factory=set)
    classes: dict[object, int] = field(default_factory=dict)

    def add(self, observation: Observation, steps: Sequence[Step], names: Vocabulary) -> None:
        """Count a run."""
        self.runs += 1
        if observation.ending == ASLEEP:
            self.asleep += 1
            return
        self.struck += bool(observation.overlapped)  # without services nothing else overlaps
        self.finals.add((observation.notes, observation.violations))
        form = normal_form(steps, names)
        self.classes[form] = self.classes.get(form, 0) + 1


def enumerated(subject: Subject, *, runs_max: int) -> Seen:
    """All runs of a subject, one for every sequence of choices; not ``whole`` past a limit."""
    seen, names = Seen(), Vocabulary()
    ahead: list[tuple[tuple[Step, ...], tuple[int, ...]]] = [((), ())]
    with campaign():
        while ahead:
            before, guide = ahead.pop(0)  # the earliest: what is too much shows soon
            errand = Errand(0, tuple(step.choice for step in before), (), guide)
            made = observe(subject, errand, names, past_violations=True)
            steps = before
            for index, step in enumerate(made.steps):
                if index or not guide:
                    others = [process for process, _ in step.could if process != step.process]
                    ahead += [(steps, (process,)) for process in others]
                steps = (*steps, step)
            seen.add(made, steps, names)
            if seen.runs + len(ahead) > runs_max:
                seen.whole = False
                break
    return seen


def explored(subject: Subject, *, runs_max: int = 100_000) -> tuple[Seen, Explorer]:
    """The runs that the search makes of a subject, all endings looked at."""
    seen = Seen()
    explorer = Explorer(subject, end_matters=True)
    explorer.past_violations = True
    whole: dict[tuple[int, ...], tuple[Step, ...]] = {(): ()}
    waiting: list[Errand] = []
    with campaign():
        while not explorer.done and seen.runs < runs_max:
            waiting += explorer.errands()
            errand = waiting.pop(0)
            made = observe(subject, errand, explorer.vocabulary, past_violations=True)
            steps = whole[errand.prefix] + made.steps
            for length in range(len(errand.prefix), len(steps)):
                whole[tuple(step.choice for step in steps[:length])] = steps[:length]
            seen.add(made, steps, explorer.vocabulary)
            explorer.learn(made)
    return seen, explorer


# --- when two runs are the same ---------------------------------------------------------------


def normal_form(steps: Sequence[Step], names: Vocabulary) -> object:
    """The normal form of Foata: equal for two runs that only trade independent steps.

    A step of the world's choice counts as one with the step that asked for it.
    """
    merged: list[tuple[list[str], frozenset[tuple[str, str]], frozenset[tuple[str, str]]]] = []
    for step in steps:
        name = "/".join(names.path(step.process))
        touched = frozenset(names.touches[step.touched])
        order = frozenset(names.touches[step.order])
        if step.kind == CHOSEN:
            before = merged.pop()
            merged.append(([*before[0], name], before[1] | touched, before[2] | order))
        else:
            merged.append(([name], touched, order))
    levels: list[int] = []
    for index, (who, touched, order) in enumerate(merged):
        level = 0
        for other in range(index):
            them = merged[other]
            if them[0][0] == who[0] or _conflict(touched, them[1]) or _conflict(order, them[2]):
                level = max(level, levels[other] + 1)
        levels.append(level)
    return tuple(
        sorted(
            (level, tuple(who), tuple(sorted(touched)))
            for level, (who, touched, _) in zip(levels, merged, strict=True)
        )
    )


def _conflict(one: frozenset[tuple[str, str]], other: frozenset[tuple[str, str]]) -> bool:
    return any(_meet(*mine, *theirs) for mine in one for theirs in other)


def _meet(mine: str, how: str, theirs: str, kind: str) -> bool:
    if "*" in (mine, theirs):
        return True
    if {how, kind} & {"step", "arrive"}:
        return mine == theirs and how != kind
    if "write" not in (how, kind):
        return False
    return mine == theirs or _covers(mine, theirs) or _covers(theirs, mine)


def _covers(one: str, other: str) -> bool:
    return one.endswith("/*") and (other + "/").startswith(one[:-1])
