"""No way out of a run: threads, sockets, processes, files and real sleep meet a wall."""

from __future__ import annotations

import _thread
import json
import os
import queue
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from os import urandom as bound_urandom
from pathlib import Path
from time import perf_counter as bound_perf_counter
from time import sleep as bound_sleep

import pytest
import trio

from harness.errors import RefusedError
from harness.schedule.simulation import Simulation
from tests.schedule.runs import result_of, run

TASKS, NETWORK, SERVICE, DISK = (
    "nursery",
    "network port",
    "service lane",
    "database or object store",
)


def start_pool() -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int)


SYNCHRONOUS: dict[str, tuple[Callable[[], object], str, str]] = {
    "thread": (lambda: threading.Thread(target=int).start(), "a thread", TASKS),
    "bare thread": (lambda: _thread.start_new_thread(int, ()), "a thread", TASKS),
    "thread pool": (start_pool, "a thread", TASKS),
    "timer": (lambda: threading.Timer(1, int).start(), "a thread", TASKS),
    "sleep": (lambda: time.sleep(0.001), "time.sleep", "trio.sleep"),
    "bound sleep": (lambda: bound_sleep(0.001), "time.sleep", "trio.sleep"),
    "event": (lambda: threading.Event().wait(0.001), "blocking", "trio.Event"),
    "queue": (lambda: queue.Queue[int]().get(timeout=0.001), "blocking", "memory channel"),
    "socket": (socket.socket, "a socket", NETWORK),
    "connection": (lambda: socket.create_connection(("127.0.0.1", 9)), "", NETWORK),
    "name": (lambda: socket.getaddrinfo("localhost", 80), "name resolution", NETWORK),
    "process": (
        lambda: subprocess.run([sys.executable, "-V"], check=True),
        "a subprocess",
        SERVICE,
    ),
    "system": (lambda: os.system("true"), "a new process", SERVICE),
    "fork": (lambda: os.fork() or os._exit(0), "a new process", SERVICE),
    "spawn": (lambda: os.posix_spawn("/bin/true", ["true"], {}), "a new process", SERVICE),
    "file": (lambda: Path("a file").write_text("x"), "a file 'a file'", DISK),
    "descriptor": (lambda: os.open("a file", os.O_CREAT), "a file 'a file'", DISK),
    "directory": (lambda: os.listdir("."), "a directory", DISK),
    "removal": (lambda: Path("a file").unlink(), "a file", DISK),
    "database": (lambda: sqlite3.connect(":memory:"), "a real database", DISK),
}
ASYNCHRONOUS: dict[str, tuple[Callable[[], Awaitable[object]], str, str]] = {
    "trio thread": (lambda: trio.to_thread.run_sync(int), "a thread", TASKS),
    "trio file": (lambda: trio.open_file("a file"), "a thread", TASKS),
    "trio path": (lambda: trio.Path("a file").exists(), "a thread", TASKS),
    "trio process": (lambda: trio.run_process(["true"]), "a subprocess", SERVICE),
    "trio stream": (lambda: trio.open_tcp_stream("127.0.0.1", 9), "", NETWORK),
    "trio descriptor": (lambda: trio.lowlevel.wait_readable(0), "input or output", NETWORK),
}


def refused(simulation: Simulation) -> str:
    assert simulation.ending is not None
    assert simulation.ending.kind == "refused", simulation.ending
    assert isinstance(simulation.refusal, RefusedError)
    assert simulation.ending.detail == str(simulation.refusal)
    return simulation.ending.detail


@pytest.mark.parametrize("name", [*SYNCHRONOUS, *ASYNCHRONOUS])
@pytest.mark.parametrize("swallowed", [False, True])
def test_is_refused(
    name: str, swallowed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    async def program() -> None:
        try:
            if name in SYNCHRONOUS:
                SYNCHRONOUS[name][0]()
            else:
                await ASYNCHRONOUS[name][0]()
        except Exception:
            if not swallowed:
                raise
        await trio.sleep(1)

    detail = refused(run(program))
    _, what, remedy = SYNCHRONOUS[name] if name in SYNCHRONOUS else ASYNCHRONOUS[name]
    assert detail.startswith("main: program asked for ")
    assert what in detail
    assert remedy in detail
    assert list(tmp_path.iterdir()) == []


async def use_a_thread() -> int:
    return await trio.to_thread.run_sync(lambda: 0)


def test_an_idle_thread_of_trio_is_refused_too() -> None:
    ran: list[str] = []
    trio.run(use_a_thread)

    async def program() -> None:
        await trio.to_thread.run_sync(ran.append, "in a thread")

    assert "a thread" in refused(run(program))
    assert ran == []


def test_threads_and_files_are_free_again_after_a_run(tmp_path: Path) -> None:
    run(trio.sleep, 1)
    (tmp_path / "file").write_text("x")
    time.sleep(0)
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    assert trio.run(use_a_thread) == 0


def test_what_is_between_two_steps_is_free() -> None:
    simulation = Simulation()
    simulation.spawn("main", trio.sleep, 1, main=True)
    while options := simulation.options():
        assert Path(__file__).read_text()
        simulation.apply(options[0])
    assert simulation.ending is not None
    assert simulation.ending.kind == "finished"
    with simulation:
        pass


def test_other_threads_are_none_of_our_business(tmp_path: Path) -> None:
    go, done = threading.Event(), threading.Event()

    def bystander() -> None:
        go.wait()
        (tmp_path / "file").write_text("x")
        done.set()

    async def program() -> bool:
        go.set()
        while not done.is_set():
            pass
        return True

    thread = threading.Thread(target=bystander)
    thread.start()
    assert result_of(program) is True
    thread.join()


def test_imports_inside_a_step_still_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "imported_late.py").write_text("answer = 42\n")
    monkeypatch.syspath_prepend(tmp_path)

    async def program() -> int:
        import imported_late  # type: ignore[import-not-found]

        return int(imported_late.answer)

    assert result_of(program) == 42


def test_a_module_named_like_a_reader_of_python_is_no_exception(tmp_path: Path) -> None:
    source = "async def program(path):\n    open(path)\n"
    names: dict[str, object] = {"__name__": "inspector"}
    exec(compile(source, "inspector.py", "exec"), names)  # noqa: S102
    assert "a file" in refused(run(names["program"], str(tmp_path)))  # type: ignore[arg-type]


def test_a_broken_step_can_still_be_shown() -> None:
    import traceback

    async def program() -> str:
        try:
            json.loads("{")
        except ValueError:
            return traceback.format_exc()
        raise AssertionError

    assert "json.loads" in result_of(program)


async def look_at_what_was_bound() -> tuple[float, bytes]:
    await trio.sleep(2)
    return bound_perf_counter(), bound_urandom(4)


def test_what_a_module_has_bound_is_virtual_inside_a_run_alone() -> None:
    real = bound_perf_counter, bound_urandom, bound_sleep
    first = result_of(look_at_what_was_bound)
    assert first == result_of(look_at_what_was_bound)
    assert first[0] == pytest.approx(2)
    assert (bound_perf_counter, bound_urandom, bound_sleep) == real
    assert bound_perf_counter is time.perf_counter
