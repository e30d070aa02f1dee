"""HTTP/1.1 of 60 lines for services that must start fast: a client, and a server of threads."""

import os
import socket
import threading
from collections.abc import Callable

Handler = Callable[[str, str, bytes], tuple[int, bytes]]


def connect(peer: str) -> socket.socket:
    """A connection to a peer, by its name in the scenario."""
    address = os.environ[f"{peer.upper()}_HOST"], int(os.environ[f"{peer.upper()}_PORT"])
    return socket.create_connection(address)


def ask(link: socket.socket, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """The status and the body of the answer; raises ConnectionError if none comes."""
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    link.sendall(head.encode() + body)
    first, answer = take(link)
    return int(first.split()[1]), answer


def take(link: socket.socket) -> tuple[str, bytes]:
    """The first line and the body of the next message, whose length is said."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        more = link.recv(1)
        if not more:
            raise ConnectionError("nobody answers")
        head += more
    first, *lines = head.decode().strip().split("\r\n")
    fields = {name.lower(): value for name, _, value in (line.partition(":") for line in lines)}
    body = b""
    while len(body) < int(fields.get("content-length", "0")):
        body += link.recv(65_536)
    return first, body


def serve(handle: Handler, *, threads: bool = True) -> None:
    """Answer every connection at HOST and PORT for ever, in a thread of its own or one by one."""
    with socket.create_server((os.environ["HOST"], int(os.environ["PORT"]))) as server:
        while True:
            link, _ = server.accept()
            if threads:
                threading.Thread(target=_answer_all, args=(link, handle), daemon=True).start()
            else:
                _answer_all(link, handle)


def _answer_all(link: socket.socket, handle: Handler) -> None:
    with link:
        while True:
            try:
                first, body = take(link)
            except ConnectionError:
                return
            method, path, _ = first.split()
            status, answer = handle(method, path, body)
            head = f"HTTP/1.1 {status} x\r\nContent-Length: {len(answer)}\r\n\r\n"
            link.sendall(head.encode() + answer)
