"""BitMEX, 23 March 2023: a race in internal transfers made the books inconsistent for a moment.

The audit of positions and balances saw that moment and stopped the exchange as it should: 25
minutes in cancel-only mode. All funds were safe; nobody was liquidated.
Source: https://cryptomak.co.uk/postmortem-downtime-23-march-2023
"""

from __future__ import annotations

from contextlib import suppress

import trio

from harness.invariants import Broken
from harness.scenario import restart, scenario
from harness.world.messages import Request
from harness.world.service import Life
from harness.world.transactions import Transaction
from harness.world.world import World
from scenarios.incidents.incident import Incident
from scenarios.incidents.services import answer, column
from scenarios.rules.money import usdc

#: Debit and credit of a transfer are one transaction.
ATOMIC = "a_transfer_is_one_transaction"
#: All wallets that an audit reads are of one and the same moment.
SNAPSHOT = "the_audit_reads_one_snapshot"
WALLETS = {"margin": 1_000, "spot": 500}
TOTAL_USDC = sum(WALLETS.values())
TRANSFERS = (("margin", "spot", 200), ("spot", "margin", 50))
AUDITED, MOVED = "the audit adds the wallets up", "a transfer is acknowledged"


class Books:
    """Two kinds of wallets in tables of their own, the transfers between them, and the audit."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.network = world.network()
        self.database = world.database("books")
        for wallet, amount in WALLETS.items():
            self.database.load(wallet, {"alice": {"usdc": amount}})
        self.alarms: list[int] = []

    async def transfers(self, life: Life) -> None:
        """Moves money of one owner from one wallet to another."""

        async def move(request: Request) -> None:
            source, target, amount = request.payload
            async with self.database.transaction() as transaction:
                await self.add(transaction, source, -amount)
                if ATOMIC in self.world.guards:
                    await self.add(transaction, target, amount)
            if ATOMIC not in self.world.guards:
                async with self.database.transaction() as transaction:
                    await self.add(transaction, target, amount)
            await request.reply()
            self.world.reach(MOVED)

        await answer(life, self.network, "transfers", move=move)

    async def add(self, transaction: Transaction, wallet: str, amount: int) -> None:
        """Add an amount to a wallet, which stays locked until the transaction ends."""
        row = await transaction.get_for_update(wallet, "alice")
        await transaction.put(wallet, "alice", {"usdc": column(row, "usdc") + amount})

    async def audit(self) -> None:
        """Add all wallets up again and again; stop the exchange when money is missing."""
        level = "repeatable read" if SNAPSHOT in self.world.guards else "read committed"
        for _ in range(3):
            await trio.sleep(1)
            async with self.database.transaction(level) as transaction:
                rows = [await transaction.get(wallet, "alice") for wallet in WALLETS]
            total = sum(column(row, "usdc") for row in rows)
            self.world.reach(AUDITED)
            if total != TOTAL_USDC:
                self.alarms.append(total)
                return

    async def alice(self) -> None:
        """Moves her money to and fro."""
        for transfer in TRANSFERS:
            await trio.sleep(1)
            with suppress(OSError):
                await self.network.call("transfers", "move", transfer)

    def alarmed(self) -> bool:
        """The audit never finds money missing or in excess, for there is as much as ever."""
        for total in self.alarms:
            raise Broken(
                f"the audit adds up {usdc(total)} where {usdc(TOTAL_USDC)} were paid in",
                resource="books/*",
                before=usdc(TOTAL_USDC),
                after=usdc(total),
                consequence="the exchange stops, and reopens with cancellations only",
            )
        return bool(self.world.reached.get(AUDITED))

    def conserved(self) -> None:
        """When all is over, alice has as much as she paid in."""
        total = sum(column(self.database.table(wallet)["alice"], "usdc") for wallet in WALLETS)
        if total != TOTAL_USDC:
            raise Broken(
                f"alice has {usdc(total)} in all wallets; she paid in {usdc(TOTAL_USDC)}",
                resource="books/*",
                before=usdc(TOTAL_USDC),
                after=usdc(total),
                consequence="a restart between debit and credit keeps the money for good",
                accounts=("alice",),
                loss_usdc=TOTAL_USDC - total,
            )


@scenario(
    name="bitmex-2023-03-23",
    faults=[restart("transfers", kinds=("crash", "stop", "rolling"))],
    guards=(ATOMIC, SNAPSHOT),
    time_max_s=60.0,
    must_reach=(AUDITED, MOVED),
)
async def bitmex_2023(world: World) -> None:
    """An audit reads the wallets while a transfer is half done, and stops the exchange.

    Modelled: transfers between two kinds of wallets, their restart, an audit that reads both.
    Not modelled: what the real race was (not published); here a restart can even lose the money.
    """
    books = Books(world)
    world.invariant(name="the_audit_finds_all_money")(books.alarmed)
    world.invariant(name="transfers_keep_all_money", at_end=True)(books.conserved)
    service = world.service("transfers", books.transfers)
    await service.ready()
    lanes = [world.start_client("audit", books.audit), world.start_client("alice", books.alice)]
    for lane in lanes:
        await world.finished(lane)
    await service.ready()
    for life in service.alive:
        await service.stop(life)


INCIDENT = Incident(
    scenario=bitmex_2023,
    system="BitMEX, 23 March 2023",
    family="half of a pair",
    breaks=("the_audit_finds_all_money", "transfers_keep_all_money"),
    enough=((ATOMIC, SNAPSHOT),),
    budget=100,
    source="https://cryptomak.co.uk/postmortem-downtime-23-march-2023",
)
