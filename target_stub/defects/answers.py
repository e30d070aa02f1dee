"""Defects between a request and its answer: what is said and what is done are two things."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import trio

from target_stub.chain import ChainNode
from target_stub.cloud.durable_matching import DurableMatching
from target_stub.core import Command, Deposit, Instruction, PlaceOrder, Rejected, Side
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


class LooksBeforeItWrites(DurableMatching):
    """Looks whether post-only orders would take when it collects what is to be written next."""

    def asked(self) -> list[Command]:
        """What would only rest is an order like any other; nothing comes in between, nearly."""
        return [self.looked_at(command) for command in super().asked()]

    def looked_at(self, command: Command) -> Command:
        """A post-only order that stands away from the book needs no second look."""
        if not isinstance(command, PlaceOrder) or command.price is None:
            return command
        book, buys = self.desk.state.books[command.market], command.side is Side.BUY
        other = book.best_ask if buys else book.best_bid
        takes = other is not None and (other <= command.price if buys else other >= command.price)
        if command.instruction is not Instruction.POST_ONLY or takes:
            return command
        return replace(command, instruction=Instruction.GTC)


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
    "looked_before_writing": Bug(
        text="matching looks whether a post-only order would take before it writes the journal",
        breaks="books_are_never_crossed",
        incident=(
            "github.com/stellar-deprecated/kelp issue 440: a maker order was placed by a look at "
            "the book, which can change between the two, and took"
        ),
        family="plan applied after a one-time check",
        budget=100,
        scenario="whole-exchange",
        replaces={DurableMatching: LooksBeforeItWrites},
    ),
}
