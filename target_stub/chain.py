"""The validating chain: one command after the other, blocks, snapshots, rollback.

It applies what the cloud sends it to the pure core and refuses what is invalid, but it believes
the market values that it is told, as the real one did. With the mode gate its rules know the mode
and pause liquidations, triggers and settlements outside ``ok``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from target_stub.core import (
    Command,
    Event,
    Liquidate,
    Mode,
    Reason,
    Rejected,
    SetMode,
    SettleTrade,
    State,
)
from target_stub.core import apply as apply_command
from target_stub.guards import MODE_GATE, Refusal
from target_stub.ports import Life, Network, Request

ADDRESS = "chain"
BLOCKS = "blocks"
#: Why a trade is refused outside ``ok``, in the codes of the public interface.
_PAUSES = {
    Mode.MAINTENANCE: Reason.MAINTENANCE_MODE,
    Mode.CANCEL_ONLY: Reason.CANCEL_ONLY_MODE,
    Mode.POST_ONLY: Reason.POST_ONLY_MODE,
}


@dataclass(frozen=True, slots=True)
class Block:
    """One command that had an effect or was refused, and the state after it."""

    height: int
    command: Command
    events: tuple[Event, ...]
    state: State


Observer = Callable[[State, Block], None]


def with_mode_gate(state: State) -> State:
    """The same exchange, whose rules pause liquidations and triggers outside ``ok``."""
    paused = tuple(_PAUSES)
    exchange = replace(state.spec, liquidations_paused_in=paused, triggers_paused_in=paused)
    return replace(state, rules=replace(state.rules, exchange=exchange))


class Chain:
    """The ledger: every block and the state after it, so that every height is a snapshot."""

    def __init__(
        self,
        genesis: State,
        *,
        mode_gate: bool = False,
        observer: Observer = lambda before, block: None,
        tell: Callable[[Refusal], None] = lambda refusal: None,
    ) -> None:
        self.genesis = self.gated(genesis) if mode_gate else genesis
        self.mode_gate = mode_gate
        self.observer = observer
        self.tell = tell
        self.blocks: list[Block] = []

    @property
    def state(self) -> State:
        """The state at the newest height."""
        return self.blocks[-1].state if self.blocks else self.genesis

    @property
    def height(self) -> int:
        """How many blocks there are."""
        return len(self.blocks)

    def submit(self, command: Command) -> tuple[Event, ...]:
        """Validate and apply one command; its events, or ``Rejected``, or ``Duplicate``."""
        before = self.state
        if isinstance(command, SetMode) and not self.mode_gate:
            return ()
        if isinstance(command, SettleTrade) and self.mode_gate and before.mode in _PAUSES:
            return self.bust(before, command)
        state, events = self.execute(before, command)
        self.append(command, events, state)
        for event in events:
            if isinstance(event, Rejected) and event.reason is Reason.PAUSED:
                accounts = (command.account,) if isinstance(command, Liquidate) else ()
                self.tell(Refusal(guard=MODE_GATE, why=event.describe(), accounts=accounts))
        return events

    def gated(self, state: State) -> State:
        """The exchange whose rules know the mode."""
        return with_mode_gate(state)

    def bust(self, before: State, trade: SettleTrade) -> tuple[Event, ...]:
        """Refuse a trade in a mode that forbids it; nothing of it remains."""
        refused = Rejected(command_id=trade.id, reason=_PAUSES[before.mode])
        self.tell(Refusal(guard=MODE_GATE, why=refused.describe()))
        return (refused,)

    def execute(self, before: State, command: Command) -> tuple[State, tuple[Event, ...]]:
        """What a command makes of a state, by the rules of the core."""
        return apply_command(before, command)

    def append(self, command: Command, events: tuple[Event, ...], state: State) -> None:
        """Make the next block."""
        before = self.state
        block = Block(self.height + 1, command, events, state)
        self.blocks.append(block)
        self.observer(before, block)

    def rollback(self, height: int) -> State:
        """Return to a height; what came later is gone. ValueError for a height that never was."""
        if not 0 <= height <= self.height:
            raise ValueError(f"cannot roll back to height {height} of {self.height}")
        del self.blocks[height:]
        return self.state


class ChainNode:
    """The chain as a service: it answers calls one after the other and announces its blocks."""

    def __init__(self, life: Life, *, chain: Chain, network: Network) -> None:
        self.life = life
        self.chain = chain
        self.network = network

    async def run(self) -> None:
        """Serve for ever; the chain itself is durable, the node keeps nothing."""
        self.life.enter("ready")
        async for request in self.network.listen(ADDRESS):
            await self.answer(request)

    async def answer(self, request: Request) -> None:
        """``submit`` a command, read the ``state``, or ``rollback`` to a height."""
        payload: Any = request.payload
        if request.method == "state":
            await request.reply(self.chain.state)
        elif request.method == "rollback":
            await request.reply(self.chain.rollback(payload))
        elif request.method == "submit":
            events = self.chain.submit(payload)
            await request.reply(events)
            if events:
                await self.network.publish(BLOCKS, (payload, events))
        else:
            await request.fail(ValueError(f"the chain has no method {request.method!r}"))
