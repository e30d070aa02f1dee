"""A disk that keeps only what was forced out: append, write, fsync, rename, delete.

Processes see the page cache. It survives them (a killed process loses nothing that it had
written), but not a power cut, after which unsynced changes may be there, missing, out of order or
torn: the scheduler decides. A rename is atomic, and durable only after ``sync_directory``, as
POSIX says; the fsync of a new file makes its name durable too, as ext4 and XFS do. It must never
lose what was synced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from harness.history import Site
from harness.schedule.choices import Footprint
from harness.schedule.sites import site_of_caller
from harness.world.platter import Change, Data, File, Platter, outcomes

if TYPE_CHECKING:
    from harness.schedule.simulation import Simulation

T = TypeVar("T")


class Disk:
    """One directory of files; their content is bytes."""

    def __init__(self, simulation: Simulation, name: str) -> None:
        self.simulation = simulation
        self.name = name
        self._platter = Platter()

    # --- for the target ----------------------------------------------------------------------

    async def append(self, path: str, content: bytes) -> None:
        """Add bytes at the end of a file, which is created if it does not exist."""

        def effect(site: Site | None) -> None:
            file = self._platter.seen.get(path) or self._platter.create(path)
            self._write("append", path, Data(file, len(file.seen), bytes(content), True), site)

        await self._send("append", effect, (path, "write"))

    async def write(self, path: str, content: bytes, *, offset: int = 0) -> None:
        """Overwrite bytes from ``offset`` on in a file, which is created if it does not exist."""

        def effect(site: Site | None) -> None:
            file = self._platter.seen.get(path) or self._platter.create(path)
            self._write("write", path, Data(file, offset, bytes(content), False), site)

        await self._send("write", effect, (path, "write"))

    async def read(self, path: str) -> bytes:
        """The whole file; raises :class:`FileNotFoundError` if there is none."""

        def effect(site: Site | None) -> bytes:
            content = bytes(self._file(path).seen)
            self._tell("read", "read", path, value=f"{len(content)} bytes", site=site)
            return content

        return await self._send("read", effect, (path, "read"))

    async def listing(self) -> tuple[str, ...]:
        """The names of all files, in their order."""
        return await self._send(
            "list", lambda site: tuple(sorted(self._platter.seen)), ("*", "read")
        )

    async def fsync(self, path: str) -> None:
        """Make the data of a file durable, and the name of a new file."""

        def effect(site: Site | None) -> None:
            self._platter.force_file(self._file(path))

        await self._send("fsync", effect, (path, "write"), boundary=True)

    async def rename(self, path: str, new_path: str) -> None:
        """Give a file another name, in one moment replacing what had it."""

        def effect(site: Site | None) -> None:
            self._platter.move(self._file(path), new_path, path)
            self._tell("write", "rename", path, after=new_path, site=site)

        await self._send("rename", effect, (path, "write"), (new_path, "write"), boundary=True)

    async def delete(self, path: str) -> None:
        """Delete a file; raises :class:`FileNotFoundError` if there is none."""

        def effect(site: Site | None) -> None:
            self._platter.move(self._file(path), "", path)
            self._tell("write", "delete", path, after="no file", site=site)

        await self._send("delete", effect, (path, "write"), boundary=True)

    async def sync_directory(self) -> None:
        """Make all names durable: what was created, renamed or deleted stays so."""
        await self._send(
            "fsync", lambda site: self._platter.force_directory(), ("*", "write"), boundary=True
        )

    # --- for the nemesis ---------------------------------------------------------------------

    def power_cut(self) -> None:
        """Lose what was not synced, or some of it: the next choice of the schedule says what.

        The processes on this machine must be crashed by the caller; a process that is only
        killed needs nothing of this, because the page cache outlives it.
        """
        self.simulation.touches(f"{self.name}/*")
        possible = outcomes(self._platter)
        if len(possible) == 1:
            self._survive(*possible[0])
            return
        self.simulation.decide(
            self.name,
            [(name, lambda n=name, k=kept: self._survive(n, k)) for name, kept in possible],  # type: ignore[misc]
        )

    # --- for the harness ---------------------------------------------------------------------

    def load(self, files: Mapping[str, bytes]) -> None:
        """Set up files before the run; they are durable."""
        for path, content in files.items():
            self._platter.create(path, content)
        self._platter.force_directory()

    def files(self) -> dict[str, bytes]:
        """What processes would read now, seen by no lane and costing no step."""
        self.simulation.touches(f"{self.name}/*", "read")
        return {path: bytes(file.seen) for path, file in self._platter.seen.items()}

    def durable_files(self) -> dict[str, bytes]:
        """What is sure to be there after a power cut, if all unsynced changes are lost."""
        self.simulation.touches(f"{self.name}/*", "read")
        return self._platter.after([])

    # --- one request -------------------------------------------------------------------------

    async def _send(
        self,
        verb: str,
        effect: Callable[[Site | None], T],
        *touched: tuple[str, str],
        boundary: bool = False,
    ) -> T:
        site = site_of_caller()
        resources = [(f"{self.name}/{path}", how) for path, how in touched]

        def perform() -> T:
            if any(how == "write" for _, how in touched):
                # In which order files were changed decides what a power cut can take back.
                self.simulation.touches(f"{self.name}/unsynced changes")
            return effect(site)

        # A system call of a process that is dead does not happen any more.
        return await self.simulation.operate(
            f"{verb} {resources[0][0]}",
            perform,
            footprint=Footprint(resources),
            on_crash="drop",
            boundary=boundary,
        )

    def _file(self, path: str) -> File:
        file = self._platter.seen.get(path)
        if file is None:
            raise FileNotFoundError(f"no file {path!r} on disk {self.name}")
        return file

    def _write(self, verb: str, path: str, change: Data, site: Site | None) -> None:
        before = len(change.file.seen)
        self._platter.write(change)
        self._tell(
            "write",
            verb,
            path,
            value=f"{len(change.content)} bytes at {change.offset}",
            before=f"{before} bytes",
            after=f"{len(change.file.seen)} bytes",
            site=site,
        )

    def _survive(self, name: str, kept: Sequence[Change]) -> None:
        self.simulation.touches(f"{self.name}/*")
        self._platter.survive(kept)
        self.simulation.emit("fault", "power cut", peer=self.name, value=name)

    def _tell(
        self,
        kind: str,
        verb: str,
        path: str,
        *,
        value: str = "",
        before: str = "",
        after: str = "",
        site: Site | None,
    ) -> None:
        self.simulation.emit(
            kind,
            verb,
            resource=f"{self.name}/{path}",
            value=value,
            before=before,
            after=after,
            peer=self.name,
            site=site,
        )
