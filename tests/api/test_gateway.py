"""The gateway as a service: it restarts, loses its neighbours, and never tells what is not so."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
import trio

from harness.engine import Run, execute
from harness.scenario import Scenario
from harness.world.service import Life
from harness.world.world import World
from scenarios.people import population
from scenarios.real_client import LISTING, MARKET, ClientExchange
from target_stub.api.gateway import ADDRESS, Asked, Gateway
from target_stub.api.messages import Answer
from target_stub.api.sessions import PING, UNDRAINED_MAX
from target_stub.chain import ADDRESS as CHAIN
from target_stub.cloud.order_desk import Followed
from tests.api.bench import EPOCH_MS, limit


class Floor:
    """A small exchange with a gateway, and two accounts of which each is a token."""

    def __init__(self, world: World) -> None:
        people = population(world.seed, 4, (LISTING,))
        self.world = world
        self.exchange = ClientExchange(world, people)
        self.network = self.exchange.network
        self.alice, self.bob = people.traders[:2]
        self.gateway: Gateway

    async def open(self) -> None:
        """Start everything."""
        await self.exchange.start()
        await self.world.service("gateway", self.run_gateway).ready()

    async def run_gateway(self, life: Life) -> None:
        """One incarnation of the gateway."""
        self.gateway = Gateway(life, network=self.network, epoch_ms=EPOCH_MS)
        await self.gateway.run()

    async def ask(self, method: str, path: str, body: Any = None, token: str = "") -> Answer:
        """One REST request of Alice, or of somebody else."""
        asked = Asked(method, path, {}, body, token or self.alice)
        answer: Answer = await self.network.call(ADDRESS, "request", asked)
        return answer

    async def order(self, side: str, price: str, token: str = "", **more: Any) -> Answer:
        """A limit order for a tenth."""
        body = limit(side, "0.1", price, **more)
        return await self.ask("POST", "orders", body, token)

    async def connect(self, token: str = "") -> Socket:
        """A connection that has said whose it is."""
        socket = Socket(self, await self.network.call(ADDRESS, "open"))
        await socket.send("auth", {"bearer": token or self.alice})
        return socket


class Socket:
    """One WebSocket connection as its client has it."""

    def __init__(self, floor: Floor, name: str) -> None:
        self.floor = floor
        self.name = name
        self.count = 0
        self.told: list[tuple[str, Any]] = []

    async def send(self, method: str, params: Any) -> Any:
        """Ask something and wait for the result, or for the error."""
        self.count += 1
        frame = {"jsonrpc": "2.0", "id": self.count, "method": method, "params": params}
        await self.frame(json.dumps(frame))
        while True:
            for said in await self.receive():
                if said.get("id") == self.count:
                    return said.get("result", said.get("error"))

    async def frame(self, text: str) -> None:
        """Send a text."""
        await self.floor.network.call(ADDRESS, "frame", (self.name, text))

    async def receive(self) -> list[Any]:
        """What came; messages of channels are remembered."""
        frames = await self.floor.network.call(ADDRESS, "receive", (self.name, ""))
        said = [json.loads(frame) for frame in frames if frame != PING]
        for one in said:
            if one.get("method") == "subscription":
                self.told.append((one["params"]["channel"], one["params"]["data"]))
        return said

    async def hear(self, channel: str) -> Any:
        """The next message of a channel."""
        while not any(name == channel for name, _ in self.told):
            await self.receive()
        found = next(one for one in self.told if one[0] == channel)
        self.told.remove(found)
        return found[1]


def on_the_floor(story: Callable[[Floor], Awaitable[None]]) -> Run:
    """Tell a story with a small exchange; it must break no rule and come to its end."""
    ends: list[bool] = []

    async def tell(world: World) -> None:
        floor = Floor(world)
        await floor.open()
        await story(floor)
        ends.append(True)

    run = execute(Scenario("a gateway", tell, time_max_s=600.0, epoch_s=EPOCH_MS / 1000), seed=1)
    assert not run.violations, run.violations
    assert ends
    return run


@pytest.mark.parametrize("kind", ["crash", "stop", "rolling"])
def test_a_restarted_gateway_tells_what_it_told_before(kind: str) -> None:
    async def story(floor: Floor) -> None:
        await floor.order("SELL", "3210", floor.bob)
        await floor.order("BUY", "3210")
        await floor.order("BUY", "3200", client_id="mine")
        paths = ("fills", "positions", "balance", "orders", "orders/by_client_id/mine")
        before = [(await floor.ask("GET", path)).body for path in paths]
        await floor.world.services["gateway"].restart(kind)
        after = [(await floor.ask("GET", path)).body for path in paths]
        assert [without_numbers(one) for one in after] == [without_numbers(one) for one in before]
        (fill,) = before[0]["results"]
        assert (fill["size"], fill["order_id"]) == ("0.1", "1000002")
        assert before[3]["results"][0]["seq_no"] < after[3]["results"][0]["seq_no"]

    on_the_floor(story)


def without_numbers(document: Any) -> Any:
    """A document without what is new in every answer: its number and when it was told."""
    if isinstance(document, list):
        return [without_numbers(one) for one in document]
    if not isinstance(document, dict):
        return document
    new = ("seq_no", "published_at", "last_updated_at")
    return {name: without_numbers(one) for name, one in document.items() if name not in new}


def test_who_does_not_know_what_became_of_an_order_says_so() -> None:
    async def story(floor: Floor) -> None:
        async def mute(life: Life) -> None:
            life.enter("ready")
            async for request in floor.network.listen("matching"):
                if request.method == "follow":
                    await request.reply(Followed(0, (), floor.exchange.chain.state))

        await floor.world.service("mute", mute).ready()
        answer = await floor.order("BUY", "3210")
        assert (answer.status, answer.body["error"]) == (504, "INTERNAL_ERROR")

    on_the_floor(story)


def test_a_refusal_before_anything_was_sent_is_a_refusal() -> None:
    async def story(floor: Floor) -> None:
        await floor.world.services["matching"].stop()
        answer = await floor.order("BUY", "3210")
        assert (answer.status, answer.body["error"]) == (503, "SERVICE_UNAVAILABLE")

    on_the_floor(story)


@pytest.mark.parametrize("kind", ["crash", "rolling"])
def test_orders_outlive_matching_and_are_told_as_before(kind: str) -> None:
    async def story(floor: Floor) -> None:
        order = (await floor.order("BUY", "3200")).body
        await floor.world.services["matching"].restart(kind)
        told = (await floor.ask("GET", f"orders/{order['id']}")).body
        assert without_numbers(told) == without_numbers(order)
        assert (await floor.ask("DELETE", f"orders/{order['id']}")).status == 204

    on_the_floor(story)


def test_after_a_rollback_nothing_is_told_that_was_undone() -> None:
    async def story(floor: Floor) -> None:
        height = floor.exchange.chain.height
        await floor.order("SELL", "3210", floor.bob)
        await floor.order("BUY", "3210")
        assert len((await floor.ask("GET", "fills")).body["results"]) == 1
        await floor.network.call(CHAIN, "rollback", height)
        assert (await floor.ask("GET", "fills")).body["results"] == []
        assert (await floor.ask("GET", "positions")).body["results"] == []

    on_the_floor(story)


def test_channels_tell_orders_fills_positions_and_prices() -> None:
    async def story(floor: Floor) -> None:
        socket = await floor.connect()
        market = MARKET.symbol
        book = f"order_book.{market}.snapshot@15@100ms"
        channels = ("orders.ALL", f"fills.{market}", "positions", "account", "transaction")
        public = (f"trades.{market}", f"bbo.{market}", f"funding_data.{market}", book)
        for channel in (*channels, *public, "markets_summary.ALL"):
            assert await socket.send("subscribe", {"channel": channel}) == {"channel": channel}
        assert (await socket.hear(book))["inserts"] == []
        await floor.order("SELL", "3210", floor.bob)
        assert (await socket.hear(f"bbo.{market}"))["ask"] == "3210"
        assert [one["size"] for one in (await socket.hear(book))["inserts"]] == ["0.1"]
        placed = await socket.send("order.create", limit("BUY", "0.1", "3210"))
        assert placed["order"]["status"] == "CLOSED"
        assert (await socket.hear("orders.ALL"))["id"] == placed["order"]["id"]
        assert (await socket.hear(f"fills.{market}"))["liquidity"] == "TAKER"
        assert (await socket.hear(f"trades.{market}"))["price"] == "3210"
        assert (await socket.hear("positions"))["size"] == "0.1"
        assert (await socket.hear("account"))["status"] == "ACTIVE"
        assert (await socket.hear("transaction"))["state"] == "ACCEPTED_ON_L2"
        assert (await socket.hear(f"funding_data.{market}"))["funding_index"]
        assert (await socket.hear("markets_summary.ALL"))["symbol"] == market
        await socket.send("unsubscribe", {"channel": "orders.ALL"})
        await floor.order("BUY", "3200")
        await socket.hear(f"bbo.{market}")
        assert "orders.ALL" not in [name for name, _ in socket.told]

    on_the_floor(story)


def test_orders_over_the_socket_are_changed_and_cancelled() -> None:
    async def story(floor: Floor) -> None:
        socket = await floor.connect()
        batch = [limit("BUY", "0.1", price, client_id=price) for price in ("3200", "3199", "3198")]
        placed = await socket.send("order.create_batch", batch)
        first, second, third = (order["id"] for order in placed["orders"])
        changed = await socket.send("order.modify", {**limit("BUY", "0.2", "3201"), "id": first})
        assert changed["order"]["size"] == "0.2"
        assert (await socket.send("order.cancel", {"id": first}))["order_id"] == first
        by_client = {"client_id": "3199", "market": MARKET.symbol}
        assert (await socket.send("order.cancel", by_client))["client_id"] == "3199"
        answer = await socket.send("order.cancel_batch", {"order_ids": [second, third]})
        assert [one["status"] for one in answer["results"]] == [
            "ALREADY_CLOSED",
            "QUEUED_FOR_CANCELLATION",
        ]
        assert await socket.send("order.cancel_all", {}) == {"status": "QUEUED_FOR_CANCELLATION"}
        error = await socket.send("order.cancel", {"id": first})
        assert (error["code"], error["message"]) == (100, "ORDER_IS_CLOSED")

    on_the_floor(story)


def test_frames_that_make_no_sense_are_answered_with_errors() -> None:
    async def story(floor: Floor) -> None:
        socket = Socket(floor, await floor.network.call(ADDRESS, "open"))
        await socket.frame("{")
        (said,) = await socket.receive()
        assert said["error"]["code"] == -32700
        assert (await socket.send("order.dance", {}))["code"] == -32601
        assert (await socket.send("subscribe", {}))["code"] == -32602
        assert (await socket.send("subscribe", {"channel": "orders.ALL"}))["code"] == 100
        assert (await socket.send("subscribe", {"channel": "gossip"}))["code"] == 100
        await floor.network.call(ADDRESS, "close", (socket.name, ""))
        with pytest.raises(ConnectionError):
            await socket.frame("{}")

    on_the_floor(story)


@pytest.mark.parametrize("armed", [True, False])
def test_cancel_on_disconnect_cancels_what_this_connection_placed(*, armed: bool) -> None:
    async def story(floor: Floor) -> None:
        socket = await floor.connect()
        enabled = await socket.send("order.cancel_on_disconnect", {"enabled": armed})
        assert enabled == {"enabled": armed}
        await socket.send("order.create", limit("BUY", "0.1", "3200"))
        await floor.order("BUY", "3199")
        await floor.network.call(ADDRESS, "close", (socket.name, ""))
        await trio.sleep(1)
        left = [one["price"] for one in (await floor.ask("GET", "orders")).body["results"]]
        assert left == (["3199"] if armed else ["3200", "3199"])

    on_the_floor(story)


def test_who_does_not_answer_a_ping_is_disconnected_and_who_does_is_not() -> None:
    async def story(floor: Floor) -> None:
        silent, awake = await floor.connect(), await floor.connect()
        await silent.send("order.cancel_on_disconnect", {"enabled": True})
        await silent.send("order.create", limit("BUY", "0.1", "3200"))
        while trio.current_time() < 130:
            await awake.receive()
        assert (await floor.ask("GET", "orders")).body["results"] == []
        assert await awake.send("subscribe", {"channel": "positions"})
        with pytest.raises(ConnectionError):
            await silent.frame("{}")

    on_the_floor(story)


def test_who_lets_too_many_messages_wait_is_dropped() -> None:
    async def story(floor: Floor) -> None:
        socket = await floor.connect()
        (session,) = floor.gateway.sessions.sessions.values()
        session.frames = ["{}"] * UNDRAINED_MAX
        await socket.frame(
            json.dumps({"id": 9, "method": "subscribe", "params": {"channel": "account"}})
        )
        await floor.order("SELL", "3210", floor.bob)
        await floor.order("BUY", "3210")
        with pytest.raises(ConnectionError):
            await socket.frame("{}")

    on_the_floor(story)


def test_sequence_numbers_go_on_after_a_restart_within_the_same_millisecond() -> None:
    async def story(floor: Floor) -> None:
        first = [floor.gateway.next_seq_no() for _ in range(3)]
        await floor.world.services["gateway"].restart("crash")
        later = [floor.gateway.next_seq_no() for _ in range(3)]
        assert first + later == sorted({*first, *later})
        assert Decimal(first[0]) // 10**6 == EPOCH_MS + floor.gateway.now_ms

    on_the_floor(story)
