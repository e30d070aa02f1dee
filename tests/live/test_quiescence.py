"""Whether a process can still move without us: asked of real processes, never by waiting a while.

Where a test waits, it waits for a state that must come, and fails if it does not.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from harness.live import quiescence
from harness.live.quiescence import ASLEEP, GONE, RUNS, TIMER, Sleep, Sockets, sleep_of

if missing := quiescence.missing():
    pytest.skip(missing, allow_module_level=True)


@contextmanager
def program(text: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process; it is killed in the end."""
    command = [sys.executable, "-I", "-S", "-c", text, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


def until(true: Callable[[], bool]) -> None:
    """Wait for what must come."""
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "it never came"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("import sys; sys.stdin.read()", ASLEEP),
        ("import select; select.poll().poll()", ASLEEP),
        ("import select; select.epoll().poll()", ASLEEP),
        ("import select; select.select([], [], [])", ASLEEP),
        ("import signal; signal.pause()", ASLEEP),
        ("import threading; threading.Lock().acquire() and threading.Event().wait()", ASLEEP),
        ("import socket; socket.create_server(('127.0.0.1', 0)).accept()", ASLEEP),
        ("import time; time.sleep(1000)", TIMER),
        ("import select; select.poll().poll(1_000_000)", TIMER),
        ("import select; select.epoll().poll(1000)", TIMER),
        ("import select; select.select([], [], [], 1000)", TIMER),
        ("import threading; threading.Event().wait(1000)", TIMER),
    ],
)
def test_sleeping_for_ever_is_told_from_a_timer(text: str, kind: str) -> None:
    with program(text) as process:
        until(lambda: sleep_of(process.pid).kind == kind)


def test_the_length_of_a_poll_is_known_so_that_a_glance_is_told_from_a_timer() -> None:
    with program("import select\nwhile True: select.poll().poll(100)") as process:
        until(lambda: sleep_of(process.pid).glances)
    assert not Sleep(TIMER, 101).glances and not Sleep(TIMER).glances and not Sleep(ASLEEP).glances


def test_a_poll_that_was_stopped_is_known_by_what_it_was_before() -> None:
    text = "import select; p = select.poll(); p.register(0, 1); p.poll(1_000_000)"
    with program(text) as process:
        until(lambda: sleep_of(process.pid).kind == TIMER)
        before = quiescence.calls_of(process.pid)
        assert not quiescence.is_stopped(process.pid)
        process.send_signal(signal.SIGSTOP)
        until(lambda: quiescence.is_stopped(process.pid))
        assert sleep_of(process.pid).kind == RUNS
        process.send_signal(signal.SIGCONT)
        until(lambda: sleep_of(process.pid).kind == TIMER)
        assert sleep_of(process.pid).is_sleep  # so the kernel says, and is not to be believed
        assert sleep_of(process.pid, before) == Sleep(TIMER, 1_000_000)


def test_a_process_that_computes_is_never_asleep() -> None:
    with program("print(flush=True)\nwhile True: pass") as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert {sleep_of(process.pid).kind for _ in range(200)} == {RUNS}


def test_one_thread_that_computes_is_enough() -> None:
    text = (
        "import signal, threading\n"
        "def spin():\n while True: pass\n"
        "threading.Thread(target=spin, daemon=True).start()\nprint(flush=True)\nsignal.pause()"
    )
    with program(text) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert ASLEEP not in {sleep_of(process.pid).kind for _ in range(200)}


def test_a_thread_that_ran_between_two_looks_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with program("import sys\nwhile sys.stdin.readline(): pass") as process:
        until(lambda: sleep_of(process.pid).kind == ASLEEP)
        real, woken = quiescence._thread, list[int]()

        def look(pid: int, thread: int, before: quiescence.Calls) -> Sleep:
            found = real(pid, thread, before)
            if not woken and process.stdin is not None:
                # Right after the look it is woken, and sleeps again before the next one.
                woken.append(1)
                slices = quiescence._slices(pid, [str(pid)])
                process.stdin.write(b"go\n")
                process.stdin.flush()
                until(lambda: quiescence._slices(pid, [str(pid)]) != slices)
                until(lambda: real(pid, thread).kind == ASLEEP)
            return found

        monkeypatch.setattr(quiescence, "_thread", look)
        assert sleep_of(process.pid).kind == RUNS
        assert sleep_of(process.pid).kind == ASLEEP


def test_reading_a_file_is_not_sleeping(monkeypatch: pytest.MonkeyPatch) -> None:
    # A process in state D inside read() is a moment that cannot be ordered, so the kernel's words
    # are given by hand.
    words = {"syscall": b"0 0x3 0x7f 0x10 0x0 0x0 0x0 0x7f 0x7f", "schedstat": b"1 1 5"}
    state = {"now": b"D"}

    def told(path: str) -> bytes:
        name = path.rpartition("/")[2]
        return words.get(name, b"7 (sh) %b 1 7 7 0 -1 0 0" % state["now"])

    monkeypatch.setattr(quiescence, "_read", told)
    monkeypatch.setattr(os, "listdir", lambda path: ["7"])
    assert sleep_of(7).kind == RUNS
    state["now"] = b"S"
    assert sleep_of(7).kind == ASLEEP


