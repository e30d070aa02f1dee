"""A funding service: it reads the index once, keeps it, and writes it with every payment.

That is the bug: an incarnation that started before another one had finished keeps an old index.
With the argument ``atomic`` it lets the database add instead.
"""

import sys

from tests.live.services.wire_client import ask, connect

payments, atomic = int(sys.argv[1]), "atomic" in sys.argv
link = connect()
index = int(ask(link, "select value from funding where market = 'BTC'") or 0)
for _ in range(payments):
    index += 1
    update = f"update funding set value = {'value + 1' if atomic else index}"
    ask(link, f"begin; {update}; insert into payments (amount) values (1)")
    ask(link, "commit")
