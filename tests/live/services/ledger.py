"""A ledger that others ask by HTTP: ``POST /add`` adds one to a row, by reading and writing it.

With the argument ``atomic`` the database adds; with ``single`` one connection is answered after
the other, else each has a thread, and a connection to the database.
"""

import sys
import threading

from tests.live.services.http_wire import serve
from tests.live.services.wire_client import ask, connect

mine = threading.local()


def answer(method: str, path: str, body: bytes) -> tuple[int, bytes]:
    if not hasattr(mine, "link"):
        mine.link = connect()
    if "atomic" in sys.argv:
        ask(mine.link, "update books set amount = amount + 1 where name = 'ann'")
    else:
        amount = int(ask(mine.link, "select amount from books where name = 'ann'") or 0)
        ask(mine.link, f"update books set amount = {amount + 1} where name = 'ann'")
    return 200, b"done"


serve(answer, threads="single" not in sys.argv)
