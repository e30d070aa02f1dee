"""The corpus: schedules that showed something no schedule before them had shown.

A file for each, named by its token: ``.changeover/corpus/<scenario>/<digest>.json``. A later search
begins with them. They are a shortcut, never required; what is left out of the corpus is told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.findings.files import StoreError, file_name, read_record, set_aside, write_record
from harness.findings.store import prepare
from harness.schedule.choices import Schedule

#: How many schedules of a scenario are kept.
ENTRIES_MAX = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """A schedule, and what was new in it when it was found."""

    token: str
    new: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{hashlib.sha256(self.token.encode()).hexdigest()[:12]}.json"


class Corpus:
    """The schedules of one scenario in one variant; ``problems`` says what was wrong with files."""

    def __init__(
        self,
        scenario: str,
        variant: Mapping[str, str],
        root: Path,
        *,
        entries_max: int = ENTRIES_MAX,
    ) -> None:
        self.root = root
        self.folder = root / "corpus" / file_name(scenario)
        self.entries_max = entries_max
        self.entries: list[Entry] = []
        self.problems: list[str] = []
        self.dropped = 0
        self._files: dict[str, Path] = {}
        for path in sorted(self.folder.glob("*.json")) if self.folder.is_dir() else ():
            try:
                entry = _entry(path)
            except StoreError as error:
                self.problems.append(str(error))
            except UsageError as error:
                self.problems.append(f"{error}; {set_aside(path)}")
            else:
                schedule = Schedule.parse(entry.token)
                if (schedule.scenario, dict(schedule.variant)) == (scenario, dict(variant)):
                    self.entries.append(entry)
                    self._files[entry.token] = path

    @property
    def tokens(self) -> tuple[str, ...]:
        """The schedules, in the order of their files' names."""
        return tuple(entry.token for entry in self.entries)

    def add(self, entry: Entry) -> None:
        """Keep a schedule; of too many, the oldest of those that showed least is dropped.

        Raises :class:`StoreError`.
        """
        prepare(self.root, f"corpus/{self.folder.name}")
        path = self._files[entry.token] = self.folder / entry.name
        write_record(path, {"token": entry.token, "new": [*entry.new]})
        self.entries.append(entry)
        if len(self.entries) > self.entries_max:
            self.drop(min(self.entries, key=lambda each: len(each.new)).token)
            self.dropped += 1

    def drop(self, token: str) -> None:
        """Forget a schedule."""
        self.entries = [each for each in self.entries if each.token != token]
        with suppress(OSError):
            self._files.pop(token).unlink(missing_ok=True)


def _entry(path: Path) -> Entry:
    data = read_record(path)
    token, new = data.get("token"), data.get("new")
    if not isinstance(token, str) or not _texts(new):
        raise UsageError(f"{path}: not a schedule with what was new in it")
    Schedule.parse(token)
    assert isinstance(new, list)
    return Entry(token, tuple(new))


def _texts(value: object) -> bool:
    return isinstance(value, Sequence) and all(isinstance(each, str) for each in value)
