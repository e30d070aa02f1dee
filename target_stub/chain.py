"""The validating chain: one command after the other, blocks, snapshots, rollback.

It applies what the cloud sends it to the pure core and refuses what is invalid, but it believes
the market values that it is told, as the real one did. With the mode gate its rules know the mode
and pause liquidations, triggers and settlements outside ``ok``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from target_stub.core import Command, Event, Mode, Reason, Rejected, SetMode, SettleTrade, State
from target_stub.core import apply as apply_command
from target_stub.ports import Life, Network, Request

ADDRESS = "chain"
BLOCKS = "blocks"
_PAUSES = (Mode.MAINTENANCE, Mode.CANCEL_ONLY, Mode.POST_ONLY)


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
    exchange = replace(state.spec, liquidations_paused_in=_PAUSES, triggers_paused_in=_PAUSES)
    return replace(state, rules=replace(state.rules, exchange=exchange))


class Chain:
    """The ledger: every block and the state after it, so that every height is a snapshot."""

    def __init__(
        self,
        genesis: State,
        *,
        mode_gate: bool = False,
        observer: Observer = lambda before, block: None,
    ) -> None:
        self.genesis = with_mode_gate(genesis) if mode_gate else genesis
        self.mode_gate = mode_gate
        self.observer = observer
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
        paused = self.mode_gate and before.mode is not Mode.OK
        if paused and isinstance(command, SettleTrade):
            reason = {
                Mode.MAINTENANCE: Reason.MAINTENANCE_MODE,
                Mode.CANCEL_ONLY: Reason.CANCEL_ONLY_MODE,
                Mode.POST_ONLY: Reason.POST_ONLY_MODE,
            }[before.mode]
            return (Rejected(command_id=command.id, reason=reason),)
        if isinstance(command, SetMode) and not self.mode_gate:
            return ()
        state, events = apply_command(before, command)
        block = Block(self.height + 1, command, events, state)
        self.blocks.append(block)
        self.observer(before, block)
        return events

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
