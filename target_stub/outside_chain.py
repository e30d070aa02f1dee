"""The chain on the other side of the bridge: it keeps what it did, and nobody rolls it back.

People deposit there, and the bridge pays there. It decides every payment once, by the name of the
payment: whoever asks again is told what was decided, be it paid or refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from target_stub.core import Direction, Transfer, TransferStatus, Usdc
from target_stub.ports import Life, Network, Request

ADDRESS = "outside"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A payment that the bridge asks for; ``id`` is the name under which it is decided."""

    id: str
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
        if self.deposits.setdefault(transaction, made) != made:
            raise ValueError(f"{transaction} is {self.deposits[transaction]}, not {made}")
        return made

    def pay(self, payment: Payment) -> bool:
        """Pay once, or refuse for ever; whether it was paid."""
        if payment.id not in self.decided:
            self.decided[payment.id] = self.takes(payment.account)
            if self.decided[payment.id]:
                self.payments[payment.id] = _done(
                    payment.id, payment.account, Direction.WITHDRAWAL, payment.amount
                )
        return self.decided[payment.id]

    def done(self) -> tuple[Transfer, ...]:
        """Everything that really happened out here."""
        return (*self.deposits.values(), *self.payments.values())


def _done(name: str, account: str, direction: Direction, amount: Usdc) -> Transfer:
    return Transfer(name, account, direction, amount, TransferStatus.COMPLETED)


class OutsideNode:
    """A node of the outside chain: it answers one call after the other and keeps nothing."""

    def __init__(self, life: Life, *, chain: OutsideChain, network: Network) -> None:
        self.life = life
        self.chain = chain
        self.network = network

    async def run(self) -> None:
        """Serve for ever."""
        self.life.enter("ready")
        async for request in self.network.listen(ADDRESS):
            await self.answer(request)

    async def answer(self, request: Request) -> None:
        """``deposit`` an amount for an account, ``pay`` a payment, or tell what is ``done``."""
        if request.method == "deposit":
            await request.reply(self.chain.deposit(*request.payload))
        elif request.method == "pay":
            await request.reply(self.chain.pay(request.payload))
        elif request.method == "done":
            await request.reply(self.chain.done())
        else:
            await request.fail(ValueError(f"the outside has no method {request.method!r}"))
