"""The value that a broken rule watches, and how it changed until it broke.

A store holds whole rows, and a report that prints rows hides the one number that matters. The
rule may say which values it saw; if it does not, the field is found that changed as the rule says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePath

from harness.findings.finding import Finding, Violation
from harness.findings.wording import columns, one_line, place_of, plain
from harness.history import Event, Site, relative

#: How many changes a report names, and the longest value that is shown as it is.
CHANGES_MAX = 3
VALUE_MAX = 40

_NOTHING = ("", "0", "None")
#: A field of a rendered row, ``name=value`` or ``'name': Decimal('value')``.
_FIELD = re.compile(r"(?:^|[,{] ?)'?(\w+)(?:=|': )(?:Decimal\()?'?([^,'(){}]*)")


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the watched value: when, from what to what, by whom, and where."""

    step: int
    before: str
    after: str
    actor: str
    site: str


def watched_resource(finding: Finding, breaking: Event | None) -> str:
    """What the rule watches; a rule may use a name of its own that no event has."""
    named = finding.violation.resource
    if breaking is None or any(event.resource == named for event in finding.history):
        return named
    return breaking.resource


def breaking_event(finding: Finding, events: Sequence[Event]) -> Event | None:
    """The event that broke the rule, if its step recorded one."""
    violation = finding.violation
    here = [event for event in events if event.step == violation.step]

    def fit(event: Event) -> tuple[bool, bool, bool]:
        same = violation.resource != "" and event.resource == violation.resource
        return (same, event.lane == violation.lane, str(event.after) == violation.after)

    return max(reversed(here), key=fit) if here else None


def field_name(finding: Finding, breaking: Event | None) -> str:
    """The field of a row that changed as the rule says; empty if the value is no field."""
    if breaking is None:
        return ""
    violation = finding.violation
    change = violation.changes[-1] if violation.changes else violation
    before, after = _fields(breaking.before), _fields(breaking.after)
    wanted = (plain(change.before), plain(change.after))
    fitting = (name for name in after if (before.get(name, ""), after[name]) == wanted)
    return next(fitting, "") if wanted[0] != wanted[1] else ""


def value_of(rendered: object, field: str) -> str:
    """The watched value in what an event says of its resource; empty if it is too long to show."""
    text = _fields(rendered).get(field, "") if field else plain(rendered)
    return text if columns(text) <= VALUE_MAX else ""


def changes(finding: Finding) -> list[Change]:
    """The last changes of the watched value up to the violation, the breaking one last."""
    violation = finding.violation
    breaking = breaking_event(finding, finding.history)
    resource = watched_resource(finding, breaking)
    if violation.changes:
        return [
            _told(finding, resource, change.step, change.before, change.after)
            for change in violation.changes[-CHANGES_MAX:]
        ]
    found = list(_seen(finding, resource, field_name(finding, breaking)))
    if (not found or found[-1].step != violation.step) and violation.before != violation.after:
        found.append(_told(finding, "", violation.step, violation.before, violation.after))
    return found[-CHANGES_MAX:]


def _seen(finding: Finding, resource: str, field: str) -> Iterator[Change]:
    """The changes that the history holds."""
    for event in finding.history:
        if event.resource != resource or not resource or event.step > finding.violation.step:
            continue
        before, after = value_of(event.before, field), value_of(event.after, field)
        if before != after:
            yield Change(event.step, before, after, _actor(event), site_text(event.site))


def _told(finding: Finding, resource: str, step: int, before: str, after: str) -> Change:
    """A change that the rule tells, with who made it: the event there, or the violation itself."""
    here = [event for event in finding.history if event.step == step]
    made = next((event for event in here if resource and event.resource == resource), None)
    if made is not None:
        actor, site = _actor(made), site_text(made.site)
    elif step == finding.violation.step:
        actor, site = _blamed(finding.violation)
    else:
        actor, site = "", ""
    old, new = plain(before), plain(after)
    if max(columns(old), columns(new)) > VALUE_MAX:
        old, new = _telling(differences(old, new)) or (old, new)
    return Change(step, old, new, actor, site)


def differences(before: object, after: object) -> list[tuple[str, str, str]]:
    """The fields that differ between two rendered rows: name, old and new value."""
    old, new = _fields(before), _fields(after)
    names = dict.fromkeys((*old, *new))
    pairs = ((name, old.get(name, ""), new.get(name, "")) for name in names)
    return [(name, one, other) for name, one, other in pairs if one != other]


def _telling(fields: Sequence[tuple[str, str, str]]) -> tuple[str, str] | None:
    """The fields that became nothing, or else all that differ, as one value before and after."""
    chosen = [field for field in fields if field[2] in _NOTHING] or fields
    if not chosen:
        return None
    old = ", ".join(f"{name}={value}" for name, value, _ in chosen)
    return old, ", ".join(f"{name}={value}" for name, _, value in chosen)


def _blamed(violation: Violation) -> tuple[str, str]:
    place = place_of(violation.site)
    site = f"{place.path}:{place.line}" if place else one_line(violation.site)
    return _named(violation.lane, violation.operation), site


def _actor(event: Event) -> str:
    return _named(event.lane, event.operation)


def _named(lane: str, operation: str) -> str:
    return one_line(f"{lane}: {operation}" if lane else operation)


@lru_cache(maxsize=1024)
def site_text(site: Site | None) -> str:
    """The path below the project and the line, the same on every machine."""
    if site is None:
        return ""
    path = relative(site.path) if PurePath(site.path).is_absolute() else site.path
    return one_line(f"{path}:{site.line}")


def _fields(rendered: object) -> dict[str, str]:
    return {name: plain(value) for name, value in _FIELD.findall(str(rendered))}
