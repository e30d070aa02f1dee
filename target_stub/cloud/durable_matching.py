"""Durable matching: what it has acknowledged outlives it, and a trade is settled once or busted.

Everything that changes orders is a command of one journal: what clients ask for, what the chain
says, its answers to trades, and checks of the triggers. A command counts when it is durable; then
it is applied, told to everybody and answered. The next incarnation reads the journal, sends again
what the chain has not answered, under the same ids, and goes on. It takes the right to write with
the journal, so the one before it can acknowledge nothing any more. With ``snapshots`` the journal
is shortened now and then, and read from its snapshot on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import trio

from target_stub.chain import BLOCKS, Block, Head, Settlement, with_mode_gate
from target_stub.cloud.journal import Journal
from target_stub.cloud.market_data import StaleEpoch
from target_stub.cloud.matching import ADDRESS
from target_stub.cloud.mode_control import TOPIC as MODE
from target_stub.cloud.mode_control import ModeTold, as_told, obeying
from target_stub.cloud.order_desk import OrderDesk, Update
from target_stub.cloud.own_book import tell_books
from target_stub.cloud.retry import retrying
from target_stub.cloud.snapshots import Snapshots
from target_stub.core import (
    CancelAll,
    CancelOrder,
    Command,
    Event,
    Missing,
    ModifyOrder,
    PlaceOrder,
    State,
    TriggerCheck,
    Unwind,
    genesis,
)
from target_stub.core.parameters import ExchangeSpec, MarketSpec
from target_stub.core.triggers import is_any_due
from target_stub.guards import MODE_GATE, NO_GUARDS, Guards
from target_stub.ports import Database, Life, Network, Request

#: The topic of all updates of orders and books.
UPDATES = "orders"
#: What others may ask for; everything else in the journal is matching's own.
ASKED = (PlaceOrder, CancelOrder, CancelAll, ModifyOrder, Unwind)
#: How the names of matching's own commands begin; nobody else may use such a name.
OWN = "matching/"
#: Is told of every command that was applied to the orders for the first time, and what happened.
Observer = Callable[[Command, tuple[Event, ...]], None]


class DurableMatching:
    """One incarnation of the matching engine; what it knows is its ``desk``."""

    def __init__(
        self,
        life: Life,
        *,
        database: Database,
        network: Network,
        exchange: ExchangeSpec,
        markets: Iterable[MarketSpec],
        guards: Guards = NO_GUARDS,
        observer: Observer = lambda command, events: None,
        tells_books: bool = False,
        snapshots: Snapshots | None = None,
    ) -> None:
        self.life = life
        self.snapshots = snapshots
        self.tells_books = tells_books
        self.network = network
        self.observer = observer
        self.journal = Journal(life, database)
        empty = genesis(exchange, markets)
        self.desk = OrderDesk(with_mode_gate(empty) if MODE_GATE in guards else empty)
        self.head: Head | None = None
        self.followed: Head | None = None
        self.requests: list[Request] = []
        self.modes: list[ModeTold] = []
        self.settlements: dict[str, Settlement] = {}
        self.read_again: dict[str, Head] = {}
        self.waiting: dict[str, list[Request]] = {}
        self.told = 0
        self.news = trio.Event()
        self.progress = trio.Event()

    async def run(self) -> None:
        """Read the journal and the chain, then take commands until asked to stop or replaced."""
        blocks = self.network.subscribe(BLOCKS)
        modes = self.network.subscribe(MODE)
        requests = self.network.listen(ADDRESS)
        try:
            await self.hydrate()
        except StaleEpoch:
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.follow_blocks, blocks)
            nursery.start_soon(self.follow_modes, modes)
            nursery.start_soon(self.serve, requests)
            nursery.start_soon(self.settle_for_ever)
            nursery.start_soon(self.resynchronise_for_ever)
            nursery.start_soon(self.write_until_replaced, nursery.cancel_scope)
            if self.snapshots is not None:
                nursery.start_soon(self.shorten_until_replaced, self.snapshots)
            if self.tells_books:
                nursery.start_soon(tell_books, self.life, self.network, self.known)
            self.life.enter("ready")
            await self.life.stop_requested()
            self.life.enter("drain")
            nursery.cancel_scope.cancel()

    async def hydrate(self) -> None:
        """Go through the journal, then take over what the chain has done meanwhile.

        A journal that was shortened goes on from its snapshot. The last update is told again: who
        missed it sees by its number that he did.
        """
        self.life.enter("hydrate")
        tail = await self.journal.take_over()
        if tail.begins:
            if self.snapshots is None:
                raise ValueError(f"the journal begins at {tail.begins}: give me the snapshots")
            self.desk = await self.snapshots.load(tail.begins)
        for command in tail.commands:
            self.apply(command)
        self.told = max(0, len(self.desk.updates) - 1)
        self.learn(await self.read_chain())
        await self.write(self.next_commands())
        await self.tell()

    def known(self) -> State:
        """The orders and books as they are now."""
        return self.desk.state

    # --- what comes in ------------------------------------------------------------------------

    async def serve(self, requests: Any) -> None:
        """Let every command wait for its turn; what was done already is told at once."""
        async for request in requests:
            if request.method == "updates":
                await request.reply(tuple(self.desk.updates[request.payload :]))
            elif request.method == "follow":
                await request.reply(self.desk.follow_from(request.payload))
            elif request.method == "order" and may_be_asked(request.payload):
                self.requests.append(request)
                self.news.set()
            else:
                await request.fail(ValueError(f"matching cannot do {request.method!r} with that"))

    async def follow_blocks(self, blocks: Any) -> None:
        """The newest block says all that the ones before it said."""
        async for block in blocks:
            self.follow_block(block)

    def follow_block(self, block: Block) -> None:
        """Take a block over when there is time."""
        self.learn(block.head)
        self.news.set()

    async def follow_modes(self, modes: Any) -> None:
        """Obey the mode."""
        async for message in modes:
            self.modes.append(as_told(message))
            self.news.set()

    def learn(self, head: Head) -> None:
        """Remember a head of the chain if it is newer than what is known."""
        if self.head is None or head.age > self.head.age:
            self.head = head

    async def read_chain(self) -> Head:
        """The chain's head now."""
        async for attempt in retrying():
            with attempt:
                head = await self.network.call("chain", "head", None)
        if not isinstance(head, Head):
            raise TypeError(f"the chain answered {head!r}")
        return head

    async def settle_for_ever(self) -> None:
        """Bring one trade after the other to the chain; what it says of them counts."""
        while True:
            for trade in [matched.trade for matched in self.desk.matched.values()]:
                async for attempt in retrying():
                    with attempt:
                        settlement = await self.network.call("chain", "settle", trade)
                self.learn(settlement.head)
                self.settlements[trade.id] = settlement
                self.news.set()
                while trade.id in self.desk.matched:
                    await self.progress.wait()
            if not self.desk.matched:
                await self.progress.wait()

    async def resynchronise_for_ever(self) -> None:
        """Read accounts from the chain again once everything of theirs is answered."""
        while True:
            names = self.desk.clear()
            if names:
                head = await self.read_chain()
                self.learn(head)
                self.read_again = dict.fromkeys(names, head)
                self.news.set()
            await self.progress.wait()

    # --- what counts --------------------------------------------------------------------------

    async def write_until_replaced(self, scope: trio.CancelScope) -> None:
        """Write, apply and tell what has come in, batch by batch."""
        try:
            while True:
                await self.news.wait()
                self.news = trio.Event()
                while commands := self.next_commands():
                    await self.write(commands)
                    await self.tell()
        except StaleEpoch:
            # Whoever asked finds the next incarnation when the connection is gone.
            scope.cancel()

    async def shorten_until_replaced(self, snapshots: Snapshots) -> None:
        """Take a snapshot every so many commands and shorten the journal up to it."""
        try:
            while True:
                # Nobody comes between the writing of a command and its doing: see write().
                if self.journal.length - self.journal.begins >= snapshots.every:
                    await self.shorten(snapshots, self.journal.length, self.desk.copied())
                await self.progress.wait()
        except StaleEpoch:
            # Whoever writes finds that out by himself.
            return

    async def shorten(self, snapshots: Snapshots, length: int, desk: OrderDesk) -> None:
        """Rows go only when the snapshot of what they did is durable; crash where you like."""
        await snapshots.save(length, desk)
        await self.journal.shorten(length)

    async def write(self, commands: Sequence[Command]) -> None:
        """Make commands durable, and only then do what they say."""
        await self.journal.append(commands)
        for command in commands:
            events = self.apply(command)
            self.observer(command, events)
        self.progress.set()
        self.progress = trio.Event()

    def apply(self, command: Command) -> tuple[Event, ...]:
        """Apply a command of the journal; one that lacks a value is as good as never sent."""
        try:
            return self.desk.apply(command)
        except Missing:
            return ()

    def next_commands(self) -> list[Command]:
        """What is to be written next: first what the chain said, then what clients asked for."""
        return [*self.answers_of_chain(), *self.mode_changes(), *self.due(), *self.asked()]

    def next_id(self, what: str) -> str:
        """A name for a command of matching itself, which the journal has only once."""
        return f"{OWN}{self.journal.length + 1}/{what}"

    def answers_of_chain(self) -> list[Command]:
        """Busts, the newest head, and accounts that were read again."""
        now_ms, desk = round(trio.current_time() * 1000), self.desk
        answers, self.settlements = self.settlements, {}
        again, self.read_again = self.read_again, {}
        head = self.head
        if head is None:
            raise ConnectionError(f"{self.life.name} has not read the chain")
        commands: list[Command] = [
            desk.bust_of(trade, id=self.next_id(f"bust-{trade}"), at_ms=now_ms)
            for trade, settlement in answers.items()
            if settlement.refused
        ]
        settled = [trade for trade, settlement in answers.items() if not settlement.refused]
        if settled or self.followed is None or head.age > self.followed.age:
            follow = desk.follow(
                head,
                settled=settled,
                id=self.next_id("follow"),
                at_ms=now_ms,
                anew=self.followed is None,
            )
            self.followed = head
            commands += [follow] if follow is not None else []
        commands += [
            desk.resync_of(name, read, id=self.next_id(f"resync-{name}"), at_ms=now_ms)
            for name, read in again.items()
            if name in desk.clear()
        ]
        return commands

    def mode_changes(self) -> list[Command]:
        """What mode control has told."""
        now_ms = round(trio.current_time() * 1000)
        modes, self.modes = self.modes, []
        return [
            obeying(told, command_id=self.next_id(f"mode-{number}-{told.mode}"), at_ms=now_ms)
            for number, told in enumerate(modes)
        ]

    def due(self) -> list[Command]:
        """A check of the triggers, if the marks that were followed fire any."""
        if not is_any_due(self.desk.state):
            return []
        return [TriggerCheck(id=self.next_id("triggers"), at_ms=round(trio.current_time() * 1000))]

    def asked(self) -> list[Command]:
        """The commands of clients that are not in the journal yet; all of them wait for answers."""
        requests, self.requests = self.requests, []
        new: dict[str, Command] = {}
        for request in requests:
            command: Command = request.payload
            self.waiting.setdefault(command.id, []).append(request)
            if command.id not in self.desk.outcomes:
                new[command.id] = command
        return list(new.values())

    # --- what goes out ------------------------------------------------------------------------

    async def tell(self) -> None:
        """Answer who can be answered, and tell everybody what is new."""
        updates: tuple[Update, ...] = tuple(self.desk.updates[self.told :])
        self.told = len(self.desk.updates)
        if updates:
            await self.network.publish(UPDATES, updates)
        for command_id in list(self.waiting):
            if command_id not in self.desk.outcomes:
                error: Exception = ConnectionError("a market value is missing; send it again later")
                for request in self.waiting.pop(command_id):
                    await request.fail(error)
                continue
            answer = self.desk.answer(command_id)
            if answer is not None:
                for request in self.waiting.pop(command_id):
                    await request.reply(answer)


def may_be_asked(payload: object) -> bool:
    """Whether this is a command that somebody else may give, under a name of his own."""
    return isinstance(payload, ASKED) and not payload.id.startswith(OWN)
