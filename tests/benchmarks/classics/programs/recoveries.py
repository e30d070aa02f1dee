"""Restart races of our own, the deep half: several things have to go wrong, in one order."""

from __future__ import annotations

from typing import Any

import trio

from harness.world.messages import Request
from harness.world.service import Life
from harness.world.world import World
from tests.benchmarks.classics.programs.ledgers import (
    AMOUNTS,
    LEDGER,
    deposits_survive,
    figure,
    insist,
    serve,
)

SHARDS = 4
TICKS = 3


async def default_before_hydrate(world: World, *, repaired: bool) -> None:
    """A clock ticks before the state is read, and what it writes is a default."""
    database = world.database()
    database.load("markets", {"btc": {"index": 0}})
    highest = 0

    async def market(life: Life) -> None:
        index, hydrated = 0, trio.Event()

        async def hydrate() -> None:
            nonlocal index
            row = await database.get("markets", "btc")
            index = figure(row, "index")
            hydrated.set()
            life.enter("ready")

        async def tick() -> None:
            nonlocal index
            if repaired:
                await hydrated.wait()
            for _ in range(TICKS):
                await trio.sleep(0.1)
                if life.stopping:
                    return
                index += 1
                await database.put("markets", "btc", {"index": index})
            await life.stop_requested()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hydrate)
            nursery.start_soon(tick)

    @world.invariant(on=("database/",))
    def the_index_never_falls() -> None:
        nonlocal highest
        index = figure(database.table("markets")["btc"], "index")
        assert index >= highest, f"{highest} before, {index} now"
        highest = index

    await world.service("market", market).ready()
    await trio.sleep(1)


async def snapshot_and_truncate(world: World, *, repaired: bool) -> None:
    """A deposit comes after the snapshot was cut and before the log is truncated; then a crash."""
    database, network = world.database(), world.network()

    async def ledger(life: Life) -> None:
        snapshot: Any = await database.get("snapshots", "last")
        booked = {*(snapshot["booked"] if snapshot else ()), *await database.scan("log")}

        async def deposit(request: Request) -> None:
            await database.put("log", request.payload, {"done": True})
            booked.add(request.payload)
            await request.reply()

        async def total(request: Request) -> None:
            await request.reply(sum(booked))

        async def take_snapshot() -> None:
            cut = tuple(sorted(booked))
            await database.put("snapshots", "last", {"booked": cut})
            for key in cut if repaired else sorted(await database.scan("log")):
                await database.delete("log", key)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(take_snapshot)
            await serve(life, network, deposit=deposit, total=total)

    await deposits_survive(world, network, ledger)


async def restart_in_recovery(world: World, *, repaired: bool) -> None:
    """Recovery empties the journal before it has written what was in it, and is killed there."""
    store, network = world.object_store(), world.network()
    store.load({"state": ()})

    async def ledger(life: Life) -> None:
        booked: set[int] = set()

        async def recover() -> None:
            found = await store.get("state")
            journal = await store.list("journal/")
            booked.update(found[0] if found else ())
            booked.update(int(key.removeprefix("journal/")) for key in journal)
            if repaired:
                await store.put("state", tuple(sorted(booked)))
            for key in journal:
                await store.delete(key)
            if not repaired:
                await store.put("state", tuple(sorted(booked)))

        async def deposit(request: Request) -> None:
            await store.put(f"journal/{request.payload}", True)
            booked.add(request.payload)
            await request.reply()

        async def total(request: Request) -> None:
            await request.reply(sum(booked))

        await serve(life, network, recover, deposit=deposit, total=total)

    await deposits_survive(world, network, ledger)


async def retry_after_orphan(world: World, *, repaired: bool) -> None:
    """A retry is found to be new, then the commit of the dead incarnation lands: booked twice."""
    database, network = world.database(), world.network()
    database.load("totals", {"usdc": {"amount": 0}})

    async def ledger(life: Life) -> None:
        async def deposit(request: Request) -> None:
            known = None if repaired else await database.get("seen", request.payload)
            if known is None:
                async with database.transaction() as transaction:
                    row = await transaction.get_for_update("totals", "usdc")
                    if repaired:
                        known = await transaction.get("seen", request.payload)
                    if known is None:
                        amount = figure(row, "amount") + request.payload
                        await transaction.put("seen", request.payload, {"done": True})
                        await transaction.put("totals", "usdc", {"amount": amount})
            await request.reply()

        await serve(life, network, deposit=deposit)

    @world.invariant(on=("database/",))
    def nothing_is_booked_twice() -> None:
        booked = figure(database.table("totals")["usdc"], "amount")
        assert booked <= sum(AMOUNTS), f"{booked} is booked"

    await world.service(LEDGER, ledger).ready()
    for amount in AMOUNTS:
        await insist(world, network, "deposit", amount)


async def four_windows(world: World, *, repaired: bool) -> None:
    """The next incarnation copies four replicas, and the one write misses every one of them."""
    database = world.database()
    database.load("replicas", {shard: {"version": 0} for shard in range(SHARDS)})

    async def replicas(life: Life) -> None:
        if life.incarnation > 1:
            for shard in range(SHARDS):
                await copy(shard)
        life.enter("ready")
        await life.stop_requested()

    async def copy(shard: int) -> None:
        row: Any = await database.get("replicas", shard)
        await database.get("checks", shard)
        if repaired:
            await database.compare_and_put("replicas", shard, dict(row), row)
        else:
            await database.put("replicas", shard, dict(row))

    async def write() -> None:
        for shard in range(SHARDS):
            await database.get("checks", shard)
            await database.put("replicas", shard, {"version": 1})

    @world.invariant(at_end=True)
    def the_write_is_on_some_replica() -> None:
        assert any(figure(row, "version") for row in database.table("replicas").values())

    service = world.service("replicas", replicas)
    await service.ready()
    writer = world.start_client("writer", write)
    await service.restart("rolling")
    await world.finished(writer)
