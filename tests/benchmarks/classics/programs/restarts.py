"""Restart races of our own, the shallow half: one restart, and one or two steps out of place.

In each the nemesis restarts a ledger whenever the schedule likes; money that was acknowledged
must be there afterwards, and nothing may happen twice or go backwards.
"""

from __future__ import annotations

from typing import Any

from harness.world.messages import Request
from harness.world.service import Life
from harness.world.world import World
from tests.benchmarks.classics.programs.ledgers import (
    AMOUNTS,
    LEDGER,
    deposit_once,
    deposits_survive,
    figure,
    insist,
    serve,
)


async def ack_before_write(world: World, *, repaired: bool) -> None:
    """A deposit is acknowledged, then written; the process is killed in between."""
    database, network = world.database(), world.network()

    async def ledger(life: Life) -> None:
        async def deposit(request: Request) -> None:
            if not repaired:
                await request.reply()
            await database.put("deposits", request.payload, {"done": True})
            if repaired:
                await request.reply()

        async def total(request: Request) -> None:
            await request.reply(sum(await database.scan("deposits")))

        await serve(life, network, deposit=deposit, total=total)

    await deposits_survive(world, network, ledger)


async def ack_before_fsync(world: World, *, repaired: bool) -> None:
    """A deposit is acknowledged, then forced to the disk; the power is cut in between."""
    disk, network = world.disk(), world.network()
    disk.load({"log": b""})
    world.simulation.crash_hooks.append(lambda lane: disk.power_cut())

    async def ledger(life: Life) -> None:
        async def deposit(request: Request) -> None:
            await disk.append("log", bytes([request.payload]))
            if not repaired:
                await request.reply()
            await disk.fsync("log")
            if repaired:
                await request.reply()

        async def total(request: Request) -> None:
            await request.reply(sum(await disk.read("log")))

        await serve(life, network, deposit=deposit, total=total)

    await deposits_survive(world, network, ledger)


async def half_a_pair(world: World, *, repaired: bool) -> None:
    """Money leaves one account and reaches another in two objects; only one of them is written."""
    store, network = world.object_store(), world.network()
    store.load({"accounts": {"A": 100, "B": 0}, "A": 100, "B": 0})
    seen: list[int] = []

    async def balances() -> dict[str, int]:
        if repaired:
            return dict(await value_of("accounts"))
        return {name: await value_of(name) for name in "AB"}

    async def value_of(key: str) -> Any:
        found = await store.get(key)
        assert found is not None
        return found[0]

    async def ledger(life: Life) -> None:
        async def transfer(request: Request) -> None:
            now = await balances()
            after = {"A": now["A"] - request.payload, "B": now["B"] + request.payload}
            for key, value in {"accounts": after}.items() if repaired else after.items():
                await store.put(key, value)
            await request.reply()

        async def total(request: Request) -> None:
            await request.reply(sum((await balances()).values()))

        await serve(life, network, transfer=transfer, total=total)

    @world.invariant(at_end=True)
    def no_money_appears_or_vanishes() -> None:
        assert seen == [100]

    await world.service(LEDGER, ledger).ready()
    await insist(world, network, "transfer", 30)
    seen.append(await insist(world, network, "total"))


async def total_over_rolling(world: World, *, repaired: bool) -> None:
    """The next incarnation reads the total while the old one still adds to it."""
    database, network = world.database(), world.network()
    database.load("totals", {"usdc": {"amount": 0}})
    acknowledged: list[int] = []

    async def ledger(life: Life) -> None:
        row = await database.get("totals", "usdc")
        known = figure(row, "amount")

        async def deposit(request: Request) -> None:
            nonlocal known
            if repaired:
                async with database.transaction() as transaction:
                    row = await transaction.get_for_update("totals", "usdc")
                    amount = figure(row, "amount") + request.payload
                    await transaction.put("totals", "usdc", {"amount": amount})
            else:
                known += request.payload
                await database.put("totals", "usdc", {"amount": known})
            await request.reply()

        await serve(life, network, deposit=deposit)

    @world.invariant(at_end=True)
    def every_acknowledged_deposit_is_booked() -> None:
        assert figure(database.table("totals")["usdc"], "amount") >= sum(acknowledged)

    await world.service(LEDGER, ledger).ready()
    for amount in AMOUNTS:
        await deposit_once(network, amount, acknowledged)


async def orphan_after_failover(world: World, *, repaired: bool) -> None:
    """What the dead incarnation had sent lands after the next one has written."""
    database, network = world.database(), world.network()
    database.load("markets", {"btc": {"index": 0}})
    highest = 0

    async def ledger(life: Life) -> None:
        async def tick(request: Request) -> None:
            row = await database.get("markets", "btc")
            after = {"index": figure(row, "index") + 1}
            if repaired:
                await database.compare_and_put("markets", "btc", after, row)
            else:
                await database.put("markets", "btc", after)
            await request.reply()

        await serve(life, network, tick=tick)

    @world.invariant(on=("database/",))
    def the_index_never_falls() -> None:
        nonlocal highest
        index = figure(database.table("markets")["btc"], "index")
        assert index >= highest, f"{highest} before, {index} now"
        highest = index

    await world.service(LEDGER, ledger).ready()
    for _ in range(3):
        await insist(world, network, "tick")
