"""Files that are whole or absent: written under another name, synced, and renamed.

Every failure of the file system becomes one error that names the path, the cause and the remedy.
The caller still holds what it wanted to write and can print it; nothing is swallowed here.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
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
    """Write a file that readers see whole or as it was before; raises :class:`StoreError`."""
    with explained(path, "write"), temporary_name(path) as temporary:
        with temporary.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)


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
