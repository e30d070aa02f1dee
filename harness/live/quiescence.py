"""Can this process still move without us? Answered exactly, by the kernel, with no grace time.

A process is quiet when all of its threads sleep in a system call that only something from outside
ends, none of them ran while we looked, and it has read all that was sent to it. The order of the
looks matters and is kept here; whoever asks then makes sure that nothing arrived from the process
meanwhile. After proc(5) (``syscall``, ``schedstat``, ``stat``) and sock_diag(7).
"""

from __future__ import annotations

import contextlib
import os
import platform
import select
import signal
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

#: System calls of x86-64 that can sleep for ever, with the place of their timeout if they have one
#: (linux/arch/x86/entry/syscalls/syscall_64.tbl).
_READ = 0
_IDLE: dict[int, int | None] = {
    _READ: None,
    7: 2,  # poll
    23: 4,  # select
    34: None,  # pause
    43: None,  # accept
    45: None,  # recvfrom
    47: None,  # recvmsg
    61: None,  # wait4
    130: None,  # rt_sigsuspend
    128: 2,  # rt_sigtimedwait
    202: 3,  # futex
    232: 3,  # epoll_wait
    247: None,  # waitid
    270: 4,  # pselect6
    271: 2,  # ppoll
    281: 3,  # epoll_pwait
    288: None,  # accept4
    441: 3,  # epoll_pwait2
    449: 3,  # futex_waitv
}
#: What waits for one socket and nothing else: read, accept, recvfrom, recvmsg, accept4.
_ONE_SOCKET = frozenset((_READ, 43, 45, 47, 288))
#: What waits for several: by an array of pollfd, by bit sets, by what was registered before.
_POLL, _SELECT, _EPOLL = frozenset((7, 271)), frozenset((23, 270)), frozenset((232, 281, 441))
#: Of these the timeout is a number of milliseconds, and -1 is for ever; of all others a pointer.
_MILLISECONDS = frozenset((7, 232, 281))
#: Sleeping itself; restart_syscall is how a sleep goes on after the process was stopped.
_SLEEPING = frozenset((35, 219, 230))
_RESTARTED = b"219"
#: The system call of each thread, with its arguments.
Calls = Mapping[str, list[bytes]]
NOTHING: Calls = {}
#: PF_EXITING of a process's flags: its registers still show the last system call.
_EXITING = 4
#: A timer of a day outlasts every run: trio never waits longer in one call, whatever it waits for.
FOR_EVER_MS = 86_400_000
#: How long a timer may be that only looks for Ctrl-C while it waits for an answer (psycopg's).
GLANCE_MS = 100

RUNS, ASLEEP, TIMER, GONE = "runs", "asleep", "timer", "gone"
_SOCK_DIAG_BY_FAMILY, _NLMSG_ERROR, _NETLINK_SOCK_DIAG = 20, 2, 4
#: TCP_LISTEN, and FIN_WAIT1, FIN_WAIT2, TIME_WAIT, LAST_ACK, CLOSING: what was closed by its owner
#: (linux/include/net/tcp_states.h).
_LISTENING, _CLOSING = 10, frozenset((4, 5, 6, 9, 11))
#: INET_DIAG_INFO, as an attribute and as the bit that asks for it (linux/inet_diag.h).
_TCP_INFO, _WITH_TCP_INFO = 2, 1 << 1


@dataclass(frozen=True, slots=True)
class Sleep:
    """How a process sleeps: for ever, or in a timer of so many milliseconds (-1: unknown).

    ``is_sleep`` says that it does nothing but sleep, and waits for nothing besides.
    """

    kind: str
    timeout_ms: int = -1
    is_sleep: bool = False

    @property
    def glances(self) -> bool:
        """Whether its timer is one of those that drivers use to look for Ctrl-C."""
        return self.kind == TIMER and 0 <= self.timeout_ms <= GLANCE_MS


def sleep_of(pid: int, before: Calls = NOTHING) -> Sleep:
    """How a process sleeps at this moment, if it does.

    ``before`` are the calls that a stopped process goes on with, which the kernel then no longer
    names: see :func:`calls_of`.
    """
    try:
        threads = sorted(os.listdir(f"/proc/{pid}/task"), key=int)
        counts = _slices(pid, threads)
        found = [_thread(pid, int(each), before) for each in threads]
        if any(each.kind == RUNS for each in found) or not _is_waiting(pid):
            return Sleep(RUNS)
        if _slices(pid, threads) != counts or len(os.listdir(f"/proc/{pid}/task")) != len(threads):
            return Sleep(RUNS)
    except (FileNotFoundError, ProcessLookupError):
        return Sleep(GONE)
    # Timers of helper threads are housekeeping of a runtime; what the program does is in the first.
    return found[threads.index(str(pid))]


