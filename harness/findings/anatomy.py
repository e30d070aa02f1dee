"""What a report says, before anybody decides how it looks: facts and sentences from a finding.

Text, Markdown and HTML are laid out from the same answers, so that they can never disagree.
"""

from __future__ import annotations

import shlex
from pathlib import PurePosixPath

from harness.findings.aftermath import lost, worst
from harness.findings.finding import HASH_SEED, ONE_MINIMAL, Counterfactual, Finding, Violation
from harness.findings.wording import (
    column_of,
    columns,
    counted,
    label_parts,
    listed,
    one_line,
    plain,
    sentence,
)
from harness.schedule.choices import FAULT, Deviation

_ORDERS = {
    "batch-legal": "Plain trio can do this.",
    "real": "Real processes did this.",
    "any": "Needs any order: the lockstep of plain trio inside one lane may never do this.",
}
#: The longest value that a summary in one line shows.
_VALUE_MAX = 40
#: A command with a longer token comes last, because it fills the screen.
_COMMAND_MAX = 200
_VERSIONS = ("python", "trio", "changeover", "git")


def where(finding: Finding) -> str:
    """At which step of how many it broke."""
    return f"broken at step {finding.violation.step} of {finding.steps}"


def what_broke(violation: Violation, *, brief: bool = False) -> list[str]:
    """What happened, what the rule is, and what it costs, a paragraph each.

    In brief, of a rule that is explained after a semicolon only the rule is said.
    """
    rule = one_line(violation.describe).rstrip(".")
    if brief and violation.consequence:
        rule = rule.partition("; ")[0]
    paragraphs = (
        sentence(violation.message) or f"{violation.invariant} does not hold.",
        f"Rule: {rule}." if rule else "",
        sentence(violation.consequence),
    )
    return [paragraph for paragraph in paragraphs if paragraph]


def held(finding: Finding, *, most: int) -> str:
    """Which rules saw nothing wrong."""
    names = listed(finding.held, most=most)
    return f"Held: {names}." if names else ""


def telling_deviations(finding: Finding, most: int) -> list[Deviation]:
    """The deviations that say most, in their order: faults, then the service that broke it.

    A schedule that was not shrunk has hundreds of them, and many say the same.
    """
    violation = finding.violation
    service = column_of(violation.lane)

    def worth(deviation: Deviation) -> tuple[bool, bool, bool, int]:
        lane = deviation.lane or label_parts(deviation.taken)[0]
        fault = deviation.kind == FAULT or lane == "nemesis"
        distance = violation.step - deviation.step
        near = deviation.step if fault else abs(distance)
        return (distance < 0, not fault, column_of(lane) != service, near)

    best = sorted(finding.deviations, key=worth)
    first = {one.taken: one for one in reversed(best)}
    best.sort(key=lambda one: first[one.taken] is not one)
    return sorted(best[:most], key=lambda deviation: deviation.step)


def order_headline(finding: Finding) -> str:
    """How far the schedule is from first-in-first-out."""
    count = len(finding.deviations)
    if count == 0:
        return "none: first-in-first-out already breaks it"
    verb = "is" if count == 1 else "are"
    shrinking = finding.shrinking
    minimal = shrinking.runs and shrinking.ended_by == ONE_MINIMAL
    far = f"{count:,} of {counted(finding.steps, 'choice')} {verb} not first-in-first-out"
    return f"{far} ({ONE_MINIMAL})" if minimal else far


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
        sentences.append(f"{_instead(broken, deviating)} and some rule still breaks (checked).")
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

    Only a saved finding can be named: by its short name in its project, elsewhere by its file.
    """
    token = shlex.quote(finding.token)
    found = []
    if test_id:
        file = shlex.quote(test_id.partition("::")[0])
        found.append((f"pytest {file} -k race --race-replay={token}", ""))
    if not finding.saved:
        return [*found, (f"changeover replay {token}", "")]
    place = PurePosixPath(finding.saved)
    upwards = "".join(place.parts[:-3]).strip(".") == ""
    stored = place.parent.name == "findings" and upwards
    name = finding.identity if stored else shlex.quote(one_line(finding.saved))
    found.append((f"changeover replay {name}", "from the saved file; --step walks it"))
    if upwards:
        found.append((f"changeover replay {token}", ""))
    found.append((f"changeover report {name} -v", "all of it; --html opens the timeline"))
    if not finding.reason:
        found.append((f"changeover keep {name}", "commit it as a regression"))
    return sorted(found, key=lambda command: len(command[0]) > _COMMAND_MAX)


def about(finding: Finding) -> list[str]:
    """The facts of the campaign, in their order."""
    variant = " ".join(f"{key}={value}" for key, value in sorted(finding.variant.items()))
    facts = [
        *_search(finding),
        *_shrunk(finding),
        *_versions(finding),
        f"variant {variant}" if variant else "",
        f"saved {finding.saved}" if finding.saved else "",
        f"digest {finding.digest[:8]}",
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
        (shrinking.steps, "step"),
        (shrinking.choices, "choice"),
        (shrinking.faults, "restart"),
        *([(shrinking.operations, "operation")] if shrinking.operations[0] else []),
    )
    changed = ", ".join(_size(before, after, noun) for (before, after), noun in sizes)
    smaller = any(before != after for (before, after), _ in sizes)
    budget = f" of {shrinking.budget:,}" if shrinking.budget else ""
    facts = [
        f"{'shrunk' if smaller else 'no smaller than'} {changed} in {shrinking.runs:,}{budget} runs"
    ]
    if shrinking.ended_by != ONE_MINIMAL:
        facts.append(f"shrinking ended: {one_line(shrinking.ended_by)}")
    return facts


def _size(before: int, after: int, noun: str) -> str:
    return counted(after, noun) if before == after else f"{before:,} -> {after:,} {noun}s"


def _versions(finding: Finding) -> list[str]:
    names = [name for name in _VERSIONS if name in finding.versions]
    names += sorted(set(finding.versions) - {*names, HASH_SEED})
    return [f"{name} {one_line(finding.versions[name])}" for name in names]


def summary_line(finding: Finding) -> str:
    """The finding in one line with its token, as pytest's short summary shows it."""
    return f"{headline(finding)} ({finding.token})"


def headline(finding: Finding) -> str:
    """What broke, in one line."""
    violation = finding.violation
    values = (plain(violation.before), plain(violation.after))
    if any(values) and max(map(columns, values)) <= _VALUE_MAX:
        what = " -> ".join(values)
    else:
        what = one_line(violation.message).rstrip(".")
    losing = worst(finding)
    loss = f", {lost(losing)}" if losing is not None and losing is not violation else ""
    return f"{violation.invariant}: {what} at step {violation.step}{loss}"
