"""The feed: publishes the mark price and the kept index of every market to the chain.

The index is a row of the cloud database, which is what the fault of 19 January 2026 corrupted. The
fork is read before the row, so that a value read before a repair can never name the fork after it.
"""

from __future__ import annotations

import trio

from target_stub.cloud.oracle_feed import Prices, Quote, sleep_until_multiple
from target_stub.cloud.retry import retrying
from target_stub.core import PublishMarket
from target_stub.forks import OnFork, Standing
from target_stub.ports import Database, Life, Network, Row

#: The rows of the markets in the cloud: funding index and premium by symbol.
TABLE = "market_rows"


class Feed:
    """One incarnation of the service."""

    def __init__(
        self,
        life: Life,
        *,
        network: Network,
        database: Database,
        prices: Prices,
        every_ms: int = 300,
    ) -> None:
        self.life = life
        self.network = network
        self.database = database
        self.prices = prices
        self.every_ms = every_ms

    async def run(self) -> None:
        """Publish at every full interval until asked to stop."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.publish_for_ever)
            self.life.enter("ready")
            await self.life.stop_requested()
            self.life.enter("drain")
            nursery.cancel_scope.cancel()

    async def publish_for_ever(self) -> None:
        """Publish all markets at every full interval; what nobody answers is not tried again."""
        while True:
            await sleep_until_multiple(self.every_ms)
            async for attempt in retrying():
                with attempt:
                    await self.publish()

    async def publish(self) -> None:
        """Publish all markets once, on the fork that counted before their rows were read."""
        standing: Standing = await self.network.call("chain", "standing", None)
        rows = await self.database.scan(TABLE)
        now_ms = round(trio.current_time() * 1000)
        for quote in self.prices(now_ms):
            command = self.command_of(quote, rows[quote.market], now_ms)
            await self.network.call("chain", "submit", OnFork(fork=standing.fork, command=command))

    def command_of(self, quote: Quote, row: Row, now_ms: int) -> PublishMarket:
        """What is published of a market now."""
        return PublishMarket(
            id=f"publish-{quote.market}-{now_ms}-{self.life.name}",
            at_ms=now_ms,
            market=quote.market,
            mark_price=quote.spot_usd,
            funding_index=row["funding_index"],
            premium=row["premium_usdc"],
        )
