"""A leader: it takes the next epoch, and then writes what it is the leader of.

Whoever was stopped in between writes late, after its follower. With the argument ``fence`` a write
of an epoch that is over changes nothing.
"""

import sys

from tests.live.services.wire_client import ask, connect

link = connect()
epoch = ask(link, "update epochs set number = number + 1 returning number")
where = f"where (select number from epochs) = {epoch}" if "fence" in sys.argv else ""
ask(link, f"insert into writes (epoch) select {epoch} {where}")
