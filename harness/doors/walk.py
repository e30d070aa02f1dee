"""Walks a recorded run forward and back, step by step, in a terminal or as plain text.

A run is executed once; walking only turns its pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from harness.engine import Run
from harness.findings.wording import listed, one_line
from harness.history import Event

_HELP = "enter: next   b: back   number: go to   q: quit"
_PROMPT = f"{_HELP} > "
#: How many steps are named that could have run as well.
OTHERS_MAX = 6


def pages(run: Run) -> list[str]:
    """One page for each step: what ran, what else could have, and what happened."""
    happened: dict[int, list[Event]] = {}
    for event in run.history:
        happened.setdefault(event.step, []).append(event)
    broken = {violation.step: violation for violation in reversed(run.violations)}
    made = []
    for step, (taken, offered) in enumerate(zip(run.taken, run.offered, strict=False), start=1):
        number = run.schedule.choices.get(step, 0)
        lines = [f"step {step:>3} of {run.steps}   {one_line(taken)}"]
        if number:
            lines.append(f"    ran before {one_line(offered[0])} (choice {number})")
        others = len(offered) - 1
        if others:
            left = [label for at, label in enumerate(offered) if at != number]
            told = listed([one_line(label) for label in left], most=OTHERS_MAX)
            lines.append(f"    {others} other{'s' if others > 1 else ''} could have run: {told}")
        lines += [f"    {_event(event)}" for event in happened.get(step, ())]
        if step in broken:
            lines.append(f"!!  {broken[step].invariant}: {one_line(broken[step].message)}")
        made.append("\n".join(lines))
    return made


def _event(event: Event) -> str:
    changed = f"  {event.before or '-'} -> {event.after}" if event.before != event.after else ""
    value = f"  {event.value}" if event.value and not changed else ""
    site = f"  {event.site}" if event.site else ""
    resource = f"  {event.resource}" if event.resource else ""
    text = f"{event.lane}: {event.operation}{resource}{changed}{value}{site}"
    return one_line(f"{event.at_ms} ms  ") + " " + one_line(text)


def walk(run: Run, say: Callable[[str], object], ask: Callable[[str], str] | None) -> None:
    """Show the steps of a run; with ``ask`` the user turns the pages, without it all are shown."""
    shown = pages(run)
    if ask is None:
        for page in shown:
            say(page)
        return
    at = 0
    for answer in _answers(ask, shown, say):
        if answer not in ("", "n", "b") and not answer.isdecimal():
            say(f"{answer!r} is none of these: {_HELP}")
            continue
        if answer == "b":
            at = max(at - 1, 0)
        elif answer.isdecimal():
            at = min(max(int(answer), 1), len(shown)) - 1
        elif at + 1 == len(shown):
            say("that was the last step")
        else:
            at += 1
        say(shown[at])


def _answers(
    ask: Callable[[str], str], shown: list[str], say: Callable[[str], object]
) -> Iterator[str]:
    if not shown:
        return
    say(shown[0])
    while True:
        try:
            answer = ask(_PROMPT).strip().lower()
        except EOFError:
            return
        if answer in ("q", "quit"):
            return
        yield answer
