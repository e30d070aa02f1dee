"""Where findings and summaries are kept: the folder ``.changeover`` and the committed regressions.

A finding's file is named by its scenario and digest, so that two findings never overwrite each
other and the same one is kept once. Files appear whole or not at all. Nothing is deleted: a file
that cannot be read is set aside and named, and a regression is never written over.

Both stand in the folder of the project, whatever folder somebody works in.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePath

from harness.errors import UsageError, closest
from harness.findings import serial
from harness.findings.files import (
    StoreError,
    explained,
    file_name,
    make_folder,
    point_to,
    prune,
    set_aside,
    write_record,
    write_whole,
)
from harness.findings.finding import FORMAT, Finding
from harness.findings.serial import UnreadableError
from harness.history import relative

__all__ = [
    "REGRESSIONS",
    "ROOT",
    "Listing",
    "StoreError",
    "keep",
    "latest_summary",
    "list_findings",
    "list_regressions",
    "load",
    "prepare",
    "quarantine",
    "regressions_beside",
    "save",
    "with_token",
    "write_summary",
]

ROOT = Path(".changeover")
REGRESSIONS = Path("tests/regressions")


def regressions_beside(root: Path) -> Path:
    """Where the regressions of a project are whose other files are in ``root``."""
    return root.parent / REGRESSIONS


#: How many summaries of runs are kept.
SUMMARIES_MAX = 50

#: The signature that tells backup programs to leave a folder out (https://bford.info/cachedir/).
_CACHE_TAG = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This folder was made by changeover. What is worth keeping is kept by `changeover keep`.\n"
)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a folder holds, newest first, and one sentence for each file that could not be read."""

    findings: tuple[Finding, ...]
    problems: tuple[str, ...] = ()


def save(finding: Finding, root: Path = ROOT) -> Path:
    """Keep a finding and return its file; raises :class:`StoreError` when it cannot be written."""
    prepare(root, "findings")
    path = _place(finding, root / "findings")
    write_whole(path, serial.dumps(_portable(finding, path, root.parent)))
    return path


def load(reference: str | Path, root: Path = ROOT) -> Finding:
    """The finding of a file, an identity or a unique start of one, or ``last``.

    Raises :class:`UsageError` with the closest match, the ambiguous ones, or what is wrong with
    the file. A damaged file below ``root`` is renamed to ``….unreadable`` and named.
    """
    path = _find(str(reference), root)
    try:
        return _read(path)
    except UnreadableError as error:
        if root.resolve() not in path.resolve().parents:
            raise
        raise UnreadableError(f"{error}; {set_aside(path)}") from None


def with_token(token: str, root: Path = ROOT) -> Finding | None:
    """The newest finding of a schedule, or a committed one, if there is any that can be read."""
    folders = (root / "findings", regressions_beside(root))
    texts = (path for folder in folders for path in _files(folder) if _mentions(path, token))
    found = _listing(texts).findings
    return next((each for each in found if each.token == token), None)


def list_findings(root: Path = ROOT, *, tidy: bool = False) -> Listing:
    """The saved findings; unreadable files are reported, and set aside if it shall be ``tidy``."""
    return _listing(_files(root / "findings"), tidy=tidy)


def list_regressions(directory: Path = REGRESSIONS) -> Listing:
    """The committed findings, by name; unreadable files are reported and left where they are."""
    return _listing(sorted(_files(directory)))


def write_summary(summary: Mapping[str, object], root: Path = ROOT, *, now: datetime) -> Path:
    """Write the summary of one run and point ``latest`` to it; raises :class:`StoreError`.

    Of the summaries the newest :data:`SUMMARIES_MAX` stay.
    """
    text = json.dumps({"format": FORMAT, **summary}, indent=1, allow_nan=False) + "\n"
    folder = prepare(root, "runs")
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    path = folder / f"{stamp}-{hashlib.sha256(text.encode()).hexdigest()[:6]}.json"
    write_whole(path, text)
    point_to(root / "latest", f"runs/{path.name}")
    prune(folder, SUMMARIES_MAX)
    return path


