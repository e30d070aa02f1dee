"""bnb-chain/node, issue 337 of December 2018: one of two copies of a price was restored.

The last trade price is kept by the matching engine and by the keeper, which computes fees from
it. A node that restarts from a snapshot restores only the first. If a trade is replayed since,
that repairs the second; if none is, the next fee differs and the node leaves the consensus.
Source: https://github.com/bnb-chain/node/issues/337
"""

from __future__ import annotations

import trio

from harness.invariants import Broken
from harness.scenario import restart, scenario
from harness.world.service import Life
from harness.world.world import World
from scenarios.incidents.incident import Incident
from scenarios.incidents.services import column

#: A restart restores the price of the keeper, too.
BOTH = "the_keeper_is_restored_too"
VALIDATORS = ("validator1", "validator2")
#: The trade price of each block, by its height; 0 stands for a block without a trade.
BLOCKS = (8, 0, 9, 7)
#: After the block of this height every validator takes a snapshot; it is called a breathe block.
BREATHE = 1
SHARES, FEE_PERMILLE = 1_000, 1
RESTORED = "a validator starts from a snapshot"


class Chain:
    """The blocks of all, and what each validator makes of them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.blocks = world.database("blocks")
        self.snapshots = world.object_store("snapshots")
        self.states = world.database("states")

    async def validator(self, life: Life) -> None:
        """One incarnation: starts from the last snapshot and follows the chain."""
        name = life.service.name
        engine = keeper = height = fees = 0
        found = await self.snapshots.get(name)
        if found is not None:
            height, engine, fees = found[0]
            self.world.reach(RESTORED)
            if BOTH in self.world.guards:
                keeper = engine
        life.enter("ready")
        while height < len(BLOCKS) and not life.stopping:
            block = await self.blocks.get("chain", height + 1)
            if block is None:
                await trio.sleep(1)
                continue
            height += 1
            price = column(block, "price")
            if price:
                # The fee is in the price of the trade before: this one's is not final yet.
                fees += SHARES * (keeper or price) * FEE_PERMILLE // 1_000
                engine = keeper = price
            await self.states.put(name, height, {"fees": fees})
            if height == BREATHE:
                await self.snapshots.put(name, (height, engine, fees))

    async def propose(self) -> None:
        """Make the blocks."""
        for height, price in enumerate(BLOCKS, 1):
            await self.blocks.put("chain", height, {"price": price})
            await trio.sleep(1)

    def agreed(self) -> bool:
        """All validators have the same state at the same height."""
        one, other = (self.states.table(name) for name in VALIDATORS)
        judged = False
        for height, row in one.items():
            if height in other:
                judged = True
                mine, theirs = column(row, "fees"), column(other[height], "fees")
                if mine != theirs:
                    raise Broken(
                        f"at height {height} {VALIDATORS[0]} has taken fees of {mine}, and "
                        f"{VALIDATORS[1]} of {theirs}",
                        resource="states",
                        before=str(mine),
                        after=str(theirs),
                        consequence="the accounts differ, and the validator that was restarted "
                        "cannot go on",
                    )
        return judged


@scenario(
    name="bnb-node-337",
    faults=[restart("validator2", kinds=("crash", "failover"))],
    guards=(BOTH,),
    time_max_s=60.0,
    must_reach=(RESTORED,),
)
async def bnb(world: World) -> None:
    """A restart restores the last price to the matching engine and not to what computes the fees.

    Modelled: two validators, blocks with and without trades, snapshots, a restart at any moment.
    Not modelled: votes, orders and their matching, and accounts other than the fees.
    """
    chain = Chain(world)
    world.invariant(name="validators_agree_at_every_height")(chain.agreed)
    for name in VALIDATORS:
        await world.service(name, chain.validator).ready()
    await world.client("proposer", chain.propose)
    for name in VALIDATORS:
        service = world.services[name]
        await service.gone(service.lives[-1])


INCIDENT = Incident(
    scenario=bnb,
    system="bnb-chain/node, issue 337",
    family="one of two copies restored",
    breaks=("validators_agree_at_every_height",),
    enough=((BOTH,),),
    budget=150,
    source="https://github.com/bnb-chain/node/issues/337",
)
