"""The outcomes that are not a violation, and how each is told: what happened, why, what to do.

None of them judges the target. Two of them say that nothing here can be trusted yet.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.findings.wording import columns, counted, listed, one_line, only_ascii, wrapped

WIDTH = 80
NO_OVERLAP = "no restart overlapped a write in {tried}"
MORE_WORK = "add steps to the workload, move the fault, or try more schedules"
_HEADING_WIDTH = 20

USUAL_CAUSES = (
    "iterating a set (of objects; of strings, from one process to the next)",
    "hash() or id() in a key",
    "a counter or cache of a module that survives a run",
    "a clock or os.urandom bound at import (in a class, a default argument)",
    "wall clock",
    "global random",
)


@dataclass(frozen=True, slots=True)
class Side:
    """What one of two runs did at the step where they part, and what else it could have done."""

    ran: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotDeterministic:
    """The same schedule gave two histories: equal for ``identical_steps``, then not."""

    token: str
    identical_steps: int
    first: Side
    second: Side
    causes: tuple[str, ...] = USUAL_CAUSES


@dataclass(frozen=True, slots=True)
class Diverged:
    """A recorded schedule no longer fits: ``wanted`` should run at ``step``, only ``able`` can.

    ``suspect`` is the likeliest cause. ``gone`` says that nothing of the name ``wanted``
    ever comes, ``unkept`` which ordering constraint cannot be kept either.
    """

    token: str
    step: int
    wanted: str
    able: tuple[str, ...]
    recorded_with: str = ""
    now: str = ""
    changed: tuple[str, ...] = ()
    suspect: str = ""
    gone: bool = False
    unkept: str = ""


@dataclass(frozen=True, slots=True)
class Vacuous:
    """A scenario that held because too little was tried.

    No restart overlapped a write in any run, or (when ``overlapped`` of them did) no run reached
    the marks ``never_reached``, or none had the services ``never_there`` whose faults it names.
    """

    scenario: str
    schedules: int
    seed: int
    never_reached: tuple[str, ...] = ()
    overlapped: int = 0
    never_there: tuple[str, ...] = ()
    remedy: str = MORE_WORK
    verb: str = "held, but"


@dataclass(frozen=True, slots=True)
class Unknown:
    """Rules that broke down instead of judging, with the error of each."""

    scenario: str
    rules: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A lane that does not move: what it waits for, or that it is ``down``, and since when."""

    lane: str
    reason: str
    since_step: int
    down: bool = False


@dataclass(frozen=True, slots=True)
class Stuck:
    """No lane can run and no timer is pending."""

    token: str
    step: int
    lanes: tuple[Waiting, ...]


@dataclass(frozen=True, slots=True)
class StepLimit:
    """A run that did not finish; ``repeating`` are its last steps."""

    token: str
    steps_max: int
    repeating: tuple[str, ...] = ()


def render_not_deterministic(
    outcome: NotDeterministic, *, ascii: bool = False, width: int = WIDTH
) -> str:
    """Where two runs of one schedule part, what both did there, and the usual causes."""
    step = outcome.identical_steps
    lines = [
        _heading("NOT DETERMINISTIC", "the same schedule gave two histories (exit 3)"),
        f"identical for {counted(step, 'step')}, then at step {step + 1}",
    ]
    sides = (("first run", outcome.first), ("second run", outcome.second))
    room = max(columns(one_line(side.ran)) for _, side in sides)
    for name, side in sides:
        could = listed(side.others, most=6) or "nothing else"
        ran = one_line(side.ran)
        blank = " " * (room - columns(ran))
        line = f"  {name:<10}   {ran}{blank}   could also run: {could}"
        if columns(line) > width - 4:
            lines += [f"  {name:<10}   {ran}", f"{'':15}could also run: {could}"]
        else:
            lines.append(line)
    lines += [
        f"usual causes: {', '.join(outcome.causes)}",
        "nothing was judged; fix this before trusting any result",
        *_again(outcome.token),
    ]
    return _page(lines, ascii=ascii, width=width)


