"""Steps that may trade places: what a database says of itself, and that no order is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from dataclasses import replace
from types import SimpleNamespace

import pytest

from harness.live import catalogue, servers
from harness.live.channels import channel_of
from harness.live.footprints import Footprints
from harness.live.ports import Request
from harness.live.scenario import live_restart
from harness.live.sql import Reader, missing
from harness.live.wire import Conversation
from harness.proof import proving
from harness.proof.bounds import Bound
from harness.proof.errands import Errand, Subject, observe
from harness.proof.explorer import Explorer
from harness.scenario import Scenario
from tests.live import postgres_bytes
from tests.live.deployments import funding

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "-")

SCHEMA = """
create function change() returns trigger language plpgsql as 'begin return new; end';
create table plain (id int primary key, name text default 'x' check (length(name) > 0));
create table numbered (id serial primary key, what text);
create table counted (id int generated always as identity, what text);
create table double (id int primary key, name text unique);
create table pairs (a int, b text, primary key (a, b));
create table loose (name char(3) primary key);
create table watched (id int primary key);
create trigger watches before update on watched for each row execute function change();
create table owners (id int primary key);
create table pets (id int primary key, owner int references owners);
create view names as select name from plain;
create table ruled (id int);
create rule quiet as on insert to ruled do instead nothing;
create table derived (id int, twice int generated always as (id * 2) stored);
create table guarded (id int);
alter table guarded enable row level security;
create table parent (id int);
create table child () inherits (parent);
create table parts (id int) partition by range (id);
create table part partition of parts for values from (0) to (9);
create domain small as int check (value < 10);
create table checked (id small);
create table partial (id int);
create unique index on partial (id) where id > 0;
create table dated (id int, at timestamptz default now());
create schema elsewhere;
create table elsewhere.pairs (a int)
"""


@pytest.fixture(scope="module")
def reader() -> Reader:
    databases = servers.shared().databases
    database = databases.take(SCHEMA)
    # The function would make the rest unsure; what a table is like is asked here.
    known = catalogue.ask(database.client)
    databases.give_back(SCHEMA, database)
    assert known.ordinary and known.functions == {"change"}
    return Reader(replace(known, functions=frozenset()))


@pytest.mark.parametrize(
    ("sql", "known"),
    [
        ("insert into plain (id) values (1)", True),
        ("insert into numbered (what) values ('x')", True),
        ("insert into counted (what) values ('x')", True),
        ("select * from elsewhere.pairs", True),
        ("select * from pairs", False),  # of which schema?
        ("insert into dated (id) values (1)", False),
        ("select * from dated", True),
        *(
            (f"select * from {name}", False)
            for name in [
                "watched",
                "owners",
                "pets",
                "names",
                "ruled",
                "derived",
                "guarded",
                "parent",
                "child",
            ]
        ),
        *((f"select * from {name}", False) for name in ["parts", "part", "checked", "partial"]),
    ],
)
def test_only_tables_without_a_mind_of_their_own_are_understood(
    reader: Reader, sql: str, known: bool
) -> None:
    (statement,) = reader.read(sql)
    assert statement.known is known


def test_keys_and_sequences_come_from_the_catalogue(reader: Reader) -> None:
    (plain,) = reader.read("update plain set name = 'y' where id = 1")
    (double,) = reader.read("update double set name = 'y' where id = 1")
    (pairs,) = reader.read("delete from public.pairs where b = 'x' and a = 1")
    (loose,) = reader.read("select * from loose where name = 'a'")
    (numbered,) = reader.read("insert into numbered (what) values ('x')")
    assert plain.writes[0].key == ("1",)
    assert not double.writes[0].key and double.reads[0].key == ("1",)
    assert pairs.writes[0].key == ("1", "x")
    assert not loose.reads[0].key
    assert numbered.sequences == ("numbered_id_seq",)


@pytest.mark.parametrize(
    ("makes", "channel"),
    [
        ("socket.create_server(('127.0.0.1', 0))", "port"),
        ("socket.socket(socket.AF_UNIX); a.bind('\\0changeover')", "the socket b'\\x00changeover'"),
        ("socket.socketpair()", ""),
        ("open('/dev/null')", ""),
    ],
)
def test_a_socket_that_leads_to_no_gate_is_noticed(makes: str, channel: str) -> None:
    text = f"import socket; a = {makes}; print('made', flush=True); input()"
    command = [sys.executable, "-S", "-c", text]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == b"made\n"
        pidfd = os.pidfd_open(process.pid)
        told = channel_of(process.pid, pidfd, ())
        os.close(pidfd)
        process.stdin.write(b"\n")
    assert told.startswith(channel) and bool(told) is bool(channel)


@pytest.mark.parametrize(
    ("settings", "known"),
    [({"application_name"}, True), ({"user", "options"}, False)],
)
def test_what_a_client_sets_when_it_connects_may_change_what_sql_means(
    reader: Reader, settings: set[str], known: bool
) -> None:
    talk = Conversation("x")
    pairs = b"".join(each.encode() + b"\0x\0" for each in sorted(settings)) + b"\0"
    (request,) = talk.feed_client(postgres_bytes.packet(196608, pairs))
    talk.beginning(request)
    lane = SimpleNamespace(name="a#1.0", talk=talk)
    footprints = Footprints(reader)
    request = Request("query", b"", statements=("select * from plain where id = 1",))
    footprints._asked(lane, request)  # type: ignore[arg-type]
    assert footprints.clouded is not known


# --- no order is lost -----------------------------------------------------------------------------


def closed(scenario: Scenario, variant: dict[str, str]) -> tuple[int, set[tuple[str, ...]]]:
    """How many runs close a search, and which rules they break."""
    subject = Subject(scenario, 0, variant, Bound())
    explorer = Explorer(subject)
    explorer.past_violations = True
    errands: deque[Errand] = deque()
    broken: set[tuple[str, ...]] = set()
    while not explorer.done:
        errands += explorer.errands()
        seen = observe(subject, errands.popleft(), explorer.vocabulary, past_violations=True)
        explorer.learn(seen)  # raises if the same choices led to another place
        broken.add(seen.violations)
        assert explorer.tally.runs < 200
    return explorer.tally.runs, broken


@pytest.mark.usefixtures("walls")
@pytest.mark.parametrize(("kind", "few"), [("overlap", 7), ("crash", 15)])
def test_the_lost_update_is_closed_in_few_runs(kind: str, few: int) -> None:
    scenario = replace(funding, faults=(live_restart("funding", kinds=[kind]),))
    runs, broken = closed(scenario, {})
    assert runs == few  # and without footprints in 25 and 35
    assert broken == {(), ("the_index_is_what_was_paid",)}


def test_the_atomic_update_is_proved_and_the_proof_looks_at_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(proving, "COUNTED_REAL_MAX", 10)
    proof = proving.prove(Subject(funding, 0, {"guards": "all"}, Bound()), proving.Budget())
    assert (proof.verdict, proof.tally.runs, proof.counted) == (proving.HELD, 7, False)
    # Steps that were taken for independent did trade places; random runs met nothing new.
    assert proof.traded and proof.probes.drawn and not proof.probes.unseen
