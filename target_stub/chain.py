"""The validating chain: one command after the other, blocks, snapshots, rollback.

It applies what the cloud sends it to the pure core and refuses what is invalid, but it believes
the market values that it is told, as the real one did. With the mode gate its rules know the mode
and pause liquidations, triggers and settlements outside ``ok``. A trade that it refuses is busted,
and every trade that was matched on top of that one falls with it.
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
from target_stub.guards import FRESHNESS, MODE_GATE, Refusal
from target_stub.ports import Life, Network, Request

ADDRESS = "chain"
BLOCKS = "blocks"
#: With the freshness guard nothing is done at marks older than this: one tick of five seconds, and
#: what it may take until it is published.
MARK_AGE_MS_MAX = 8_000
#: Why a trade is refused outside ``ok``, in the codes of the public interface.
PAUSES = {
    Mode.MAINTENANCE: Reason.MAINTENANCE_MODE,
    Mode.CANCEL_ONLY: Reason.CANCEL_ONLY_MODE,
    Mode.POST_ONLY: Reason.POST_ONLY_MODE,
}


@dataclass(frozen=True, slots=True)
class Head:
    """A height and the state there; ``fork`` counts the rollbacks before it.

    Of two heads the one with the larger ``age`` is the newer one, whatever their heights.
    """

    fork: int
    height: int
    state: State

    @property
    def age(self) -> tuple[int, int]:
        """What grows from every head to the next."""
        return (self.fork, self.height)

    def __str__(self) -> str:
        return f"height {self.height}{f' of fork {self.fork}' * bool(self.fork)}"


@dataclass(frozen=True, slots=True)
class Block:
    """One command that had an effect or was refused, and the state after it."""

    height: int
    command: Command
    events: tuple[Event, ...]
    state: State
    fork: int = 0

    @property
    def head(self) -> Head:
        """The head of the chain with this block as the newest."""
        return Head(self.fork, self.height, self.state)

    def __str__(self) -> str:
        return f"block {self.height}, {type(self.command).__name__} {self.command.id}"

    @property
    def refused(self) -> bool:
        """Whether the command changed nothing because the chain refused it."""
        return any(isinstance(event, Rejected) for event in self.events)


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a trade, whenever that was, and the head of the chain since then."""

    events: tuple[Event, ...]
    head: Head

    @property
    def refused(self) -> bool:
        """Whether the trade was busted."""
        return any(isinstance(event, Rejected) for event in self.events)

    def __str__(self) -> str:
        return f"{'busted' if self.refused else 'settled'} at {self.head}"


Observer = Callable[[State, Block], None]


def with_mode_gate(state: State) -> State:
    """The same exchange, whose rules pause liquidations and triggers outside ``ok``."""
    paused = tuple(PAUSES)
    exchange = replace(state.spec, liquidations_paused_in=paused, triggers_paused_in=paused)
    return replace(state, rules=replace(state.rules, exchange=exchange))


