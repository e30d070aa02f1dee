"""Starts services written in Python by forking, with the libraries that they import already there.

This file is run by the interpreter of the services, which need not have Changeover installed, so
it imports the standard library only. The first argument is the number of a socket on which it is
told what to start; the second is the file that holds sleeps; the third says ``-m`` or nothing, the
fourth which module or file the services are. Only libraries are imported beforehand, and none of
the service's own modules: those may look at the environment, which differs between incarnations.
With ``own`` as the fifth they are imported as well, all but the one that is run.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import ctypes
import gc
import importlib
import importlib.machinery
import importlib.util
import json
import os
import runpy
import signal
import socket
import sys
import sysconfig
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple

_PR_SET_PDEATHSIG = 1
_MESSAGE_MAX = 1 << 20


class Job(NamedTuple):
    """What to start: what the server was told, and the handles that came with it."""

    words: dict[str, Any]
    handles: list[int]


def file_of(name: str, path: Sequence[str] | None = None) -> str | None:
    """The file of a module, found without importing anything; nothing if it has none."""
    found = None
    for part in name.split("."):
        found = importlib.machinery.PathFinder.find_spec(part, path)
        if found is None:
            return None
        path = found.submodule_search_locations
    return found.origin if found is not None and found.has_location else None


def is_library(name: str) -> bool:
    """Whether a module belongs to the standard library or to what is installed beside it."""
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names:
        return True
    places = [sysconfig.get_path(each) for each in ("purelib", "platlib")]
    origin = file_of(top)
    return origin is not None and origin.startswith(tuple(places))


def imported_by(path: str) -> Iterator[str]:
    """The modules that a file imports when it is run, as they are written there."""
    with open(path, encoding="utf-8") as file:
        body = ast.parse(file.read()).body
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def surveyed(path: str, *, with_own: bool) -> tuple[list[str], list[str]]:
    """The files of a service's own modules, and what to import: libraries, these if asked for."""
    ahead, found, seen, files = [path], list[str](), set[str](), list[str]()
    while ahead:
        file = ahead.pop()
        files.append(file)
        for name in imported_by(file):
            if name not in seen:
                seen.add(name)
                own = None if is_library(name) else file_of(name)
                if own is not None and own.endswith(".py"):
                    ahead.append(own)
                if own is None or with_own:
                    found.append(name)
    return files, found


def compile_once(files: Sequence[str]) -> None:
    """Compile these files now, and not again in every service; they are run in none of them."""
    compiled: dict[str, tuple[bytes, Any]] = {}
    loader = importlib.machinery.SourceFileLoader
    compile_source = loader.source_to_code

    def remembered(self: Any, data: Any, path: Any, **options: Any) -> Any:
        known = compiled.get(path)
        if known is None or known[0] != data:
            known = compiled[path] = (bytes(data), compile_source(self, data, path, **options))
        return known[1]

    loader.source_to_code = remembered  # type: ignore[method-assign]
    for path in files:
        with contextlib.suppress(OSError, SyntaxError), open(path, "rb") as file:
            remembered(loader("", path), file.read(), path)


def prepare(path: str, *, with_own: bool) -> str:
    """Import and compile what can be; whoever starts threads by that cannot be forked."""
    files, modules = surveyed(path, with_own=with_own)
    compile_once(files)
    # Whoever connects to an address that is text imports this, and nobody says so beforehand.
    for name in ("encodings.idna", *modules):
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    threads = len(os.listdir("/proc/self/task"))
    return f"{threads - 1} thread(s) run as soon as its libraries are imported" * (threads > 1)


