"""A trader: keeps depositing, placing and cancelling, whatever the exchange is doing meanwhile.

Every request has an id of its own that is kept when it is tried again, so a retry after a lost
answer must not have a second effect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random

import trio

from target_stub.cloud.retry import retrying
from target_stub.core import CancelOrder, Command, Deposit, Instruction, PlaceOrder, Side, Usdc
from target_stub.core.events import Deposited, Duplicate, OrderAccepted
from target_stub.ports import Network

#: How long a client waits for an answer before it sends again.
TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """What a trader trades: a market, a fair price, its tick and the size of one order."""

    market: str
    price_usd: Decimal
    tick_usd: Decimal
    size: Decimal


@dataclass(frozen=True, slots=True)
class Payment:
    """A deposit as its payer means it: whatever happens on the way, it is to count once."""

    account: str
    amount: Usdc


class Trader:
    """One client with a few accounts; what it ordered to be paid in, and what was acknowledged.

    Whenever it comes to act it asks ``does`` whether it shall.
    """

    def __init__(
        self,
        name: str,
        *,
        network: Network,
        accounts: Sequence[str],
        instruments: Sequence[Instrument],
        random: Random,
        every_s: float,
        until_s: float,
        does: Callable[[str], bool] = lambda name: True,
    ) -> None:
        self.name = name
        self.network = network
        self.accounts = accounts
        self.instruments = instruments
        self.random = random
        self.every_s = every_s
        self.until_s = until_s
        self.does = does
        self.ordered: list[Payment] = []
        self.acknowledged: list[Payment] = []
        self._count = 0
        self._open: list[tuple[str, str]] = []

    async def run(self) -> None:
        """Act at intervals until the time is over."""
        while trio.current_time() < self.until_s:
            await trio.sleep(self.every_s * (0.5 + self.random.random()))
            if self.does(self.name):
                await self.act()

    async def act(self) -> None:
        """A deposit, a cancel, or an order near the price, on either side."""
        self._count += 1
        draw = self.random.random()
        account = self.random.choice(self.accounts)
        if draw < 0.3:
            await self.deposit(account)
        elif draw < 0.4 and self._open:
            await self.cancel(*self._open.pop(0))
        else:
            await self.order(account)

    async def send(self, address: str, method: str, command: Command) -> tuple[object, ...]:
        """Send a command until somebody answers; the id stays the same."""
        events: tuple[object, ...] = ()
        async for attempt in retrying():
            with attempt:
                events = await self.network.call(address, method, command, timeout_s=TIMEOUT_S)
        return events

    def next_id(self, what: str) -> str:
        """An id that nobody else uses."""
        return f"{self.name}-{what}-{self._count}"

    async def deposit(self, account: str) -> None:
        """Pay in a round sum."""
        await self.pay(Payment(account, Usdc(Decimal(self.random.randrange(1, 20) * 50))))

    async def pay(self, payment: Payment) -> None:
        """Pay in, and wait until that is acknowledged."""
        self.ordered.append(payment)
        command = Deposit(
            id=self.next_id("deposit"),
            at_ms=_now_ms(),
            account=payment.account,
            amount=payment.amount,
        )
        events = await self.send("chain", "submit", command)
        if any(isinstance(event, Deposited | Duplicate) for event in events):
            self.acknowledged.append(payment)

    async def cancel(self, account: str, order_id: str) -> None:
        """Take back an order that may have been filled meanwhile."""
        await self.send(
            "matching",
            "order",
            CancelOrder(
                id=self.next_id("cancel"), at_ms=_now_ms(), account=account, order_id=order_id
            ),
        )

    async def order(self, account: str) -> None:
        """A limit order a few ticks from the price, most of them through it."""
        instrument = self.random.choice(self.instruments)
        side = self.random.choice((Side.BUY, Side.SELL))
        away = instrument.tick_usd * self.random.randrange(-3, 8) * side.sign
        command = PlaceOrder(
            id=self.next_id("order"),
            at_ms=_now_ms(),
            account=account,
            market=instrument.market,
            side=side,
            size=instrument.size,
            price=instrument.price_usd + away,
            instruction=self.random.choice(
                (Instruction.GTC, Instruction.GTC, Instruction.GTC, Instruction.POST_ONLY)
            ),
        )
        events = await self.send("matching", "order", command)
        if any(isinstance(event, OrderAccepted) for event in events):
            self._open.append((account, command.id))


def _now_ms() -> int:
    return round(trio.current_time() * 1000)
