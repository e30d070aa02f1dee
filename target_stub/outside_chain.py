"""The chain on the other side of the bridge: it keeps what it did, and nobody rolls it back.

People deposit there, and the bridge pays there. It decides every payment once, by the name of the
payment: whoever asks again is told what was decided, be it paid or refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import trio

from target_stub.core import Direction, Transfer, TransferStatus, Usdc
from target_stub.ports import Life, Network, Request

ADDRESS = "outside"
#: A payment is final, and answered, after so many blocks.
CONFIRMATIONS, BLOCK_S = 6, 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A payment for a transfer of the bridge; ``id`` is the name under which it is decided."""

    id: str
    transfer: str
    account: str
    amount: Usdc


class OutsideChain:
    """Deposits and payments, each under its name, oldest first.

    ``takes`` says whether the outside can pay an account at all.
    """

    def __init__(self, *, takes: Callable[[str], bool] = lambda account: True) -> None:
        self.takes = takes
        self.deposits: dict[str, Transfer] = {}
        self.decided: dict[str, bool] = {}
        self.payments: dict[str, Transfer] = {}

    def deposit(self, transaction: str, account: str, amount: Usdc) -> Transfer:
        """Lock an amount for an account of the exchange; the same transaction is the same deposit.

        ValueError if it is told differently.
        """
        made = _done(transaction, account, Direction.DEPOSIT, amount)
        known = self.deposits.setdefault(transaction, made)
        if known != made:
            raise ValueError(f"{known.describe()}, so it cannot be of {account} over {amount}")
        return made

    def pay(self, payment: Payment) -> bool:
        """Pay once, or refuse for ever; whether it was paid."""
        if payment.id not in self.decided:
            self.decided[payment.id] = self.takes(payment.account)
            if self.decided[payment.id]:
                self.payments[payment.id] = _done(
                    payment.transfer, payment.account, Direction.WITHDRAWAL, payment.amount
                )
        return self.decided[payment.id]

    def done(self) -> tuple[Transfer, ...]:
        """Everything that really happened out here."""
        return (*self.deposits.values(), *self.payments.values())


def _done(name: str, account: str, direction: Direction, amount: Usdc) -> Transfer:
    return Transfer(name, account, direction, amount, TransferStatus.COMPLETED)


class OutsideNode:
    """A node of the outside chain; it keeps nothing, and a payment is answered when it is final."""

    def __init__(self, life: Life, *, chain: OutsideChain, network: Network) -> None:
        self.life = life
        self.chain = chain
        self.network = network

    async def run(self) -> None:
        """Serve for ever."""
        self.life.enter("ready")
        async with trio.open_nursery() as nursery:
            async for request in self.network.listen(ADDRESS):
                nursery.start_soon(self.answer, request)

    async def answer(self, request: Request) -> None:
        """``deposit`` an amount for an account, ``pay`` a payment, or tell what is ``done``."""
        if request.method == "deposit":
            await request.reply(self.chain.deposit(*request.payload))
        elif request.method == "pay":
            paid = self.chain.pay(request.payload)
            for _ in range(CONFIRMATIONS):
                await trio.sleep(BLOCK_S)
            await request.reply(paid)
        elif request.method == "done":
            await request.reply(self.chain.done())
        else:
            await request.fail(ValueError(f"the outside has no method {request.method!r}"))