def serve(link: socket.socket) -> Job:
    """Start what we are told to start; returns in the process that was started.

    One child is always there before it is needed, so that nobody waits for it to be copied.
    """
    server = os.getpid()
    pid, channel = spared()
    while pid:
        data, handles, _, _ = socket.recv_fds(link, _MESSAGE_MAX, 2)
        if not data:
            os._exit(0)
        job = json.loads(data)
        if "reap" in job:
            status = os.waitstatus_to_exitcode(os.waitpid(job["reap"], 0)[1])
            link.send(json.dumps({"status": status}).encode())
            continue
        with channel:
            socket.send_fds(channel, [data], handles)
        for each in handles:
            os.close(each)
        link.send(json.dumps({"pid": pid}).encode())
        pid, channel = spared()
    link.close()
    with channel:
        return waited(server, channel)


def spared() -> tuple[int, socket.socket]:
    """A child that waits for its job, and how to tell it; in the child 0, and how to hear it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    mine, other = (ours, theirs) if pid else (theirs, ours)
    other.close()
    return pid, mine


def waited(server: int, channel: socket.socket) -> Job:
    """A child that nobody needs yet: it gets a session of its own, and hears what it is to be."""
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != server:
        os._exit(1)
    data, handles, _, _ = socket.recv_fds(channel, _MESSAGE_MAX, 2)
    if not data:
        os._exit(0)
    return Job(json.loads(data), handles)


def become(job: Job, hold_sleeps: Callable[[socket.socket], Callable[[], None]]) -> None:
    """What was started gets an output and an environment of its own."""
    for number in (1, 2):
        os.dup2(job.handles[0], number)
    os.chdir(job.words["directory"])
    os.environ.clear()
    os.environ.update(job.words["environment"])
    with socket.socket(fileno=job.handles[1]) as channel:
        if job.words["holds"]:
            hold_sleeps(channel)()
    os.close(job.handles[0])


def leave(known: Collection[str], status: int) -> None:
    """End as the interpreter does, but for taking apart the libraries, which are the server's.

    Threads are awaited, exit functions called, and whatever the service has made is ended; returns
    if threads go on that nobody awaits.
    """
    if "threading" in sys.modules:
        sys.modules["threading"]._shutdown()
        if sys.modules["threading"].active_count() > 1:
            return
    atexit._run_exitfuncs()
    flush()
    for name in [each for each in sys.modules if each not in known]:
        del sys.modules[name]
    gc.collect()
    flush()
    ctypes.PyDLL(None).exit(status)


def flush() -> None:
    """Write what a service has said and not written yet."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()


def status_of(ending: SystemExit) -> int:
    """The exit status that a service has asked for; any other object is told, and means 1."""
    if ending.code is None or isinstance(ending.code, int):
        return int(ending.code or 0)
    flush()
    sys.stderr.write(f"{ending.code}\n")
    return 1


def main() -> tuple[str, str]:
    """Serve; what was started runs the module or the file."""
    own = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [each for each in sys.path if os.path.abspath(each) != own]
    number, sleeps, module, name, own_too = sys.argv[1:6]
    link = socket.socket(fileno=int(number))
    spec = importlib.util.spec_from_file_location("_sleeps", sleeps)
    assert spec is not None and spec.loader is not None
    holding = importlib.util.module_from_spec(spec)
    sys.modules["_sleeps"] = holding
    spec.loader.exec_module(holding)
    sys.path.insert(0, os.getcwd() if module else os.path.dirname(os.path.abspath(name)))
    path = file_of(f"{name}.__main__") or file_of(name) if module else name
    with_own = own_too == "own"
    refused = prepare(path, with_own=with_own) if path else f"there is no module {name}"
    link.send(json.dumps({"refused": refused}).encode())
    gc.collect()
    gc.freeze()  # whoever collects in a child would copy every page of ours that it looks at
    job = serve(link)
    become(job, holding.hold_sleeps)
    sys.argv = [path or name, *job.words["arguments"]]
    return name, module


if __name__ == "__main__":
    _name, _module = main()
    del sys.modules["_sleeps"]
    _known, _status = frozenset(sys.modules), 0
    try:
        if _module:
            runpy.run_module(_name, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(_name, run_name="__main__")
    except SystemExit as _ending:
        _status = status_of(_ending)
    leave(_known, _status)
    sys.exit(_status)
