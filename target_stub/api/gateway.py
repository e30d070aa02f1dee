"""The gateway: the restartable service in front of the exchange that carries its public interface.

It keeps nothing that it could not read again: what it tells comes from the chain, from matching and
from market data, over the network. A command is passed on once. If nobody says what became of it,
the client is told exactly that, and never that it failed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import trio

from target_stub.api.channels import News
from target_stub.api.messages import Answer, ApiError, ApiRequest, Look, Send, View
from target_stub.api.records import Records
from target_stub.api.routes import respond
from target_stub.api.sessions import Sessions
from target_stub.chain import ADDRESS as CHAIN
from target_stub.chain import BLOCKS, Block
from target_stub.cloud.market_data import TOPIC as MARKETS
from target_stub.cloud.matching import ADDRESS as MATCHING
from target_stub.cloud.order_desk import Followed
from target_stub.cloud.retry import is_retryable
from target_stub.core import State
from target_stub.ports import Life, Network, Request, Row

ADDRESS = "gateway"
#: How long the gateway waits for another service before it says that it does not know.
TIMEOUT_S = 2.0
#: The digits of an id after those of the incarnation.
ID_DIGITS = 6
UNKNOWN_OUTCOME = "the outcome is not known; ask for the order by its client id"


class Asked(NamedTuple):
    """A REST request on its way: the token is the name of the account that asks."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    token: str | None


