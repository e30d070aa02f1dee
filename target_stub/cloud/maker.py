"""A market maker: quotes post-only, takes the quote back, and turns to the other side."""

from __future__ import annotations

import trio

from target_stub.cloud.trader import Trader
from target_stub.core import Instruction, PlaceOrder, Side
from target_stub.core.events import OrderAccepted

#: How long a quote stands, in seconds.
STANDS_S = 0.2


class Maker(Trader):
    """A trader who only rests; ``offset_s`` is how much later than others it comes in a round.

    Two makers who begin with different sides want the same price: who comes second is refused.
    """

    begins_with: Side = Side.BUY
    offset_s: float = 0.0
    refused: int = 0

    async def run(self) -> None:
        """Quote once in every round until the time is over."""
        begins_s = self.every_s
        while begins_s < self.until_s:
            await trio.sleep_until(begins_s + self.offset_s)
            if self.does(self.name):
                await self.act()
            begins_s += self.every_s

    async def act(self) -> None:
        """Stand at the price for a while, unless that would take."""
        side = self.begins_with if self._count % 2 == 0 else self.begins_with.opposite
        self._count += 1
        (instrument,), account = self.instruments, self.accounts[0]
        command = PlaceOrder(
            id=self.next_id("quote"),
            at_ms=round(trio.current_time() * 1000),
            account=account,
            market=instrument.market,
            side=side,
            size=instrument.size,
            price=instrument.price_usd,
            instruction=Instruction.POST_ONLY,
        )
        events = await self.send("matching", "order", command)
        if not any(isinstance(event, OrderAccepted) for event in events):
            self.refused += 1
            return
        await trio.sleep(STANDS_S)
        await self.cancel(account, command.id)
