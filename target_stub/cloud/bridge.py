"""The bridge: deposits from the outside chain to ours, withdrawals the other way.

It keeps nothing. What has to be done follows from what both chains say they have done: a deposit
out there that ours does not know is credited, a withdrawal that ours has not ended is moved on. Our
chain is told what is intended before the outside is asked to pay, and both sides know a transfer by
its name, so that a step which is done again changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import trio

from target_stub.cloud.retry import retrying
from target_stub.core import (
    AdvanceWithdrawal,
    BridgeDeposit,
    Command,
    Direction,
    Event,
    Rejected,
    RequestWithdrawal,
    State,
    Transfer,
    TransferStatus,
    Usdc,
    disagreements,
)
from target_stub.outside_chain import ADDRESS as OUTSIDE
from target_stub.outside_chain import Payment
from target_stub.ports import Life, Network, Request

ADDRESS = "bridge"
#: How often both sides are compared.
EVERY_S = 1.0


class Bridge:
    """One incarnation of the bridge."""

    def __init__(self, life: Life, *, network: Network) -> None:
        self.life = life
        self.network = network
        self._steps = 0

    def next_id(self, name: str) -> str:
        """An id for a step; what makes a step idempotent is the transfer that it moves.

        A refused id is remembered by our chain, and a rollback may bring back what it was for.
        """
        self._steps += 1
        return f"{self.life.name}-{self._steps}-{name}"

    async def run(self) -> None:
        """Take requests, and move what is under way, until asked to stop."""
        requests = self.network.listen(ADDRESS)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.serve, requests)
            nursery.start_soon(self.move_for_ever)
            self.life.enter("ready")
            await self.life.stop_requested()
            self.life.enter("drain")
            nursery.cancel_scope.cancel()

    async def serve(self, requests: Any) -> None:
        """Answer every request in its turn."""
        async for request in requests:
            await self.answer(request)

    async def answer(self, request: Request) -> None:
        """``withdraw`` what a request asks for, or tell the ``disagreements`` of both sides."""
        if request.method == "withdraw":
            await request.reply(await self.submit(request.payload))
        elif request.method == "disagreements":
            state, done = await self.read()
            await request.reply(disagreements(state.transfers, done))
        else:
            await request.fail(ValueError(f"the bridge has no method {request.method!r}"))

    async def move_for_ever(self) -> None:
        """Compare both sides again and again, and move what can be moved."""
        while True:
            state, done = await self.read()
            await self.move(state, done)
            await trio.sleep(EVERY_S)

    async def read(self) -> tuple[State, tuple[Transfer, ...]]:
        """What both sides say now."""
        async for attempt in retrying():
            with attempt:
                done = await self.network.call(OUTSIDE, "done", None)
                state = await self.network.call("chain", "state", None)
        return state, done

    async def move(self, state: State, done: Iterable[Transfer]) -> None:
        """Credit what arrived, and move every withdrawal that has not ended by one step."""
        for transfer in done:
            if transfer.direction is Direction.DEPOSIT and transfer.id not in state.transfers:
                await self.credit(transfer)
        for transfer in state.transfers.values():
            if transfer.direction is Direction.WITHDRAWAL:
                await self.move_on(transfer)

    async def credit(self, deposit: Transfer) -> None:
        """Tell our chain of a deposit, under the name that it has outside."""
        await self.submit(
            BridgeDeposit(
                id=self.next_id(deposit.id),
                at_ms=_now_ms(),
                account=deposit.account,
                amount=deposit.amount,
                transaction=deposit.id,
            )
        )

    async def move_on(self, transfer: Transfer) -> None:
        """One step of a withdrawal: what is intended first, then the payment, then its end."""
        if transfer.status is TransferStatus.PENDING:
            await self.advance(transfer, TransferStatus.AVAILABLE)
        elif transfer.status is TransferStatus.AVAILABLE:
            paid = await self.pay(transfer)
            await self.advance(
                transfer, TransferStatus.COMPLETED if paid else TransferStatus.FAILED
            )

    async def pay(self, transfer: Transfer) -> bool:
        """Ask the outside to pay, under the name of the transfer, until it has answered."""
        payment = Payment(
            id=self.payment_id(transfer),
            transfer=transfer.id,
            account=transfer.account,
            amount=transfer.amount,
        )
        paid = False
        async for attempt in retrying():
            with attempt:
                paid = await self.network.call(OUTSIDE, "pay", payment)
        return paid

    def payment_id(self, transfer: Transfer) -> str:
        """The name under which the outside decides once; the same in every life of the bridge."""
        return transfer.id

    async def advance(self, transfer: Transfer, status: TransferStatus) -> None:
        """Tell our chain how far a withdrawal has come."""
        await self.submit(
            AdvanceWithdrawal(
                id=self.next_id(f"{transfer.id}-{status}"),
                at_ms=_now_ms(),
                transfer=transfer.id,
                status=status,
            )
        )

    async def submit(self, command: Command) -> tuple[Event, ...]:
        """Submit a command until the chain has answered."""
        events: tuple[Event, ...] = ()
        async for attempt in retrying():
            with attempt:
                events = await self.network.call("chain", "submit", command)
        return events


class BridgeCustomer:
    """Somebody who pays in over the bridge and takes out again, ``rounds`` times.

    What he asked for and what was acknowledged is what he tells a judge.
    """

    def __init__(
        self,
        name: str,
        *,
        network: Network,
        account: str,
        amount: Usdc,
        rounds: int,
        every_s: float,
        does: Callable[[str], bool] = lambda name: True,
    ) -> None:
        self.name = name
        self.network = network
        self.account = account
        self.amount = amount
        self.rounds = rounds
        self.every_s = every_s
        self.does = does
        self.refused = 0

    async def run(self) -> None:
        """Deposit out there and withdraw here, in turns."""
        for number in range(self.rounds):
            await trio.sleep(self.every_s)
            if self.does(self.name):
                await self.deposit(f"{self.name}-transaction-{number}")
            await trio.sleep(self.every_s)
            if self.does(self.name):
                await self.withdraw(f"{self.name}-withdrawal-{number}")

    async def deposit(self, transaction: str) -> None:
        """Lock the amount on the outside chain."""
        payload = (transaction, self.account, self.amount)
        async for attempt in retrying():
            with attempt:
                await self.network.call(OUTSIDE, "deposit", payload)

    async def withdraw(self, name: str) -> None:
        """Ask for the amount under a name that stays the same when it is asked again."""
        request = RequestWithdrawal(
            id=name, at_ms=_now_ms(), account=self.account, amount=self.amount
        )
        events: tuple[Event, ...] = ()
        async for attempt in retrying():
            with attempt:
                events = await self.network.call(ADDRESS, "withdraw", request)
        self.refused += any(isinstance(event, Rejected) for event in events)


def _now_ms() -> int:
    return round(trio.current_time() * 1000)