def _thread(pid: int, thread: int, before: Calls = NOTHING) -> Sleep:
    words = _call(pid, str(thread), before)
    if not words or words[0] == b"running":
        return Sleep(RUNS)
    number = int(words[0])
    if number in _SLEEPING:
        return Sleep(TIMER, is_sleep=True)
    if number not in _IDLE:
        return Sleep(RUNS)
    if number == _READ and _state(f"/proc/{pid}/task/{thread}/stat")[0] != b"S":
        return Sleep(RUNS)  # it reads a file, which ends by itself
    place = _IDLE[number]
    timeout = int(words[1 + place], 16) if place is not None else None
    if number in _MILLISECONDS and timeout is not None:
        timeout &= 0xFFFFFFFF
        return Sleep(ASLEEP) if timeout >= FOR_EVER_MS else Sleep(TIMER, timeout)
    return Sleep(TIMER) if timeout else Sleep(ASLEEP)


def _call(pid: int, thread: str, before: Calls) -> list[bytes]:
    """The system call of a thread and its arguments; of one that goes on, as it was before."""
    words = _read(f"/proc/{pid}/task/{thread}/syscall").split()
    return before.get(thread, words) if words and words[0] == _RESTARTED else words


def calls_of(pid: int) -> Calls:
    """What the threads of a process wait for, to be asked before it is stopped.

    Afterwards ``poll`` goes on as ``restart_syscall``, which does not say what it is (signal(7)).
    """
    threads = os.listdir(f"/proc/{pid}/task")
    return {thread: _read(f"/proc/{pid}/task/{thread}/syscall").split() for thread in threads}


def is_stopped(pid: int) -> bool:
    """Whether all threads of a process were stopped by SIGSTOP."""
    with contextlib.suppress(OSError):
        threads = os.listdir(f"/proc/{pid}/task")
        return all(_state(f"/proc/{pid}/task/{each}/stat")[0] == b"T" for each in threads)
    return False


def _is_waiting(pid: int) -> bool:
    """Whether a process waits, and is not about to end; a dead one still shows its last call."""
    state, flags = _state(f"/proc/{pid}/stat")
    return state == b"S" and not flags & _EXITING


def _state(path: str) -> tuple[bytes, int]:
    words = _read(path).rsplit(b") ", 1)[1].split()
    return words[0], int(words[6])


def _slices(pid: int, threads: list[str]) -> list[bytes]:
    """How often each thread was given a processor."""
    return [_read(f"/proc/{pid}/task/{each}/schedstat").split()[2] for each in threads]


def _read(path: str) -> bytes:
    handle = os.open(path, os.O_RDONLY)
    try:
        return os.read(handle, 1024)
    finally:
        os.close(handle)


@dataclass(frozen=True, slots=True)
class End:
    """One end of a connection: how much its owner has not read, and how much came and went.

    Sizes are in bytes, -1 if the kernel does not say; ``unsent`` is still to go. ``closed`` says
    that its owner has closed it. ``inode`` is the number by which ``/proc/PID/fd`` knows the
    socket; a connection that nobody has accepted has that of who is to accept it.
    """

    closed: bool
    unread: int
    inode: int
    came: int = -1
    went: int = -1
    unsent: int = 0


class Sockets:
    """Asks the kernel about sockets of other processes on the loopback interface."""

    def __init__(self) -> None:
        self._netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
        self._netlink.settimeout(1.0)

    def close(self) -> None:
        """Ask no more."""
        self._netlink.close()

    def ask(self, port: int, peer_port: int) -> End | None:
        """The end of a connection that has ``port``; nothing if it is gone."""
        found = self._ask(port, peer_port)
        if found is None or found[0] == _LISTENING:
            return None
        state, unread, inode, counts = found
        return End(state in _CLOSING, unread, inode or self.listener(port) or 0, *counts)

    def listener(self, port: int) -> int | None:
        """The number (inode) of the socket that takes connections to a port; nothing if none is."""
        found = self._ask(port, 0)
        return found[2] if found is not None and found[0] == _LISTENING else None

    def _ask(self, port: int, peer_port: int) -> tuple[int, int, int, tuple[int, ...]] | None:
        """The state of a socket, its unread bytes, its number, and how much came and went."""
        here = socket.inet_aton("127.0.0.1") + bytes(12)
        body = (
            struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, _WITH_TCP_INFO, 0, 0xFFF)
            + struct.pack(">HH", port, peer_port)
            + here
            + here
            + struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
        )
        length = 16 + len(body)
        self._netlink.send(struct.pack("=IHHII", length, _SOCK_DIAG_BY_FAMILY, 1, 1, 0) + body)
        answer = self._netlink.recv(4096)
        if struct.unpack_from("=H", answer, 4)[0] == _NLMSG_ERROR:
            return None
        unread, _, _, inode = struct.unpack_from("=IIII", answer, 16 + 4 + 48 + 4)
        return answer[17], unread, inode, _counts(answer, 16 + 72)


