"""What a database is made of, as far as it decides what a statement touches: asked once for a run.

A table is *plain* if a statement that names it touches its rows and nothing else: no trigger, no
foreign key from it or to it, no rule, no row security, no generated column, no relatives, no type
or index with a mind of its own. After the system catalogues, chapter 53 of the PostgreSQL manual.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.live.client import Client

_OWN = "nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'changeover_copies')"
_RELATIONS = f"""
select c.oid, nspname, relname,
  relkind = 'r' and not (relhastriggers or relhasrules or relrowsecurity or relhassubclass
    or relispartition)
  and not exists (select from pg_inherits where inhrelid = c.oid)
  and not exists (select from pg_attribute a join pg_type t on t.oid = atttypid
    join pg_namespace m on m.oid = t.typnamespace
    where attrelid = c.oid and attnum > 0 and not attisdropped
    and (attgenerated <> '' or typtype not in ('b', 'e')
      or (typtype = 'b' and m.nspname <> 'pg_catalog')))
  and not exists (select from pg_index where indrelid = c.oid
    and (indexprs is not null or indpred is not null or indisexclusion))
from pg_class c join pg_namespace n on n.oid = relnamespace
where relkind in ('r', 'p', 'v', 'm', 'f') and {_OWN}"""
_UNIQUE = """
select indrelid, indisprimary, attname, atttypid,
  coalesce((select collisdeterministic from pg_collation where oid = attcollation), true)
from pg_index join pg_attribute on attrelid = indrelid and attnum = any (indkey)
where indisunique and indrelid >= 16384
order by indrelid, indexrelid, array_position(indkey::int2[], attnum)"""
_COUNTS = "select indrelid, count(*) from pg_index where indisunique group by indrelid"
#: Expressions that are evaluated when a row is written: defaults, checks; and identity columns.
_EXPRESSIONS = """
select adrelid, pg_get_expr(adbin, adrelid) from pg_attrdef where adrelid >= 16384
union all select conrelid, pg_get_expr(conbin, conrelid) from pg_constraint
where contype = 'c' and conrelid >= 16384
union all select attrelid, 'identity' from pg_attribute where attidentity <> '' and attnum > 0"""
_FUNCTIONS = f"""
select distinct proname from pg_proc join pg_namespace n on n.oid = pronamespace where {_OWN}"""
#: What would change the meaning of every statement; must be true.
_ORDINARY = """
select current_setting('default_transaction_isolation') = 'read committed'
  and current_setting('standard_conforming_strings') = 'on'
  and current_setting('search_path') = '"$user", public'
  and not exists (select from pg_db_role_setting)
  and not exists (select from pg_operator where oid >= 16384)
  and not exists (select from pg_cast where oid >= 16384)"""
#: Types whose equality is that of the text: int8, int2, int4, text, varchar, uuid.
_KINDS = {"20": "int", "21": "int", "23": "int", "25": "text", "1043": "text", "2950": "uuid"}
#: Beyond this, numbers that differ may be equal as floating point numbers.
_EXACT_MAX = 1 << 53


@dataclass(frozen=True, slots=True)
class Table:
    """A relation; ``key`` are the columns of its primary key with their kinds, if rows are known.

    ``only_key`` says that nothing else in it is unique. ``expressions`` are evaluated when a row
    is written.
    """

    name: str
    plain: bool
    key: tuple[tuple[str, str], ...] = ()
    only_key: bool = False
    expressions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All relations by their names, with and without their schema, and the names of functions.

    A bare name that several schemas have is of no table. ``ordinary`` says that the database has
    no settings, operators and casts of its own.
    """

    tables: Mapping[tuple[str, ...], Table] = field(default_factory=dict)
    functions: frozenset[str] = frozenset()
    ordinary: bool = True


def ask(client: Client) -> Catalogue:
    """The catalogue of the database that a client is connected with."""
    keys: dict[str | None, list[tuple[str, str]]] = {}
    for oid, primary, column, kind, deterministic in client.query(_UNIQUE):
        if primary == "t":
            known = _KINDS.get(str(kind), "") if deterministic == "t" else ""
            keys.setdefault(oid, []).append((str(column), known))
    counts = {row[0]: row[1] for row in client.query(_COUNTS)}
    expressions: dict[str | None, list[str]] = {}
    for oid, text in client.query(_EXPRESSIONS):
        expressions.setdefault(oid, []).append(str(text))
    tables: dict[tuple[str, ...], Table] = {}
    ambiguous: set[tuple[str, ...]] = set()
    for oid, schema, name, plain in client.query(_RELATIONS):
        key = tuple(keys.get(oid, ()))
        table = Table(
            f"{schema}.{name}",
            plain == "t",
            key if all(kind for _, kind in key) else (),
            counts.get(oid) == "1",
            tuple(expressions.get(oid, ())),
        )
        bare = (str(name),)
        ambiguous |= {bare} & tables.keys()
        tables[bare] = tables[str(schema), str(name)] = table
    sure = {name: table for name, table in tables.items() if name not in ambiguous}
    functions = frozenset(str(name) for (name,) in client.query(_FUNCTIONS))
    return Catalogue(sure, functions, client.query(_ORDINARY)[0][0] == "t")


def canonical(kind: str, text: str) -> str | None:
    """One text for all that are equal as values of a kind of key; nothing if that is not sure."""
    if kind == "int":
        digits = text.removeprefix("-")
        sure = digits.isascii() and digits.isdecimal() and abs(int(text)) < _EXACT_MAX
        return str(int(text)) if sure else None
    if kind == "uuid":
        try:
            return str(uuid.UUID(text))
        except ValueError:
            return None
    # Trailing blanks count in some comparisons and in others not.
    return text if kind == "text" and text == text.rstrip(" ") else None
