"""What SQL touches: rows where that is certain, tables where it is not, else everything."""

from __future__ import annotations

import struct

import pytest

from harness.live.catalogue import Catalogue, Table, canonical
from harness.live.parameters import Parameter, bound
from harness.live.sql import Reader, Rows, Statement, missing, resource
from tests.live.postgres_bytes import message

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "-")

BOOKS = Table("public.books", plain=True, key=(("name", "text"),), only_key=True)
TALKS = Table("public.talks", plain=True, key=(("id", "int"),), only_key=False)
SAID = Table("public.said", plain=True, expressions=("nextval('said_id_seq'::regclass)",))
TIMED = Table("public.timed", plain=True, expressions=("now()",))
OWNED = Table("public.owned", plain=False)
TABLES = {
    names: table
    for table in (BOOKS, TALKS, SAID, TIMED, OWNED)
    for names in ((table.name.removeprefix("public."),), tuple(table.name.split(".")))
}


def read(sql: str, *functions: str) -> Statement:
    (statement,) = Reader(Catalogue(TABLES, frozenset(functions))).read(sql)
    return statement


def told(rows: tuple[Rows, ...]) -> str:
    return " ".join(resource(each, ()).removeprefix("public.") for each in rows)


@pytest.mark.parametrize(
    ("sql", "reads", "writes"),
    [
        ("select amount from books where name = 'ann'", "books/ann", ""),
        ("select amount from Books b where 'ann' = b.name and (amount > 1)", "books/ann", ""),
        ("select amount from books where name = 'ann' or amount = 1", "books/*", ""),
        ("select amount from books where not name = 'ann'", "books/*", ""),
        ("select amount from books where name = 'a/*'", "books/a%2F%2A", ""),
        ("select amount from books where name = 'ann '", "books/*", ""),
        ("select coalesce(sum(amount), 0) from public.books", "books/*", ""),
        ("select * from (select hands as name from books) b where name = 'a'", "books/*", ""),
        ("select * from books, (values ('x')) v (name) where name = 'x'", "books/*", ""),
        ("select * from books where exists (select 1 from said)", "books/* said/*", ""),
        ("with more as (select * from said) select * from more", "said/*", ""),
        ("select * from talks where id = 007", "talks/7", ""),
        ("select * from talks where id = -1", "talks/-1", ""),
        ("select * from talks where id = '7'", "talks/7", ""),
        ("select * from talks where id = 7.0", "talks/*", ""),
        ("update books set amount = amount + 1 where name = 'ann'", "books/ann", "books/ann"),
        ("update books set name = 'bob' where name = 'ann'", "books/*", "books/*"),
        ("update books set amount = 1", "books/*", "books/*"),
        ("update talks set id = 2 where id = 1", "talks/*", "talks/*"),
        # Another column is unique as well: rows of other keys may be in the way.
        ("update talks set who = 'x' where id = 1", "talks/1", "talks/*"),
        ("delete from talks where id = 1", "talks/1", "talks/1"),
        ("update books set amount = 1 from said where what = name", "said/* books/*", "books/*"),
        ("insert into books values ('ann', 0, '')", "", "books/*"),
        ("insert into books (name) values ('ann'), ('bob')", "", "books/ann books/bob"),
        ("insert into books (name) select what from said", "said/*", "books/*"),
    ],
)
def test_rows_by_their_keys_and_tables_otherwise(sql: str, reads: str, writes: str) -> None:
    statement = read(sql)
    assert statement.known and not statement.clouds
    assert (told(statement.reads), told(statement.writes)) == (reads, writes)


@pytest.mark.parametrize(
    "sql",
    [
        "select f(1)",
        "select now()",
        "select current_timestamp",
        "select 'now'::text",
        "select pg_advisory_lock(1)",
        "select nextval('said_id_seq')",
        "select * from pg_class",
        "select * from pg_catalog.pg_class",
        "select * from nowhere",
        "select ctid from books",
        "select 'books'::regclass",
        "select * into other from books",
        "select E'a\\'b'",
        "update books set amount = default",
        "with gone as (delete from books returning *) select * from gone",
        "merge into books using said on true when matched then update set amount = 1",
        "lock table books",
        "call something()",
        "copy books from stdin",
        "do $$ begin end $$",
        "create table other (a int)",
        "truncate books",
        "listen news",
        "notify news",
        "prepare p as select 1",
        "execute p",
        "set search_path = other",
        "set session characteristics as transaction isolation level serializable",
        "commit prepared 'x'",
        "values (1)",
        "select (",
    ],
)
def test_after_what_is_not_understood_nothing_is_sure(sql: str) -> None:
    assert read(sql).clouds


