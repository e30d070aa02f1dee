"""What a disk holds: the view that processes see, what is durable, and what lies between.

Between the two is one list of changes that nobody has forced out yet, in the order in which they
were made. A power cut keeps some of them; :func:`outcomes` names a bounded number of the ways in
which file systems really do that. It must never lose what was forced out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace


@dataclass(eq=False, slots=True)
class File:
    """A file, whatever its name is now: what processes see, and what is durable of it."""

    seen: bytearray
    durable: bytes = b""


@dataclass(eq=False, frozen=True, slots=True)
class Data:
    """Bytes written at an offset."""

    file: File
    offset: int
    content: bytes
    appended: bool


@dataclass(eq=False, frozen=True, slots=True)
class Cut:
    """All bytes from ``size`` on taken away."""

    file: File
    size: int


@dataclass(eq=False, frozen=True, slots=True)
class Entry:
    """A change of the directory: ``file`` is called ``name`` now and no longer ``formerly``.

    An empty name means deleted, an empty former name created.
    """

    file: File
    name: str
    formerly: str


Change = Data | Cut | Entry


@dataclass(frozen=True, slots=True)
class Moment:
    """What was durable at one moment, and what lay between that and what processes saw."""

    names: Mapping[str, File]
    contents: Mapping[File, bytes]
    pending: Sequence[Change]


def write(content: bytearray, change: Data | Cut) -> None:
    """Put bytes at their offset, or cut them off; a gap before them is filled with zeros."""
    if isinstance(change, Cut):
        del content[change.size :]
        return
    if change.offset > len(content):
        content.extend(bytes(change.offset - len(content)))
    content[change.offset : change.offset + len(change.content)] = change.content


class Platter:
    """One directory of files, with everything that a power cut could take back."""

    def __init__(self) -> None:
        self.seen: dict[str, File] = {}
        self.durable: dict[str, File] = {}
        self.pending: list[Change] = []

    def create(self, name: str, content: bytes = b"") -> File:
        """Make a file; ``content`` is what it has had for ever."""
        file = self.seen[name] = File(bytearray(content), content)
        self.pending.append(Entry(file, name, ""))
        return file

    def write(self, change: Data | Cut) -> None:
        """Change what processes see of a file."""
        write(change.file.seen, change)
        self.pending.append(change)

    def move(self, file: File, name: str, formerly: str) -> None:
        """Rename a file, replacing what has that name; with an empty name delete it."""
        del self.seen[formerly]
        if name:
            self.seen[name] = file
        self.pending.append(Entry(file, name, formerly))

    def force_file(self, file: File) -> None:
        """Make the data of a file durable, and its name if it is new.

        Names become durable in the order in which they changed, as in a journal: with the name
        of a new file goes every earlier change.
        """
        file.durable = bytes(file.seen)
        created = -1
        for index, change in enumerate(self.pending):
            if isinstance(change, Entry) and change.file is file and not change.formerly:
                created = index
        kept: list[Change] = []
        for index, change in enumerate(self.pending):
            if isinstance(change, Entry) and index <= created:
                self._name(change)
            elif isinstance(change, Entry) or change.file is not file:
                kept.append(change)
        self.pending = kept

    def force_directory(self) -> None:
        """Make all names durable."""
        self.durable = dict(self.seen)
        self.pending = [change for change in self.pending if not isinstance(change, Entry)]

    def moment(self) -> Moment:
        """What a power cut would find now."""
        contents = {file: file.durable for file in self._files()}
        return Moment(dict(self.durable), contents, tuple(self.pending))

    def go_back(self, moment: Moment) -> None:
        """The power was cut at an earlier moment: what was done since never was."""
        self.durable = dict(moment.names)
        for file, content in moment.contents.items():
            file.durable = content
        self.pending = list(moment.pending)

    def survive(self, changes: Iterable[Change]) -> None:
        """The power is back: of all that was pending, just these changes were kept."""
        contents: dict[File, bytearray] = {}
        for change in changes:
            if isinstance(change, Entry):
                self._name(change)
            else:
                file = change.file
                write(contents.setdefault(file, bytearray(file.durable)), change)
        for file, content in contents.items():
            file.durable = bytes(content)
        for file in self.durable.values():
            file.seen = bytearray(file.durable)
        self.seen = dict(self.durable)
        self.pending = []

    def _name(self, change: Entry) -> None:
        if self.durable.get(change.formerly) is change.file:
            del self.durable[change.formerly]
        if change.name:
            self.durable[change.name] = change.file

    def after(self, changes: Iterable[Change]) -> dict[str, bytes]:
        """What the files would hold if just these changes were kept."""
        trial = Platter()
        twins = {file: File(bytearray(), file.durable) for file in self._files()}
        trial.durable = {name: twins[file] for name, file in self.durable.items()}
        trial.survive([replace(change, file=twins[change.file]) for change in changes])
        return {name: file.durable for name, file in trial.durable.items()}

    def _files(self) -> list[File]:
        changed = [change.file for change in self.pending]
        return list(dict.fromkeys([*self.durable.values(), *changed]))

    def name_of(self, file: File) -> str:
        """What a file is called now, or was called last."""
        for name, other in self.seen.items():
            if other is file:
                return name
        return "a deleted file"


#: At how many files, beginning with the one written last, a power cut looks one by one.
FILES_MAX = 4


def outcomes(platter: Platter) -> list[tuple[str, Sequence[Change]]]:
    """The ways a power cut can go, mildest first; those that end alike are one.

    Everything or nothing is kept; the data of one file is lost although later changes of others
    are kept (writeback has no order across files); names are kept without their data (the empty
    file after a rename) or data without its names; the last name change is lost; of the last
    append half the bytes, or only the length, arrived; of several writes to one file only the
    last arrived (writeback has no order within a file either).
    """
    pending = platter.pending
    data = [change for change in pending if isinstance(change, Data)]
    entries = [change for change in pending if isinstance(change, Entry)]
    named: list[tuple[str, Sequence[Change]]] = [("nothing is lost", pending)]
    if data and data[-1].appended:
        named += _torn(pending, data[-1], platter.name_of(data[-1].file))
    for file in list(dict.fromkeys(change.file for change in reversed(data)))[:FILES_MAX]:
        name = platter.name_of(file)
        mine = [change for change in data if change.file is file]
        if len(mine) > 1:
            named.append(
                (f"only the last unsynced write to {name} is kept", _without(pending, mine[:-1]))
            )
        named.append((f"unsynced data of {name} is lost", _without(pending, mine)))
    if entries:
        named.append(("the last unsynced name change is lost", _without(pending, entries[-1:])))
        named.append(("unsynced name changes are lost", data))
        named.append(("unsynced data is lost, names are kept", entries))
    named.append(("all unsynced is lost", ()))
    distinct: dict[tuple[tuple[str, bytes], ...], tuple[str, Sequence[Change]]] = {}
    for outcome in named:
        distinct.setdefault(tuple(sorted(platter.after(outcome[1]).items())), outcome)
    return list(distinct.values())


def _torn(pending: Sequence[Change], last: Data, name: str) -> list[tuple[str, Sequence[Change]]]:
    half = replace(last, content=last.content[: len(last.content) // 2])
    zeros = replace(last, content=bytes(len(last.content)))
    return [
        (
            f"the last append to {name} {what}",
            [arrived if change is last else change for change in pending],
        )
        for what, arrived in (("is torn in half", half), ("is all zeros", zeros))
    ]


def _without(pending: Sequence[Change], lost: Sequence[Change]) -> list[Change]:
    return [change for change in pending if change not in lost]
