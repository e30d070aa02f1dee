from contextlib import suppress

import pytest

from harness import restart, scenario


async def ledger(life, database, network):
    requests = network.listen("ledger")
    total = (await database.get("totals", "usdc"))["amount"]
    life.enter("ready")
    async for request in requests:
        total += request.payload
        await database.put("totals", "usdc", {"amount": total})
        await request.reply("ok")


async def pay_in(network, acknowledged):
    for amount in (10, 20, 30):
        with suppress(ConnectionError, TimeoutError):  # then nobody was told anything
            await network.call("ledger", "deposit", amount, timeout_s=1)
            acknowledged.append(amount)


@scenario(faults=[restart("ledger", kinds=["crash", "rolling"])])
async def deposits_survive(world):
    database, network, acknowledged = world.database(), world.network(), []
    database.load("totals", {"usdc": {"amount": 0}})

    @world.invariant
    def every_acknowledged_deposit_survives():
        booked, told = database.table("totals")["usdc"]["amount"], sum(acknowledged)
        assert booked >= told, f"{told} USDC were acknowledged, {booked} are in the books."

    await world.service("ledger", lambda life: ledger(life, database, network)).ready()
    await world.client("trader", pay_in, network, acknowledged)


@pytest.mark.race(deposits_survive)
def test_race(race):
    race()
