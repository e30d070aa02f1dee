"""SQLite on a platter: its files live in memory and lose, at a power cut, what was not synced.

A virtual file system (https://sqlite.org/vfs.html) by way of APSW, for SQLite's own way of testing
crashes: every write is kept in a list until its file is synced, and a crash keeps a part of the
list (https://sqlite.org/testing.html#crash_testing, src/test6.c). There is no shared memory, so a
write-ahead log needs ``pragma locking_mode = exclusive``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from weakref import WeakValueDictionary, ref

import apsw

from harness.world.platter import Cut, Data, File, Platter, write

#: By which name SQLite knows all of it.
VFS = "changeover-lossy"
#: How far the levels of locks of SQLite go (https://sqlite.org/lockingv3.html).
SHARED, RESERVED, EXCLUSIVE = 1, 2, 4
#: 1970 in days of the Julian calendar, in which SQLite counts.
_EPOCH_DAYS, _DAY_S = 2_440_587.5, 86_400


class Volume:
    """The files of one disk; ``names_survive`` if creating and deleting is durable at once."""

    def __init__(self, *, names_survive: bool) -> None:
        self.platter = Platter()
        self.names_survive = names_survive
        self.handles: list[Handle] = []
        #: For whom files are opened now, by a number.
        self.owner = 0
        #: Called before what was written to a file becomes durable.
        self.on_sync: Callable[[], None] = lambda: None
        self.number = next(_numbers)
        _volumes[self.number] = self

    def die(self, owner: int) -> None:
        """A process is dead: nothing of it reaches the disk any more, and its locks are free."""
        for handle in self.handles:
            handle.alive = handle.alive and handle.owner != owner

    def connect(self, path: str) -> apsw.Connection:
        """A connection of SQLite to a file of this disk."""
        _register()
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        return apsw.Connection(f"/{self.number}/{path}", flags=flags, vfs=VFS)

    def open(self, path: str) -> File:
        """A file, which is created if it does not exist."""
        file = self.platter.seen.get(path)
        if file is None:
            file = self.platter.create(path)
            self._settle_names()
        return file

    def delete(self, path: str, *, synced: bool) -> None:
        """Delete a file; ``synced`` if its directory is synced afterwards."""
        self.platter.move(self.platter.seen[path], "", path)
        if synced:
            self.platter.force_directory()
        self._settle_names()

    def _settle_names(self) -> None:
        if self.names_survive:
            self.platter.force_directory()

    def sync(self, file: File) -> None:
        """Make what was written to a file durable."""
        self.on_sync()
        self.platter.force_file(file)

    def twin(self) -> Volume:
        """Another disk with what processes see on this one."""
        twin = Volume(names_survive=True)
        for path, file in self.platter.seen.items():
            twin.platter.create(path, bytes(file.seen))
        twin.platter.force_directory()
        return twin


class Handle:
    """An open file of one connection, with the lock that it has."""

    def __init__(self, volume: Volume, file: File, *, kept: bool) -> None:
        # SQLite holds handles where no garbage collector looks, so they hold no volume in return.
        self._volume = ref(volume)
        self.file = file
        #: Whether it has a name; a file without one is nobody else's, and gone with its handle.
        self.kept = kept
        self.level = 0
        self.owner = volume.owner
        #: Whether the process that has opened it still lives.
        self.alive = True
        volume.handles.append(self)

    @property
    def volume(self) -> Volume | None:
        """Its disk; nothing if the run is over, or if the process that has opened it is dead."""
        return self._volume() if self.alive else None

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        """Bytes from an offset; fewer at the end of the file."""
        return bytes(self.file.seen[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        """Write, durable at the next sync."""
        self._change(Data(self.file, offset, bytes(data), offset == len(self.file.seen)))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        """Cut off, durable at the next sync."""
        self._change(Cut(self.file, size))

    def _change(self, change: Data | Cut) -> None:
        if not self.kept:
            write(self.file.seen, change)
        elif (volume := self.volume) is not None:
            volume.platter.write(change)

    def xSync(self, flags: int) -> None:  # noqa: N802
        """Make all of it durable."""
        if self.kept and (volume := self.volume) is not None:
            volume.sync(self.file)

    def xFileSize(self) -> int:  # noqa: N802
        """How long the file is, in bytes."""
        return len(self.file.seen)

    def _others(self) -> list[Handle]:
        volume = self.volume
        return [
            each
            for each in (volume.handles if volume is not None else ())
            if each.file is self.file and each is not self and each.alive
        ]

    def xLock(self, level: int) -> None:  # noqa: N802
        """Raise the lock; :class:`apsw.BusyError` if another connection is in the way."""
        levels = [each.level for each in self._others()]
        taken = (
            any(each > RESERVED for each in levels)
            or (level >= RESERVED and any(each >= RESERVED for each in levels))
            or (level == EXCLUSIVE and any(levels))
        )
        if taken:
            raise apsw.BusyError("another connection has locked the file")
        self.level = max(self.level, level)

    def xUnlock(self, level: int) -> None:  # noqa: N802
        """Lower the lock."""
        self.level = min(self.level, level)

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        """Whether anybody is about to write."""
        return any(each.level >= RESERVED for each in (self, *self._others()))

    def xFileControl(self, operation: int, pointer: int) -> bool:  # noqa: N802
        """Nothing is known of any other operation."""
        return False

    def xSectorSize(self) -> int:  # noqa: N802
        """The least that a disk writes, in bytes."""
        return 512

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        """Nothing is promised: writes are neither atomic nor in order."""
        return 0

    def xClose(self) -> None:  # noqa: N802
        """Let go of the file."""
        volume = self._volume()
        if volume is not None and self in volume.handles:
            volume.handles.remove(self)


class _Lossy(apsw.VFS):
    """All volumes, each a folder of its own."""

    def __init__(self) -> None:
        super().__init__(VFS, "")

    def xFullPathname(self, name: str) -> str:  # noqa: N802
        return name

    def xAccess(self, path: str, flags: int) -> bool:  # noqa: N802
        volume, name = _found(path)
        return volume is not None and name in volume.platter.seen

    def xDelete(self, path: str, syncdir: bool) -> None:  # noqa: N802
        volume, name = _found(path)
        if volume is not None:
            volume.delete(name, synced=syncdir)

    # APSW takes any object with the methods of a file.
    def xOpen(  # type: ignore[override]  # noqa: N802
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> Handle:
        flags[1] = flags[0]
        if name is None:
            return Handle(Volume(names_survive=True), File(bytearray()), kept=False)
        path = name if isinstance(name, str) else name.filename()
        volume, own = _found(path)
        if volume is None:
            raise apsw.CantOpenError(f"{path} is on no disk of a run")
        return Handle(volume, volume.open(own), kept=True)

    def xSleep(self, microseconds: int) -> int:  # noqa: N802
        return microseconds

    def xCurrentTime(self) -> float:  # noqa: N802
        return time.time() / _DAY_S + _EPOCH_DAYS


_numbers = count(1)
_volumes: WeakValueDictionary[int, Volume] = WeakValueDictionary()
_registered: list[_Lossy] = []


def _register() -> None:
    if not _registered:
        _registered.append(_Lossy())


def _found(path: str) -> tuple[Volume | None, str]:
    _, number, name = path.split("/", 2)
    return _volumes.get(int(number)), name
