"""What a violation led to in the same run: the money first, then the other rules, in few sentences.

One wrong value breaks a dozen rules on a dozen resources. Nobody reads twelve alike sentences at
night, so the alike ones are told together; nothing is cut off in the middle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.findings.finding import Finding, Violation
from harness.findings.wording import counted, few, joined, listed, money, one_line, sentence

#: How many accounts, resources and steps are named before the others are only counted.
ACCOUNTS_MAX = 2
SUBJECTS_MAX = 6
STEPS_MAX = 4


@dataclass(frozen=True, slots=True)
class Followed:
    """One thing that followed: since which step, and what, in sentences or names."""

    step: int
    text: str


def is_loss(violation: Violation) -> bool:
    """Whether somebody was wronged or lost money."""
    return bool(violation.accounts or violation.loss_usdc)


def losses(violation: Violation) -> str:
    """How many lost, how much in all, and who they are; empty if nobody did."""
    short = lost(violation)
    if not violation.accounts:
        return f"loss: {short}" if short else ""
    return f"{short}: {listed(violation.accounts, most=ACCOUNTS_MAX)}"


def lost(violation: Violation, *, verbs: tuple[str, str] = ("loses", "lose")) -> str:
    """How many lost and how much in all, with a verb for one and one for many."""
    loss = f"{money(violation.loss_usdc)} USDC" if violation.loss_usdc else ""
    count = len(violation.accounts)
    if not count or not loss:
        return counted(count, "account") if count else loss
    return f"{counted(count, 'account')} {verbs[count > 1]} {loss}"


def worst(finding: Finding) -> Violation | None:
    """The violation that wronged most accounts, if any did."""
    losing = [violation for violation in finding.violations if is_loss(violation)]
    return max(losing, key=lambda one: len(one.accounts), default=None)


def cost(finding: Finding) -> str:
    """What the run cost somebody, in one sentence; empty if that is the violation itself."""
    violation = worst(finding)
    if violation is None or violation is finding.violation:
        return ""
    since = f"from step {violation.step} on"
    if violation.accounts and violation.loss_usdc:
        return f"In this run {lost(violation, verbs=('lost', 'lost'))}, {since}."
    who = lost(violation)
    verb = "were wronged" if len(violation.accounts) > 1 else "was wronged"
    return f"In this run {who} {verb if violation.accounts else 'were lost'}, {since}."


def blast_radius(finding: Finding, *, most: int | None = None) -> str:
    """What the scenario measured of the damage, in one sentence; empty if it measured nothing.

    Of more than ``most`` facts the first ones are told.
    """
    facts = finding.blast_radius[:most]
    told = ", ".join(f"{one_line(fact.name)} {one_line(fact.value)}" for fact in facts)
    left = len(finding.blast_radius) - len(facts)
    more = f", and {left} more in the saved file" if left else ""
    return f"Blast radius: {told}{more}." if facts else ""


def followed_headline(finding: Finding) -> str:
    """How many violations came after the first one, and which one cost most."""
    later = finding.violations[1:]
    more = counted(len(later), "more violation")
    losing = worst(finding)
    if losing is None or losing is finding.violation:
        return f"{more} in this run"
    name = one_line(losing.invariant)
    return f"{more}; worst: {name}" if len(later) > 1 else f"{more}: {name}"


def followed(finding: Finding) -> list[Followed]:
    """All that followed: losses in full, then the broken rules with what they broke for."""
    later = finding.violations[1:]
    told = [Followed(one.step, _loss_told(one)) for one in later if is_loss(one)]
    groups: dict[str, list[Violation]] = {}
    for one in later:
        if not is_loss(one):
            groups.setdefault(one.invariant, []).append(one)
    alike: dict[tuple[int, str], list[str]] = {}
    for name in sorted(groups, key=lambda name: name != finding.violation.invariant):
        group = groups[name]
        text = _subjects_told(finding.violation, group)
        if len(group) > 1 and text and name != finding.violation.invariant:
            alike.setdefault((group[0].step, text), []).append(name)
        else:
            alike[group[0].step, _group_told(finding.violation, group)] = []
    return told + [
        Followed(step, f"{joined(names)}: {text}" if names else text)
        for (step, text), names in alike.items()
    ]


def _loss_told(violation: Violation) -> str:
    message = sentence(violation.message)
    loss = money(violation.loss_usdc)
    parts = [message, sentence(violation.consequence)]
    if loss not in message or str(len(violation.accounts)) not in message:
        parts.append(sentence(losses(violation)))
    elif violation.accounts:
        parts.append(f"Accounts: {listed(violation.accounts, most=ACCOUNTS_MAX)}.")
    return " ".join(part for part in parts if part)


def _group_told(first: Violation, group: Sequence[Violation]) -> str:
    """One rule that cannot be told together with others."""
    name = one_line(group[0].invariant)
    subjects = _subjects_told(first, group)
    if name == first.invariant and subjects:
        return f"{name}, also: {subjects}"
    steps = list(dict.fromkeys(f"{one.step:,}" for one in group))
    if name == first.invariant and _alike([first, *group]):
        return f"{name} again, at {_steps(steps)}"
    again = f" Again at {_steps(steps[1:])}." if len(steps) > 1 else ""
    return f"{name}: {sentence(group[0].message)}{again}"


def _alike(group: Iterable[Violation]) -> bool:
    return len({one.message for one in group}) == 1


def _steps(steps: Sequence[str]) -> str:
    return f"{'steps' if len(steps) > 1 else 'step'} {_named(steps, STEPS_MAX)}"


def _named(names: Sequence[str], most: int) -> str:
    return joined(names) if len(names) <= most else listed(names, most=most)


def _subjects_told(first: Violation, group: Sequence[Violation]) -> str:
    """What a rule broke for, by the last part of its resources; empty if they say nothing."""
    places: dict[str, list[str]] = {}
    for one in group:
        place, _, subject = one_line(one.resource).rpartition("/")
        if not place or not subject:
            return ""
        places.setdefault(place, []).append(subject)
    home, _, known = one_line(first.resource).rpartition("/")
    everything = {subject for subjects in places.values() for subject in subjects}
    if group[0].invariant == first.invariant:
        everything.add(known)
    if any(len(set(subjects)) != len(subjects) for subjects in places.values()):
        return ""
    parts = []
    for place, subjects in places.items():
        if place == home:
            last = len(places) == 1
            named = _named(subjects, SUBJECTS_MAX)
            parts.append(named if last else listed(subjects, most=SUBJECTS_MAX))
        elif len(subjects) > 1 and set(subjects) == everything:
            every = "both" if len(subjects) == 2 else f"all {few(len(subjects))}"
            parts.append(f"{every} in {place}")
        else:
            parts.append(f"{_named(subjects, SUBJECTS_MAX)} in {place}")
    return ", and ".join(parts)
