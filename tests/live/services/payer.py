"""It pays once, and asks again when nobody has answered: a payment is made twice if it had arrived.

With the argument ``key`` the payment has a name, which the database takes only once. The first
argument is whom it asks: the ``database``, or a peer by HTTP.
"""

import sys

from tests.live.services import http_wire
from tests.live.services.wire_client import ask, connect

peer, name = sys.argv[1], "'pay-1'" if "key" in sys.argv else "null"
for _ in range(3):
    try:
        if peer == "database":
            ask(connect(), f"insert into paid (name) values ({name}) on conflict do nothing")
        else:
            http_wire.ask(http_wire.connect(peer), "POST", "/add")
        break
    except (ConnectionError, SystemExit):
        continue
