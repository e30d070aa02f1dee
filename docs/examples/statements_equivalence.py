from contextlib import suppress

import trio
from harness import Equivalence, restart, scenario


async def ledger(life, database, network):
    requests = network.listen("ledger")
    total = (await database.get("rows", "total"))["amount"]
    unstated = 0  # what was paid in since the last statement
    life.enter("ready")
    async for request in requests:
        if request.method == "deposit":
            total, unstated = total + request.payload, unstated + request.payload
            await database.put("rows", "total", {"amount": total})
        else:
            await database.put("rows", "statement", {"amount": unstated, "total": total})
            unstated = 0
        await request.reply("ok")


async def customer(network):
    for number in range(1, 1_000_000):
        await trio.sleep(1)
        with suppress(OSError):  # whoever gets no answer pays in again next time
            method = "statement" if number % 4 == 0 else "deposit"
            await network.call("ledger", method, number, timeout_s=1)


def core(state, row):  # the same ledger, as a pure function of what became durable
    total, stated, statement = state
    if "total" in row:
        return total, total, {"amount": total - stated, "total": total}
    return row["amount"], stated, statement


@scenario(faults=[restart("ledger", in_recovery=True)], faults_max=2, time_max_s=60)
async def statements(world):
    database, network = world.database(), world.network()
    database.load("rows", {"total": {"amount": 0}, "statement": {"amount": 0, "total": 0}})
    equivalence = Equivalence(world, milestones=["deposit", "statement"])
    twin = equivalence.twin(
        "ledger",
        (0, 0, database.table("rows")["statement"]),
        core,
        expected=lambda state: {"total": state[0], "statement": state[2]},
        actual=lambda: {
            "total": database.table("rows")["total"]["amount"],
            "statement": database.table("rows")["statement"],
        },
        on=["database/rows/"],
    )

    def committed(event):
        if event.kind == "write":
            row = database.table("rows")[event.resource.rpartition("/")[2]]
            twin.durable(row)
            equivalence.passed("statement" if "total" in row else "deposit")

    world.watch("database/rows/", committed)
    await world.service("ledger", lambda life: ledger(life, database, network)).ready()
    world.start_client("customer", customer, network)
    await trio.sleep(8)
    await equivalence.run_on()
