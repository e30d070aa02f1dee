"""Payouts: the far side of the bridge, where money does not roll back.

Withdrawals that the chain has pending are paid outside and then advanced; deposits that arrived
outside are credited. A payment and the check that the gate is open are one transaction, so when
the operator has closed the gate nothing is on its way any more that could still be paid. The gate
opens again for another fork, so what was read before a rollback is not paid after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import trio

from target_stub.cloud.retry import retrying
from target_stub.core import BridgeDeposit, Usdc
from target_stub.core.commands import AdvanceWithdrawal, Command
from target_stub.core.transfers import Direction, Transfer, TransferStatus
from target_stub.forks import OnFork, Standing
from target_stub.ports import Database, Life, Network, Row

OUTSIDE = "outside"
GATES = "gates"
GATE = "bridge"


def gate(*, opened: bool, fork: int) -> Row:
    """Whether money may leave, and for withdrawals of which fork."""
    return {"open": opened, "fork": fork}


def outside_row(transfer: Transfer) -> Row:
    """A transfer that the outside completed, as a row of its own records."""
    return {
        "account": transfer.account,
        "direction": transfer.direction.value,
        "amount": transfer.amount.value,
    }


def transfers_outside(rows: Mapping[str, Row]) -> tuple[Transfer, ...]:
    """What really happened outside, by name."""
    return tuple(
        Transfer(
            name,
            row["account"],
            Direction(row["direction"]),
            Usdc(row["amount"]),
            TransferStatus.COMPLETED,
        )
        for name, row in sorted(rows.items())
    )


class Payouts:
    """One incarnation of the service that moves money across the bridge."""

    def __init__(
        self, life: Life, *, network: Network, database: Database, every_s: float = 0.5
    ) -> None:
        self.life = life
        self.network = network
        self.database = database
        self.every_s = every_s

    async def run(self) -> None:
        """Compare both sides at intervals, and move what is due, until asked to stop."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.work)
            self.life.enter("ready")
            await self.life.stop_requested()
            self.life.enter("drain")
            nursery.cancel_scope.cancel()

    async def work(self) -> None:
        """Look again and again what is due."""
        while True:
            async for attempt in retrying():
                with attempt:
                    await self.look()
            await trio.sleep(self.every_s)

    async def look(self) -> None:
        """Pay what the chain has pending, and credit what arrived outside."""
        standing: Standing = await self.network.call("chain", "standing", None)
        transfers = standing.state.transfers
        for transfer in pending(transfers.values()):
            if await self.pay(transfer, standing.fork):
                for status in (TransferStatus.AVAILABLE, TransferStatus.COMPLETED):
                    await self.submit(standing.fork, advance(transfer, status))
        rows = await self.database.scan(OUTSIDE)
        for arrived in transfers_outside(rows):
            if arrived.direction is Direction.DEPOSIT and arrived.id not in transfers:
                await self.submit(standing.fork, credit(arrived))

    async def pay(self, transfer: Transfer, fork: int) -> bool:
        """Pay one withdrawal outside unless that was done; False if the gate is not open for it."""
        async with self.database.transaction() as transaction:
            if not self.may_pay(await transaction.get_for_update(GATES, GATE), fork):
                return False
            if await transaction.get(OUTSIDE, transfer.id) is None:
                await transaction.put(OUTSIDE, transfer.id, outside_row(transfer))
        return True

    def may_pay(self, row: Row | None, fork: int) -> bool:
        """Whether the gate lets a withdrawal through that was read on this fork."""
        return row == gate(opened=True, fork=fork)

    async def submit(self, fork: int, command: Command) -> None:
        """Tell the chain, on the fork on which this was found out."""
        await self.network.call("chain", "submit", OnFork(fork=fork, command=command))


def pending(transfers: Iterable[Transfer]) -> list[Transfer]:
    """Withdrawals that wait to be paid, in the order of their names."""
    waiting = (each for each in transfers if each.status is TransferStatus.PENDING)
    return sorted(waiting, key=lambda transfer: transfer.id)


def advance(transfer: Transfer, status: TransferStatus) -> AdvanceWithdrawal:
    """The command that takes a withdrawal one step further; once for every step."""
    return AdvanceWithdrawal(
        id=f"{transfer.id}/{status.value.lower()}",
        at_ms=round(trio.current_time() * 1000),
        transfer=transfer.id,
        status=status,
    )


def credit(arrived: Transfer) -> BridgeDeposit:
    """The command that credits what arrived outside; its transaction counts once whatever the id.

    The time is part of the id: what is refused while access is restricted must be possible later.
    """
    now_ms = round(trio.current_time() * 1000)
    return BridgeDeposit(
        id=f"credit-{arrived.id}-{now_ms}",
        at_ms=now_ms,
        account=arrived.account,
        amount=arrived.amount,
        transaction=arrived.id,
    )