class Chain:
    """The ledger: every block and the state after it, so that every height is a snapshot."""

    def __init__(
        self,
        genesis: State,
        *,
        mode_gate: bool = False,
        mark_age_ms_max: int | None = None,
        clock_ms: Callable[[], int] = lambda: 0,
        observer: Observer = lambda before, block: None,
        tell: Callable[[Refusal], None] = lambda refusal: None,
    ) -> None:
        self.genesis = self.gated(genesis) if mode_gate else genesis
        self.mode_gate = mode_gate
        self.mark_age_ms_max = mark_age_ms_max
        self.clock_ms = clock_ms
        self.observer = observer
        self.tell = tell
        self.blocks: list[Block] = []
        self.forks = 0
        #: What became of each trade, by its id.
        self.trades: dict[str, tuple[Event, ...]] = {}

    @property
    def head(self) -> Head:
        """The newest height and the state there."""
        return Head(self.forks, self.height, self.state)

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
        if isinstance(command, SettleTrade) and self.refusal(before, command) is not None:
            return self.bust(before, command)
        if isinstance(command, Liquidate) and self.are_marks_old(before, command):
            refused = Rejected(command_id=command.id, reason=Reason.NOT_READY)
            due = (command.account,)
            self.tell(Refusal(guard=FRESHNESS, why=refused.describe(), accounts=due))
            return (refused,)
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

    def settle(self, trade: SettleTrade) -> tuple[Event, ...]:
        """Settle or bust a trade, or say again what became of it when it first came."""
        return self.trades[trade.id] if trade.id in self.state.applied else self.submit(trade)

    def refusal(self, before: State, trade: SettleTrade) -> Reason | None:
        """Why the chain itself refuses a trade, whatever the core would make of it, or None."""
        if trade.id in before.applied:
            return None
        if self.mode_gate and before.mode in PAUSES:
            return PAUSES[before.mode]
        if self.are_marks_old(before, trade):
            return Reason.NOT_READY
        if any(self.was_refused(earlier) for earlier in trade.after):
            return Reason.RESYNC
        return None

    def was_refused(self, trade: str) -> bool:
        """Whether a trade came and was busted."""
        return any(isinstance(event, Rejected) for event in self.trades.get(trade, ()))

    def bust(self, before: State, trade: SettleTrade) -> tuple[Event, ...]:
        """Refuse a trade by a rule of the chain; only that it came is remembered."""
        reason = self.refusal(before, trade)
        refused = Rejected(command_id=trade.id, reason=reason or Reason.RESYNC)
        if reason is not Reason.RESYNC:
            guard = FRESHNESS if reason is Reason.NOT_READY else MODE_GATE
            self.tell(Refusal(guard=guard, why=refused.describe()))
        self.append(trade, (refused,), self.remembered(before, trade))
        return (refused,)

    def remembered(self, before: State, trade: SettleTrade) -> State:
        """The state after a trade that was refused."""
        return replace(before, applied=before.applied.added(trade.id))

    def mark_age_ms(self, state: State, command: SettleTrade | Liquidate) -> int:
        """How old the oldest mark is that a command would be carried out at."""
        if isinstance(command, SettleTrade):
            markets = [command.market]
        else:
            markets = list(state.accounts[command.account].positions)
        times = [state.markets[market].funding_at_ms or 0 for market in markets]
        return self.clock_ms() - min(times, default=self.clock_ms())

    def are_marks_old(self, state: State, command: SettleTrade | Liquidate) -> bool:
        """Whether freshness forbids a command; never without that guard."""
        limit_ms = self.mark_age_ms_max
        return limit_ms is not None and self.mark_age_ms(state, command) > limit_ms

    def execute(self, before: State, command: Command) -> tuple[State, tuple[Event, ...]]:
        """What a command makes of a state, by the rules of the core."""
        return apply_command(before, command)

    def append(self, command: Command, events: tuple[Event, ...], state: State) -> None:
        """Make the next block."""
        before = self.state
        block = Block(self.height + 1, command, events, state, self.forks)
        self.blocks.append(block)
        if isinstance(command, SettleTrade):
            self.trades.setdefault(command.id, events)
        self.observer(before, block)

    def rollback(self, height: int) -> State:
        """Return to a height; what came later is gone. ValueError for a height that never was."""
        if not 0 <= height <= self.height:
            raise ValueError(f"cannot roll back to height {height} of {self.height}")
        del self.blocks[height:]
        self.forks += 1
        self.trades = {
            block.command.id: block.events
            for block in reversed(self.blocks)
            if isinstance(block.command, SettleTrade)
        }
        return self.state


class ChainNode:
    """The chain as a service: it answers calls one after the other and announces its blocks."""

    def __init__(self, life: Life, *, chain: Chain, network: Network) -> None:
        self.life = life
        self.chain = chain
        self.network = network

    async def run(self) -> None:
        """Serve for ever; the chain itself is durable, the node keeps nothing.

        The last block may be one that the node before this one did not live to announce.
        """
        if self.life.incarnation > 1 and self.chain.blocks:
            await self.network.publish(BLOCKS, self.chain.blocks[-1])
        self.life.enter("ready")
        async for request in self.network.listen(ADDRESS):
            await self.answer(request)

    async def answer(self, request: Request) -> None:
        """Answer a call: the ``submit`` of a command, the ``settle`` of a trade, or a question.

        ``state``, ``head``, the ``blocks`` after a height with the state of now; ``rollback``.
        """
        payload: Any = request.payload
        if request.method == "state":
            await request.reply(self.chain.state)
        elif request.method == "head":
            await request.reply(self.chain.head)
        elif request.method == "blocks":
            await request.reply((self.chain.state, tuple(self.chain.blocks[payload:])))
        elif request.method == "rollback":
            await request.reply(self.chain.rollback(payload))
        elif request.method == "submit":
            height, events = self.chain.height, self.chain.submit(payload)
            await self.tell(request, events, events if self.chain.height > height else ())
        elif request.method == "settle":
            height, events = self.chain.height, self.chain.settle(payload)
            new = events if self.chain.height > height else ()
            await self.tell(request, Settlement(events, self.chain.head), new)
        else:
            await request.fail(ValueError(f"the chain has no method {request.method!r}"))

    async def tell(self, request: Request, answer: object, events: tuple[Event, ...]) -> None:
        """Answer, and tell everybody of the newest block if there is a new one."""
        blocks = self.chain.blocks[-1:]
        await request.reply(answer)
        if events:
            await self.network.publish(BLOCKS, blocks[0])
