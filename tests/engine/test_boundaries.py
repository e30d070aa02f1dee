"""Every operation of the world says itself whether it makes something durable or public."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence

import pytest
import trio

from harness.engine import execute
from harness.schedule.choices import OPERATION, Option
from harness.world.database import Database
from harness.world.disk import Disk
from harness.world.network import Network
from harness.world.objectstore import ObjectStore
from harness.world.transactions import Transaction
from harness.world.world import World
from tests.engine.worlds import told

Act = Callable[[World], Awaitable[object]]
ROW = {"amount": 1}


def statement(act: Callable[[Transaction], Awaitable[object]]) -> Act:
    """One statement of a transaction that is rolled back in the end."""

    async def rolled_back(world: World) -> None:
        try:
            async with world.database("db").transaction() as transaction:
                await act(transaction)
                raise KeyError("no commit")
        except KeyError:
            pass

    return rolled_back


async def commit(world: World) -> None:
    async with world.database("db").transaction() as transaction:
        await transaction.put("rows", "a", ROW)


async def commit_of_nothing(world: World) -> None:
    async with world.database("db").transaction() as transaction:
        await transaction.get("rows", "a")


def asking(method: str, *, answered: bool) -> Act:
    """A client that sends something to a listener, which answers or does not."""

    async def ask(world: World) -> None:
        network = world.network("net")
        endpoint = network.listen("here")

        async def listen() -> None:
            request = await endpoint.receive()
            if answered:
                await request.reply()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            await (network.call("here", method) if method else network.send("here", "news"))

    return ask


async def publish(world: World) -> None:
    network = world.network("net")
    subscription = network.subscribe("news")
    await network.publish("news", 1)
    await subscription.receive()


def on_disk(act: Callable[[Disk], Awaitable[object]]) -> Act:
    """One operation on a disk that has a file."""

    async def story(world: World) -> None:
        disk = world.disk("disk")
        disk.load({"log": b"1"})
        await act(disk)

    return story


#: What makes nothing durable and tells nobody, by the method that does it.
PASSING: dict[str, Act] = {
    "Database.get": lambda world: world.database("db").get("rows", "a"),
    "Database.scan": lambda world: world.database("db").scan("rows"),
    "Database.maintain": lambda world: world.database("db").maintain("read only"),
    "Database.reopen": lambda world: world.database("db").reopen(),
    "Transaction.get": commit_of_nothing,
    "Transaction.scan": statement(lambda one: one.scan("rows")),
    "Transaction.get_for_update": statement(lambda one: one.get_for_update("rows", "a")),
    "Transaction.put": statement(lambda one: one.put("rows", "a", ROW)),
    "Transaction.put_all": statement(lambda one: one.put_all("rows", {"a": ROW})),
    "Transaction.update": statement(lambda one: one.update("rows", "a", amount=2)),
    "Transaction.delete": statement(lambda one: one.delete("rows", "a")),
    "Transaction.compare_and_put": statement(
        lambda one: one.compare_and_put("rows", "a", ROW, None)
    ),
    "ObjectStore.get": lambda world: world.object_store("store").get("a"),
    "ObjectStore.list": lambda world: world.object_store("store").list(),
    "Disk.append": on_disk(lambda disk: disk.append("log", b"2")),
    "Disk.write": on_disk(lambda disk: disk.write("log", b"2")),
    "Disk.read": on_disk(lambda disk: disk.read("log")),
    "Disk.listing": on_disk(lambda disk: disk.listing()),
    "Network.send": asking("", answered=False),
}
#: What a crash should come just before, or just after.
BOUNDARIES: dict[str, Act] = {
    "Database.put": lambda world: world.database("db").put("rows", "a", ROW),
    "Database.put_all": lambda world: world.database("db").put_all("rows", {"a": ROW}),
    "Database.update": lambda world: world.database("db").update("rows", "a", amount=2),
    "Database.delete": lambda world: world.database("db").delete("rows", "a"),
    "Database.compare_and_put": lambda world: world.database("db").compare_and_put(
        "rows", "a", ROW, None
    ),
    "commit": commit,
    "ObjectStore.put": lambda world: world.object_store("store").put("a", 1),
    "ObjectStore.put_if": lambda world: world.object_store("store").put_if("a", 1),
    "ObjectStore.delete": lambda world: world.object_store("store").delete("a"),
    "Disk.fsync": on_disk(lambda disk: disk.fsync("log")),
    "Disk.rename": on_disk(lambda disk: disk.rename("log", "old")),
    "Disk.delete": on_disk(lambda disk: disk.delete("log")),
    "Disk.sync_directory": on_disk(lambda disk: disk.sync_directory()),
    "Network.publish": publish,
    "Network.call": asking("ask", answered=True),
}


def marks(act: Act) -> dict[str, bool]:
    """The operations of a run, and which of them are boundaries."""
    found: dict[str, bool] = {}

    def choose(options: Sequence[Option], step: int) -> int:
        found.update({each.label: each.boundary for each in options if each.kind == OPERATION})
        assert not any(each.boundary for each in options if each.kind != OPERATION)
        return 0

    async def story(world: World) -> None:
        await act(world)

    run = execute(told(story, faults_max=0), seed=0, clocked=lambda now_ms: choose)
    assert not run.violated, run.violations
    return found


@pytest.mark.parametrize("name", BOUNDARIES)
def test_what_makes_durable_or_public_says_so(name: str) -> None:
    found = marks(BOUNDARIES[name])
    assert [label for label, boundary in found.items() if boundary] == list(found)[-1:]


@pytest.mark.parametrize("name", PASSING)
def test_what_does_not_does_not(name: str) -> None:
    found = marks(PASSING[name])
    assert found and not any(found.values()), found


def test_no_operation_of_the_world_is_forgotten() -> None:
    declared = {
        f"{kind.__name__}.{name}"
        for kind in (Database, Transaction, Disk, ObjectStore, Network)
        for name, method in vars(kind).items()
        if inspect.iscoroutinefunction(method) and not name.startswith("_")
    }
    assert declared == {*PASSING, *BOUNDARIES} - {"commit"}
