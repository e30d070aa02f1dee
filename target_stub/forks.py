"""A chain that can be rolled back while everybody goes on talking to it: forks.

A rollback begins a new fork. What was decided on an older one is refused however late it arrives,
an id that the older fork has used stays used, and what was abandoned is kept: it is the log of
inputs that an audit needs. Starknet names its reorganised branches in the same way, by the number
of the reorganisation (starknet.io, incident report of 2 September 2025).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from target_stub.chain import ADDRESS, Block, Chain, ChainNode
from target_stub.core import (
    CancelAll,
    Command,
    Event,
    HealthCheck,
    Liquidate,
    Mode,
    OracleUpdate,
    PublishMarket,
    Reason,
    Rejected,
    SetMode,
    State,
    TriggerCheck,
)
from target_stub.ports import Network, Request

#: The topic on which the chain says at which fork and height it stands.
HEIGHTS = "heights"
#: What market data and liquidation may send while access is restricted; the modes judge it.
OF_THE_SYSTEM = (PublishMarket, OracleUpdate, Liquidate, HealthCheck, TriggerCheck)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnFork:
    """A command with the fork on which it was decided.

    ``operator`` marks what the recovery itself sends: it acts while access is restricted, and it
    may repeat under its old id what really happened outside.
    """

    fork: int
    command: Command
    operator: bool = False

    def describe(self) -> str:
        """One line for a history."""
        return f"{self.command.id} on fork {self.fork}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where the chain stands: fork, height, and the state there."""

    fork: int
    height: int
    state: State

    def describe(self) -> str:
        """One line for a history."""
        return f"fork {self.fork}, height {self.height}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandoned:
    """A branch that was rolled back: its fork, the height it began after, and all its blocks."""

    fork: int
    height: int
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """Everything the chain was ever told: the fork that counts, and those that were abandoned."""

    fork: int
    genesis: State
    blocks: tuple[Block, ...]
    abandoned: tuple[Abandoned, ...]

    def describe(self) -> str:
        """One line for a history."""
        return f"fork {self.fork} with {len(self.blocks)} blocks"

    def state_at(self, height: int) -> State:
        """The state of the fork that counts at a height."""
        return self.blocks[height - 1].state if height else self.genesis


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandon:
    """Leave a fork for a new one that begins after ``height`` in a mode of its own.

    Naming the fork makes it safe to ask twice: once it has been left, nothing more happens.
    """

    fork: int
    height: int
    mode: Mode
    at_ms: int

    def describe(self) -> str:
        """One line for a history."""
        return f"abandon fork {self.fork} after height {self.height}"


class ForkingChain(Chain):
    """The ledger with its forks; the first of all is 0, and every rollback begins the next one."""

    abandoned: tuple[Abandoned, ...] = ()

    @property
    def fork(self) -> int:
        """The number of the fork that counts: how often the chain was rolled back."""
        return self.forks

    @property
    def journal(self) -> Journal:
        """All that the chain was told so far."""
        return Journal(
            fork=self.fork,
            genesis=self.genesis,
            blocks=tuple(self.blocks),
            abandoned=self.abandoned,
        )

    @property
    def standing(self) -> Standing:
        """Fork, height and state now."""
        return Standing(fork=self.fork, height=self.height, state=self.state)

    def receive(self, message: OnFork) -> tuple[Event, ...]:
        """Apply a command if it was decided on this fork and its sender may act now."""
        reason = self.objection(message)
        if reason is not None:
            return (Rejected(command_id=message.command.id, reason=reason),)
        return self.submit(message.command)

    def objection(self, message: OnFork) -> Reason | None:
        """Why a message does not come to the rules of the core at all, if it does not."""
        if message.fork != self.fork:
            return Reason.STALE_FORK
        if message.operator:
            return None
        if self.used_before(message.command.id):
            return Reason.ROLLED_BACK
        restricted = self.state.mode is Mode.MAINTENANCE
        if restricted and not isinstance(message.command, OF_THE_SYSTEM):
            return Reason.MAINTENANCE_MODE
        return None

    def used_before(self, command_id: str) -> bool:
        """Whether an abandoned fork has used this id."""
        return any(
            block.command.id == command_id for branch in self.abandoned for block in branch.blocks
        )

    def abandon(self, order: Abandon) -> int:
        """Roll back to a height and go on from there as a new fork; the fork that counts then.

        The snapshot has the mode of its time, which was open: mode and cancellation belong to the
        same step, or everybody could trade in between.
        """
        if order.fork == self.fork:
            branch = tuple(self.blocks[order.height :])
            left = Abandoned(fork=self.fork, height=order.height, blocks=branch)
            self.abandoned = (*self.abandoned, left)
            self.rollback(order.height)
            self.close(order)
        return self.fork

    def close(self, order: Abandon) -> None:
        """Restrict the new fork before anybody can act on it; only TP/SL orders stay."""
        name = f"fork-{self.fork}"
        self.submit(SetMode(id=f"{name}-mode", at_ms=order.at_ms, mode=order.mode))
        self.submit(CancelAll(id=f"{name}-cancel", at_ms=order.at_ms, except_tpsl=True))


class ForkingNode(ChainNode):
    """The node of a chain with forks: every command it is sent names the fork it was decided on."""

    chain: ForkingChain

    async def answer(self, request: Request) -> None:
        """``submit`` a command, read the ``standing`` or the ``journal``, or ``abandon`` a fork."""
        payload: Any = request.payload
        if request.method == "standing":
            await request.reply(self.chain.standing)
        elif request.method == "journal":
            await request.reply(self.chain.journal)
        elif request.method == "abandon":
            await request.reply(self.abandon(payload))
            await self.announce()
        elif request.method == "submit":
            await request.reply(self.receive(payload))
            await self.announce()
        else:
            await request.fail(ValueError(f"the chain has no method {request.method!r}"))

    def receive(self, message: OnFork) -> tuple[Event, ...]:
        """Let the chain judge a message."""
        return self.chain.receive(message)

    def abandon(self, order: Abandon) -> int:
        """Let the chain begin a new fork."""
        return self.chain.abandon(order)

    async def announce(self) -> None:
        """Say where the chain stands now."""
        await self.network.publish(HEIGHTS, (self.chain.fork, self.chain.height))


class OnLastRead:
    """A network for services that know nothing of forks: they act on the fork that they last read.

    So a decision made from an old state names the old fork, however late it is sent.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.fork = 0
        self.listen = network.listen
        self.subscribe = network.subscribe
        self.publish = network.publish

    async def call(
        self, address: str, method: str, payload: Any, timeout_s: float | None = None
    ) -> Any:
        """The same call, with forks read from the chain's standing and named in commands."""
        if (address, method) == (ADDRESS, "state"):
            standing: Standing = await self.network.call(address, "standing", None, timeout_s)
            self.fork = standing.fork
            return standing.state
        if (address, method) == (ADDRESS, "submit"):
            payload = OnFork(fork=self.fork, command=payload)
        return await self.network.call(address, method, payload, timeout_s)
