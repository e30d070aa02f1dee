"""paradex-py and our surface understand each other: names, types, and what happens on a crash."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import trio

import target_stub.api
from harness.engine import execute
from harness.scenario import Scenario
from harness.world.blocking import run_asyncio
from harness.world.world import World
from scenarios.client_library import library, rest_client, socket_client
from target_stub.api import documents
from target_stub.core import BridgeDeposit, Usdc
from tests.api.bench import ALICE, BOB, EPOCH_MS, SYMBOL, Bench, limit
from tests.api.installed import needs_client
from tests.api.test_gateway import Floor

pytestmark = needs_client

#: What we tell beyond the models that the library generated from the public OpenAPI document.
MORE: Mapping[str, tuple[str, ...]] = {"SystemConfigResponse": ("starknet_fullnode_rpc_base_url",)}


def told() -> Iterator[tuple[str, Any]]:
    """Documents of all kinds, each with the name of its model."""
    bench = Bench()
    bench.ask("POST", "orders", limit("SELL", "2", "3000"), account=BOB)
    bench.ask("POST", "orders", limit("BUY", "1", "3000"))
    bench.ask("POST", "orders", limit("SELL", "1", "2890", type="STOP_LIMIT", trigger_price="2900"))
    bench.do(
        BridgeDeposit(id="in", at_ms=1, account=ALICE, amount=Usdc(Decimal(5)), transaction="0x1")
    )
    for path, model in (
        ("system/state", "SystemStateResponse"),
        ("system/time", "SystemTimeResponse"),
        ("system/config", "SystemConfigResponse"),
        ("account", "AccountSummaryResponse"),
        (f"bbo/{SYMBOL}", "BBOResp"),
    ):
        yield model, bench.ask("GET", path).body
    for path, model in (
        ("markets", "MarketResp"),
        ("markets/summary", "MarketSummaryResp"),
        ("positions", "PositionResp"),
        ("orders", "OrderResp"),
        ("fills", "FillResult"),
        ("balance", "BalanceResp"),
        ("transfers", "TransferResult"),
    ):
        for document in bench.listed(path):
            yield model, document
    for path, model in (("trades", "TradeResult"), ("funding/data", "FundingDataResult")):
        for document in bench.listed(path, market=SYMBOL):
            yield model, document
    spec = bench.state.rules.markets[SYMBOL]
    yield "FundingDataResult", documents.funding(SYMBOL, bench.rows[SYMBOL], spec, at_ms=1)
    yield "TradebustResult", {"account": ALICE, "busted_fill_id": "1", "created_at": EPOCH_MS}
    refused = bench.ask("POST", "orders", limit("BUY", "much", "1")).body
    yield "ApiError", refused


def test_every_field_is_one_of_the_public_api_and_has_its_type() -> None:
    models = library("api.generated.responses")
    seen = set()
    for name, document in told():
        model = getattr(models, name)
        unknown = set(document) - set(model.model_fields) - set(MORE.get(name, ()))
        assert not unknown, (name, unknown)
        model.model_validate(document, strict=False)
        seen.add(name)
    assert len(seen) == 16


def test_the_codes_that_we_refuse_with_are_public_codes() -> None:
    codes = {code.value for code in library("api.generated.responses").ErrorCode}
    assert set(written_codes()) <= codes


def written_codes() -> Iterator[str]:
    """All error codes that are written in the interface."""
    for path in sorted(Path(target_stub.api.__path__[0]).glob("*.py")):
        yield from re.findall(r"\b[45]\d\d, \"([A-Z_]+)\"", path.read_text())


def test_positions_tell_the_sign_that_the_api_documents_and_the_library_refuses() -> None:
    bench = Bench()
    bench.ask("POST", "orders", limit("BUY", "1", "3000"))
    bench.ask("POST", "orders", limit("SELL", "1", "3000"), account=BOB)
    positions = bench.listed("positions", account=BOB)
    assert positions[0]["size"] == "-1"
    with pytest.raises(ValueError, match="size must be non-negative"):
        library("margin").normalise_positions(positions)


def in_a_run(program: Any) -> list[Any]:
    """What a program with both clients of Alice told; it is an asyncio program."""
    heard: list[Any] = []

    async def tell(world: World) -> None:
        floor = Floor(world)
        await floor.open()

        async def lane() -> None:
            async with trio.open_nursery() as nursery:
                heard.extend(await run_asyncio(program, floor, nursery))
                nursery.cancel_scope.cancel()

        await world.client("program", lane)

    run = execute(Scenario("a program", tell, time_max_s=600, epoch_s=EPOCH_MS / 1000), seed=1)
    assert not run.violations, run.violations
    return heard


def test_the_rest_client_trades_and_reads_what_it_has_done() -> None:
    async def program(floor: Floor, _: trio.Nursery) -> list[Any]:
        common, rest = library("common.order"), rest_client(floor.network, floor.alice)
        order = common.Order(
            "ETH-USD-PERP",
            common.OrderType.Limit,
            common.OrderSide.Buy,
            Decimal("0.1"),
            Decimal(3200),
            client_id="mine",
        )
        placed = rest.submit_order(order)
        assert rest.fetch_order_by_client_id("mine")["id"] == placed["id"]
        assert rest.cancel_order(placed["id"]) is None
        assert rest.fetch_orders()["results"] == []
        batch = rest.submit_orders_batch([order])
        assert rest.cancel_orders_batch([batch["orders"][0]["id"]])["results"]
        with pytest.raises(ValueError, match="ORDER_ID_NOT_FOUND"):
            rest.fetch_order("17")
        assert rest.fetch_system_config().paraclear_decimals == 8
        return [rest.fetch_account_summary().status]

    assert in_a_run(program) == ["ACTIVE"]


def test_the_librarys_own_reader_is_there_twice_after_it_connected_again() -> None:
    """paradex-py 0.8.2: a reader that connects again starts another one and goes on itself."""

    async def program(floor: Floor, nursery: trio.Nursery) -> list[Any]:
        heard: list[str] = []

        async def hear(_: Any, message: dict[str, Any]) -> None:
            heard.append(message["params"]["data"]["status"])

        def readers() -> int:
            return sum("_read_messages" in repr(task) for task in asyncio.all_tasks())

        socket = socket_client(floor.network, nursery, floor.alice, auto_start_reader=True)
        rest = rest_client(floor.network, floor.alice)
        assert await socket.connect()
        await socket.subscribe_by_name("orders.ALL", hear)
        before = readers()
        nursery.start_soon(floor.world.services["gateway"].restart, "crash")
        await asyncio.sleep(5)
        common = library("common.order")
        side, kind = common.OrderSide.Buy, common.OrderType.Limit
        rest.submit_order(common.Order("ETH-USD-PERP", kind, side, Decimal("0.1"), Decimal(3200)))
        await asyncio.sleep(1)
        return [before, readers(), *heard]

    assert in_a_run(program) == [1, 2, "OPEN"]


def test_a_published_fee_of_zero_is_missing_to_the_library_and_the_account_tells_it() -> None:
    fees = {"api_fee": {"taker_fee": {"fee": "0"}}}
    market = {"symbol": SYMBOL, "asset_kind": "PERP", "fee_config": fees}
    rate = library("margin").fee_rate_for_market
    with pytest.raises(ValueError, match="fee rate is missing"):
        rate(market)
    assert rate(market, account_info=Bench().ask("GET", "account/info").body) == 0
