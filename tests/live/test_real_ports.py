"""The ports of the services for real, each against what it talks to: exact, and as in the world."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import trio

from harness.live import servers
from harness.live.places import reserve
from scenarios.january import JANUARY
from scenarios.opening import opening_objects, opening_state
from target_stub.cloud.mode_control import ModeTold
from target_stub.core import JANUARY_2026, Mode, Usdc

for package in ("h11", "psycopg"):
    pytest.importorskip(package, reason=f"needs {package}: pip install 'changeover[live]'")

import psycopg  # noqa: E402

from target_stub.real.codec import decode, encode  # noqa: E402
from target_stub.real.http import Clients, Message, open_listener, serve_for_ever  # noqa: E402
from target_stub.real.network import HttpNetwork  # noqa: E402
from target_stub.real.objectstore import RESET, PreconditionFailed, S3Server, S3Store, objects  # noqa: E402
from target_stub.real.postgres import Links, PostgresDatabase  # noqa: E402
from target_stub.real.schema import AWAY, READ_ONLY, schema  # noqa: E402
from target_stub.real.signing import Key, signed  # noqa: E402

# --- what is said ---------------------------------------------------------------------------------


def test_every_value_of_the_exchange_comes_back_as_what_it_was() -> None:
    state = opening_state(JANUARY_2026, JANUARY.markets, JANUARY.rows, JANUARY.people(3))
    told = (state, JANUARY.rows, JANUARY.prices(3)(1000), opening_objects(JANUARY.rows))
    assert decode(encode(told)) == told
    some = [Decimal("1.50"), Usdc(Decimal(2)), Mode.OK, ModeTold(Mode.POST_ONLY, 3), None, {3: ()}]
    again = decode(encode(some))
    assert again == some and str(again[0]) == "1.50" and type(again[2]) is Mode


@pytest.mark.parametrize("value", [1.5, object(), {"a": b"bytes"}])
def test_what_is_not_exact_or_not_of_the_exchange_cannot_be_said(value: object) -> None:
    with pytest.raises(TypeError, match="cannot be told"):
        encode(value)


def test_a_class_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="no class of the exchange is called 'Popen'"):
        decode('{"$Popen": ["ls"]}')


# --- HTTP and the object store --------------------------------------------------------------------


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A port that is ours, and that everybody is told of."""
    with ExitStack() as stack:
        taken: list[socket.socket] = []
        number = reserve(taken)
        stack.enter_context(taken[0])
        monkeypatch.setenv("HOST", "127.0.0.1")
        monkeypatch.setenv("PORT", str(number))
        for name in ("STORAGE", "CHAIN"):
            monkeypatch.setenv(f"{name}_URL", f"http://127.0.0.1:{number}")
        yield number


def test_an_object_is_whole_and_a_condition_keeps_it(port: int) -> None:
    async def main() -> None:
        clients = Clients()
        store = S3Store(clients)
        async with trio.open_nursery() as nursery:
            answer = S3Server(objects({"kept": {"index": Decimal("-2819.53")}})).answer
            nursery.start_soon(serve_for_ever, await open_listener(), answer)
            assert await store.get("nothing") is None
            first = await store.put("checkpoints/BTC", (Decimal(1),))
            assert await store.get("checkpoints/BTC") == ((Decimal(1),), first)
            with pytest.raises(PreconditionFailed):
                await store.put("checkpoints/BTC", (), if_none_match=True)
            with pytest.raises(PreconditionFailed):
                await store.put("checkpoints/BTC", (), if_match='"another"')
            with pytest.raises(PreconditionFailed):
                await store.put("nothing", (), if_match='"another"')
            second = await store.put("checkpoints/BTC", (Decimal(2),), if_match=first)
            assert second != first
            await store.put("new", 1, if_none_match=True)
            with pytest.raises(PreconditionFailed):
                await store.put("new", 2, if_none_match=True)
            assert (
                await clients.ask("storage", Message(method="POST", target=RESET))
            ).status == 200
            assert await store.get("new") is None
            assert await store.get("kept") is not None
            await clients.close()
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_a_signature_is_that_of_the_example_of_amazon() -> None:
    made = signed(
        Key("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        "GET",
        "/test.txt",
        headers={"host": "examplebucket.s3.amazonaws.com", "range": "bytes=0-9"},
        body=b"",
        at=datetime(2013, 5, 24, tzinfo=UTC),
    )
    assert made["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )


def test_a_call_is_answered_or_fails_as_it_did_over_there(port: int) -> None:
    async def main() -> None:
        network = HttpNetwork(Links())
        with pytest.raises(ConnectionError):
            await network.call("chain", "head", None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_calls, network)
            while True:
                try:
                    assert await network.call("chain", "twice", Decimal("1.5")) == Decimal("3.0")
                    break
                except ConnectionError:
                    await trio.lowlevel.checkpoint()
            with pytest.raises(ValueError, match="no method 'thrice'"):
                await network.call("chain", "thrice", 1)
            with pytest.raises(TimeoutError):
                await network.call("chain", "never", 1, timeout_s=0)
            await network.clients.close()
            nursery.cancel_scope.cancel()

    trio.run(main)


async def answer_calls(network: HttpNetwork) -> None:
    """A service of two methods, one of which it forgets to answer."""
    async for request in network.listen("chain"):
        if request.method == "twice":
            await request.reply(request.payload * 2)
        elif request.method != "never":
            await request.fail(ValueError(f"no method {request.method!r}"))


# --- PostgreSQL -----------------------------------------------------------------------------------

Body = Callable[[Links, PostgresDatabase], Awaitable[None]]


@pytest.fixture
def in_database(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Body], None]]:
    """Run something with a database of tables ``markets`` and ``epochs``, and a topic."""
    server = servers.shared()
    made = schema(tables=("markets", "epochs"), topics=("modes",))
    database = server.databases.take(made)
    monkeypatch.setenv("PGHOST", str(server.place.parent))
    for name, value in {
        "PGPORT": server.place.name.rpartition(".")[2],
        "PGUSER": "postgres",
        "PGDATABASE": database.name,
    }.items():
        monkeypatch.setenv(name, value)

    def run(body: Body) -> None:
        async def main() -> None:
            links = Links()
            with trio.fail_after(60):
                await body(links, PostgresDatabase(links))
            links.close()

        trio.run(main)

    yield run
    server.databases.give_back(made, database)


