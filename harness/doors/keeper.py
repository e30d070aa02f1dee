"""Saves findings as a campaign hands them out: first as found, then the smaller one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from harness.findings import store
from harness.findings.finding import Finding
from harness.findings.report import headline


class Keeper:
    """Saves findings, and says so when they are safe.

    A finding that cannot be saved is still reported, with a warning. The unshrunk file of this
    run is replaced by the shrunk one once that is safely written and announced, never before: of
    what was announced and not said to be replaced, nothing is ever missing.
    """

    def __init__(
        self, root: Path = store.ROOT, *, announce: Callable[[str], None] = lambda line: None
    ) -> None:
        self.root = root
        self.announce = announce
        self.remarks: list[str] = []
        self.warnings: list[str] = []
        self._made: set[Path] = set()

    def __call__(self, found: Finding, unshrunk: Finding | None) -> Finding:
        """Save one; returns it with the place where it was saved."""
        if unshrunk is not None:  # what is said of the smaller one is enough
            self.warnings = [each for each in self.warnings if not each.endswith(unshrunk.token)]
        before = set((self.root / "findings").glob("*.json"))
        try:
            path = store.save(found, self.root)
        except store.StoreError as error:
            if unshrunk is None or not unshrunk.saved:
                self._warn(found, error)
            return replace(found, saved=unshrunk.saved if unshrunk else "")
        if path not in before:
            self._made.add(path)
        if unshrunk is None or not unshrunk.saved:
            self.announce(f"found {headline(found)}\n  saved {path}")
        elif Path(unshrunk.saved) != path:
            self.supersede(Path(unshrunk.saved), path)
        return replace(found, saved=path.as_posix())

    def adopt(self, unshrunk: Finding) -> None:
        """Let the file of an earlier run be replaced as if it were one of this run."""
        self._made.add(Path(unshrunk.saved))

    def _warn(self, found: Finding, error: store.StoreError) -> None:
        warning = (
            f"the finding could not be saved: {error}; its token is all that is needed "
            f"to run it again, keep it: {found.token}"
        )
        self.warnings.append(warning)
        self.announce(f"WARNING  {warning}")

    def supersede(self, old: Path, new: Path) -> None:
        """Say that a smaller finding is saved, and remove the file of an unshrunk one of ours."""
        if old in self._made:
            self.announce(f"  saved {new}, smaller; it replaces {old}")
            old.unlink(missing_ok=True)
            self.remarks.append(f"{new} replaces the unshrunk {old.name}")
        else:
            self.announce(f"  saved {new}, smaller")
