"""Mode control: the system state that the operator sets and everybody else obeys.

The mode is a message to the cloud; with the mode gate it is a command to the chain as well, which
then enforces it whatever the cloud believes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import trio

from target_stub.cloud.own_book import EVERY_MS, NOTHING_TOLD
from target_stub.cloud.own_book import TOPIC as OWN_BOOK
from target_stub.cloud.retry import retrying
from target_stub.core import Mode, SetMode
from target_stub.guards import MODE_GATE, NO_GUARDS, TWO_SIDED_OPENING, Guards
from target_stub.ports import Life, Network, Request

ADDRESS = "mode"
TOPIC = "mode"


@dataclass(frozen=True, slots=True)
class ModeTold:
    """A mode, and the number of the decision that made it."""

    mode: Mode
    sequence: int

    def newer(self, told: ModeTold) -> ModeTold:
        """The later of two decisions."""
        return told if told.sequence >= self.sequence else self

    def __str__(self) -> str:
        return f"{self.mode}, decision {self.sequence}"


def as_told(message: Mode | ModeTold) -> ModeTold:
    """A message of the topic; a mode alone is one that nobody counts."""
    return message if isinstance(message, ModeTold) else ModeTold(Mode(message), 0)


def obeying(message: Mode | ModeTold, *, command_id: str, at_ms: int) -> SetMode:
    """The command of somebody who follows what was decided elsewhere."""
    told = as_told(message)
    return SetMode(
        id=command_id, at_ms=at_ms, mode=told.mode, sequence=told.sequence, is_decided=True
    )


class ModeControl:
    """One incarnation of mode control."""

    def __init__(self, life: Life, *, network: Network, guards: Guards = NO_GUARDS) -> None:
        self.life = life
        self.network = network
        self.guards = guards
        self.books = NOTHING_TOLD

    async def run(self) -> None:
        """Serve for ever."""
        requests = self.network.listen(ADDRESS)
        async with trio.open_nursery() as nursery:
            if TWO_SIDED_OPENING in self.guards:
                nursery.start_soon(self.follow_books, self.network.subscribe(OWN_BOOK))
            self.life.enter("ready")
            async for request in requests:
                await self.answer(request)

    async def follow_books(self, told: Any) -> None:
        """Remember what matching says of its books."""
        async for books in told:
            self.books = self.books.newer(books)

    async def answer(self, request: Request) -> None:
        """``set`` a mode: the chain first, if it is to know, then the cloud."""
        if request.method != "set":
            await request.fail(ValueError(f"mode control has no method {request.method!r}"))
            return
        mode = Mode(request.payload)
        if mode is Mode.OK and TWO_SIDED_OPENING in self.guards:
            await self.books_with_two_sides()
        now_ms = round(trio.current_time() * 1000)
        if MODE_GATE in self.guards:
            command = SetMode(id=f"mode-{mode}-{now_ms}", at_ms=now_ms, mode=mode)
            async for attempt in retrying():
                with attempt:
                    await self.network.call("chain", "submit", command)
        await self.network.publish(TOPIC, mode)
        await request.reply(mode)

    async def books_with_two_sides(self) -> None:
        """Wait until matching has lately told a bid and an ask of every market."""
        while not self.books.two_sided(round(trio.current_time() * 1000)):
            await trio.sleep(EVERY_MS / 1000)
