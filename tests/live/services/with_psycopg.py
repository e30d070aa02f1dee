"""The funding service with psycopg: parameters, a transaction block, COPY, a pipeline."""

import psycopg

with psycopg.connect("", prepare_threshold=0) as link:
    row = link.execute("select value from funding where market = %s", ("BTC",)).fetchone()
    assert row is not None
    with link.transaction():
        link.execute("update funding set value = %s", (row[0] + 1,))
        with link.cursor().copy("copy payments (amount) from stdin") as copy:
            copy.write_row((1,))
    with link.pipeline():
        link.execute("select 1")
        link.execute("select 2")
