"""An object store of paths and bodies, all of it in memory; ``POST /reset`` empties it."""

import threading

from tests.live.services.http_wire import serve

kept: dict[str, bytes] = {}
lock = threading.Lock()


def answer(method: str, path: str, body: bytes) -> tuple[int, bytes]:
    with lock:
        if path == "/reset":
            kept.clear()
        elif method == "PUT":
            kept[path] = body
        elif method == "GET" and path in kept:
            return 200, kept[path]
        elif method == "GET":
            return 404, b"0"
    return 200, b""


serve(answer)