def render_diverged(outcome: Diverged, *, ascii: bool = False, width: int = WIDTH) -> str:
    """Which recorded step cannot run now, what can, what changed since, and how to go on."""
    able = listed(outcome.able, most=8) or "nothing"
    label = f"step {outcome.step} should run"
    lines = [
        _heading("REPLAY DIVERGED", f"{outcome.token} no longer fits the code (exit 3)"),
        f"{label}  {one_line(outcome.wanted)}",
        f"{'but only':<{len(label)}}  {able}{' can run' if outcome.able else ''}",
    ]
    lines += ["no step has that name any more"] if outcome.gone else []
    lines += [outcome.unkept] if outcome.unkept else []
    changed = f" ({listed(outcome.changed, most=3)} changed)" if outcome.changed else ""
    if outcome.recorded_with:
        now = outcome.now or "an unknown version"
        lines.append(f"recorded with {outcome.recorded_with}, now {now}{changed}")
    lines += [outcome.suspect] if outcome.suspect else []
    lines += ["continue first-in-first-out from here:", *_again(outcome.token, "--continue")]
    return _page(lines, ascii=ascii, width=width)


def render_vacuous(outcome: Vacuous, *, ascii: bool = False, width: int = WIDTH) -> str:
    """That nothing was tested, and what would change that."""
    tried = counted(outcome.schedules, "schedule")
    missed = f"never reached: {listed(outcome.never_reached, most=6)}"
    lack = f"{missed} in {tried}" if outcome.overlapped else NO_OVERLAP.format(tried=tried)
    if outcome.never_there:
        lack = f"nobody ever started {listed([repr(name) for name in outcome.never_there], most=3)}"
    lines = [_heading("VACUOUS", f"{outcome.scenario} {outcome.verb} {lack}"), outcome.remedy]
    if outcome.never_reached and not outcome.overlapped:
        lines.append(missed)
    return _page([*lines, f"seed {outcome.seed}"], ascii=ascii, width=width)


def render_unknown(outcome: Unknown, *, ascii: bool = False, width: int = WIDTH) -> str:
    """Which rules say nothing, and why."""
    names = listed(tuple(outcome.rules), most=4)
    lines = [_heading("UNKNOWN", f"{outcome.scenario}: nobody knows whether this held: {names}")]
    lines += [f"{name}: {one_line(reason)}" for name, reason in outcome.rules.items()]
    lines.append("a rule fails an assertion or raises Broken; any other error is its own")
    return _page(lines, ascii=ascii, width=width)


def render_stuck(outcome: Stuck, *, ascii: bool = False, width: int = WIDTH) -> str:
    """Who waits for what since when."""
    heading = _heading("STUCK", f"no lane can run and no timer is pending (step {outcome.step})")
    rows = [
        (
            one_line(lane.lane),
            "is down" if lane.down else "waits for",
            f"({one_line(lane.reason)})" if lane.down else one_line(lane.reason),
            f"{'' if lane.down else 'since '}step {lane.since_step}",
        )
        for lane in outcome.lanes
    ]
    names = max((columns(row[0]) for row in rows), default=0)
    reasons = max((columns(row[2]) for row in rows), default=0)
    lines = [
        f"{name}{' ' * (names - columns(name))}  {verb:<9}  "
        f"{reason}{' ' * (reasons - columns(reason))}  {since}"
        for name, verb, reason, since in rows
    ]
    return _page([heading, *lines, *_again(outcome.token)], ascii=ascii, width=width)


def render_step_limit(outcome: StepLimit, *, ascii: bool = False, width: int = WIDTH) -> str:
    """How far the run went, and what it did over and over."""
    last = f"the last {len(outcome.repeating)} repeat: " if outcome.repeating else ""
    lines = [
        _heading("STEP LIMIT", f"{outcome.steps_max:,} steps without finishing"),
        *([f"{last}{', '.join(map(one_line, outcome.repeating))}"] if last else []),
        "end the workload, or raise the limit if the run is really that long",
        *_again(outcome.token),
    ]
    return _page(lines, ascii=ascii, width=width)


def _heading(name: str, aside: str) -> str:
    return f"{name:<{_HEADING_WIDTH - 1}} {one_line(aside)}"


def _again(token: str, *options: str) -> list[str]:
    return [" ".join(("changeover replay", shlex.quote(token), *options))]


def _page(lines: Sequence[str], *, ascii: bool, width: int) -> str:
    """The heading at the margin, the rest below it; commands are never wrapped."""
    page = []
    for number, line in enumerate(lines):
        indent = "    " if number else ""
        body = line.lstrip()
        indent += " " * (len(line) - len(body))
        if columns(indent + body) <= width or body.startswith("changeover "):
            page.append(indent + body)
        elif number:
            page += wrapped(body, width, indent=indent, hanging=indent + "    ")
        else:
            name, aside = body[:_HEADING_WIDTH], body[_HEADING_WIDTH:]
            page += wrapped(aside, width, indent=name, hanging=" " * len(name))
    return "\n".join(only_ascii(line) if ascii else line for line in page) + "\n"
