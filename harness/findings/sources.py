"""Which files of a target a finding was made with, and which of them were edited since."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from harness.findings.finding import Finding

#: How many hexadecimal digits tell two versions of a file apart.
DIGITS = 16


def digests(files: Iterable[str]) -> dict[str, str]:
    """What each of these files holds now, as a digest; those that cannot be read are left out."""
    found: dict[str, str] = {}
    for file in sorted(set(files)):
        with suppress(OSError, ValueError):
            found[file] = hashlib.sha256(Path(file).read_bytes()).hexdigest()[:DIGITS]
    return found


def edited(finding: Finding, project: Path) -> tuple[str, ...]:
    """The files of a finding that are not what they were; of those elsewhere nothing is known."""
    now = digests(str(project / file) for file in finding.sources)
    return tuple(
        file
        for file, recorded in sorted(finding.sources.items())
        if now.get(str(project / file)) != recorded
    )
