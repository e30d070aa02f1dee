"""What the recovery sends: the same thing is always the same command, whoever sends it again."""

from __future__ import annotations

import trio

from target_stub.cloud.compensation import Payment, Plan
from target_stub.core import LIQUIDATOR_VAULT, BridgeDeposit, Command, TransferUsdc, Usdc
from target_stub.core.commands import RequestWithdrawal
from target_stub.core.transfers import Direction, Transfer


def restored(transfer: Transfer) -> Command:
    """The command that books a transfer of the outside again, under the name it has there."""
    if transfer.direction is Direction.DEPOSIT:
        return BridgeDeposit(
            id=f"restore-{transfer.id}",
            at_ms=now_ms(),
            account=transfer.account,
            amount=transfer.amount,
            transaction=transfer.id,
        )
    return RequestWithdrawal(
        id=transfer.id, at_ms=now_ms(), account=transfer.account, amount=transfer.amount
    )


def transfer_of(plan: Plan, payment: Payment) -> TransferUsdc:
    """The command of a payment; the same payment is the same command."""
    amount = payment.amount_usdc
    sides = (LIQUIDATOR_VAULT, payment.account)
    source, target = sides if amount > 0 else sides[::-1]
    return TransferUsdc(
        id=payment_id(plan, payment.account),
        at_ms=now_ms(),
        account=source,
        to=target,
        amount=Usdc(abs(amount)),
    )


def payment_id(plan: Plan, account: str) -> str:
    """What a payment is called, whoever makes it."""
    return f"recovery-{plan.fork}-settle-{account}"


def now_ms() -> int:
    """Virtual or real milliseconds."""
    return round(trio.current_time() * 1000)
