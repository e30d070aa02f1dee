"""Progress of the command: one line on a terminal, milestones elsewhere, never on stdout.

A terminal line is rewritten once a second; a log gets a line at 1, 2, 5, 10, 20, 50, … schedules,
so that it stays short however long the search is.
"""

from __future__ import annotations

import time
from typing import TextIO

from harness.findings.wording import counted

_monotonic = time.monotonic
#: How often the line of a terminal is rewritten, in seconds.
EVERY_S = 1.0


class Progress:
    """Tells how far the search of one scenario is."""

    def __init__(self, stream: TextIO, name: str, planned: int | None) -> None:
        self.stream = stream
        self.name = name
        self.planned = planned
        self.started = _monotonic()
        self._told_at = float("-inf")
        self._told = 0
        self._width = 0
        self._terminal = stream.isatty()

    def update(self, schedules: int, findings: int) -> None:
        """Say where the search is, if it is time to."""
        if self._terminal:
            now = _monotonic()
            if now - self._told_at >= EVERY_S:
                self._told_at = now
                line = self._line(schedules, findings)
                self.stream.write("\r" + line.ljust(self._width))
                self.stream.flush()
                self._width = len(line)
        else:
            reached = milestone(schedules)
            if reached > self._told:
                self._told = reached
                self.stream.write(self._line(schedules, findings) + "\n")
                self.stream.flush()

    def interject(self, text: str) -> None:
        """Say something that stays; the line of a terminal comes again below it."""
        self.end()
        self._told_at = float("-inf")
        self.stream.write(text + "\n")
        self.stream.flush()

    def end(self) -> None:
        """Clear the line of a terminal."""
        if self._terminal and self._width:
            self.stream.write("\r" + " " * self._width + "\r")
            self.stream.flush()

    def _line(self, schedules: int, findings: int) -> str:
        seconds = _monotonic() - self.started
        speed = f"  {schedules / seconds:,.0f}/s" if seconds > 0 else ""
        found = f"  {counted(findings, 'finding')}" if findings else ""
        of = f"{schedules:,} of " if self.planned is not None else ""
        done = counted(schedules if self.planned is None else self.planned, "schedule")
        return f"{self.name}  {of}{done}{found}{speed}"


def milestone(number: int) -> int:
    """The last of 1, 2, 5, 10, 20, 50, … that is not more than ``number``; 0 before the first."""
    if number < 1:
        return 0
    unit = int("1" + "0" * (len(str(number)) - 1))
    return max(unit * digit for digit in (1, 2, 5) if unit * digit <= number)
