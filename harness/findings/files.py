"""Files that are whole or absent: written under another name, synced, and renamed.

Every failure of the file system becomes one error that names the path, the cause and the remedy.
The caller still holds what it wanted to write and can print it; nothing is swallowed here.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.errors import UsageError

_REMEDIES = {
    errno.ENOSPC: "free some space and run again",
    errno.EDQUOT: "free some of your quota and run again",
    errno.EROFS: "run from a directory that can be written",
    errno.EACCES: "make it writable for this user, or run from another directory",
    errno.EPERM: "make it writable for this user, or run from another directory",
    errno.ENOTDIR: "a file stands where a folder is needed; move it away",
    errno.EEXIST: "a file stands where a folder is needed; move it away",
    errno.EISDIR: "a folder stands where a file is needed; move it away",
    errno.ENAMETOOLONG: "choose a shorter name",
}
_TEMPORARY = re.compile(r"\..*\.(?P<writer>\d+)-[0-9a-f]{8}\.tmp")


class StoreError(UsageError):
    """The file system refused; the message names the path, the cause and the remedy."""


@contextmanager
def explained(path: Path, doing: str) -> Iterator[None]:
    """Turn an error of the file system into a :class:`StoreError` about ``path``."""
    try:
        yield
    except OSError as error:
        cause = error.strerror or str(error)
        remedy = _REMEDIES.get(error.errno or 0, "check the path and run again")
        raise StoreError(f"cannot {doing} {path}: {cause}; {remedy}") from error


def make_folder(path: Path) -> None:
    """Make a folder and its parents; raises :class:`StoreError`."""
    with explained(path, "make the folder"):
        path.mkdir(parents=True, exist_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write a file that readers see whole or as it was before; raises :class:`StoreError`.

    When it returns, not even a power cut takes the file away again.
    """
    with explained(path, "write"):
        with temporary_name(path) as temporary:
            with temporary.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system can do that."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # some file systems refuse to sync a folder and need no syncing
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_record(path: Path, data: Mapping[str, object]) -> None:
    """Write a JSON object of format 1; raises :class:`StoreError`."""
    write_whole(path, json.dumps({"format": 1, **data}, indent=1, allow_nan=False) + "\n")


def read_record(path: Path) -> dict[str, object]:
    """A JSON object of format 1; raises :class:`UsageError` that says what is wrong with it."""
    with explained(path, "read"):
        raw = path.read_bytes()
    try:
        data = json.loads(raw.decode("utf-8"))
    except ValueError as error:
        raise UsageError(f"{path}: not JSON: {error}") from None
    if not isinstance(data, dict) or data.get("format") != 1:
        raise UsageError(f"{path}: not an object of format 1")
    return data


def set_aside(path: Path) -> str:
    """Rename a file that cannot be read, and say where it is now."""
    aside = path.with_name(path.name + ".unreadable")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.unreadable.{number}")
    try:
        path.rename(aside)
    except OSError as error:
        return f"it could not be set aside ({error.strerror}) and is still there"
    return f"set aside as {aside}, nothing was deleted"


def prune(folder: Path, newest: int) -> None:
    """Keep only so many JSON files of a folder, the newest ones."""
    dated: list[tuple[int, str, Path]] = []
    for path in folder.glob("*.json"):
        with suppress(OSError):
            dated.append((path.stat().st_mtime_ns, path.name, path))
    for _, _, path in sorted(dated)[:-newest]:
        with suppress(OSError):
            path.unlink()


def sweep(root: Path) -> int:
    """Remove what writers that are dead have left half-written below a folder; how many."""
    swept = 0
    for path in sorted(root.rglob(".*.tmp")) if root.is_dir() else ():
        match = _TEMPORARY.fullmatch(path.name)
        if match is not None and not _alive(int(match["writer"])):
            with suppress(OSError):
                path.unlink()
                swept += 1
    return swept


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def file_name(name: str) -> str:
    """A name as part of a file's name: it cannot choose a folder, nor be endless."""
    return re.sub(r"[^A-Za-z0-9_.\-]+", "-", name).strip("-.")[:100] or "finding"


def point_to(link: Path, target: str) -> None:
    """Make ``link`` a symbolic link to ``target``, or a text file naming it where links fail."""
    try:
        with temporary_name(link) as temporary:
            os.symlink(target, temporary)
            os.replace(temporary, link)
    except (OSError, NotImplementedError):
        write_whole(link, target + "\n")


@contextmanager
def temporary_name(path: Path) -> Iterator[Path]:
    """A name next to ``path`` that no other process uses; nothing is left of it after a failure."""
    temporary = path.with_name(f".{path.name[:80]}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
