"""The oracle feed: spot prices of all markets and of USDC, once a second, to whoever listens.

Where bands are judged against the outside, the chain has to know the outside too: then the feed
brings it every quote as a command. It computes nothing and keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import trio

from target_stub.cloud.retry import retrying
from target_stub.core import OracleUpdate, VenueQuote
from target_stub.ports import Life, Network

TOPIC = "oracle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """One market at one time: spot in USD, USDC in USD, and basis and depth on other venues."""

    market: str
    at_ms: int
    spot_usd: Decimal
    usdc_price: Decimal
    external_rates: tuple[Decimal, ...]
    venue_quotes: tuple[VenueQuote, ...] | None = None
    """Impact prices on the venues that answered; None where nobody asks for them."""


#: The prices of the outside world at a time in milliseconds.
Prices = Callable[[int], tuple[Quote, ...]]


def command_of(quote: Quote, sender: str) -> OracleUpdate:
    """A quote as a command of one sender."""
    return OracleUpdate(
        id=f"{sender}-quote-{quote.market}-{quote.at_ms}",
        at_ms=quote.at_ms,
        market=quote.market,
        spot_usd=quote.spot_usd,
        usdc_price=quote.usdc_price,
        external_rates=quote.external_rates,
        venue_quotes=quote.venue_quotes,
    )


class OracleFeed:
    """Publishes what the outside world quotes; to the chain as well, if ``on_chain``."""

    def __init__(
        self,
        life: Life,
        *,
        network: Network,
        prices: Prices,
        every_ms: int = 1000,
        on_chain: bool = False,
    ) -> None:
        self.life = life
        self.network = network
        self.prices = prices
        self.every_ms = every_ms
        self.on_chain = on_chain

    async def run(self) -> None:
        """Quote at every full interval, for ever."""
        self.life.enter("ready")
        if not self.on_chain:
            await self.quote_for_ever()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.quote_for_ever)
            nursery.start_soon(self.tell_chain_for_ever)

    async def quote_for_ever(self) -> None:
        """Tell everybody who listens."""
        while True:
            await self.network.publish(TOPIC, self.prices(round(trio.current_time() * 1000)))
            await sleep_until_multiple(self.every_ms)

    async def tell_chain_for_ever(self) -> None:
        """Bring every quote to the chain; one that is away hears the next one when it is back."""
        while True:
            for quote in self.prices(round(trio.current_time() * 1000)):
                async for attempt in retrying():
                    with attempt:
                        command = command_of(quote, self.life.name)
                        await self.network.call("chain", "submit", command)
            await sleep_until_multiple(self.every_ms)


async def sleep_until_multiple(every_ms: int, *, offset_ms: int = 0) -> None:
    """Sleep until the clock shows the next multiple of an interval (plus an offset)."""
    now_ms = round(trio.current_time() * 1000)
    due_ms = ((now_ms - offset_ms) // every_ms + 1) * every_ms + offset_ms
    await trio.sleep_until(due_ms / 1000)
