"""An outbox: ``append`` writes two events, ``project`` looks for new ones, three times.

Told ``lock``, who appends waits for whoever else does: the order of the numbers is then that of the
commits.
"""

import sys
import time

from tests.live.services.wire_client import ask, connect

PROJECT = """
with fresh as (insert into projected select id from events
               where id > (select position from projection) returning id)
update projection set position = coalesce((select max(id) from fresh), position)"""

link = connect()
if sys.argv[1] == "append":
    for _ in range(2):
        ask(link, "begin")
        if "lock" in sys.argv:
            ask(link, "lock table events in share row exclusive mode")
        ask(link, "insert into events default values")
        ask(link, "commit")
else:
    for _ in range(3):
        ask(link, PROJECT)
        time.sleep(1)
