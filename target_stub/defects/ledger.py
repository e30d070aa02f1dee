"""A chain and a client with one defect each: they count twice, half, or without looking."""

from __future__ import annotations

from dataclasses import replace

import trio

from target_stub.chain import ADDRESS, Chain, ChainNode
from target_stub.cloud.retry import retrying
from target_stub.cloud.trader import TIMEOUT_S, Trader
from target_stub.core import Command, Deposit, Event, Liquidate, SettleTrade, State, assess
from target_stub.core.draft import Draft
from target_stub.core.liquidation import cut, deleverage
from target_stub.ports import Request


class KeepsHalfOfABust(Chain):
    """Executes a trade before it asks whether the mode allows it, and reverts one side of it."""

    def bust(self, before: State, trade: SettleTrade) -> tuple[Event, ...]:
        """Refuse a trade; the buyer's account keeps what the executor had written."""
        events = super().bust(before, trade)
        executed, _ = self.execute(before, trade)
        kept = {trade.buyer: executed.accounts[trade.buyer]}
        self.append(trade, events, replace(before, accounts={**before.accounts, **kept}))
        return events


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
        """A deposit is announced before it is booked on the balance that was read first."""
        deposit = request.payload
        if not isinstance(deposit, Deposit) or deposit.id in self.chain.state.applied:
            await super().answer(request)
            return
        seen = self.chain.state.accounts[deposit.account]
        await self.network.publish("deposits", deposit)
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
