"""Mode control of an exchange that comes back in stages, and goes on doing so after a crash.

Somebody orders a mode; the order is a row before it is anything else. From there mode control walks
by itself, one stage at a time: it takes a number for every decision, asks the chain, which knows
the rules and the freshness of every market, and tells the cloud what the chain has decided. Every
step can be done again. The chain refuses a decision that a later one has overtaken, so that an
incarnation which was replaced cannot open what its successor has closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import trio

from target_stub.cloud.mode_control import ADDRESS, TOPIC, ModeTold
from target_stub.cloud.retry import retrying
from target_stub.core import Mode, SetMode, State
from target_stub.core.modes import STAGES
from target_stub.ports import Database, Life, Network, Request, Row, Transaction

TABLE = "modes"
KEY = "exchange"
#: How long it waits before it asks again for a stage that the chain refused.
ASK_AGAIN_S = 0.5
#: How often it looks for orders that another incarnation took: in an overlap both answer requests.
LOOK_AGAIN_S = 2.0


@dataclass(frozen=True, slots=True)
class ModeOrder:
    """What the operator wants, with a number of his own: of two orders the later one holds."""

    number: int
    mode: Mode


def opening_row(mode: Mode = Mode.OK) -> Row:
    """The row of an exchange that nobody ever closed.

    ``sequence`` is the last number that was taken for a decision, ``held`` that of the mode.
    """
    return {"mode": mode, "held": 0, "wanted": mode, "order": 0, "sequence": 0}


def next_stage(mode: Mode, wanted: Mode) -> Mode:
    """The next mode on the way: closing goes straight there, opening takes one stage."""
    now, then = STAGES.index(mode), STAGES.index(wanted)
    return wanted if then <= now else STAGES[now + 1]


def told_mode(row: Row) -> ModeTold:
    """What a row says about the mode that holds."""
    return ModeTold(Mode(row["mode"]), row["held"])


def is_settled(row: Row) -> bool:
    """Whether what is wanted holds, and no decision was begun of which nobody knows the end."""
    return bool(row["mode"] == row["wanted"] and row["held"] == row["sequence"])


class StagedModeControl:
    """One incarnation; what it knows is in its row."""

    def __init__(self, life: Life, *, database: Database, network: Network) -> None:
        self.life = life
        self.database = database
        self.network = network
        self.ordered = trio.Event()
        self._asked = 0

    async def run(self) -> None:
        """Take orders and walk, for ever."""
        requests = self.network.listen(ADDRESS)
        async with trio.open_nursery() as nursery:
            self.life.enter("hydrate")
            await self.announce(told_mode(await self.read()))
            self.life.enter("ready")
            nursery.start_soon(self.walk_for_ever)
            nursery.start_soon(self.serve, requests)
            await self.life.stop_requested()
            self.life.enter("drain")
            nursery.cancel_scope.cancel()

    async def serve(self, requests: Any) -> None:
        """Answer every request in its turn."""
        async for request in requests:
            await self.answer(request)

    async def answer(self, request: Request) -> None:
        """``order`` a mode, acknowledged once it is a row; ``mode`` tells which one holds."""
        if request.method == "order":
            async for attempt in retrying():
                with attempt:
                    await self.take(request.payload)
            self.ordered.set()
            await request.reply(request.payload)
        elif request.method == "mode":
            await request.reply(told_mode(await self.read()))
        else:
            await request.fail(ValueError(f"mode control has no method {request.method!r}"))

    async def take(self, order: ModeOrder) -> None:
        """Write down what is wanted, unless a later order is there already."""
        async with self.database.transaction() as transaction:
            row = await locked(transaction)
            if order.number > row["order"]:
                wanted = {"wanted": order.mode, "order": order.number}
                await transaction.put(TABLE, KEY, {**row, **wanted})

    async def read(self) -> Row:
        """The row; KeyError if there is none, for then nobody knows the mode."""
        rows: Mapping[str, Row] = {}
        async for attempt in retrying():
            with attempt:
                rows = await self.database.scan(TABLE)
        return rows[KEY]

    async def walk_for_ever(self) -> None:
        """Walk to what is wanted, and wait for the next order, whoever takes it."""
        while True:
            self.ordered = trio.Event()
            if is_settled(await self.read()):
                with trio.move_on_after(LOOK_AGAIN_S):
                    await self.ordered.wait()
            elif not await self.step():
                await trio.sleep(ASK_AGAIN_S)

    async def step(self) -> bool:
        """One stage on the way, if the chain allows it now."""
        async for attempt in retrying():
            with attempt:
                state: State = await self.network.call("chain", "state", None)
                decision = await self.decide(state.mode)
        if not await self.ask_chain(decision):
            return False
        async for attempt in retrying():
            with attempt:
                await self.record(decision)
        await self.announce(decision)
        return True

    async def decide(self, mode: Mode) -> ModeTold:
        """The next stage from the mode of the chain, with a number that nobody else has."""
        async with self.database.transaction() as transaction:
            row = await locked(transaction)
            sequence = row["sequence"] + 1
            await transaction.put(TABLE, KEY, {**row, "sequence": sequence})
        return ModeTold(next_stage(mode, Mode(row["wanted"])), sequence)

    async def ask_chain(self, decision: ModeTold) -> bool:
        """Submit a decision; whether it holds is what the chain says afterwards.

        Its answer can be lost, and a second one would only say that it was asked before.
        """
        command = self.command_of(decision)
        async for attempt in retrying():
            with attempt:
                await self.network.call("chain", "submit", command)
                state: State = await self.network.call("chain", "state", None)
        return (state.mode, state.mode_sequence) == (decision.mode, decision.sequence)

    def command_of(self, decision: ModeTold) -> SetMode:
        """A new command for a decision: the chain remembers the id of one that it refused."""
        self._asked += 1
        return SetMode(
            id=f"mode-{decision.sequence}-{self.life.name}-{self._asked}",
            at_ms=round(trio.current_time() * 1000),
            mode=decision.mode,
            sequence=decision.sequence,
        )

    async def record(self, decision: ModeTold) -> None:
        """Write down that a decision holds, unless a later one was begun."""
        async with self.database.transaction() as transaction:
            row = await locked(transaction)
            if row["sequence"] == decision.sequence:
                held = {"mode": decision.mode, "held": decision.sequence}
                await transaction.put(TABLE, KEY, {**row, **held})

    async def announce(self, decision: ModeTold) -> None:
        """Tell the cloud; who has heard of a later decision does not listen."""
        await self.network.publish(TOPIC, decision)


async def locked(transaction: Transaction) -> Row:
    """The row, for the rest of a transaction; KeyError if there is none."""
    row = await transaction.get_for_update(TABLE, KEY)
    if row is None:
        raise KeyError(KEY)
    return row