def latest_summary(root: Path = ROOT) -> dict[str, object] | None:
    """The summary of the last run, or None before the first; raises :class:`UsageError`."""
    latest = root / "latest"
    if not latest.exists():
        return None
    with explained(latest, "read"):
        text = latest.read_text(encoding="utf-8", errors="replace")
        if not latest.is_symlink():
            text = (root / text.strip()).read_text(encoding="utf-8", errors="replace")
    try:
        summary = json.loads(text)
    except ValueError as error:
        raise UnreadableError(f"{latest}: not JSON: {error}") from None
    if not isinstance(summary, dict):
        raise UnreadableError(f"{latest}: a summary is a JSON object")
    return summary


def keep(
    finding: Finding, reason: str, directory: Path = REGRESSIONS, name: str | None = None
) -> Path:
    """Write a finding where it will be committed, with the reason, and return its file.

    Raises :class:`UsageError` without a reason, for a path as its name, and rather than overwriting
    another one.
    """
    if not reason.strip():
        raise UsageError("a regression is kept with its reason; say in one sentence what it guards")
    if name is not None and PurePath(name).name != name:
        raise UsageError(f"a regression is kept in {directory}: give a name, not the path {name!r}")
    path = directory / f"{file_name(name or f'{finding.scenario}-{finding.identity}')}.json"
    kept = replace(_portable(finding, path, directory.parent.parent), reason=reason.strip())
    if path.exists():
        present = _read(path)
        if replace(present, saved=kept.saved) != kept:
            other = "with another reason" if present.digest == kept.digest else "and is another one"
            raise UsageError(
                f"{path} exists already {other} ({present.identity}: {present.reason or 'none'}); "
                "choose another name, or edit or remove that file yourself"
            )
        return path
    make_folder(directory)
    write_whole(path, serial.dumps(kept))
    return path


def _portable(finding: Finding, path: Path, project: Path) -> Finding:
    """The finding as it is written: what it names is below the project, not somebody's home."""
    history = tuple(
        replace(event, site=replace(event.site, path=relative(event.site.path)))
        if event.site is not None and PurePath(event.site.path).is_absolute()
        else event
        for event in finding.history
    )
    saved = path.relative_to(project).as_posix()
    sources = {_below(project, file): digest for file, digest in finding.sources.items()}
    sources.pop("", None)
    file = _below(project, finding.file)
    return replace(finding, history=history, saved=saved, sources=sources, file=file)


def _below(project: Path, file: str) -> str:
    """A file from the folder of the project; nothing of one that lies elsewhere."""
    place, top = Path(file), project.resolve()
    if not place.is_absolute():
        return file
    return place.relative_to(top).as_posix() if place.is_relative_to(top) else ""


def prepare(root: Path, folder: str) -> Path:
    """Make a folder below ``root``, which keeps itself out of git and of backups."""
    made = root / folder
    make_folder(made)
    with explained(root, "use"):
        for name, text in ((".gitignore", "*\n"), ("CACHEDIR.TAG", _CACHE_TAG)):
            if not (root / name).exists():
                write_whole(root / name, text)
    return made


def quarantine(token: str, scenario: str, details: Mapping[str, object], root: Path = ROOT) -> Path:
    """Put a schedule that cannot be repeated aside, with what differed; returns its file.

    Raises :class:`StoreError`.
    """
    folder = prepare(root, "quarantine")
    digits = hashlib.sha256(token.encode()).hexdigest()[:6]
    path = folder / f"{file_name(scenario)}-{digits}.json"
    write_record(path, {"token": token, "scenario": scenario, **details})
    return path


