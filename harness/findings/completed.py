"""The events of a finding, those of steps that recorded none, and what the reason names.

A timer that strikes and a task that goes on leave nothing in the history, and yet they may be what
broke the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from harness.findings.finding import DEADLINE, SENDS, TIMEOUT, Finding, StepName
from harness.findings.wording import column_of, label_parts, one_line
from harness.history import Event
from harness.schedule.choices import FAULT, OPERATION, TASK, TIMER, Deviation


def named_steps(finding: Finding) -> list[StepName]:
    """The steps that had to come in some order, if the finding knows where they came."""
    names = [name for each in finding.constraints for name in (each.before, each.after)]
    return [name for name in dict.fromkeys(names) if name.step]


def lane_of(name: StepName) -> str:
    """Whose step it is: a timer is that of the lane that has set it."""
    return label_parts(name.label.removeprefix("clock for "))[0]


def in_brief(words: str) -> str:
    """What a step was about, without the line of the source; of a deadline that is all there is."""
    told = one_line(words)
    return told if told.startswith(DEADLINE) else told.partition(" at ")[0]


def undone(finding: Finding) -> Iterator[Event]:
    """What was not done when a deadline of its own lane struck, and never was."""
    for each in finding.constraints:
        name, late = each.before, each.after
        lane, doing = label_parts(late.label)
        hasty = name.step and name.words.startswith(DEADLINE) and lane_of(name) == lane
        if hasty and not late.step and late.kind == OPERATION:
            yield Event(name.step, 0, lane, "note", f"{doing} is not done")


def timed_out(finding: Finding, events: Sequence[Event]) -> Iterator[int]:
    """For each call that timed out and matters: when it was made, and the first write it led to."""
    ended = [(name.step, lane_of(name), name.words) for name in named_steps(finding)]
    ended += [(each.step, each.lane, each.words) for each in finding.deviations]
    for step, lane, words in dict.fromkeys(ended):
        if not words.startswith(TIMEOUT):
            continue
        resource = words.removeprefix(TIMEOUT).partition(" ")[0]
        made = _last(events, step, lane, resource)
        if made is None:
            continue
        yield made
        server = ""
        for index in range(made + 1, len(events)):
            event = events[index]
            if event.kind == "receive" and event.resource.endswith(f"/{resource}"):
                if server or event.operation != "request" or event.peer != lane:
                    break
                server = event.lane
            elif server and event.lane == server and event.kind == "write":
                yield index
                break


def _last(events: Sequence[Event], step: int, lane: str, resource: str) -> int | None:
    """The last call of a lane to this resource before a step."""
    fitting = (
        index
        for index in range(len(events) - 1, -1, -1)
        if (event := events[index]).step < step
        and event.lane == lane
        and event.operation == "call"
        and event.resource.endswith(f"/{resource}")
    )
    return next(fitting, None)


def parties(finding: Finding) -> set[str]:
    """The services whose steps had to come in some order."""
    lanes = {column_of(lane_of(name)) for name in named_steps(finding) if not name.strikes}
    return lanes - {""}


def complete(finding: Finding) -> list[Event]:
    """The history, with an event for a step of the reason or of the end that recorded none."""
    events = list(finding.history)
    steps = {event.step for event in events}
    names = {name for event in events for name in (event.lane, event.peer)}
    for deviation in finding.deviations:
        if deviation.step not in steps:
            events.append(_made_up(deviation, names))
    told = steps | {deviation.step for deviation in finding.deviations}
    for name in named_steps(finding):
        sends = name.kind == TASK and name.words.startswith(SENDS)
        if name.step not in told and (sends or name.kind == TIMER):
            lane, doing = (
                lane_of(name) or "schedule",
                in_brief(name.words) or label_parts(name.label)[1],
            )
            events.append(Event(name.step, 0, lane, "note", doing))
            told.add(name.step)
    events += undone(finding)
    violation = finding.violation
    if violation.step not in steps:
        events.append(
            Event(
                violation.step,
                violation.at_ms,
                violation.lane or violation.invariant,
                "write" if violation.after else "note",
                violation.operation or violation.invariant,
                violation.resource,
                before=violation.before,
                after=violation.after,
            )
        )
    events.sort(key=lambda event: event.step)
    now = 0
    for index, event in enumerate(events):
        now = max(now, event.at_ms)
        if now and not event.at_ms:
            events[index] = replace(event, at_ms=now)
    return events


def _made_up(deviation: Deviation, names: set[str]) -> Event:
    """What a deviation says that it did."""
    lane, doing = label_parts(deviation.taken)
    lane = deviation.lane or lane or "schedule"
    doing = doing or f"choice {deviation.choice}"
    fault = deviation.kind == FAULT or lane == "nemesis"
    peers = [word for word in doing.split() if word in names] if fault else []
    if deviation.kind == TIMER:
        at = one_line(deviation.taken).partition(" for ")[0]
        doing = in_brief(deviation.words) or at
    kind = "fault" if peers else "note"
    peer = peers[-1] if peers else ""
    return Event(deviation.step, deviation.at_ms, lane, kind, doing, peer=peer)
