"""The database of the exchange as SQL: tables of rows, topics, and what processes write for others.

The services see views, which say themselves whether the database is there: while it is away every
statement fails with 57P03 (cannot_connect_now), and while it is read only every write with 25006,
as those of a server that is being upgraded.
"""

from __future__ import annotations

#: What a window of maintenance does, as the row of it says.
AWAY, READ_ONLY, OPEN = "away", "read only", "open"
#: The log of the chain's node, and the restarts that an operator has ordered.
BLOCKS, RESTARTS = "chain_blocks", "restarts"


def name(table: str) -> str:
    """A name as it may stand in SQL; ValueError for one that may not."""
    if not table.isidentifier():
        raise ValueError(f"{table!r} is no name of a table")
    return table


def schema(*, tables: tuple[str, ...], topics: tuple[str, ...]) -> str:
    """The SQL that makes the database."""
    parts = [_MAINTENANCE, _LOGS]
    for table in map(name, tables):
        parts.append(
            f"create table stored.{table} (key text primary key, row json not null);"
            f"create trigger writable before insert or update or delete on stored.{table} "
            "execute function stored.check_writable();"
            f"create view {table} as select key, row from stored.{table} where stored.is_there() "
            "with check option;"
        )
    for topic in map(name, topics):
        parts.append(
            f"create table topic_{topic} (id bigserial primary key, body json not null);"
            f"create trigger told after insert on topic_{topic} "
            "execute function stored.tell();"
        )
    return "\n".join(parts)


_MAINTENANCE = f"""
create schema stored;
create table stored.maintenance (mode text not null);
insert into stored.maintenance values ('{OPEN}');
create function stored.is_there() returns boolean language plpgsql stable as $$
begin
  if exists (select from stored.maintenance where mode = '{AWAY}') then
    raise exception 'the database is away' using errcode = '57P03';
  end if;
  return true;
end $$;
create function stored.check_writable() returns trigger language plpgsql as $$
begin
  if exists (select from stored.maintenance where mode = '{READ_ONLY}') then
    raise exception 'the database is read only' using errcode = '25006';
  end if;
  return null;
end $$;
create function stored.tell() returns trigger language plpgsql as $$
begin
  perform pg_notify(tg_table_name, '');
  return null;
end $$;
"""
_LOGS = f"""
create table {BLOCKS} (
  id bigserial primary key, fork int not null, height int not null, at_ms bigint not null,
  command json not null, events json not null, unique (fork, height));
create table {RESTARTS} (id bigserial primary key, service text not null, kind text not null);
"""
