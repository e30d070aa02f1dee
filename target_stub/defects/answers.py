"""Defects between a request and its answer: what is said and what is done are two things."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
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


class LooksBeforeItWaits(Matching):
    """Looks whether a post-only order would take, asks the chain something, and places it."""

    async def answer(self, request: Request) -> None:
        """Nobody else is in that book between the two, nearly always."""
        order = request.payload
        if is_post_only(order) and not self.would_take(order):
            await self.read_chain()
            request = Looked(request, replace(order, instruction=Instruction.GTC))
        await super().answer(request)

    def would_take(self, order: PlaceOrder) -> bool:
        """Whether somebody stands at its price or better."""
        if self.state is None or order.price is None:
            return False
        book = self.state.books[order.market]
        if order.side is Side.BUY:
            return book.best_ask is not None and book.best_ask <= order.price
        return book.best_bid is not None and book.best_bid >= order.price


class Looked:
    """A request whose order has been looked at."""

    def __init__(self, request: Request, payload: PlaceOrder) -> None:
        self.method = request.method
        self.payload = payload
        self.reply = request.reply
        self.fail = request.fail


def is_post_only(order: Any) -> bool:
    """Whether something is an order that may only rest."""
    return isinstance(order, PlaceOrder) and order.instruction is Instruction.POST_ONLY


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
    "looked_before_waiting": Bug(
        text="matching looks whether a post-only order would take, waits, and places it",
        breaks="books_are_never_crossed",
        incident=(
            "github.com/hummingbot/hummingbot pull 58: what an order was decided on was no longer "
            "true when it was placed"
        ),
        family="plan applied after a one-time check",
        budget=200,
        replaces={Matching: LooksBeforeItWaits},
    ),
}
