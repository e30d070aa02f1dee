"""Matching: takes orders, matches them optimistically, and sends every trade to the chain.

It keeps a copy of the exchange that runs ahead of the chain and follows the chain's blocks for
everything it did not do itself. A trade that the chain refuses is busted, and the accounts in it
are read again from the chain. After a restart the books are empty: open orders are cancelled.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import trio

from target_stub.chain import BLOCKS
from target_stub.cloud.mode_control import TOPIC as MODE
from target_stub.cloud.retry import retrying
from target_stub.core import (
    Command,
    Event,
    Filled,
    FillType,
    Mode,
    PlaceOrder,
    Rejected,
    SetMode,
    SettleTrade,
    State,
    apply,
)
from target_stub.ports import Life, Network, Request

ADDRESS = "matching"


class Matching:
    """One incarnation of the matching engine."""

    def __init__(self, life: Life, *, network: Network) -> None:
        self.life = life
        self.network = network
        self.state: State | None = None
        self.busted = 0
        self._modes = 0

    async def run(self) -> None:
        """Read the chain, then serve orders until asked to stop."""
        blocks = self.network.subscribe(BLOCKS)
        modes = self.network.subscribe(MODE)
        requests = self.network.listen(ADDRESS)
        self.life.enter("hydrate")
        self.state = await self.read_chain()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.follow_blocks, blocks)
            nursery.start_soon(self.follow_modes, modes)
            nursery.start_soon(self.serve, requests)
            self.life.enter("ready")
            await self.life.stop_requested()
            self.life.enter("drain")
            nursery.cancel_scope.cancel()

    async def serve(self, requests: Any) -> None:
        """Answer every call; calls overlap, but each order is matched in one step."""
        async with trio.open_nursery() as nursery:
            async for request in requests:
                nursery.start_soon(self.answer, request)

    async def read_chain(self) -> State:
        """The chain's state now."""
        async for attempt in retrying():
            with attempt:
                state = await self.network.call("chain", "state", None)
        if not isinstance(state, State):
            raise TypeError(f"the chain answered {state!r}")
        return state

    def do(self, command: Command) -> tuple[Event, ...]:
        """Apply a command to the optimistic copy."""
        if self.state is None:
            raise ConnectionError(f"{self.life.name} has not hydrated")
        self.state, events = apply(self.state, command)
        return events

    async def follow_blocks(self, blocks: Any) -> None:
        """Do after the chain what was not done here first."""
        async for block in blocks:
            if not isinstance(block.command, SettleTrade | SetMode) and not block.refused:
                self.do(block.command)

    async def follow_modes(self, modes: Any) -> None:
        """Obey the mode."""
        async for mode in modes:
            self._modes += 1
            now_ms = round(trio.current_time() * 1000)
            command_id = f"{self.life.name}-mode-{self._modes}"
            self.do(SetMode(id=command_id, at_ms=now_ms, mode=Mode(mode)))

    async def answer(self, request: Request) -> None:
        """An order or a cancel; an order is answered when its trades are settled or busted."""
        events = self.do(request.payload)
        for number, event in enumerate(events):
            if isinstance(event, Filled) and event.fill_type is FillType.FILL:
                await self.settle(request.payload, number, event)
        await request.reply(events)

    async def settle(self, order: PlaceOrder, number: int, fill: Filled) -> None:
        """Send one trade to the chain; what it refuses never happened."""
        taker, maker = fill.taker, fill.maker
        buyer, seller = (taker, maker) if taker.side == "buy" else (maker, taker)
        command = SettleTrade(
            id=f"trade-{order.id}-{number}",
            at_ms=order.at_ms,
            market=fill.market,
            price=fill.price.value,
            size=fill.size,
            buyer=buyer.account,
            seller=seller.account,
            taker_side=taker.side,
        )
        async for attempt in retrying():
            with attempt:
                events = await self.network.call("chain", "submit", command)
        if any(isinstance(event, Rejected) for event in events):
            self.busted += 1
            await self.resynchronise(buyer.account, seller.account)

    async def resynchronise(self, *names: str) -> None:
        """Read accounts again from the chain; their open orders stay."""
        chain = await self.read_chain()
        if self.state is None:
            return
        accounts = dict(self.state.accounts)
        for name in names:
            accounts[name] = replace(chain.accounts[name], orders=accounts[name].orders)
        self.state = replace(self.state, accounts=accounts)