def _counts(answer: bytes, offset: int) -> tuple[int, ...]:
    """What came, what was sent and what is still to be sent, by the ``tcp_info`` in an answer."""
    while offset + 4 <= len(answer):
        size, kind = struct.unpack_from("=HH", answer, offset)
        if kind == _TCP_INFO and size >= 4 + 216:
            came, unsent = (
                struct.unpack_from("=Q", answer, offset + 4 + at)[0] for at in (128, 144)
            )
            sent, again = struct.unpack_from("=QQ", answer, offset + 4 + 200)
            return came, sent - again, unsent & 0xFFFFFFFF
        offset += max(4, size + 3 & ~3)
    return ()


def waits_elsewhere(pid: int, inode: int, before: Calls = NOTHING) -> bool:
    """Whether all that can wake a process is to come on other sockets than the one asked about."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
        awaited = {each for thread in threads for each in _awaited(pid, thread, before)}
        return all(os.readlink(f"/proc/{pid}/fd/{each}") != f"socket:[{inode}]" for each in awaited)
    except (OSError, IndexError, ValueError, struct.error):
        return False


def _awaited(pid: int, thread: str, before: Calls) -> Iterator[int]:
    """The files for whose input a thread waits; :class:`ValueError` if that is not known."""
    words = _call(pid, thread, before)
    number, first, second = int(words[0]), int(words[1], 16), int(words[2], 16)
    if number in _ONE_SOCKET:
        yield first
    elif number in _POLL:
        for at in range(second):
            handle, wanted, _ = struct.unpack("=ihh", _memory(pid, first + 8 * at, 8))
            if handle >= 0 and wanted & select.POLLIN:
                yield handle
    elif number in _SELECT:
        bits = int.from_bytes(_memory(pid, second, (first + 63) // 64 * 8), "little")
        yield from (each for each in range(first) if second and bits >> each & 1)
    elif number in _EPOLL:
        for line in Path(f"/proc/{pid}/fdinfo/{first}").read_text().splitlines():
            if line.startswith("tfd:"):
                _, handle, _, events, *_ = line.split()
                if int(events, 16) & select.EPOLLIN:
                    yield int(handle)
    elif number not in _IDLE and number not in _SLEEPING:
        raise ValueError(f"system call {number}")


def _memory(pid: int, address: int, size: int) -> bytes:
    """What a process of ours has at an address."""
    if not address:
        return b""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        return memory.read(size)


def has_ended(pidfd: int) -> bool:
    """Whether the process is dead, reaped or not."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def await_end(pidfd: int, limit_s: float) -> bool:
    """Wait until a process is dead, reaped or not; whether it is."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(1000 * limit_s))


def children_of(pid: int) -> list[int]:
    """The living processes that a process has started, and that may tell it something."""
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            found += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())
    return [each for each in sorted(found) if state_of(each) not in (b"Z", b"X", b"")]


def state_of(pid: int) -> bytes:
    """The letter of a process's state: R, S, D, T (stopped), Z; empty if there is none."""
    try:
        return _state(f"/proc/{pid}/stat")[0]
    except OSError:
        return b""


def system_call_of(pid: int) -> bytes:
    """The number of the system call that a process is in; empty if it is in none."""
    try:
        return _read(f"/proc/{pid}/syscall").split()[0]
    except (OSError, IndexError):
        return b""


def session_members(*leaders: int) -> dict[int, list[int]]:
    """The living processes of the sessions that some processes lead, but for these themselves."""
    found: dict[int, list[int]] = {}
    names = [each for each in os.listdir("/proc") if each.isdecimal()] if leaders else []
    for pid in map(int, names):
        try:
            session = os.getsid(pid)
        except OSError:
            continue  # it has just gone
        if session in leaders and pid != session and state_of(pid) not in (b"Z", b"X", b""):
            found.setdefault(session, []).append(pid)
    return {session: sorted(members) for session, members in found.items()}


def missing() -> str:
    """Why no process can be observed exactly on this machine; empty if it can be."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return f"needs Linux on x86-64, this is {platform.system()} on {platform.machine()}"
    needs: tuple[tuple[str, Callable[[], object]], ...] = (
        ("/proc/PID/syscall", lambda: _read(f"/proc/{os.getpid()}/syscall")),
        ("/proc/PID/schedstat", lambda: _read(f"/proc/{os.getpid()}/schedstat").split()[2]),
        ("pidfd_open", lambda: os.close(os.pidfd_open(os.getpid()))),
        ("pidfd_send_signal", lambda: signal.pidfd_send_signal),
        ("sock_diag", _try_sockets),
    )
    for what, attempt in needs:
        try:
            attempt()
        except (OSError, AttributeError, IndexError) as error:
            return f"needs {what} of the kernel ({type(error).__name__}: {error})"
    return "" if Path("/proc/self/task").is_dir() else "needs /proc/PID/task of the kernel"


def _try_sockets() -> None:
    with contextlib.closing(Sockets()) as sockets, socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client, server.accept()[0] as ours:
            client.send(b"x")
            if sockets.ask(port, client.getsockname()[1]) is None:
                raise OSError(f"no answer about a connection of our own ({ours.fileno()})")
