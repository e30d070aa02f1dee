"""A service that does what its command line says: SQL, one statement an argument, or a deed.

Of a statement that fails the SQLSTATE is written into the table ``said``, after a rollback.
"""

import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable

from tests.live.services.wire_client import Refused, answer, ask, connect, keys


def spin(link: socket.socket, argument: str) -> None:
    while True:
        pass


def fork(link: socket.socket, argument: str) -> None:
    if not os.fork():
        signal.pause()


def flood(link: socket.socket, argument: str) -> None:
    while True:
        os.write(1, b"x" * 100_000)


def leave(link: socket.socket, argument: str) -> None:
    os.write(2, b"a bad day\n")
    sys.exit(int(argument))


def unread(link: socket.socket, argument: str) -> None:
    words = argument.encode() + b"\0"
    link.sendall(b"Q" + struct.pack(">I", len(words) + 4) + words)
    signal.pause()


def cancel(link: socket.socket, argument: str) -> None:
    """Ask something in vain: from a second connection it is cancelled while it waits."""
    address = os.environ["PGHOST"], int(os.environ["PGPORT"])
    words = argument.encode() + b"\0"
    link.sendall(b"Q" + struct.pack(">I", len(words) + 4) + words)
    with socket.create_connection(address) as other:
        other.sendall(struct.pack(">IIII", 16, 80877102, *keys[link]))
        other.recv(1)
    try:
        answer(link)
    except Refused as error:
        ask(link, f"insert into said (what) values ('{error}')")


def mute(link: socket.socket, argument: str) -> None:
    address = os.environ["PGHOST"], int(os.environ["PGPORT"])
    with socket.create_connection(address):
        signal.pause()


def alarm(link: socket.socket, argument: str) -> None:
    """Be woken at a time of the run, and write down which time it is then."""
    if not alarms:
        alarms.append(socket.create_connection(("127.0.0.1", int(os.environ["CHANGEOVER_ALARM"]))))
    (ring,) = alarms
    for due in argument.split(","):
        ring.send(struct.pack("<d", float(due)))
    ring.recv(1)
    with open(os.environ["CHANGEOVER_CLOCK"], "rb") as page:
        (now,) = struct.unpack("<d", page.read(8))
    ask(link, f"insert into said (what) values ('{os.environ['ME']} {now:g}')")


def child(link: socket.socket, argument: str) -> None:
    """Wait for another program, as interpreters do while they start."""
    busy = f"for _ in range({argument}): pass"
    subprocess.run([sys.executable, "-S", "-c", busy], check=True)


alarms: list[socket.socket] = []
DEEDS: dict[str, Callable[[socket.socket, str], object]] = {
    "sleep": lambda link, argument: time.sleep(float(argument)),
    "poll": lambda link, argument: select.poll().poll(int(argument)),
    "deaf": lambda link, argument: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "pause": lambda link, argument: signal.pause(),
    # The next message of the server that nobody asked for: a notification.
    "hear": lambda link, argument: link.recv(65_536),
    "spin": spin,
    "fork": fork,
    "flood": flood,
    "exit": leave,
    "unread": unread,
    "mute": mute,
    "cancel": cancel,
    "alarm": alarm,
    "child": child,
    "phase": lambda link, argument: os.write(1, f"phase: {argument}\n".encode()),
}


def play() -> None:
    link = connect()
    for argument in sys.argv[1:]:
        name, colon, rest = argument.partition(":")
        if colon and name in DEEDS:
            DEEDS[name](link, rest)
            continue
        try:
            ask(link, argument)
        except Refused as error:
            ask(link, "rollback")
            ask(link, f"insert into said (what) values ('{os.environ['ME']} {error}')")
    if "KEPT" in os.environ:
        link.close()


play()
while "KEPT" in os.environ:
    os.kill(os.getpid(), signal.SIGSTOP)
    play()
