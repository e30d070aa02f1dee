from collections import Counter, namedtuple
from contextlib import suppress
from decimal import Decimal

import pytest
import trio
from harness import restart, scenario
from scenarios.rules.catalogue import require, rules_of
from scenarios.rules.view import Holding, View


class TinyDex:  # somebody else's exchange: dicts, whole cents, one list of fills
    def __init__(self, db):
        self.db, self.log, self.uids = db, [], set()

    async def boot(self):
        rows = await self.db.scan("log")
        self.log = [rows[key] for key in sorted(rows)]
        self.uids = {row["uid"] for row in self.log}

    async def handle(self, msg):
        if msg["uid"] not in self.uids:
            await self.db.put("log", f"{len(self.log):06}", msg)
            self.log.append(msg)
            self.uids.add(msg["uid"])
        return "ok"


Line = namedtuple("Line", "number id touched credited is_repeat kept_usdc")
Paid = namedtuple("Paid", "account amount")


class Shown:  # all that the rules I6, I7 and I9 ask of it
    def __init__(self, db):
        self.db, self.ordered, self.acknowledged = db, [], []

    def payers(self):
        return [self]

    def entries(self):
        cents, lots, lines = Counter(), Counter(), []
        rows = self.db.table("log")
        for number, row in enumerate((rows[key] for key in sorted(rows)), 1):
            names = [row[key] for key in ("to", "from") if key in row]
            before = [holding(name, cents, lots) for name in names]
            for name, sign in zip(names, (1, -1), strict=False):
                lots[name] += sign * row.get("lots", 0)
                cents[name] += row["cents"] if "lots" not in row else -sign * row["cents"]
            touched = list(zip(before, [holding(n, cents, lots) for n in names], strict=True))
            paid = [] if "lots" in row else [Paid(row["to"], row["cents"])]
            kept = -Decimal(sum(each.amount for each in paid)) / 100
            lines.append(Line(number, row["uid"], touched, paid, False, kept))
        return lines


def holding(name, cents, lots):
    return Holding(name, {"BTC": Decimal(lots[name])}, Decimal(cents[name]) / 100)


async def run(life, dex, network):
    calls = network.listen("dex")
    await dex.boot()
    life.enter("ready")
    async for call in calls:
        await call.reply(await dex.handle(call.payload))


async def trade(network, shown):
    for n in range(3):
        orders = {"to": "ann", "cents": 5000}, {"to": "ann", "from": "bob", "lots": 1, "cents": 900}
        for kind, order in enumerate(orders):
            told, paid = None, Paid("ann", 5000)
            shown.ordered += [paid] * (kind == 0)
            while told is None:
                await trio.sleep(0.1)
                with suppress(OSError):
                    message = {"uid": f"{kind}/{n}", **order}
                    told = await network.call("dex", "do", message, timeout_s=1)
            shown.acknowledged += [paid] * (kind == 0)


async def story(world, dex=TinyDex):
    db, network = world.database(), world.network()
    shown = Shown(db)
    view = View(ledger=shown, payers=shown)
    require(view, "I6", "I7", "I9")  # loud, if one of them could not judge
    world.add_invariants(*rules_of(view))
    await world.service("dex", lambda life: run(life, dex(db), network)).ready()
    await world.client("ann", trade, network, shown)


tinydex = scenario(name="tinydex", faults=[restart("dex")])(story)


@pytest.mark.race(tinydex)
def test_race(race):
    race()
