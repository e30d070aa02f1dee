"""A chain and a client with one defect each: they count twice, half, or without looking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import trio

from target_stub.chain import ADDRESS, Chain, ChainNode
from target_stub.cloud.retry import retrying
from target_stub.cloud.trader import TIMEOUT_S, Trader
from target_stub.core import Command, Deposit, Event, Liquidate, SettleTrade, State, assess
from target_stub.core.draft import Draft
from target_stub.core.liquidation import cut, deleverage
from target_stub.defects.bug import Bug
from target_stub.guards import MODE_GATE
from target_stub.ports import Request


class KeepsHalfOfABust(Chain):
    """Executes a trade before it asks whether the mode allows it, and reverts one side of it."""

    def remembered(self, before: State, trade: SettleTrade) -> State:
        """Refuse a trade; the buyer's account keeps what the executor had written."""
        executed, _ = self.execute(before, trade)
        kept = {trade.buyer: executed.accounts[trade.buyer]}
        state = super().remembered(before, trade)
        return replace(state, accounts={**before.accounts, **kept})


class BelievesTheLiquidator(Chain):
    """Liquidates whom it is told to: the liquidator has looked, a moment ago."""

    def execute(self, before: State, command: Command) -> tuple[State, tuple[Event, ...]]:
        """The check that the account is due now is left out, to be faster."""
        if not isinstance(command, Liquidate) or command.id in before.applied:
            return super().execute(before, command)
        draft = Draft(before, command.at_ms)
        account = draft.account(command.account)
        prices = before.known_prices()
        health = assess(account, prices, before.known_usdc_price(), before.rules)
        deleverage(draft, account, health)
        cut(draft, command.account, health, prices)
        return draft.finished(command.id), tuple(draft.events)


class GatesTradesOnly(Chain):
    """Knows the mode and refuses trades by it, but its liquidations do not ask."""

    def gated(self, state: State) -> State:
        """The rules stay as they were."""
        return state


class CreditsFromAnOldBalance(ChainNode):
    """Works on several requests at once, and a deposit is a read, a wait and a write."""

    async def run(self) -> None:
        """Serve for ever, and let nobody wait for the one before."""
        self.life.enter("ready")
        async with trio.open_nursery() as nursery:
            async for request in self.network.listen(ADDRESS):
                nursery.start_soon(self.answer, request)

    async def answer(self, request: Request) -> None:
        """A deposit is announced, twice, before it is booked on the balance that was read first."""
        deposit = request.payload
        if not isinstance(deposit, Deposit) or deposit.id in self.chain.state.applied:
            await super().answer(request)
            return
        seen = self.chain.state.accounts[deposit.account]
        for topic in ("deposits", "balances"):
            await self.network.publish(topic, deposit)
        state, events = self.chain.execute(self.chain.state, deposit)
        booked = replace(
            state.accounts[deposit.account],
            balance_usdc=seen.balance_usdc + deposit.amount.value,
        )
        accounts = {**state.accounts, deposit.account: booked}
        self.chain.append(deposit, events, replace(state, accounts=accounts))
        await request.reply(events)


class NewIdOnEveryAttempt(Trader):
    """Makes the id of a command where it is sent, so trying again is a new command."""

    async def send(self, address: str, method: str, command: Command) -> tuple[object, ...]:
        """Send a command until somebody answers."""
        events: tuple[object, ...] = ()
        async for attempt in retrying():
            with attempt:
                number = attempt.retry_state.attempt_number
                again = replace(command, id=f"{command.id}-{number}")
                events = await self.network.call(address, method, again, timeout_s=TIMEOUT_S)
        return events


#: The planted bugs of this file by name.
BUGS: Mapping[str, Bug] = {
    "half_a_bust": Bug(
        text="the chain busts a trade but keeps the buyer's side of it",
        breaks="positions_sum_to_zero",
        incident=(
            "Starknet, 5 January 2026: the executor kept a write of a call that was reverted"
        ),
        family="one of two copies reverted",
        budget=200,
        also=("cash_is_conserved",),
        replaces={Chain: KeepsHalfOfABust},
        guards=(MODE_GATE,),
    ),
    "credit_from_old_balance": Bug(
        text="the chain books a deposit on a balance that it read before it waited",
        breaks="cash_is_conserved",
        incident=(
            "BitMEX, 23 March 2023: a race in internal transfers; the audit of the balances halted "
            "the exchange"
        ),
        family="read, wait, write",
        budget=300,
        also=("copies_agree",),
        scenario="payday",
        replaces={ChainNode: CreditsFromAnOldBalance},
    ),
    "liquidator_believed": Bug(
        text="the chain liquidates whom it is told to, without looking again",
        breaks="liquidations_are_justified",
        incident=(
            "dYdX, 10 October 2025: accounts were liquidated on values that were no longer true"
        ),
        family="acts on values no longer true",
        budget=50,
        replaces={Chain: BelievesTheLiquidator},
    ),
    "new_id_on_retry": Bug(
        text="a client gives a command a new id whenever it sends it again",
        breaks="effects_happen_once",
        incident=(
            "github.com/deepentropy/ibx pull 361: executions that were sent again after a restart "
            "were booked twice"
        ),
        family="executed twice on redelivery",
        budget=50,
        replaces={Trader: NewIdOnEveryAttempt},
    ),
    "trades_gated_only": Bug(
        text="the chain's mode gate stops trades, but not liquidations",
        breaks="mode_gates_fills_and_liquidations",
        incident=(
            "BitMEX, 13 May 2021: stops and liquidations ran while the exchange was still in "
            "maintenance"
        ),
        family="acts during maintenance",
        budget=50,
        replaces={Chain: GatesTradesOnly},
        guards=(MODE_GATE,),
    ),
}
