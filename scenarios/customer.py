"""What a program with the real client does, and what it was told: the evidence of its rules.

The program is an ordinary asyncio program with paradex-py. It trades over REST and over the
WebSocket, listens to its channels, and connects again when its connection is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

import trio

from harness.world.network import Network
from scenarios.client_library import library, rest_client, socket_client

#: What became of an order as far as its sender was told.
ACCEPTED, REFUSED, UNKNOWN = "accepted", "refused", "unknown"
#: The one code with which the gateway says that it does not know.
NOT_KNOWN = "INTERNAL_ERROR"
CHANNELS = ("orders.ALL", "fills.ALL", "positions", "account", "tradebusts", "transaction")
PUBLIC_CHANNELS = ("bbo", "trades", "funding_data", "markets_summary")


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One order that was sent once; ``answer`` is what came back, ``refusal`` why not."""

    client_id: str
    market: str
    side: str
    size: Decimal
    price: Decimal
    outcome: str = UNKNOWN
    answer: dict[str, Any] | None = None
    refusal: str = ""


@dataclass(slots=True)
class Testimony:
    """Everything that the exchange told one client, in the order in which it was heard."""

    account: str
    attempts: list[Attempt] = field(default_factory=list)
    heard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Channel, or path of a REST answer, with each document of it."""
    connections: int = 0
    asked_at_height: int = 0
    """How high the chain was when the last question for fills was asked."""
    fills: list[dict[str, Any]] | None = None
    positions: list[dict[str, Any]] | None = None

    def hear(self, where: str, document: dict[str, Any]) -> None:
        """Remember what was told, and where."""
        self.heard.append((where, document))


class Customer:
    """One program: it acts so many times at intervals, then asks for everything once more.

    ``height`` is asked for the judge's sake: what was settled before a question is in its answer.
    """

    def __init__(
        self,
        testimony: Testimony,
        *,
        network: Network,
        market: str,
        size: Decimal,
        tick_usd: Decimal,
        random: Random,
        actions: int,
        every_s: float,
        does: Callable[[str], bool],
        height: Callable[[], int],
    ) -> None:
        self.testimony = testimony
        self.network = network
        self.market = market
        self.size = size
        self.tick_usd = tick_usd
        self.random = random
        self.actions = actions
        self.every_s = every_s
        self.does = does
        self.height = height
        self.open: list[str] = []
        self.rest = rest_client(network, testimony.account)

    async def run(self, nursery: trio.Nursery) -> None:
        """Trade, then ask what is true."""
        self.socket = socket_client(self.network, nursery, self.testimony.account)
        for _ in range(self.actions):
            await asyncio.sleep(self.every_s * (0.5 + self.random.random()))
            if not self.socket._is_connection_open():
                await self.connect()
            await self.listen()
            if self.does("customer"):
                await self.act()
        await self.ask_for_everything()

    # --- the connection ---------------------------------------------------------------------

    async def connect(self) -> None:
        """Connect and subscribe again; the next round tries again if that fails."""
        if not await self.socket.connect():
            return
        self.testimony.connections += 1
        names = [f"{name}.{self.market}" for name in PUBLIC_CHANNELS]
        try:
            for channel in (*CHANNELS, *names):
                await self.socket.subscribe_by_name(channel, self.on_message)
        except Exception as error:
            outcome_of(error)  # lost again; raises what is no matter of the connection

    async def on_message(self, _: Any, message: dict[str, Any]) -> None:
        """Remember what a channel told."""
        self.testimony.hear(message["params"]["channel"], message["params"]["data"])

    async def listen(self) -> None:
        """Take over everything that has arrived."""
        while self.socket._is_connection_open() and await self.socket.pump_once():
            pass

    # --- what it does -----------------------------------------------------------------------

    async def act(self) -> None:
        """An order over REST or over the WebSocket, a cancel, or a question."""
        draw = self.random.random()
        if draw < 0.15 and self.open:
            self.cancel(self.open.pop(0))
        elif draw < 0.25:
            self.ask("account", self.rest.fetch_account_summary)
        elif draw < 0.5 and self.socket._is_connection_open():
            await self.order(self.over_socket)
        else:
            await self.order(self.over_rest)

    async def order(self, send: Callable[[Any], Any]) -> None:
        """A limit order a few ticks from the mark, most of them through it; all is remembered."""
        common = library("common.order")
        summary = self.ask(
            "summary", lambda: self.rest.fetch_markets_summary({"market": self.market})
        )
        if summary is None:
            return
        side = self.random.choice((common.OrderSide.Buy, common.OrderSide.Sell))
        mark = Decimal(summary["results"][0]["mark_price"]) // self.tick_usd * self.tick_usd
        price = mark + self.tick_usd * self.random.randrange(-1, 12) * side.sign()
        attempt = Attempt(
            client_id=f"c{len(self.testimony.attempts) + 1}",
            market=self.market,
            side=side.value,
            size=self.size,
            price=price,
        )
        self.testimony.attempts.append(attempt)
        order = common.Order(
            self.market,
            common.OrderType.Limit,
            side,
            self.size,
            price,
            client_id=attempt.client_id,
        )
        try:
            attempt.answer = await send(order)
        except Exception as error:
            attempt.outcome, attempt.refusal = outcome_of(error)
            return
        attempt.outcome = ACCEPTED
        self.testimony.hear("POST /orders", attempt.answer)
        self.open.append(attempt.answer["id"])

    async def over_rest(self, order: Any) -> Any:
        """Send an order over REST."""
        return self.rest.submit_order(order)

    async def over_socket(self, order: Any) -> Any:
        """Send an order over the WebSocket, and listen until it is answered."""
        signer = library("api.protocols").NoOpSigner()
        sending = asyncio.ensure_future(self.socket.submit_order(order, signer))
        while not sending.done():
            if not self.socket._is_connection_open():
                sending.cancel()
                raise TimeoutError("the connection was lost before the answer")
            await self.socket.pump_once()
        return sending.result()["order"]

    def cancel(self, order_id: str) -> None:
        """Take an order back, over REST."""
        self.ask("cancel", lambda: self.rest.cancel_order(order_id))

    def ask(self, what: str, question: Callable[[], Any]) -> Any:
        """Ask something over REST; None if there was no answer."""
        try:
            return question()
        except Exception as error:
            outcome_of(error)
            return None

    async def ask_for_everything(self) -> None:
        """Fills, positions and open orders, all of one moment, once the exchange answers again."""
        told = self.testimony
        while True:
            await asyncio.sleep(self.every_s)
            await self.listen()
            height = self.height()
            before = results(self.ask("fills", self.rest.fetch_fills))
            positions = results(self.ask("positions", self.rest.fetch_positions))
            orders = results(self.ask("orders", self.rest.fetch_orders))
            for order in orders or ():
                told.hear("GET /orders", order)  # now: the channel may close it a moment later
            after = results(self.ask("fills", self.rest.fetch_fills))
            if before is not None and None not in (positions, orders) and before == after:
                told.asked_at_height, told.fills = height, before
                told.positions = positions
                break
        await self.listen()


def results(answer: Any) -> list[dict[str, Any]] | None:
    """The entries of a list, None if there was no answer."""
    return None if answer is None else answer["results"]


def outcome_of(error: Exception) -> tuple[str, str]:
    """What an error of the client library says about the request: refused, or nobody knows.

    Anything that is not an error of a request is a mistake of this program and is raised again.
    """
    httpx, websockets = library("api.http_client").httpx, library("api.ws_client").websockets
    if isinstance(error, httpx.ConnectError):
        return REFUSED, "nobody listens"
    lost = (httpx.TransportError, websockets.WebSocketException, TimeoutError, ConnectionError)
    if isinstance(error, lost):
        return UNKNOWN, type(error).__name__
    text = str(error)
    if isinstance(error, ValueError) and text.startswith("ApiError("):
        return (UNKNOWN if NOT_KNOWN in text else REFUSED), text
    if type(error).__name__ == "WsRpcError":
        return (UNKNOWN if NOT_KNOWN in text else REFUSED), text
    raise error
