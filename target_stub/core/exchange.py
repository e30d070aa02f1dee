"""The exchange as one function: a state and a command give the next state and what happened.

This is the oracle that everything restartable is compared with, so it is sequential, pure and
exact: it reads no clock, draws no random number and never changes the state it was given.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from target_stub.core.accounts import (
    create_account,
    deposit,
    set_standing,
    settle_trade,
    withdraw,
)
from target_stub.core.bridge import (
    advance_withdrawal,
    bridge_deposit,
    request_withdrawal,
    transfer_usdc,
)
from target_stub.core.commands import (
    AdvanceWithdrawal,
    BeginAverages,
    BridgeDeposit,
    BustTrade,
    CancelAll,
    CancelOrder,
    Command,
    CreateAccount,
    CreateVault,
    Deposit,
    FollowChain,
    FundCommand,
    FundingTick,
    HealthCheck,
    Liquidate,
    ModifyOrder,
    OracleUpdate,
    OrderCommand,
    PauseMarket,
    PayRedemption,
    PlaceOrder,
    PublishMarket,
    RedeemShares,
    RequestWithdrawal,
    Resync,
    SetMode,
    SetStanding,
    SettleMarket,
    SettleTrade,
    TransferUsdc,
    TriggerCheck,
    Unwind,
    VaultDeposit,
    Withdraw,
)
from target_stub.core.draft import Draft
from target_stub.core.errors import Refusal
from target_stub.core.events import Duplicate, Event, Rejected
from target_stub.core.links import follow_parents
from target_stub.core.liquidation import check_health, liquidate
from target_stub.core.market_data import (
    begin_averages,
    pause_market,
    publish_market,
    tick_funding,
    update_oracle,
)
from target_stub.core.modes import enforce_band, set_mode
from target_stub.core.money import exact
from target_stub.core.resync import bust_trade, follow_chain, resync
from target_stub.core.state import State
from target_stub.core.trading import cancel_all, cancel_order, modify_order, place_order
from target_stub.core.triggers import check_triggers
from target_stub.core.unwind import settle_market, unwind
from target_stub.core.vault_shares import (
    create_vault,
    pay_redemption,
    redeem_shares,
    vault_deposit,
)


@exact
def apply(state: State, command: Command) -> tuple[State, tuple[Event, ...]]:
    """Apply one command.

    A refused command changes nothing but the list of known ids and gives ``Rejected``; a known id
    changes nothing at all and gives ``Duplicate``. Raises Missing when a value that the command
    needs was never computed, and then the command counts as never seen.
    """
    if command.id in state.applied:
        return state, (Duplicate(command_id=command.id),)
    draft = Draft(state, command.at_ms)
    try:
        _perform(draft, command)
        follow_parents(draft)
    except Refusal as refusal:
        remembered = replace(state, applied=state.applied.added(command.id))
        rejected = Rejected(command_id=command.id, reason=refusal.reason, detail=refusal.detail)
        return remembered, (rejected,)
    return draft.finished(command.id), tuple(draft.events)


def apply_all(state: State, commands: Iterable[Command]) -> tuple[State, tuple[Event, ...]]:
    """Apply commands one after the other and collect what happened."""
    events: list[Event] = []
    for command in commands:
        state, new = apply(state, command)
        events.extend(new)
    return state, tuple(events)


def _perform(draft: Draft, command: Command) -> None:
    match command:
        case OracleUpdate():
            update_oracle(draft, command)
            enforce_band(draft, command.market)
        case FundingTick():
            tick_funding(draft, command)
        case PublishMarket():
            publish_market(draft, command)
        case HealthCheck():
            check_health(draft)
        case TriggerCheck():
            check_triggers(draft)
        case SetMode():
            set_mode(draft, command)
        case BeginAverages():
            begin_averages(draft, command)
        case PauseMarket():
            pause_market(draft, command)
        case SettleMarket():
            settle_market(draft, command)
        case _:
            _perform_on_orders(draft, command)


def _perform_on_orders(draft: Draft, command: OrderCommand | FundCommand) -> None:
    match command:
        case PlaceOrder():
            place_order(draft, command)
        case SettleTrade():
            settle_trade(draft, command)
        case CancelOrder():
            cancel_order(draft, command)
        case CancelAll():
            cancel_all(draft, command)
        case ModifyOrder():
            modify_order(draft, command)
        case Liquidate():
            liquidate(draft, command.account)
        case Unwind():
            unwind(draft, command)
        case BustTrade():
            bust_trade(draft, command)
        case Resync():
            resync(draft, command)
        case FollowChain():
            follow_chain(draft, command)
        case _:
            _perform_for_funds(draft, command)


def _perform_for_funds(draft: Draft, command: FundCommand) -> None:
    match command:
        case Deposit():
            deposit(draft, command)
        case Withdraw():
            withdraw(draft, command)
        case CreateAccount():
            create_account(draft, command)
        case SetStanding():
            set_standing(draft, command)
        case BridgeDeposit():
            bridge_deposit(draft, command)
        case RequestWithdrawal():
            request_withdrawal(draft, command)
        case AdvanceWithdrawal():
            advance_withdrawal(draft, command)
        case TransferUsdc():
            transfer_usdc(draft, command)
        case CreateVault():
            create_vault(draft, command)
        case VaultDeposit():
            vault_deposit(draft, command)
        case RedeemShares():
            redeem_shares(draft, command)
        case PayRedemption():
            pay_redemption(draft, command)
