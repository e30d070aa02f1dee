"""Why a run broke, in words: which steps had to come before which, and how that was checked.

A step is told by what it does; where the same thing happened before, by the how-manieth time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.findings.anatomy import counterfactual_sentences, order_sentence
from harness.findings.finding import Constraint, Finding, StepName
from harness.findings.wording import joined, label_parts, one_line

_ORDINALS = {1: "1st", 2: "2nd", 3: "3rd"}


def step_text(name: StepName, *, without_lane: str = "") -> str:
    """A step in the words of its label; the lane is left out where it was just said."""
    lane, doing = label_parts(name.label)
    if name.kind == "timer":
        lane, doing = label_parts(name.label.removeprefix("clock for "))
        if name.words:
            return f"{_by(lane, without_lane)}{one_line(name.words)}"
        doing = f"timer of {doing}" if doing else "timer"
    elif name.touches:
        doing = f"{doing}, {one_line(name.touches.replace(f'memory/{lane}/', ''))}"
    elif name.kind == "task" and name.words:
        return f"{_by(lane, without_lane)}{one_line(name.words)}"
    elif name.kind == "task":
        return f"{_by(lane, without_lane)}step {name.occurrence} of {doing}"
    times = f" ({_ordinal(name.occurrence)} time)" if name.occurrence > 1 else ""
    return f"{_by(lane, without_lane)}{doing}{times}"


def _by(lane: str, said: str) -> str:
    return f"{lane}: " if lane and lane != said else ""


def _ordinal(number: int) -> str:
    tens = 10 <= number % 100 <= 20
    return _ORDINALS[number % 10] if number % 10 in _ORDINALS and not tens else f"{number}th"


def orders(constraints: Sequence[Constraint]) -> list[tuple[str, str]]:
    """What had to come when: a step, and after or before which others, a fault told as one."""
    names = dict.fromkeys(name for each in constraints for name in (each.before, each.after))
    alike = Counter(map(step_text, names))

    def text(name: StepName, *, said: str = "") -> str:
        which = f" (step {name.step})" if alike[step_text(name)] > 1 and name.step else ""
        return step_text(name, without_lane=said) + which

    told: list[tuple[str, str]] = []
    left = list(constraints)
    for name in [name for name in names if name.strikes]:
        lane = label_parts(name.label)[0]
        after = [text(e.before, said=lane) for e in left if e.after == name]
        before = [text(e.after, said=lane) for e in left if e.before == name]
        left = [each for each in left if name not in (each.before, each.after)]
        when = [f"{word} {joined(steps)}" for word, steps in (("after", after), ("before", before))]
        when = [words for words, steps in zip(when, (after, before), strict=True) if steps]
        if when:
            told.append((text(name), " and ".join(when)))
    for each in left:
        lane = label_parts(each.before.label.removeprefix("clock for "))[0]
        told.append((text(each.before), f"before {text(each.after, said=lane)}"))
    return told


def grounds(finding: Finding) -> list[str]:
    """What was executed to be sure of the reason, and what the order takes; honest when nothing."""
    if not finding.constraints:
        return [*counterfactual_sentences(finding), order_sentence(finding)]
    return [*_checked(finding), order_sentence(finding)]


def _checked(finding: Finding) -> list[str]:
    constraints = finding.constraints
    checked = sum(each.checked for each in constraints)
    broke, tried = finding.orders_tried
    if checked == len(constraints):
        which = "it" if checked == 1 else "any one of these"
        told = [f"Without {which} all rules hold (checked)."]
    elif checked:
        told = [f"Without {checked} of these {len(constraints)}, each alone, all rules hold"]
        told[0] += " (checked); the others are not checked."
    else:
        told = ["Not checked: whether all rules hold in another order of these."]
    if tried:
        them = "it" if len(constraints) == 1 else "them"
        told.append(f"In {broke} of {tried} other orders with {them} the rule breaks, too.")
    return told
