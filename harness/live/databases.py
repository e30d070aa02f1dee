"""The database of a run: made once from the SQL of a scenario, and put back before every run.

Putting back takes a thousandth of the time of making. All tables are emptied and filled again
from copies that were made in the beginning, in one order, so that rows lie where they lay; and all
sequences are set. A database whose tables or functions were changed meanwhile is made anew.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UntrustworthyError, UsageError
from harness.live import catalogue
from harness.live.client import Client, ServerError
from harness.live.greeted import READ_AT_LOGIN, Greeted, sees_sessions
from harness.live.sql import Reader

#: Where the copies are.
COPIES = "changeover_copies"
#: How long connections of a run may take to end, in seconds.
LEAVE_WAIT_S = 20.0
_OWN = f"nspname not in ('pg_catalog', 'information_schema', 'pg_toast', '{COPIES}')"
_TABLES = f"""
select format('%I.%I', nspname, relname),
  (select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute
   where attrelid = c.oid and attnum > 0 and not attisdropped and attgenerated = '')
from pg_class c join pg_namespace n on n.oid = relnamespace
where relkind = 'r' and {_OWN} order by c.oid"""
_NAMES = """
select format('%I.%I', nspname, relname)
from pg_class c join pg_namespace n on n.oid = relnamespace
where relkind = '{}' and {} order by c.oid"""
_SEQUENCES, _MATERIALIZED = _NAMES.format("S", _OWN), _NAMES.format("m", _OWN)
#: Everything that was made by SQL and is no row of a table.
_SHAPE = f"""
select md5(string_agg(what, ' ' order by what)) from (
  select concat_ws(':', c.oid, relname, relkind, attname, atttypid, attnotnull) as what
  from pg_class c join pg_namespace n on n.oid = relnamespace
  left join pg_attribute a on attrelid = c.oid and attnum > 0 where {_OWN}
  union all select concat_ws(':', p.oid, proname, md5(prosrc)) from pg_proc p
  join pg_namespace n on n.oid = pronamespace where {_OWN}
  union all select concat_ws(':', t.oid, tgname, tgenabled) from pg_trigger t
  where not tgisinternal
  union all select concat_ws(':', k.oid, conname) from pg_constraint k
  join pg_namespace n on n.oid = connamespace where {_OWN}) everything"""


@dataclass(slots=True)
class Database:
    """One database, its connection for ourselves, and how it is put back."""

    name: str
    client: Client
    put_back: str
    shape: str
    #: The connections that wait for services.
    greeted: Greeted
    #: What is known of SQL here; the catalogue is asked once.
    reader: Reader

    def close(self) -> None:
        """Close all our connections to it."""
        self.greeted.close()
        self.client.close()


class Databases:
    """The databases of one server."""

    def __init__(self, place: Path, control: Client) -> None:
        self._place = place
        self.control = control
        self._count = 0
        self._idle: dict[str, list[Database]] = {}
        #: The one that was taken last.
        self.latest: Database | None = None

    def take(self, schema: str, *, waits: bool = True) -> Database:
        """A database as this SQL makes it.

        Without ``waits`` it may still be being put back: its client answers when that is done.
        """
        database = self._kept(schema) or self._make(schema)
        if self.latest is not None and self.latest is not database:
            self.latest.greeted.close()  # there is no room in a server for those of all
        self.latest = database
        if waits:
            database.client.ordered()
        return database

    def _kept(self, schema: str) -> Database | None:
        for database in self._idle.pop(schema, []):
            shape, read_at_login = database.client.ordered(2)
            if shape[0][0] == database.shape:
                database.greeted.begin(read_at_login[0][0])
                return database
            self._drop(database)
        return None

    def give_back(self, schema: str, database: Database) -> None:
        """A run is over: end its connections, and put the database back for the next one."""
        deadline = time.monotonic() + LEAVE_WAIT_S
        keep = ",".join(map(str, database.greeted.processes()))
        others = (
            f"select pg_terminate_backend(pid) from pg_stat_activity where datname = "
            f"'{database.name}' and pid <> pg_backend_pid() and pid <> all('{{{keep}}}')"
        )
        while database.client.query(others):
            if time.monotonic() > deadline:
                raise UntrustworthyError(f"connections to {database.name} do not end")
            time.sleep(0.001)
        database.client.order(_SHAPE, READ_AT_LOGIN, database.put_back)
        database.greeted.fill()
        self._idle.setdefault(schema, []).append(database)

    def close(self) -> None:
        """Close our own connections; the databases go with the server."""
        for databases in self._idle.values():
            for database in databases:
                database.close()
        self._idle.clear()

    def _make(self, schema: str) -> Database:
        self._count += 1
        name = f"run_{self._count}"
        self.control.query(f"create database {name}")
        client = Client(self._place, name)
        try:
            if schema.strip():
                _execute(client, schema)
            put_back, reader = _copied(client), Reader(catalogue.ask(client))
            greeted = Greeted(self._place, client)
            greeted.watched = sees_sessions(schema)
            return Database(name, client, put_back, _shape(client), greeted, reader)
        except BaseException:
            client.close()
            raise

    def _drop(self, database: Database) -> None:
        database.close()
        self.control.query(f"drop database {database.name} with (force)")


def _execute(client: Client, schema: str) -> None:
    try:
        client.query(schema)
    except ServerError as error:
        raise UsageError(f"the SQL of the scenario's database: {error}") from None


def _shape(client: Client) -> str:
    return client.query(_SHAPE)[0][0] or ""


def _copied(client: Client) -> str:
    """Copy all rows; the SQL that puts them back."""
    client.query(f"create schema {COPIES}")
    tables = client.query(_TABLES)
    # As a replica, so that neither triggers nor foreign keys look at what is put back.
    steps = ["set session_replication_role = replica"]
    if tables:
        steps.append("truncate " + ", ".join(str(table) for table, _ in tables))
    for number, (table, columns) in enumerate(tables):
        copy = f"{COPIES}.copy_{number}"
        client.query(f"create table {copy} as table {table}")
        if columns and client.query(f"select 1 from {copy} limit 1"):
            fill = f"insert into {table} ({columns}) overriding system value"
            steps.append(f"{fill} select {columns} from {copy}")
    for (view,) in client.query(_MATERIALIZED):
        steps.append(f"refresh materialized view {view}")
    for (sequence,) in client.query(_SEQUENCES):
        value, called = client.query(f"select last_value, is_called from {sequence}")[0]
        is_called = "true" if called == "t" else "false"
        steps.append(f"select setval('{sequence}', {value}, {is_called})")
    return "; ".join([*steps, "set session_replication_role = origin"])