@pytest.mark.parametrize(
    "sql",
    [
        "select * from books for update",
        "select * from books where name = 'ann' for share",
        "insert into books (name) values ('ann') on conflict do nothing",
        "insert into timed (a) values (1)",
        "select * from owned",
        "insert into owned (a) values (1)",
        "begin isolation level serializable",
        "begin transaction isolation level repeatable read",
        "set transaction isolation level serializable",
    ],
)
def test_what_is_understood_by_half_gets_in_the_way_of_all_but_clouds_nothing(sql: str) -> None:
    statement = read(sql)
    assert not statement.known and not statement.clouds


def test_with_functions_of_its_own_a_database_may_run_anything() -> None:
    assert read("select * from owned", "audit").clouds
    assert read("select sum(amount) from books", "sum").clouds
    assert read("select b.audit from books b", "audit").clouds
    assert read("select sum(amount) from books", "audit").known


def test_a_database_with_a_mind_of_its_own_is_not_understood() -> None:
    (statement,) = Reader(Catalogue(TABLES, ordinary=False)).read("select amount from books")
    assert statement.clouds


def test_a_text_of_several_statements_is_read_one_by_one() -> None:
    reader = Reader(Catalogue(TABLES))
    found = reader.read("begin; insert into said (what) values ('x'); rollback to a; commit")
    assert [each.deed for each in found] == ["begin", "", "undo", "commit"]
    assert found[1].sequences == ("said_id_seq",)
    assert reader.read("-- only this\n") == reader.read("set application_name = 'x'") == ()


@pytest.mark.parametrize(
    ("kind", "text", "known"),
    [
        ("int", "-0", "0"),
        ("int", "1e3", None),
        ("int", "9007199254740993", None),
        ("text", "a", "a"),
        ("text", "a ", None),
        ("uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("uuid", "x", None),
    ],
)
def test_keys_that_are_equal_have_one_text(kind: str, text: str, known: str | None) -> None:
    assert canonical(kind, text) == known


def parse(name: bytes, *types: int) -> bytes:
    packed = struct.pack(f">H{len(types)}I", len(types), *types)
    return message("P", name + b"\0select 1\0" + packed)


def bind(name: bytes, formats: tuple[int, ...], *values: bytes | None) -> bytes:
    packed = b"".join(
        struct.pack(">i", -1) if each is None else struct.pack(">i", len(each)) + each
        for each in values
    )
    head = struct.pack(f">H{len(formats)}H", len(formats), *formats)
    return message("B", b"\0" + name + b"\0" + head + struct.pack(">H", len(values)) + packed)


EXECUTE = message("E", b"\0\0\0\0\0")


def test_parameters_are_those_of_each_execution() -> None:
    raw = parse(b"", 23, 25) + bind(b"", (1, 0), b"\0\0\0\7", b"ann") + EXECUTE
    raw += bind(b"earlier", (), b"8", None) + EXECUTE
    first, second = bound(raw)
    assert first == (Parameter(b"\0\0\0\7", True, 23), Parameter(b"ann", False, 25))
    assert second == (Parameter(b"8"), Parameter())


@pytest.mark.parametrize(
    ("parameter", "kind", "text"),
    [
        (Parameter(b"7"), "int", "7"),
        (Parameter(b"\0\0\0\7", True, 23), "int", "7"),
        (Parameter(b"\0\0\0\7", True), "int", None),  # it may be anything of four bytes
        (Parameter(b"ann", True, 25), "text", "ann"),
        (Parameter(b"ann", True, 1042), "text", None),
        (Parameter(bytes(16), True, 2950), "uuid", "00000000-0000-0000-0000-000000000000"),
        (Parameter(b"\xff"), "text", None),
        (Parameter(), "int", None),
    ],
)
def test_the_value_of_a_parameter_counts_only_if_it_is_sure(
    parameter: Parameter, kind: str, text: str | None
) -> None:
    assert parameter.text(kind) == text


def test_a_row_named_by_a_parameter() -> None:
    (rows,) = read("select * from talks where id = $2").reads
    assert resource(rows, (Parameter(b"x"), Parameter(b"7"))) == "public.talks/7"
    assert resource(rows, (Parameter(b"x"),)) == "public.talks/*"
