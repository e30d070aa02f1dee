"""What a user calls a run by: a token, the file of a finding, its short name, or ``last``.

Looking it up runs nothing and loads no scheduler.
"""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError
from harness.findings import store
from harness.findings.finding import Finding
from harness.schedule.choices import Schedule


def resolve(reference: str, root: Path = store.ROOT) -> Finding | Schedule:
    """The finding or schedule that is meant; :class:`UsageError` says what is wrong."""
    if "@" in reference and not Path(reference).is_file():
        return Schedule.parse(reference)
    return store.load(reference, root)


def last_seed(root: Path = store.ROOT) -> int | None:
    """The seed of the last run that left a summary."""
    summary = store.latest_summary(root)
    seed = summary.get("seed") if summary else None
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise UsageError(f"{root / 'latest'} holds no seed; name one instead of 'last'")
    return seed
