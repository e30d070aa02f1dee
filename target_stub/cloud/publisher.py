"""The publisher: brings committed market values to the chain, one market after the other.

With the checkpoint guard it compares every value with the last one that it published and that a
checkpoint object remembers across restarts; without it, it publishes what it is given.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import trio

from target_stub.cloud.market_data import TOPIC, Implausible, check_plausible
from target_stub.cloud.retry import retrying
from target_stub.core import MarketSpec, PublishMarket
from target_stub.guards import CHECKPOINT, NO_GUARDS, Guards, Refusal
from target_stub.ports import Life, Network, ObjectStore, Row

CHECKPOINTS = "checkpoints"


class Publisher:
    """One incarnation of the publisher."""

    def __init__(
        self,
        life: Life,
        *,
        network: Network,
        storage: ObjectStore,
        markets: Iterable[MarketSpec],
        guards: Guards = NO_GUARDS,
    ) -> None:
        self.life = life
        self.network = network
        self.storage = storage
        self.markets = {market.symbol: market for market in markets}
        self.guards = guards

    async def run(self) -> None:
        """Publish every announcement until asked to stop."""
        announcements = self.network.subscribe(TOPIC)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.follow, announcements)
            self.life.enter("ready")
            await self.life.stop_requested()
            self.life.enter("drain")
            nursery.cancel_scope.cancel()

    async def follow(self, announcements: Any) -> None:
        """Publish what market data announces, in its order."""
        async for rows in announcements:
            for symbol, row in rows.items():
                await self.publish(symbol, row)

    async def publish(self, symbol: str, row: Row) -> None:
        """Bring one market's values to the chain, then remember them as the checkpoint."""
        try:
            await self.bring(symbol, row)
        except Implausible as error:
            self.guards.tell(Refusal(guard=CHECKPOINT, why=str(error), rows={symbol: row}))

    async def bring(self, symbol: str, row: Row) -> None:
        """The same, or :class:`Implausible` if the value cannot follow the checkpoint."""
        key = f"{CHECKPOINTS}/{symbol}"
        async for attempt in retrying():
            with attempt:
                if CHECKPOINT in self.guards:
                    await self.check_follows(key, symbol, row)
                await self.network.call("chain", "submit", command_of(symbol, row))
                await self.storage.put(key, row)

    async def check_follows(self, key: str, symbol: str, row: Row) -> None:
        """Raise :class:`Implausible` unless a value can come after the last one published."""
        found = await self.storage.get(key)
        check_plausible(self.markets[symbol], found[0] if found else None, row)


def command_of(symbol: str, row: Row) -> PublishMarket:
    """The chain command for a row; publishing the same row twice is the same command."""
    return PublishMarket(
        id=f"publish-{symbol}-{row['funding_at_ms']}-{row['written_by']}",
        at_ms=row["funding_at_ms"],
        market=symbol,
        mark_price=row["mark_usd"],
        funding_index=row["funding_index"],
        premium=row["premium_usdc"],
        liquidity=row.get("liquidity"),
        own_basis=row.get("own_basis"),
    )
