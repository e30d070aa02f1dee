"""Which seed a search starts from: a number, a random one, that of the commit, or the last one.

A seed of a commit makes a red pull request stay red on every machine. Seeds are short, because
they are read aloud and typed again.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.errors import UsageError, closest
from harness.history import derive_seed

#: Seeds that are drawn or derived are below this; a given number may be any.
SEEDS = 1_000_000
DIGITS_MAX = 19

_SHA = re.compile(r"[0-9a-f]{7,40}")
_WORDS = ("random", "commit", "last")


@dataclass(frozen=True, slots=True)
class Seed:
    """A seed and where it came from, as the header says it."""

    number: int
    origin: str = ""

    def __str__(self) -> str:
        return f"{self.number} ({self.origin})" if self.origin else str(self.number)


def choose_seed(
    text: str,
    *,
    last: Callable[[], int | None] = lambda: None,
    drawn: int | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Seed:
    """The seed that a text means.

    ``last`` gives that of the last run, if there was one; ``drawn`` is the random one if several
    processes have to agree on it.
    """
    word = text.strip().lower()
    if word.isdecimal() and len(word) <= DIGITS_MAX:
        return Seed(int(word))
    if word.isdecimal():
        raise UsageError(f"seed {text!r} is too long: a number of at most {DIGITS_MAX} digits")
    if word == "random":
        return Seed(draw() if drawn is None else drawn, "random")
    if word == "commit":
        sha = commit(environment)
        return of_commit(sha) if sha else Seed(0, "no commit is known here")
    if word == "last":
        number = last()
        if number is None:
            raise UsageError("no seed 'last': no run has left a summary in .changeover/latest yet")
        return Seed(number, "that of the last run")
    if _SHA.fullmatch(word):
        return of_commit(word)
    error = closest(text, _WORDS, kind="seed")
    raise UsageError(f"{error}; a seed is a number, random, commit, last or a git sha")


def draw() -> int:
    """A random seed."""
    return secrets.randbelow(SEEDS)


def of_commit(sha: str) -> Seed:
    """The seed of a commit; a short sha gives the same as the whole one."""
    short = sha.lower()[:7]
    return Seed(derive_seed("commit", short) % SEEDS, f"commit {short}")


def commit(environment: Mapping[str, str]) -> str:
    """The sha of the commit that is checked out, from git or from the variables of a CI."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
        if done.returncode == 0 and _SHA.fullmatch(done.stdout.strip()):
            return done.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        pass
    for name in ("GITHUB_SHA", "CI_COMMIT_SHA"):
        if _SHA.fullmatch(environment.get(name, "").lower()):
            return environment[name]
    return ""
