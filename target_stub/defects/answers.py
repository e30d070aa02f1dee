"""Defects between a request and its answer: what is said and what is done are two things."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import trio

from target_stub.chain import ChainNode
from target_stub.cloud.matching import Matching
from target_stub.core import Deposit, Instruction, PlaceOrder, Rejected, Side
from target_stub.core.errors import Reason
from target_stub.defects.bug import Bug
from target_stub.ports import Request

#: A request that is older than this is answered with an error.
OVERLOADED_MS = 1_000


class RefusesAndDoes(ChainNode):
    """Answers a deposit that has waited too long with an error, but leaves it in the queue."""

    async def answer(self, request: Request) -> None:
        """The error is for the client; what he asked for is done all the same."""
        deposit = request.payload
        now_ms = round(trio.current_time() * 1000)
        if isinstance(deposit, Deposit) and now_ms - deposit.at_ms > OVERLOADED_MS:
            detail = "the request has waited too long"
            reason = Reason.MAINTENANCE_MODE
            refused = Rejected(command_id=deposit.id, reason=reason, detail=detail)
            await request.reply((refused,))
            self.chain.submit(deposit)
        else:
            await super().answer(request)


class LooksAtItsOwnNews(Matching):
    """Looks whether a post-only order would take in the copy of the book that everybody gets.

    ``seen`` are the best bid and ask of every market in the news that have arrived.
    """

    seen: Mapping[str, tuple[Decimal | None, Decimal | None]] = MappingProxyType({})

    async def serve(self, requests: Any) -> None:
        """Serve orders, and hear the news of what they did."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.follow_books, self.network.subscribe("books"))
            nursery.start_soon(super().serve, requests)

    async def follow_books(self, books: Any) -> None:
        """They arrive a moment after they were sent."""
        async for tops in books:
            self.seen = tops

    async def answer(self, request: Request) -> None:
        """What would only rest is an order like any other; the news are new, nearly always."""
        order = request.payload
        if isinstance(order, PlaceOrder) and order.instruction is Instruction.POST_ONLY:
            bid, ask = self.seen.get(order.market, (None, None))
            other, sign = (ask, 1) if order.side is Side.BUY else (bid, -1)
            if other is None or order.price is None or (other - order.price) * sign > 0:
                request = Looked(request, replace(order, instruction=Instruction.GTC))
        await super().answer(request)
        if self.state is not None:
            tops = {m: (book.best_bid, book.best_ask) for m, book in self.state.books.items()}
            await self.network.publish("books", tops)


class Looked:
    """A request whose order has been looked at."""

    def __init__(self, request: Request, payload: PlaceOrder) -> None:
        self.method = request.method
        self.payload = payload
        self.reply = request.reply
        self.fail = request.fail


#: The planted bugs of this file by name.
BUGS: Mapping[str, Bug] = {
    "refused_but_done": Bug(
        text="the chain answers a deposit that has waited too long with an error, and books it",
        breaks="answers_are_true",
        incident=(
            "Hyperliquid, 29 July 2025: the interface answered with errors although the orders had "
            "arrived and were executed"
        ),
        family="error returned but executed",
        budget=50,
        replaces={ChainNode: RefusesAndDoes},
    ),
    "looked_at_old_news": Bug(
        text="matching looks whether a post-only order would take in an older copy of its book",
        breaks="books_are_never_crossed",
        incident=(
            "github.com/stellar-deprecated/kelp issue 440: a maker order was placed by a look at "
            "the book, which can change between the two, and took"
        ),
        family="plan applied after a one-time check",
        budget=100,
        scenario="makers",
        replaces={Matching: LooksAtItsOwnNews},
    ),
}
