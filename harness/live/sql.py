"""What SQL touches, as far as that is certain: read from the syntax tree of sqlglot.

Only what is made of parts that are listed here is understood. A statement with anything else in it
gets in the way of everything; and if it could have changed tables or settings, or run code that
could, nothing is known of all that comes after it.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from harness.live.catalogue import Catalogue, Table, canonical
from harness.live.parameters import Parameter
from harness.live.statements import is_invisible, without_comments

#: What a statement may be made of. Functions are those that depend on nothing but their arguments.
_PARTS = frozenset(
    re.findall(
        r"\w+",
        """
    Select From Where Table TableAlias Identifier Column Literal Star Alias Paren Null Boolean
    And Or Not EQ NEQ GT GTE LT LTE Is In Between Like ILike Exists Any Subquery Tuple Values Schema
    Add Sub Mul Div Mod Neg DPipe Case If Parameter Order Ordered Limit Offset Group Having Distinct
    Join Union Intersect Except With CTE Insert Update Delete Returning Cast DataType DataTypeParam
    Coalesce Sum Count Min Max Avg Abs Greatest Least Nullif Lower Upper Length Round GroupConcat
    """,
    )
)
#: The types that a value may be cast to, in PostgreSQL's words as sqlglot has them.
_TYPES = frozenset(("INT", "BIGINT", "SMALLINT", "TEXT", "VARCHAR", "DECIMAL", "BOOLEAN", "UUID"))
#: Texts that stand for the time of the clock if they become a date or a time.
_MOMENTS = frozenset(("now", "today", "tomorrow", "yesterday", "epoch", "allballs"))
#: Names that stand for no column: what is filled in, and where PostgreSQL keeps a row.
_NO_COLUMNS = frozenset(
    re.findall(r"\w+", "default user localtime localtimestamp ctid xmin xmax cmin cmax tableoid")
)
_SEQUENCE = re.compile(r"nextval\('([^']+)'::regclass\)")
_BEGIN = re.compile(
    r"(begin|start transaction)( work| transaction)?"
    r"((,| )? ?(isolation level read (un)?committed|read write|read only|not deferrable))*"
)
_HARMLESS = re.compile(
    r"savepoint \w+|release( savepoint)? \w+|deallocate .*|show .*|"
    r"set (session |local )?(application_name|client_encoding|client_min_messages|datestyle"
    r"|extra_float_digits|timezone|time zone)\b[^;]*",
)
BEGIN, COMMIT, ROLLBACK, UNDO = "begin", "commit", "rollback", "undo"

logging.getLogger("sqlglot").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a table: one, if there is a value of its whole key, else all.

    A value is a canonical text, or the number of a parameter with the kind of the column.
    """

    table: str
    key: tuple[str | tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Statement:
    """What one statement touches: rows it reads, rows it locks to write them, sequences.

    ``deed`` says what it does to a transaction: begin, commit, rollback, or undo for a rollback to
    a savepoint. Of one that is not ``known`` nothing of this is sure; one that ``clouds`` the rest
    may have changed what statements mean.
    """

    reads: tuple[Rows, ...] = ()
    writes: tuple[Rows, ...] = ()
    sequences: tuple[str, ...] = ()
    deed: str = ""
    known: bool = True
    clouds: bool = False


UNKNOWN, CLOUDING = Statement(known=False), Statement(known=False, clouds=True)


@functools.cache
def missing() -> str:
    """Why nothing is known of statements here; empty if something is."""
    try:
        import sqlglot  # noqa: F401, PLC0415  (an extra, and slow to import)
    except ImportError:
        return "sqlglot is not installed: pip install 'changeover[live]'"
    return ""


class Reader:
    """Reads statements with the catalogue of one database; every text once."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._known: dict[str, tuple[Statement, ...]] = {}
        self._expressions: dict[str, tuple[str, ...]] = {}

    def read(self, text: str) -> tuple[Statement, ...]:
        """What the statements of an SQL text touch, in their order."""
        if text not in self._known:
            self._known[text] = self._read(text)
        return self._known[text]

    def _read(self, text: str) -> tuple[Statement, ...]:
        if is_harmless(text):
            return ()
        if missing() or not self._catalogue.ordinary:
            return (CLOUDING,)
        if is_invisible(text):
            return (_of_session(text),)
        import sqlglot  # noqa: PLC0415
        from sqlglot.errors import SqlglotError  # noqa: PLC0415

        try:
            trees = sqlglot.parse(text, dialect="postgres")
        except (SqlglotError, RecursionError):
            return (CLOUDING,)
        return tuple(self._of(tree) for tree in trees if tree is not None)

    def _of(self, tree: Any) -> Statement:
        kind = type(tree).__name__
        if kind in ("Transaction", "Commit", "Rollback"):
            return _of_transaction(kind, tree)
        if kind not in ("Select", "Union", "Intersect", "Except", "Insert", "Update", "Delete"):
            return CLOUDING
        if strange := self._strange(tree):
            # A lock or a conflict clause is strange, but changes nothing of what others mean.
            tame = not self._catalogue.functions and strange <= {"Lock", "OnConflict", "Var"}
            return UNKNOWN if tame else CLOUDING
        return self._touches(tree)

    def _strange(self, tree: Any) -> set[str]:
        """The parts of a tree that are not known."""
        strange: set[str] = set()
        for node in tree.walk():
            name = type(node).__name__
            odd = name not in _PARTS
            if name == "DataType":
                odd = node.this.name not in _TYPES
            elif name == "Column":
                odd = node.name.lower() in self._catalogue.functions | _NO_COLUMNS
            elif name == "Literal":
                odd = node.is_string and node.this.strip().lower() in _MOMENTS
            elif name in ("Insert", "Update", "Delete"):
                odd = node is not tree
            elif not odd:
                own = "string_agg" if name == "GroupConcat" else name.lower()
                odd = own in self._catalogue.functions
            if odd:
                strange.add(name)
        return strange

    def _touches(self, tree: Any) -> Statement:
        aliases = {node.alias for node in tree.find_all(_class("CTE"))}
        named: dict[int, Table] = {}
        nodes = list(tree.find_all(_class("Table")))
        for index, node in enumerate(nodes):
            table = self._table(node)
            if table is not None and table.plain:
                named[index] = table
            elif table is not None or node.name not in aliases or node.db:
                return CLOUDING if self._catalogue.functions or table is None else UNKNOWN
        target = _target_of(tree)
        alone = len(named) == len(nodes) == 1 and not aliases
        rows = _rows_of(tree, named[0]) if alone else None
        reads = tuple(Rows(table.name) for at, table in named.items() if nodes[at] is not target)
        if target is None:
            return Statement(reads=rows or reads)
        table = next(table for at, table in named.items() if nodes[at] is target)
        sequences = self._evaluated(table)
        if sequences is None:
            return CLOUDING if self._catalogue.functions else UNKNOWN
        whole = (Rows(table.name),)
        if type(tree).__name__ == "Insert":
            # What is equal elsewhere may be in the way of a row with another key.
            return Statement(reads, rows if rows and table.only_key else whole, sequences)
        writes = rows if rows and (table.only_key or type(tree).__name__ == "Delete") else whole
        return Statement((*reads, *(rows or whole)), writes)

    def _table(self, node: Any) -> Table | None:
        names = tuple(map(_folded, filter(None, (node.args.get("db"), node.args.get("this")))))
        if node.args.get("catalog") is not None or any(name.startswith("pg_") for name in names):
            return None
        return self._catalogue.tables.get(names)

    def _evaluated(self, table: Table) -> tuple[str, ...] | None:
        """The sequences that a new row takes from; nothing if its defaults or checks do more."""
        found: list[str] = []
        for text in table.expressions:
            if match := _SEQUENCE.fullmatch(text):
                found.append(match[1])
            elif text == "identity":
                found.append(f"of {table.name}")
            elif not self._is_simple(text):
                return None
        return tuple(found)

    def _is_simple(self, expression: str) -> bool:
        import sqlglot  # noqa: PLC0415
        from sqlglot.errors import SqlglotError  # noqa: PLC0415

        try:
            tree = sqlglot.parse_one(f"select {expression}", dialect="postgres")
        except SqlglotError:
            return False
        return not self._strange(tree)


def _class(name: str) -> Any:
    from sqlglot import exp  # noqa: PLC0415

    return getattr(exp, name)


def _folded(identifier: Any) -> str:
    name: str = identifier.name
    return name if identifier.args.get("quoted") else name.lower()


def _of_transaction(kind: str, tree: Any) -> Statement:
    if kind == "Transaction":
        return _of_session(" ".join(["begin", *map(str, tree.args.get("modes") or ())]))
    if kind == "Rollback" and tree.args.get("savepoint") is not None:
        return Statement(deed=UNDO)
    return Statement(deed=COMMIT if kind == "Commit" else ROLLBACK)


def _of_session(text: str) -> Statement:
    """A beginning, or a setting: another isolation level than READ COMMITTED is not understood."""
    plain = _plain(text)
    if plain.startswith(("begin", "start")):
        return Statement(deed=BEGIN, known=_BEGIN.fullmatch(plain) is not None)
    return UNKNOWN if plain.startswith("set transaction ") else CLOUDING


def is_harmless(text: str) -> bool:
    """Whether a statement leaves everything as it is, for others and for what SQL means."""
    plain = _plain(text)
    return not plain or (";" not in plain and _HARMLESS.fullmatch(plain) is not None)


def _plain(text: str) -> str:
    return " ".join(without_comments(text).lower().strip(" ;\r\n\t").split())


# --- which rows -----------------------------------------------------------------------------------


def _rows_of(tree: Any, table: Table) -> tuple[Rows, ...] | None:
    """The rows that the only table of a statement is asked for by their keys; nothing if all."""
    if not table.key:
        return None
    kind = type(tree).__name__
    if kind == "Insert":
        return _inserted(tree, table)
    where = tree.args.get("where")
    if where is None or not _is_direct(tree):
        return None
    if kind == "Update":
        changed = {_folded(each.this.this) for each in tree.expressions if _is_assignment(each)}
        if len(changed) != len(tree.expressions) or changed & {name for name, _ in table.key}:
            return None
    found: dict[str, Any] = {}
    for each in _conjuncts(where.this):
        if type(each).__name__ == "EQ":
            for column, value in ((each.this, each.expression), (each.expression, each.this)):
                if type(column).__name__ == "Column":
                    found.setdefault(_folded(column.this), value)
    return _keyed(table, found)


def _target_of(tree: Any) -> Any:
    """The node of the table that a statement writes."""
    if type(tree).__name__ not in ("Insert", "Update", "Delete"):
        return None
    return tree.this.this if type(tree.this).__name__ == "Schema" else tree.this


def _is_direct(tree: Any) -> bool:
    """Whether the columns of a statement's condition can only be those of the table it names."""
    kind = type(tree).__name__
    if kind == "Select":
        source = tree.find(_class("From"))
        own = source is not None and source.parent is tree
        return own and type(source.this).__name__ == "Table" and not tree.find(_class("Join"))
    return kind in ("Update", "Delete") and not tree.find(_class("From"), _class("Join"))


def _is_assignment(node: Any) -> bool:
    return type(node).__name__ == "EQ" and type(node.this).__name__ == "Column"


def _conjuncts(node: Any) -> Iterator[Any]:
    name = type(node).__name__
    if name == "And":
        yield from _conjuncts(node.this)
        yield from _conjuncts(node.expression)
    elif name == "Paren":
        yield from _conjuncts(node.this)
    else:
        yield node


def _inserted(tree: Any, table: Table) -> tuple[Rows, ...] | None:
    schema, values = tree.this, tree.args.get("expression")
    if type(schema).__name__ != "Schema" or type(values).__name__ != "Values":
        return None
    columns = [_folded(each) for each in schema.expressions]
    found: list[Rows] = []
    for row in values.expressions:
        keyed = _keyed(table, dict(zip(columns, row.expressions, strict=False)))
        if keyed is None:
            return None
        found += keyed
    return tuple(found)


def _keyed(table: Table, values: Mapping[str, Any]) -> tuple[Rows, ...] | None:
    key: list[str | tuple[int, str]] = []
    for name, kind in table.key:
        value = _value(values.get(name), kind)
        if value is None:
            return None
        key.append(value)
    return (Rows(table.name, tuple(key)),)


def _value(node: Any, kind: str) -> str | tuple[int, str] | None:
    name = type(node).__name__
    if name == "Parameter" and type(node.this).__name__ == "Literal":
        return int(node.this.name), kind
    sign = ""
    if name == "Neg":
        sign, node = "-", node.this
        name = type(node).__name__
    if name != "Literal" or (kind != "int" and not node.is_string):
        return None
    return canonical(kind, sign + node.this)


def resource(rows: Rows, parameters: Sequence[Parameter]) -> str:
    """The name of some rows as a resource, with the values of parameters."""
    parts: list[str | None] = []
    for value in rows.key:
        if isinstance(value, str):
            parts.append(value)
        else:
            number, kind = value
            given = parameters[number - 1] if 0 < number <= len(parameters) else Parameter()
            parts.append(given.text(kind))
    table = quote(rows.table, safe="")
    if not parts or None in parts:
        return f"{table}/*"
    return f"{table}/" + "|".join(quote(each, safe="") for each in parts if each is not None)