async def broken_off(database: PostgresDatabase) -> None:
    """A transaction that writes and then fails."""
    async with database.transaction() as transaction:
        await transaction.put("markets", "BTC", {"index": Decimal(0)})
        raise ZeroDivisionError


def test_rows_are_exact_and_a_transaction_is_all_or_nothing(
    in_database: Callable[[Body], None],
) -> None:
    async def body(links: Links, database: PostgresDatabase) -> None:
        rows = {"BTC": {"index": Decimal("-2819.53434361")}, "ETH": {"index": Decimal("0.10")}}
        await database.put_all("markets", rows)
        assert await database.scan("markets") == rows
        with pytest.raises(ZeroDivisionError):
            await broken_off(database)
        assert await database.scan("markets") == rows
        async with database.transaction("serializable") as transaction:
            assert await transaction.get("markets", "XRP") is None
            held = await transaction.get_for_update("markets", "ETH")
            assert held == rows["ETH"] and str(held["index"]) == "0.10"
            await transaction.put("epochs", "markets", {"incarnation": 2})
            assert await transaction.delete("markets", "BTC")
            assert not await transaction.delete("markets", "BTC")
        assert await database.scan("epochs") == {"markets": {"incarnation": 2}}
        assert await database.scan("markets") == {"ETH": rows["ETH"]}

    in_database(body)


def test_maintenance_refuses_with_the_states_of_postgresql(
    in_database: Callable[[Body], None],
) -> None:
    async def state_of(what: Awaitable[object]) -> str:
        try:
            await what
        except psycopg.Error as error:
            return error.sqlstate or ""
        return ""

    async def body(links: Links, database: PostgresDatabase) -> None:
        await database.put_all("markets", {"BTC": {"index": 1}})
        await database.maintain(READ_ONLY)
        assert await state_of(database.put_all("markets", {"BTC": {"index": 2}})) == "25006"
        assert await database.scan("markets") == {"BTC": {"index": 1}}
        await database.maintain(AWAY)
        assert await state_of(database.scan("markets")) == "57P03"
        assert await state_of(database.scan("epochs")) == "57P03", "even a table without rows"
        assert await state_of(database.put_all("markets", {"BTC": {"index": 2}})) == "57P03"
        await database.reopen()
        assert await database.scan("markets") == {"BTC": {"index": 1}}

    in_database(body)


def test_a_topic_tells_everybody_everything_once_and_in_order(
    in_database: Callable[[Body], None],
) -> None:
    async def body(links: Links, database: PostgresDatabase) -> None:
        network, heard = HttpNetwork(links), list[tuple[str, object]]()

        async def follow(name: str) -> None:
            async for message in network.subscribe("modes"):
                heard.append((name, message))
                if message is Mode.OK:
                    return

        async with trio.open_nursery() as nursery:
            for name in ("a", "b"):
                nursery.start_soon(follow, name)
            while len(await listeners(links)) < 2:
                await trio.lowlevel.checkpoint()
            for mode in (Mode.MAINTENANCE, Mode.POST_ONLY, Mode.OK):
                await network.publish("modes", mode)
        for name in ("a", "b"):
            told = [message for each, message in heard if each == name]
            assert told == [Mode.MAINTENANCE, Mode.POST_ONLY, Mode.OK]

    in_database(body)


async def listeners(links: Links) -> list[tuple[object, ...]]:
    """Who has asked for the newest message, after it began to listen."""
    async with links.link() as link:
        cursor = await link.execute(
            "select pid from pg_stat_activity where query like 'select coalesce(max(id)%' "
            "and state = 'idle' and pid <> pg_backend_pid() and datname = current_database()"
        )
        return list(await cursor.fetchall())


def test_a_query_that_is_given_up_takes_its_connection_along(
    in_database: Callable[[Body], None],
) -> None:
    async def body(links: Links, database: PostgresDatabase) -> None:
        with trio.move_on_after(0.05) as scope:
            async with links.link() as link:
                await link.execute("select pg_sleep(60)")
        assert scope.cancelled_caught
        assert await database.scan("markets") == {}

    in_database(body)


def test_nobody_there_is_a_lost_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "127.0.0.1")
    monkeypatch.setenv("PGPORT", "1")

    async def main() -> None:
        with pytest.raises(ConnectionError):
            await PostgresDatabase(Links()).scan("markets")

    trio.run(main)
