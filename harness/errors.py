"""Every error that Changeover raises about its own use.

Each message names what is wrong and what to do about it. Nothing here ever describes a defect of
the system under test: those are verdicts, never exceptions of the harness.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ChangeoverError(Exception):
    """The base of all errors of the harness; the message names the remedy."""


class UsageError(ChangeoverError):
    """A wrong name, option, configuration or file: exit code 4."""


class UntrustworthyError(ChangeoverError):
    """A run that cannot be judged here: not deterministic, diverged, internal: exit code 3."""


class RefusedError(ChangeoverError):
    """The target reached for the real world (thread, socket, file, process) inside a run."""


class StepNeverYieldsError(BaseException):
    """One step ran past the wall-clock watchdog; raised inside the step that never yields.

    Not an ``Exception``, so that a target's ``except Exception`` cannot swallow it.
    """


class UnsupportedTrioError(ChangeoverError):
    """The installed trio is not one that the kernel was tested with."""


#: How many known names an error lists, and how many of more than that.
KNOWN_MAX, CLOSEST_MAX = 24, 8


def closest(name: str, known: Iterable[str], *, kind: str) -> UsageError:
    """The error for an unknown name, with the closest known one, or some that come near it."""
    names = sorted(set(known))
    if not names:
        return UsageError(f"unknown {kind} {name!r}; there is none")
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.55)
    if near:
        return UsageError(f"unknown {kind} {name!r}; did you mean {near[0]!r}?")
    listed = names
    if len(names) > KNOWN_MAX:
        listed = difflib.get_close_matches(name, names, n=CLOSEST_MAX, cutoff=0.0)
    listing = ", ".join(listed)
    more = f" and {len(names) - len(listed)} more" if len(names) > len(listed) else ""
    return UsageError(f"unknown {kind} {name!r}; known: {listing}{more}")
