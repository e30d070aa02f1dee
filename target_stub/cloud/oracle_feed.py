"""The oracle feed: spot prices of all markets and of USDC, once a second, to whoever listens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import trio

from target_stub.ports import Life, Network

TOPIC = "oracle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """One market at one time: spot in USD, USDC in USD, and the basis on other venues."""

    market: str
    at_ms: int
    spot_usd: Decimal
    usdc_price: Decimal
    external_rates: tuple[Decimal, ...]


#: The prices of the outside world at a time in milliseconds.
Prices = Callable[[int], tuple[Quote, ...]]


class OracleFeed:
    """Publishes what the outside world quotes; it computes nothing and keeps nothing."""

    def __init__(self, life: Life, *, network: Network, prices: Prices, every_ms: int = 1000):
        self.life = life
        self.network = network
        self.prices = prices
        self.every_ms = every_ms

    async def run(self) -> None:
        """Quote at every full interval, for ever."""
        self.life.enter("ready")
        while True:
            now_ms = round(trio.current_time() * 1000)
            await self.network.publish(TOPIC, self.prices(now_ms))
            await sleep_until_multiple(self.every_ms)


async def sleep_until_multiple(every_ms: int, *, offset_ms: int = 0) -> None:
    """Sleep until the clock shows the next multiple of an interval (plus an offset)."""
    now_ms = round(trio.current_time() * 1000)
    due_ms = ((now_ms - offset_ms) // every_ms + 1) * every_ms + offset_ms
    await trio.sleep_until(due_ms / 1000)
