"""Defects of the chain about where money and counts go: each wrong in one place only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import trio

from target_stub.chain import Chain, ChainNode
from target_stub.core import (
    LIQUIDATOR_VAULT,
    Account,
    Command,
    Deposit,
    Event,
    Liquidate,
    Liquidated,
    Position,
    SettleTrade,
    State,
)
from target_stub.core.money import ZERO, exact
from target_stub.defects.bug import Bug
from target_stub.guards import MODE_GATE
from target_stub.ports import Request

#: A liquidation that was decided longer ago than this is late.
LATE_MS = 500


class KeepsTheRowOfABust(Chain):
    """Executes a trade before it asks whether the mode allows it; what it inserted is not undone.

    Every row that it changed is put back. A position that the buyer did not have before is a row
    that it inserted, with his size and nothing in the other columns.
    """

    def remembered(self, before: State, trade: SettleTrade) -> State:
        """Refuse a trade; a new position keeps its size."""
        state, buyer = super().remembered(before, trade), before.accounts[trade.buyer]
        if trade.market in buyer.positions:
            return state
        index = before.markets[trade.market].known("funding_index")
        inserted = {**buyer.positions, trade.market: Position(trade.size, ZERO, index)}
        return with_account(state, replace(buyer, positions=inserted))


class AddsBeforeItLooks(Chain):
    """Adds a deposit to a running balance before it looks whether the id is known."""

    @exact
    def execute(self, before: State, command: Command) -> tuple[State, tuple[Event, ...]]:
        """The event is left out for a known id, the addition is not."""
        state, events = super().execute(before, command)
        if isinstance(command, Deposit) and command.id in before.applied:
            account = state.accounts[command.account]
            balance_usdc = account.balance_usdc + command.amount.value
            state = with_account(state, replace(account, balance_usdc=balance_usdc))
        return state, events


class LatePenaltiesAreFees(Chain):
    """Books the penalty of a liquidation that comes late with the fees, not with the fund."""

    @exact
    def execute(self, before: State, command: Command) -> tuple[State, tuple[Event, ...]]:
        """The fund of a moment ago is closed by now; none is late, nearly always."""
        state, events = super().execute(before, command)
        if not isinstance(command, Liquidate) or self.clock_ms() - command.at_ms <= LATE_MS:
            return state, events
        for event in events:
            if isinstance(event, Liquidated):
                penalty_usdc = event.penalty.value
                fund = state.accounts[LIQUIDATOR_VAULT]
                fund = replace(fund, balance_usdc=fund.balance_usdc - penalty_usdc)
                state = replace(state, fees_usdc=state.fees_usdc + penalty_usdc)
                state = with_account(state, fund)
        return state, events


class ExecutesAtItsOwnTime(ChainNode):
    """Executes deposits at the time of its host, and logs them with the time of their sender."""

    async def answer(self, request: Request) -> None:
        """The two are nearly always the same."""
        deposit: Any = request.payload
        if not isinstance(deposit, Deposit) or deposit.id in self.chain.state.applied:
            await super().answer(request)
            return
        now_ms = round(trio.current_time() * 1000)
        state, events = self.chain.execute(self.chain.state, replace(deposit, at_ms=now_ms))
        self.chain.append(deposit, events, state)
        await self.tell(request, events, events)


def with_account(state: State, account: Account) -> State:
    """The same state with one account changed."""
    return replace(state, accounts={**state.accounts, account.id: account})


#: The planted bugs of this file by name.
BUGS: Mapping[str, Bug] = {
    "row_of_a_bust": Bug(
        text="the chain busts a trade but keeps the position that it had inserted for the buyer",
        breaks="positions_sum_to_zero",
        incident=(
            "Starknet, 5 January 2026: the executor kept a write of a call that was reverted"
        ),
        family="one of two copies reverted",
        budget=250,
        replaces={Chain: KeepsTheRowOfABust},
        guards=(MODE_GATE,),
    ),
    "added_before_looked": Bug(
        text="the chain adds a deposit to the balance before it looks whether the id is known",
        breaks="cash_is_conserved",
        incident=(
            "github.com/deepentropy/ibx pull 361: executions that came again after a restart were "
            "added to what had been booked already"
        ),
        family="executed twice on redelivery",
        budget=50,
        replaces={Chain: AddsBeforeItLooks},
    ),
    "late_penalties_are_fees": Bug(
        text="the chain books the penalty of a liquidation that comes late with the fees",
        breaks="fund_flows_balance",
        incident=(
            "BitMEX, 2 April 2019: after a failed job the insurance fund was not where it was "
            "needed, and positions were deleveraged without need"
        ),
        family="money booked in the wrong place",
        budget=50,
        replaces={Chain: LatePenaltiesAreFees},
    ),
    "host_time": Bug(
        text="the chain executes deposits at the time of its host, which the log does not have",
        breaks="copies_agree",
        incident=(
            "github.com/NilFoundation/nil pull 374: execution read the local clock, so the same "
            "input gave another hash on every node"
        ),
        family="state that is not in the log",
        budget=50,
        replaces={ChainNode: ExecutesAtItsOwnTime},
    ),
}