def test_a_process_that_exits_shows_its_last_call_and_is_not_asleep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flags = {"now": b"4194564"}
    words = {"syscall": b"7 0x0 0x0 0xffffffff 0x0 0x0 0x0 0x7f 0x7f", "schedstat": b"1 1 5"}

    def told(path: str) -> bytes:
        name = path.rpartition("/")[2]
        return words.get(name, b"7 (sh) S 1 7 7 0 -1 %b 0" % flags["now"])

    monkeypatch.setattr(quiescence, "_read", told)
    monkeypatch.setattr(os, "listdir", lambda path: ["7"])
    assert sleep_of(7).kind == RUNS
    flags["now"] = b"4194560"
    assert sleep_of(7).kind == ASLEEP


def test_a_killed_process_that_nobody_has_reaped_is_not_asleep() -> None:
    with program("import signal; signal.pause()") as process:
        until(lambda: sleep_of(process.pid).kind == ASLEEP)
        pidfd = os.pidfd_open(process.pid)
        try:
            assert not quiescence.has_ended(pidfd)
            process.send_signal(signal.SIGKILL)
            until(lambda: quiescence.has_ended(pidfd))
            assert sleep_of(process.pid).kind in (RUNS, GONE)
        finally:
            os.close(pidfd)
        process.wait()
        assert sleep_of(process.pid).kind == GONE


def test_what_a_peer_has_not_read_is_counted_to_the_byte() -> None:
    with closing(Sockets()) as sockets, socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            mine = client.getsockname()[1]
            ours, _ = server.accept()

            def counted() -> tuple[int, int, int]:
                end = sockets.ask(mine, port)
                assert end is not None and not end.closed and not end.unsent
                return end.unread, end.came, end.went

            with ours:
                assert counted() == (0, 0, 0)
                ours.send(b"hello")
                assert counted() == (5, 5, 0)
                client.recv(2)
                client.send(b"and back")
                assert counted() == (3, 5, 8)
                client.shutdown(socket.SHUT_WR)
                end = sockets.ask(mine, port)
                assert end is not None and end.closed
        assert sockets.ask(1, 1) is None


def test_what_cannot_be_sent_yet_is_still_to_come() -> None:
    with closing(Sockets()) as sockets, socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.setblocking(False)
            ours, _ = server.accept()
            with ours:
                with suppress(BlockingIOError):
                    while True:
                        client.send(bytes(1 << 20))
                end = sockets.ask(client.getsockname()[1], port)
                assert end is not None and end.unsent


def test_a_connection_that_nobody_has_accepted_waits_for_who_listens() -> None:
    with closing(Sockets()) as sockets, socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        inode = os.fstat(server.fileno()).st_ino
        assert sockets.listener(port) == inode
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.send(b"hello")
            end = sockets.ask(port, client.getsockname()[1])
            assert end is not None and (end.unread, end.inode) == (5, inode)
            assert sockets.listener(client.getsockname()[1]) is None


def test_the_children_of_a_service_are_seen() -> None:
    text = "import os, signal\nif os.fork(): print(flush=True)\nsignal.pause()"
    with program(text) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (child,) = quiescence.session_members(process.pid)[process.pid]
        assert child != process.pid
        os.killpg(process.pid, signal.SIGKILL)
        select.select([process.stdout], [], [])
        until(lambda: not quiescence.session_members(process.pid))


@pytest.mark.parametrize(
    "wait",
    [
        "other.recv(1)",
        "p = select.poll(); p.register(other, 1); p.poll()",
        "p = select.poll(); p.register(one, 4 & 0); p.register(other, 1); p.poll()",
        "p = select.poll(); p.register(other, 1); p.poll(10**6)",
        "p = select.epoll(); p.register(other, 1); p.poll()",
        "select.select([other], [], [])",
        "threading.Thread(target=lambda: other.recv(1)).start(); threading.Event().wait()",
    ],
)
def test_who_waits_for_one_socket_is_not_woken_by_another(wait: str) -> None:
    text = (
        "import select, socket, sys, threading\n"
        "one, other = (socket.create_connection(('127.0.0.1', int(sys.argv[1]))) for _ in 'ab')\n"
    )
    with closing(Sockets()) as sockets, socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with program(text + wait, str(port)) as process:
            accepted = [server.accept()[0] for _ in "ab"]
            found = [sockets.ask(each.getpeername()[1], port) for each in accepted]
            inodes = [each.inode for each in found if each is not None]
            until(lambda: sleep_of(process.pid).kind in (ASLEEP, TIMER))
            until(lambda: not quiescence.waits_elsewhere(process.pid, inodes[1]))
            assert quiescence.waits_elsewhere(process.pid, inodes[0])
            for each in accepted:
                each.close()