class Gateway:
    """One incarnation of the gateway."""

    def __init__(self, life: Life, *, network: Network, epoch_ms: int = 0) -> None:
        self.life = life
        self.network = network
        self.epoch_ms = epoch_ms
        self.records = Records()
        self.rows: dict[str, Row] = {}
        self.sessions = Sessions(self)
        self.chain: State | None = None
        self.cloud: State | None = None
        self.accepting = trio.CancelScope()
        self._reading = trio.Lock()
        self._height, self._fork = 0, 0
        self._read = 0
        self._requests = 0
        self._seq_no = 0

    async def run(self) -> None:
        """Read the exchange, then serve until asked to stop."""
        rows = self.network.subscribe(MARKETS)
        blocks = self.network.subscribe(BLOCKS)
        requests = self.network.listen(ADDRESS)
        self.life.enter("hydrate")
        while not await self.try_to_read():
            await trio.sleep(0.1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.follow_markets, rows)
            nursery.start_soon(self.follow_blocks, blocks)
            async with trio.open_nursery() as answering:
                answering.start_soon(self.serve, requests, answering, nursery)
                self.life.enter("ready")
                await self.life.stop_requested()
                self.life.enter("drain")
                self.accepting.cancel()
            nursery.cancel_scope.cancel()

    async def serve(
        self, requests: Any, answering: trio.Nursery, connections: trio.Nursery
    ) -> None:
        """Answer every call in a task of its own; requests that have begun are finished."""
        with self.accepting:
            async for request in requests:
                if request.method == "request":
                    answering.start_soon(self.answer, request)
                else:
                    connections.start_soon(self.sessions.answer, request, connections)

    async def answer(self, request: Request) -> None:
        """Answer a REST request."""
        await request.reply(await self.respond(self.request_of(request.payload)))

    def request_of(self, asked: Asked) -> ApiRequest:
        """A request with an id that nobody else has, and the time at which it came."""
        method, path, query, body, token = asked
        return ApiRequest(
            method=method,
            path=path,
            id=self.next_id(),
            at_ms=self.now_ms,
            query=query,
            body=body,
            account=token,
        )

    def next_id(self) -> str:
        """An id that no other incarnation gives: digits only, so that it fits into a path."""
        self._requests += 1
        return f"{self.life.incarnation}{self._requests:0{ID_DIGITS}}"

    @property
    def now_ms(self) -> int:
        """The time of the core."""
        return round(trio.current_time() * 1000)

    def next_seq_no(self) -> int:
        """A number above all that this incarnation gave, and above those of earlier ones.

        From the time in nanoseconds, as the examples of the public API look, so that it goes on
        after a restart, which it would not if it counted from 0.
        """
        floor = (self.epoch_ms + self.now_ms) * 1_000_000 + self.life.incarnation * 1_000
        self._seq_no = max(self._seq_no + 1, floor)
        return self._seq_no

    # --- one request ------------------------------------------------------------------------

    async def respond(self, request: ApiRequest) -> Answer:
        """Drive the generator of a request: look and send in its place."""
        steps, said, sent = respond(request), None, False
        while True:
            try:
                step = steps.send(said)
            except StopIteration as done:
                answer: Answer = done.value
                return answer
            try:
                said = await self.perform(step)
            except (ConnectionError, TimeoutError) as error:
                refused = isinstance(step, Send) and isinstance(error, ConnectionRefusedError)
                if sent or (isinstance(step, Send) and not refused):
                    return self.unknown().answer
                return ApiError(503, "SERVICE_UNAVAILABLE", str(error)).answer
            sent = sent or isinstance(step, Send)

    def unknown(self) -> ApiError:
        """What is told when a command was sent and nobody says what became of it."""
        return ApiError(504, "INTERNAL_ERROR", UNKNOWN_OUTCOME)

    async def perform(self, step: Look | Send) -> Any:
        """What a generator asked for."""
        if isinstance(step, Send):
            return await self.network.call(
                step.address, step.method, step.command, timeout_s=TIMEOUT_S
            )
        with trio.move_on_after(TIMEOUT_S):
            while not await self.try_to_read():
                await trio.sleep(0.1)
            return self.view
        raise TimeoutError("the exchange cannot be read")

    # --- reading the exchange ---------------------------------------------------------------

    @property
    def view(self) -> View:
        """The exchange as it was read last; ConnectionError before that."""
        if self.chain is None or self.cloud is None:
            raise ConnectionError(f"{self.life.name} has not hydrated")
        return View(
            chain=self.chain,
            cloud=self.cloud,
            records=self.records,
            rows=self.rows,
            now_ms=self.now_ms,
            epoch_ms=self.epoch_ms,
            next_seq_no=self.next_seq_no,
        )

    async def try_to_read(self) -> bool:
        """Read chain and matching and tell what is new; whether both could be read."""
        async with self._reading:
            return await self.read()

    async def read(self) -> bool:
        """The same; two of these at once would take over the same news twice."""
        try:
            state, blocks = await self.read_chain()
            followed = await self.network.call(MATCHING, "follow", self._read, timeout_s=TIMEOUT_S)
        except Exception as error:
            if is_retryable(error):
                return False
            raise
        self.sessions.tell(self.take_over(state, blocks, followed))
        return True

    async def read_chain(self) -> Any:
        """The state of the chain and its blocks since the last one that was read, that included."""
        since = max(0, self._height - 1)
        state, blocks = await self.network.call(CHAIN, "blocks", since, timeout_s=TIMEOUT_S)
        rolled_back = self._height and (not blocks or blocks[0].fork != self._fork)
        if not rolled_back:
            return state, blocks[1:] if self._height else blocks
        state, blocks = await self.network.call(CHAIN, "blocks", 0, timeout_s=TIMEOUT_S)
        self.records.forget_chain()
        return state, blocks

    def take_over(self, state: State, blocks: Sequence[Block], followed: Followed) -> News:
        """Fold what was read into the records; what is new of it.

        An incarnation of matching that was replaced may answer with less than is known.
        """
        news = News(blocks=list(blocks))
        fills, busts = len(self.records.fills), len(self.records.busts)
        changed = []
        for command, events in followed.done:
            changed += self.records.follow_matching(command.id, command.at_ms, events)
        for block in blocks:
            news.accounts += self.records.follow_chain(block)
            self._height, self._fork = block.height, block.fork
        news.orders = list(dict.fromkeys(changed))
        news.fills, news.busts = self.records.fills[fills:], self.records.busts[busts:]
        self.chain = state
        if followed.length >= self._read:
            news.books = self.cloud is not None and self.cloud.books is not followed.state.books
            self.cloud, self._read = followed.state, followed.length
        return news

    async def follow_markets(self, announcements: Any) -> None:
        """Remember the newest values of every market, and tell them."""
        async for rows in announcements:
            self.rows.update(rows)
            self.sessions.tell(News(markets=tuple(rows)))

    async def follow_blocks(self, blocks: Any) -> None:
        """Read again when the chain has a block, if anybody listens; a request reads anyway."""
        async for _ in blocks:
            if self.sessions.any_open:
                await self.try_to_read()
