"""The file in which a search is kept that has not come to its verdict.

It belongs to one subject and one version of the code, and it is sealed: a proof that rests on a
damaged file would be worth nothing, so such a file is set aside and the search begins anew.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.confirmation import versions
from harness.doors.output import tell
from harness.errors import UsageError
from harness.findings import store
from harness.findings.files import StoreError, read_record, set_aside, write_record
from harness.proof.errands import Subject

#: The folder of the searches that are kept, in that of all that is.
PROOFS = "proofs"


class ProofFile:
    """Keeps one search; ``kept`` is whether what was written last is there."""

    def __init__(self, subject: Subject, root: Path = store.ROOT) -> None:
        self.root = root
        name = f"{subject.scenario.name}-{identity(subject, root.parent)}.json"
        self.place = root / PROOFS / name
        self.kept = False
        self._warned = False

    def read(self) -> dict[str, Any] | None:
        """The search that was left; nothing if there is none, or none that can be trusted."""
        if not self.place.exists():
            return None
        try:
            record = read_record(self.place)
            search = record.get("search")
            if not isinstance(search, dict) or record.get("seal") != _seal(search):
                raise UsageError(f"{self.place}: its seal does not fit, somebody changed it")
        except StoreError:
            raise
        except UsageError as error:
            aside = set_aside(self.place)
            tell(f"WARNING  the search begins anew, what was left cannot be used: {error}; {aside}")
            return None
        tell(f"going on from {self.place}")
        self.kept = True
        return search

    def write(self, search: Mapping[str, Any]) -> None:
        """Keep a search as it is now; where that cannot be done the search itself goes on."""
        try:
            store.prepare(self.root, PROOFS)
            write_record(self.place, {"seal": _seal(search), "search": search})
            self.kept = True
        except StoreError as error:
            self.kept = self.kept and self.place.exists()
            if not self._warned:
                self._warned = True
                tell(f"WARNING  the search goes on but cannot be kept: {error}")

    def discredit(self) -> None:
        """Set aside a search of a target that turned out not to do the same twice."""
        if self.place.exists():
            tell(f"what was searched cannot be trusted: {set_aside(self.place)}")

    def remove(self) -> None:
        """Forget a search that has come to its verdict."""
        try:
            self.place.unlink(missing_ok=True)
        except OSError as error:
            tell(f"WARNING  {self.place} is of no use any more but stays: {error.strerror}")


def _seal(search: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(search, sort_keys=True).encode()).hexdigest()


def identity(subject: Subject, project: Path = Path()) -> str:
    """What a saved search belongs to: scenario, variant, seed, bound, and the code of it all."""
    facts = [subject.scenario.name, subject.seed, sorted(subject.variant.items())]
    facts += [str(subject.bound), str(subject.scenario.stall_s), versions()["trio"]]
    total = hashlib.sha256(repr(facts).encode())
    for path in _sources(project.resolve()):
        total.update(path.read_bytes())
    return total.hexdigest()[:12]


def _sources(project: Path) -> list[Path]:
    """All source files of this package, and those of the project that are loaded."""
    own = Path(__file__).parents[1]
    found = set(own.rglob("*.py"))
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.endswith(".py"):
            path = Path(file)
            if path.is_relative_to(project) and "site-packages" not in path.parts:
                found.add(path)
    return sorted(path for path in found if path.is_file())
