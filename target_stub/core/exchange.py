"""The exchange as one function: a state and a command give the next state and what happened.

This is the oracle that everything restartable is compared with, so it is sequential, pure and
exact: it reads no clock, draws no random number and never changes the state it was given.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from target_stub.core.accounts import create_account, deposit, settle_trade, withdraw
from target_stub.core.commands import (
    CancelAll,
    CancelOrder,
    Command,
    CreateAccount,
    Deposit,
    FundingTick,
    HealthCheck,
    Liquidate,
    OracleUpdate,
    PlaceOrder,
    PublishMarket,
    SetMode,
    SettleTrade,
    TriggerCheck,
    Withdraw,
)
from target_stub.core.draft import Draft
from target_stub.core.errors import Reason, Refusal
from target_stub.core.events import Duplicate, Event, ModeChanged, Rejected
from target_stub.core.gate import outside_band
from target_stub.core.liquidation import check_health, liquidate
from target_stub.core.market_data import publish_market, tick_funding, update_oracle
from target_stub.core.money import exact
from target_stub.core.parameters import Mode
from target_stub.core.state import State
from target_stub.core.trading import cancel_all, cancel_order, place_order
from target_stub.core.triggers import check_triggers


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
            enforce_post_only_band(draft, command.market)
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
        case _:
            _perform_for_account(draft, command)


def _perform_for_account(
    draft: Draft,
    command: CreateAccount
    | Deposit
    | Withdraw
    | PlaceOrder
    | CancelOrder
    | CancelAll
    | SettleTrade
    | Liquidate,
) -> None:
    match command:
        case PlaceOrder():
            place_order(draft, command)
        case SettleTrade():
            settle_trade(draft, command)
        case CancelOrder():
            cancel_order(draft, command)
        case CancelAll():
            cancel_all(draft, command)
        case Liquidate():
            liquidate(draft, command.account)
        case Deposit():
            deposit(draft, command)
        case Withdraw():
            withdraw(draft, command)
        case CreateAccount():
            create_account(draft, command)


def set_mode(draft: Draft, command: SetMode) -> None:
    """Change the mode; entering post-only cancels resting orders outside the post-only band."""
    draft.events.append(ModeChanged(before=draft.mode, mode=command.mode))
    draft.mode = command.mode
    for symbol in sorted(draft.markets):
        enforce_post_only_band(draft, symbol)


def enforce_post_only_band(draft: Draft, symbol: str) -> None:
    """Cancel resting orders outside the post-only band (documentation of 6 February 2026)."""
    if draft.mode is not Mode.POST_ONLY or draft.spec.post_only_band is None:
        return
    market, book = draft.market(symbol), draft.books[symbol]
    for entry in (*book.bids, *book.asks):
        order = draft.account(entry.account).orders[entry.order_id]
        if outside_band(draft, market, order.side, entry.price):
            draft.cancel(order, Reason.OUTSIDE_BAND)
