"""A customer: uses every form of order there is, on accounts with positions and without.

Like every trader it keeps the id of a request when it sends it again. It never looks at the book:
its prices are some ticks from a price that it was told, so that some of its orders trade, some rest
and some wait for a price that comes later.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import trio

from target_stub.cloud.trader import Instrument, Trader
from target_stub.core import (
    CancelAll,
    Instruction,
    ModifyOrder,
    OrderKind,
    PlaceOrder,
    Side,
    TraderProfile,
    Trigger,
    Usdc,
    Withdraw,
)
from target_stub.core.events import OrderAccepted, Withdrawn

#: How far from the price a trigger is, in ticks of the instrument: as far as one fall goes.
TRIGGER_TICKS = 60


class Customer(Trader):
    """A trader who knows all forms of order, changes orders, withdraws, and cancels everything."""

    withdrawn: Decimal = Decimal(0)

    async def act(self) -> None:
        """One of the forms, all about equally likely; a trade in the middle of the book mostly."""
        self._count += 1
        account = self.random.choice(self.accounts)
        await self.random.choice(self.forms)(self, account)

    async def trade(self, account: str) -> None:
        """A limit order, mostly through the price: the one or the other form of it."""
        instruction = self.random.choice((Instruction.GTC, Instruction.GTC, Instruction.IOC))
        size = self.random.choice((1, 2, 3))
        await self.place(account, instruction=instruction, size=size, away=(-4, 8))

    async def rest(self, account: str) -> None:
        """An order that never takes."""
        instruction = self.random.choice((Instruction.POST_ONLY, Instruction.RPI))
        await self.place(account, instruction=instruction, size=4, away=(-10, -1))

    async def take(self, account: str) -> None:
        """A market order of a retail customer, with a cap for its average price."""
        await self.place(
            account,
            kind=OrderKind.MARKET,
            size=self.random.choice((1, 5)),
            profile=TraderProfile.RETAIL,
            slippage=Decimal("0.01"),
        )

    async def stop(self, account: str) -> None:
        """A stop order, with a limit or without, that the next fall or rise may fire."""
        kind = self.random.choice((OrderKind.LIMIT, OrderKind.MARKET))
        await self.place(account, kind=kind, size=2, away=(0, 8), trigger=Trigger.STOP)

    async def protect(self, account: str) -> None:
        """An order that brings a take-profit and a stop-loss order of its own."""
        await self.place(account, size=3, away=(-4, 8), exits=True)

    async def pair(self, account: str) -> None:
        """A take-profit and a stop-loss order for what the account holds, if it holds anything."""
        instrument, side = self.random.choice(self.instruments), self.random.choice(tuple(Side))
        for trigger in (Trigger.TAKE_PROFIT, Trigger.STOP_LOSS):
            await self.place(
                account,
                instrument=instrument,
                side=side,
                kind=OrderKind.MARKET,
                size=3,
                trigger=trigger,
                pair=self.next_id("pair"),
            )

    async def reduce(self, account: str) -> None:
        """An order that may only make a position smaller."""
        await self.place(account, size=1, away=(0, 8), reduce_only=True)

    async def change(self, account: str) -> None:
        """Another price for the oldest order that may still be open, or an order if there is none.

        Only an order with a price has another one; the exchange says so if it has none.
        """
        if not self._open:
            await self.trade(account)
            return
        owner, order_id = self._open[0]
        instrument = self.random.choice(self.instruments)
        price = instrument.price_usd + instrument.tick_usd * self.random.randrange(-4, 4)
        await self.send(
            "matching",
            "order",
            ModifyOrder(
                id=self.next_id("change"),
                at_ms=now_ms(),
                account=owner,
                order_id=order_id,
                price=price,
            ),
        )

    async def take_back(self, account: str) -> None:
        """Cancel the oldest order, or all of an account, or none if none was taken yet."""
        if self._open and self.random.random() < 0.8:
            await self.cancel(*self._open.pop(0))
            return
        command = CancelAll(
            id=self.next_id("cancel-all"), at_ms=now_ms(), account=account, except_tpsl=True
        )
        await self.send("matching", "order", command)

    async def take_out(self, account: str) -> None:
        """Withdraw a round sum."""
        await self.withdraw(account, Usdc(Decimal(self.random.randrange(1, 20) * 50)))

    async def withdraw(self, account: str, amount: Usdc) -> None:
        """Withdraw if the exchange lets him; what was paid out is added up."""
        command = Withdraw(
            id=self.next_id("withdrawal"), at_ms=now_ms(), account=account, amount=amount
        )
        for event in await self.send("chain", "submit", command):
            if isinstance(event, Withdrawn):
                self.withdrawn += event.paid.value

    async def place(
        self,
        account: str,
        *,
        size: int,
        instrument: Instrument | None = None,
        side: Side | None = None,
        kind: OrderKind = OrderKind.LIMIT,
        instruction: Instruction = Instruction.GTC,
        away: tuple[int, int] = (0, 1),
        trigger: Trigger | None = None,
        exits: bool = False,
        **options: Any,
    ) -> None:
        """Place an order ``away`` ticks through the price, ``size`` times the usual size."""
        instrument = instrument or self.random.choice(self.instruments)
        side = side or self.random.choice(tuple(Side))
        price_usd, tick_usd = instrument.price_usd, instrument.tick_usd
        draw = self.random.randrange(1, TRIGGER_TICKS) * tick_usd
        through = self.random.randrange(*away) * tick_usd * side.sign
        rises = -side.sign if trigger is Trigger.TAKE_PROFIT else side.sign
        command = PlaceOrder(
            id=f"{self.next_id('order')}{f'-{trigger}' if trigger else ''}",
            at_ms=now_ms(),
            account=account,
            market=instrument.market,
            side=side,
            size=instrument.size * size,
            price=price_usd + through if kind is OrderKind.LIMIT else None,
            kind=kind,
            instruction=instruction,
            client_id=f"{self.name}/{self._count}/{trigger or ''}",
            trigger=trigger,
            trigger_price=price_usd + rises * draw if trigger else None,
            take_profit_at=price_usd + side.sign * draw if exits else None,
            stop_loss_at=price_usd - side.sign * draw if exits else None,
            **options,
        )
        await self.submit(command)

    async def submit(self, order: PlaceOrder) -> None:
        """Place an order and remember it if it was taken."""
        events = await self.send("matching", "order", order)
        if any(isinstance(event, OrderAccepted) for event in events):
            self._open.append((order.account, order.id))

    #: How often each form is chosen, by how often it is named here.
    forms: tuple[Callable[[Customer, str], Any], ...] = (
        *(trade, trade, trade, rest, take, stop, stop, protect, protect, pair, reduce),
        *(change, take_back, take_out, Trader.deposit),
    )


def now_ms() -> int:
    """The time of a command, in milliseconds."""
    return round(trio.current_time() * 1000)
