"""Solana, 1 June 2022: a transaction with a durable nonce that failed was processed twice.

The value of a durable nonce looks like the hash of a recent block. While it was recent, such a
transaction was processed as an ordinary one; when it failed, the nonce did not advance. Sent
again when the hash had aged, it was processed a second time, nodes disagreed, and the cluster was
restarted after 4.5 hours.
Source: https://solana.com/it/news/06-01-22-solana-mainnet-beta-outage-report-2
"""

from __future__ import annotations

from contextlib import suppress

import trio

from harness.invariants import Broken
from harness.scenario import restart, scenario
from harness.world.messages import Request
from harness.world.service import Life
from harness.world.versions import Row
from harness.world.world import World
from scenarios.incidents.incident import Incident
from scenarios.incidents.services import answer, column

#: A nonce is never taken for the hash of a block, and advances even when its transaction fails.
APART = "a_nonce_is_no_block_hash"
#: The hashes of so many blocks are recent.
RECENT = 2
FEE_LAMPORTS = 5_000
DURABLE, ORDINARY = "durable", ("first", "second")
RETRIED = "the durable transaction is sent again"


class Cluster:
    """The ledger, and the leader that makes its blocks, one transaction in each."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.network = world.network()
        self.ledger = world.database("ledger")
        # The nonce was advanced a moment ago: its value is the hash of the newest block.
        self.ledger.load("blocks", {7: {"signature": "advance", "hash": "hash-7"}})
        self.ledger.load("nonces", {"vault": {"value": "hash-7"}})

    async def lead(self, life: Life) -> None:
        """Make blocks; what a leader knows of recent blocks is in the ledger, too."""
        blocks = await self.ledger.scan("blocks")
        making = trio.Lock()

        async def submit(request: Request) -> None:
            async with making:
                status = await self.process(request.payload, blocks)
            await request.reply(status)

        await answer(life, self.network, "leader", submit=submit)

    async def process(self, signature: str, blocks: dict[int, Row]) -> str:
        """Process a transaction, if it may be; every processing is a block and costs a fee."""
        recent = {column(blocks[slot], "hash"): slot for slot in sorted(blocks)[-RECENT:]}
        async with self.ledger.transaction() as transaction:
            if signature == DURABLE:
                nonce = column(await transaction.get_for_update("nonces", "vault"), "value")
                if nonce != "hash-7":
                    return "the nonce was used"
                if nonce not in recent or APART in self.world.guards:
                    await transaction.put("nonces", "vault", {"value": f"after {signature}"})
                elif signature in {column(blocks[slot], "signature") for slot in recent.values()}:
                    return "processed already"
            slot = max(blocks) + 1
            block: Row = {"signature": signature, "hash": f"hash-{slot}"}
            if not await transaction.compare_and_put("blocks", slot, block, None):
                raise ConnectionAbortedError("another leader made this block")
        blocks[slot] = block
        return "failed" if signature == DURABLE else "done"

    async def pay(self) -> None:
        """The owner of the nonce: his transaction fails for lack of funds, and he tries again."""
        for attempt in range(2):
            self.world.sometimes(RETRIED, attempt)
            with suppress(OSError):
                await self.network.call("leader", "submit", DURABLE)
            await trio.sleep(0.1)

    async def trade(self) -> None:
        """Everybody else."""
        for signature in ORDINARY:
            await trio.sleep(0.4)
            with suppress(OSError):
                await self.network.call("leader", "submit", signature)

    def processed(self) -> None:
        """A transaction is in one block at most, and pays one fee."""
        slots: dict[object, int] = {}
        for slot, block in self.ledger.table("blocks").items():
            first = slots.setdefault(block["signature"], slot)
            if first != slot:
                raise Broken(
                    f"the {block['signature']} transaction was processed in block {first} and "
                    f"again in block {slot}",
                    resource=f"ledger/blocks/{slot}",
                    before=f"block {first}",
                    after=f"blocks {first} and {slot}",
                    consequence=f"its owner pays {2 * FEE_LAMPORTS:,} lamports instead of "
                    f"{FEE_LAMPORTS:,}, and nodes that saw the first block reject the second",
                    accounts=("owner",),
                )


@scenario(
    name="solana-2022-06-01",
    faults=[restart("leader", kinds=("crash", "failover", "rolling"))],
    guards=(APART,),
    time_max_s=60.0,
    must_reach=(RETRIED,),
)
async def solana(world: World) -> None:
    """A failed transaction with a durable nonce is sent again and processed a second time.

    Modelled: the leader and its restart, block hashes that age, the nonce, one transaction a block.
    Not modelled: votes, forks, and how the nodes disagreed about the second block.
    """
    cluster = Cluster(world)
    world.invariant(name="a_transaction_is_processed_once")(cluster.processed)
    await world.service("leader", cluster.lead).ready()
    lanes = [
        world.start_client("owner", cluster.pay),
        world.start_client("others", cluster.trade),
    ]
    for lane in lanes:
        await world.finished(lane)


INCIDENT = Incident(
    scenario=solana,
    system="Solana, 1 June 2022",
    family="executed twice",
    breaks=("a_transaction_is_processed_once",),
    enough=((APART,),),
    budget=100,
    source="https://solana.com/it/news/06-01-22-solana-mainnet-beta-outage-report-2",
)
