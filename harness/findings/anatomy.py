"""What a report says, before anybody decides how it looks: facts and sentences from a finding.

Text, Markdown and HTML are laid out from the same answers, so that they can never disagree.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath

from harness.findings.finding import Counterfactual, Finding, Violation
from harness.findings.wording import (
    counted,
    listed,
    one_line,
    place_of,
    sentence,
)
from harness.history import Event, Site, relative

#: How many changes of the violated resource, and how many accounts, a report names.
CHANGES_MAX = 3
ACCOUNTS_MAX = 2

_ORDERS = {
    "batch-legal": "Also batch-legal: plain trio with real input and output can do this.",
    "any": "Needs any order: the lockstep of plain trio inside one lane may never do this.",
}
_VERSIONS = ("python", "trio", "changeover", "git")


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the violated resource: when, from what to what, by whom, and where."""

    step: int
    before: str
    after: str
    actor: str
    site: str


def where(finding: Finding) -> str:
    """At which step of how many it broke."""
    return f"broken at step {finding.violation.step} of {finding.steps}"


def what_broke(violation: Violation) -> list[str]:
    """What happened, what the rule is, and what it costs, a paragraph each."""
    rule = one_line(violation.describe).rstrip(".")
    paragraphs = (
        sentence(violation.message) or f"{violation.invariant} does not hold.",
        f"Rule: {rule}." if rule else "",
        sentence(violation.consequence),
    )
    return [paragraph for paragraph in paragraphs if paragraph]


def changes(finding: Finding) -> list[Change]:
    """The last changes of the violated resource up to the violation, the breaking one last."""
    violation = finding.violation
    found = [
        _change(event)
        for event in map(Event.rendered, finding.history)
        if event.resource == violation.resource != ""
        and event.before != event.after
        and event.step <= violation.step
    ]
    if (not found or found[-1].step != violation.step) and violation.before != violation.after:
        found.append(_change_of(violation))
    return found[-CHANGES_MAX:]


def _change(event: Event) -> Change:
    return Change(
        event.step,
        one_line(event.before),
        one_line(event.after),
        _actor(event.lane, event.operation),
        site_text(event.site),
    )


def site_text(site: Site | None) -> str:
    """The path below the project and the line, the same on every machine."""
    if site is None:
        return ""
    path = relative(site.path) if PurePath(site.path).is_absolute() else site.path
    return one_line(f"{path}:{site.line}")


def _change_of(violation: Violation) -> Change:
    place = place_of(violation.site)
    site = f"{place.path}:{place.line}" if place else one_line(violation.site)
    actor = _actor(violation.lane, violation.operation)
    return Change(
        violation.step, one_line(violation.before), one_line(violation.after), actor, site
    )


def _actor(lane: str, operation: str) -> str:
    return one_line(f"{lane}: {operation}" if lane else operation)


def losses(violation: Violation) -> str:
    """How many lost, how much in all, and who they are; empty if nobody did."""
    loss = f"{one_line(violation.loss_usdc)} USDC" if violation.loss_usdc else ""
    count = len(violation.accounts)
    if not count:
        return f"loss: {loss}" if loss else ""
    verb = "lose" if count > 1 else "loses"
    who = f"{counted(count, 'account')} {verb} {loss}" if loss else counted(count, "account")
    return f"{who}: {listed(violation.accounts, most=ACCOUNTS_MAX)}"


def stayed_green(finding: Finding, *, most: int) -> list[str]:
    """The notes of the run, and which invariants saw nothing."""
    held = listed(finding.held, most=most)
    return [sentence(note) for note in finding.notes] + ([f"Held: {held}."] if held else [])


def followed_headline(finding: Finding) -> str:
    """How many invariants broke after the first one."""
    count = len(finding.violations) - 1
    return f"{counted(count, 'more violation')} in this run"


def order_headline(finding: Finding) -> str:
    """How far the schedule is from first-in-first-out."""
    count = len(finding.deviations)
    if count == 0:
        return "none: first-in-first-out already breaks it"
    verb = "is" if count == 1 else "are"
    return f"{count:,} of {counted(finding.steps, 'choice')} {verb} not first-in-first-out"


def counterfactual_sentences(finding: Finding) -> list[str]:
    """What was executed instead, and whether that held; honest when nothing was."""
    if not finding.counterfactuals:
        if not finding.deviations:
            return []
        return ["Not checked: whether all invariants hold with the other choice."]
    deviating = {deviation.step for deviation in finding.deviations}
    holding = [one for one in finding.counterfactuals if one.holds]
    broken = [one for one in finding.counterfactuals if not one.holds]
    if len(finding.deviations) == 1 and holding and holding[0].step in deviating and not broken:
        return ["Swap these two and all invariants hold (checked)."]
    sentences = []
    if holding:
        sentences.append(f"{_instead(holding, deviating)} and all invariants hold (checked).")
    if broken:
        sentences.append(f"{_instead(broken, deviating)} and it still breaks (checked).")
    return sentences


