"""A chain that forgets what it has done or does what came too late, and a client who guesses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from target_stub.chain import Chain
from target_stub.cloud.customer import Customer
from target_stub.cloud.trader import TIMEOUT_S
from target_stub.core import Command, Deposit, Duplicate, Event, SettleTrade, State
from target_stub.core.state import AppliedIds
from target_stub.defects.bug import Bug
from target_stub.guards import MODE_GATE

#: How many commands a chain remembers that cannot remember them all.
REMEMBERED = 4


class RemembersTheLastFew(Chain):
    """Keeps the ids of the last commands only: a client that sends again does so at once."""

    def execute(self, before: State, command: Command) -> tuple[State, tuple[Event, ...]]:
        """Four are more than ever lay between a request and its repetition, nearly always."""
        recent = [block.command.id for block in self.blocks[-REMEMBERED:]]
        if command.id not in before.applied or command.id in recent:
            return super().execute(before, command)
        state, events = super().execute(replace(before, applied=AppliedIds()), command)
        return replace(state, applied=before.applied), events


class SettlesWhatWasMatched(Chain):
    """Knows the mode and liquidates nobody by it, but a trade was agreed when it was open."""

    def bust(self, before: State, trade: SettleTrade) -> tuple[Event, ...]:
        """Matching would not have made the trade, so it is a good one."""
        state, events = self.execute(before, trade)
        self.append(trade, events, state)
        return events


class TakesSilenceForDone(Customer):
    """Pays in, and if nobody answers takes it for done: what was sent arrives."""

    async def send(self, address: str, method: str, command: Command) -> tuple[object, ...]:
        """Ask once; for a deposit no answer is as good as one."""
        if not isinstance(command, Deposit):
            return await super().send(address, method, command)
        try:
            events = await self.network.call(address, method, command, timeout_s=TIMEOUT_S)
        except (ConnectionError, TimeoutError):
            return (Duplicate(command_id=command.id),)
        return tuple(events)


#: The planted bugs of this file by name.
BUGS: Mapping[str, Bug] = {
    "short_memory": Bug(
        text="the chain remembers the ids of the last four commands only",
        breaks="effects_happen_once",
        incident=(
            "KAFKA-7190: a broker forgot an idempotent producer whose records had been deleted"
        ),
        family="executed twice on redelivery",
        budget=60,
        also=("copies_agree",),
        replaces={Chain: RemembersTheLastFew},
    ),
    "late_trade_settled": Bug(
        text="the chain settles a trade in any mode, since it was matched in an open market",
        breaks="mode_gates_fills_and_liquidations",
        incident=(
            "Euronext, 19 October 2020: trading went on after its end, and what was traded then "
            "had to be cancelled"
        ),
        family="acts during maintenance",
        budget=200,
        replaces={Chain: SettlesWhatWasMatched},
        guards=(MODE_GATE,),
    ),
    "silence_is_done": Bug(
        text="a client takes a deposit that nobody answered for done",
        breaks="effects_happen_once",
        incident=(
            "github.com/hummingbot/hummingbot pull 58: a stop during a cancel left orders on the "
            "exchange that the client took for cancelled"
        ),
        family="unanswered taken for done",
        budget=50,
        scenario="payday",
        replaces={Customer: TakesSilenceForDone},
    ),
}