def _place(finding: Finding, folder: Path) -> Path:
    """The finding's file; a longer digest tells it from another one with the same six digits."""
    if len(finding.digest) < 6 or set(finding.digest) - set("0123456789abcdef"):
        raise UsageError(f"a finding is saved by its hexadecimal digest, not {finding.digest!r}")
    name = file_name(finding.scenario)
    path = folder / f"{name}-{finding.identity}.json"
    if path.exists():
        with suppress(UsageError):
            if _read(path).digest != finding.digest:
                return folder / f"{name}-{finding.digest[:16]}.json"
    return path


def _read(path: Path) -> Finding:
    with explained(path, "read"):
        raw = path.read_bytes()
    try:
        finding = serial.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise UnreadableError(f"{path}: not text: {error}") from None
    except UsageError as error:
        raise type(error)(f"{path}: {error}") from None
    return replace(finding, saved=path.as_posix())


def _mentions(path: Path, token: str) -> bool:
    """Whether a file may be of a schedule, asked before all of it is read as a finding."""
    with suppress(OSError):
        return json.dumps(token) in path.read_text(encoding="utf-8", errors="replace")
    return False


def _files(folder: Path) -> list[Path]:
    """The files of findings, newest first."""
    if not folder.is_dir():
        return []
    dated: list[tuple[int, str, Path]] = []
    for path in folder.glob("*.json"):
        with suppress(FileNotFoundError):
            dated.append((-path.stat().st_mtime_ns, path.name, path))
    return [path for _, _, path in sorted(dated)]


def _listing(paths: Iterable[Path], *, tidy: bool = False) -> Listing:
    findings: list[Finding] = []
    problems: list[str] = []
    for path in paths:
        try:
            findings.append(_read(path))
        except UnreadableError as error:
            problems.append(f"{error}; {set_aside(path)}" if tidy else str(error))
        except UsageError as error:
            problems.append(str(error))
    return Listing(tuple(findings), tuple(problems))


def _find(reference: str, root: Path) -> Path:
    given = Path(reference)
    with suppress(OSError):
        if given.is_file():
            return given
    files = _files(root / "findings")
    _look_aside(given.name.removesuffix(".json"), root / "findings")
    if not files:
        raise UsageError(f"no finding {reference!r}: nothing is saved in {root / 'findings'}")
    if reference == "last":
        return files[0]
    wanted = given.name.removesuffix(".json")
    matches = [path for path in files if _answers(path, wanted)]
    whole = [path for path in matches if path.stem == wanted]
    if len(whole or matches) == 1:
        return (whole or matches)[0]
    if matches:
        listing = ", ".join(sorted(path.stem for path in matches))
        raise UsageError(f"{reference!r} is ambiguous: {listing}; give more of the name")
    if given.name != reference:
        raise UsageError(f"unknown finding {reference!r}: no such file, and none is saved so")
    exact = {path.stem for path in files} | {_digits(path) for path in files}
    raise closest(wanted, exact, kind="finding")


def _look_aside(wanted: str, folder: Path) -> None:
    """Say where a finding is that could not be read, if it is the one that is wanted."""
    for path in sorted(folder.glob("*.json.unreadable*")) if wanted else ():
        stem = path.name.partition(".json.unreadable")[0]
        whole = folder / f"{stem}.json"
        if wanted in (stem, stem.rpartition("-")[2]) and not whole.exists():
            raise UsageError(
                f"finding {wanted!r} could not be read and was set aside as {path}; mend that file "
                f"and call it {whole.name} again, or replay by its token"
            )


def _digits(path: Path) -> str:
    return path.stem.rpartition("-")[2]


def _answers(path: Path, wanted: str) -> bool:
    """Whether a file is meant by its name, its digits, the start of either, or the full digest."""
    if not wanted:
        return False
    if path.stem.startswith(wanted) or _digits(path).startswith(wanted):
        return True
    if not wanted.startswith(_digits(path)):
        return False
    with suppress(UsageError):
        return _read(path).digest.startswith(wanted)
    return False
