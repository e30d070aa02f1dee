"""A customer whose rounds touch everything: he deposits, trades with himself, and withdraws."""

from __future__ import annotations

from decimal import Decimal

import trio

from target_stub.cloud.trader import Payment, Trader
from target_stub.core import PlaceOrder, Side, Usdc, Withdraw


class Rounds(Trader):
    """A trader whose rounds are all alike; ``resting`` while he has asked for nothing."""

    resting = True

    async def act(self) -> None:
        """One round: a deposit, an order that rests, one that meets it, and a withdrawal."""
        self._count += 1
        self.resting = False
        rests, meets = self.accounts[:2] if self._count % 2 else self.accounts[1::-1]
        (instrument,) = self.instruments
        away = instrument.tick_usd * self.random.randrange(-3, 4)
        amount = Usdc(Decimal(self.random.randrange(1, 20) * 50))
        await self.pay(Payment(rests, amount))
        for side, account in ((Side.BUY, rests), (Side.SELL, meets)):
            command = PlaceOrder(
                id=self.next_id(f"{side}"),
                at_ms=_now_ms(),
                account=account,
                market=instrument.market,
                side=side,
                size=instrument.size,
                price=instrument.price_usd + away,
            )
            await self.send("matching", "order", command)
        withdrawal = Withdraw(
            id=self.next_id("withdrawal"), at_ms=_now_ms(), account=meets, amount=amount
        )
        await self.send("chain", "submit", withdrawal)
        self.resting = True


def _now_ms() -> int:
    return round(trio.current_time() * 1000)
