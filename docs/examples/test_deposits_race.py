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
        with suppress(OSError):  # no answer: nobody was told anything
            await network.call("ledger", "deposit", amount, timeout_s=1)
            acknowledged.append(amount)


@scenario(faults=[restart("ledger", kinds=["crash", "rolling"])])
async def deposits_survive(world):
    acknowledged, database, network = [], world.database(), world.network()
    database.load("totals", {"usdc": {"amount": 0}})

    @world.invariant
    def every_acknowledged_deposit_survives():
        booked = database.table("totals")["usdc"]["amount"]
        assert booked >= sum(acknowledged), f"{acknowledged} were acknowledged, {booked} is booked"

    await world.service("ledger", lambda life: ledger(life, database, network)).ready()
    await world.client("trader", pay_in, network, acknowledged)


@pytest.mark.race(deposits_survive)
def test_race(race):
    race()
