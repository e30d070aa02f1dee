"""The funding service, kept alive: when it is done it stops itself, and goes on in the next run."""

import os
import signal
import sys

from tests.live.services.wire_client import ask, connect

payments = int(sys.argv[1])
while True:
    link = connect()
    index = int(ask(link, "select value from funding where market = 'BTC'") or 0)
    for _ in range(payments):
        index += 1
        update = f"update funding set value = {index}"
        ask(link, f"begin; {update}; insert into payments (amount) values (1)")
        ask(link, "commit")
    link.close()
    os.kill(os.getpid(), signal.SIGSTOP)
