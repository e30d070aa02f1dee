"""Moves money from one account to the other under SERIALIZABLE, as often as it takes."""

import sys

from tests.live.services.wire_client import Refused, ask, connect

source, target = sys.argv[1:3]
link = connect()
while True:
    try:
        ask(link, "begin isolation level serializable")
        amount = int(ask(link, f"select amount from books where name = '{source}'") or 0)
        ask(link, f"update books set amount = {amount + 1} where name = '{target}'")
        ask(link, "commit")
        break
    except Refused as error:
        if str(error) not in ("40001", "40P01"):
            raise
        ask(link, "rollback")