def _instead(tried: list[Counterfactual], deviating: set[int]) -> str:
    if all(one.step in deviating for one in tried):
        steps = [str(one.step) for one in tried]
        many = f"{', '.join(steps[:-1])} or {steps[-1]}" if len(steps) > 1 else steps[0]
        return f"Take the other one at step {many}"
    one = tried[0]
    more = f" (or {len(tried) - 1} more)" if len(tried) > 1 else ""
    return f"At step {one.step} run {one_line(one.instead_of)}, not {one_line(one.ran)}{more},"


def order_sentence(finding: Finding) -> str:
    """Whether plain trio could run in this order, in words."""
    return _ORDERS.get(finding.order, sentence(finding.order))


def exactness(finding: Finding) -> str:
    """How well it reproduced."""
    same, times = finding.replays
    if times == 0:
        return f"{counted(finding.steps, 'step')}, not replayed yet"
    again = f"same result {same} of {counted(times, 'time')}"
    if same < times:
        return f"NOT exact: {again}, {counted(finding.steps, 'step')}"
    return f"exact, {counted(finding.steps, 'step')}, {finding.replay_ms:,} ms, {again}"


def commands(finding: Finding, test_id: str | None = None) -> list[tuple[str, str]]:
    """What to type, and what for; every one of them works as printed.

    Only a saved finding can be named: by its short name, or by its file if that was moved.
    """
    token = shlex.quote(finding.token)
    found = []
    if test_id:
        file = shlex.quote(test_id.partition("::")[0])
        found.append((f"pytest {file} -k race --race-replay={token}", ""))
    if not finding.saved:
        return [*found, (f"changeover replay {token}", "")]
    stored = PurePosixPath(finding.saved).parent.name == "findings"
    name = finding.identity if stored else shlex.quote(one_line(finding.saved))
    found += [
        (f"changeover replay {name}", "from the saved file; --step walks it"),
        (f"changeover replay {token}", ""),
        (f"changeover report {name} --html", "open the timeline"),
    ]
    if not finding.reason:
        found.append((f"changeover keep {name}", "commit it as a regression"))
    return found


def about(finding: Finding) -> list[str]:
    """The facts of the campaign, in their order."""
    variant = " ".join(f"{key}={value}" for key, value in sorted(finding.variant.items()))
    facts = [
        *_search(finding),
        *_shrunk(finding),
        f"digest {finding.digest[:8]}",
        *_versions(finding),
        f"variant {variant}" if variant else "",
        f"saved {finding.saved}" if finding.saved else "",
        f"kept because: {one_line(finding.reason)}" if finding.reason else "",
    ]
    return [fact for fact in facts if fact]


def _search(finding: Finding) -> list[str]:
    profile = f" (profile {finding.profile})" if finding.profile else ""
    facts = [f"seed {finding.seed}{profile}"]
    if finding.schedule_number:
        planned = f" of {finding.schedules_planned:,}" if finding.schedules_planned else ""
        strategy = f" by {finding.strategy}" if finding.strategy else ""
        facts.append(
            f"found at schedule {finding.schedule_number:,}{planned} "
            f"in {finding.seconds:,.1f} s{strategy}"
        )
    return facts


def _shrunk(finding: Finding) -> list[str]:
    shrinking = finding.shrinking
    if not shrinking.runs:
        return ["not shrunk"]
    sizes = (
        (shrinking.steps, "steps"),
        (shrinking.choices, "choices"),
        (shrinking.faults, "restarts"),
    )
    changed = ", ".join(f"{before:,} -> {after:,} {noun}" for (before, after), noun in sizes)
    budget = f" of {shrinking.budget:,}" if shrinking.budget else ""
    return [
        f"shrunk {changed} in {shrinking.runs:,}{budget} runs",
        f"shrinking ended: {one_line(shrinking.ended_by)}",
    ]


def _versions(finding: Finding) -> list[str]:
    names = [name for name in _VERSIONS if name in finding.versions]
    names += sorted(set(finding.versions) - set(names))
    return [f"{name} {one_line(finding.versions[name])}" for name in names]


def summary_line(finding: Finding) -> str:
    """The finding in one line, as pytest's short summary and a listing show it."""
    violation = finding.violation
    if violation.before or violation.after:
        what = f"{one_line(violation.before)} -> {one_line(violation.after)}"
    else:
        what = one_line(violation.message).rstrip(".")
    return f"{violation.invariant}: {what} at step {violation.step} ({finding.token})"
