"""Transfers between accounts and over the bridge, as commands.

What has left an account is no longer the exchange's; if it comes back because the transfer failed,
it is credited like a deposit. Each name of the outside is credited once, whatever the command ids.
"""

from __future__ import annotations

from dataclasses import replace

from target_stub.core.accounts import check_amount, take_out, withdrawable_now
from target_stub.core.commands import (
    AdvanceWithdrawal,
    BridgeDeposit,
    RequestWithdrawal,
    TransferUsdc,
)
from target_stub.core.draft import Draft
from target_stub.core.errors import Reason, Refusal
from target_stub.core.events import BridgeMoved, Transferred
from target_stub.core.money import exact
from target_stub.core.transfers import NEXT, Direction, Transfer, TransferStatus


@exact
def bridge_deposit(draft: Draft, command: BridgeDeposit) -> None:
    """Credit what arrived outside; refused if its transaction was credited before."""
    check_amount(command.amount)
    if command.transaction in draft.transfers:
        raise Refusal(Reason.CREDITED_BEFORE, command.transaction)
    draft.change_balance(command.account, command.amount.value)
    draft.net_deposits_usdc += command.amount.value
    _put(
        draft,
        Transfer(
            command.transaction,
            command.account,
            Direction.DEPOSIT,
            command.amount,
            TransferStatus.COMPLETED,
        ),
    )


def request_withdrawal(draft: Draft, command: RequestWithdrawal) -> None:
    """Take USDC out of an account, as a withdrawal does, and send it over the bridge."""
    paid = take_out(draft, command.account, command.amount)
    _put(
        draft,
        Transfer(command.id, command.account, Direction.WITHDRAWAL, paid, TransferStatus.PENDING),
    )


@exact
def advance_withdrawal(draft: Draft, command: AdvanceWithdrawal) -> None:
    """A withdrawal came further or failed; a failed one is credited again, once."""
    transfer = draft.transfers.get(command.transfer)
    if transfer is None or transfer.direction is not Direction.WITHDRAWAL:
        raise Refusal(Reason.UNKNOWN_TRANSFER, command.transfer)
    if command.status not in NEXT[transfer.status]:
        raise Refusal(Reason.TRANSFER_ENDED, f"{transfer.status} -> {command.status}")
    if command.status is TransferStatus.FAILED:
        draft.change_balance(transfer.account, transfer.amount.value)
        draft.net_deposits_usdc += transfer.amount.value
    _put(draft, replace(transfer, status=command.status))


def transfer_usdc(draft: Draft, command: TransferUsdc) -> None:
    """Move USDC between two accounts, at most what is withdrawable; no loss is socialised on it."""
    check_amount(command.amount)
    draft.account(command.to)
    if command.to == command.account:
        raise Refusal(Reason.BAD_COMBINATION, "from an account to itself")
    limit = withdrawable_now(draft, command.account)
    if command.amount > limit:
        raise Refusal(Reason.NOT_WITHDRAWABLE, f"{command.amount}, at most {limit}")
    draft.change_balance(command.account, -command.amount.value)
    draft.change_balance(command.to, command.amount.value)
    draft.events.append(Transferred(account=command.account, to=command.to, amount=command.amount))


def _put(draft: Draft, transfer: Transfer) -> None:
    draft.transfers = {**draft.transfers, transfer.id: transfer}
    draft.events.append(BridgeMoved(transfer=transfer))
