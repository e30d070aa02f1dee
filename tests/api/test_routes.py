"""Every route, driven by hand: what it answers, what it sends, and how it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from target_stub.api.messages import ApiError
from target_stub.core import CancelAll, CancelOrder, Mode, ModifyOrder, PlaceOrder
from target_stub.core.errors import Missing
from target_stub.core.margin import account_value, maintenance_margin
from target_stub.core.valuation import liquidation_price
from tests.api.bench import ALICE, BOB, EPOCH_MS, SYMBOL, Bench, limit


@pytest.fixture
def bench() -> Bench:
    """An exchange with two accounts and one market."""
    return Bench()


@pytest.fixture
def traded(bench: Bench) -> Bench:
    """Alice has bought 2 ETH from Bob at 3000 USD, which is 6000 USDC each."""
    assert bench.ask("POST", "orders", limit("SELL", "2", "3000"), account=BOB).status == 201
    assert bench.ask("POST", "orders", limit("BUY", "2", "3000")).status == 201
    return bench


def numbers(document: Mapping[str, Any]) -> list[str]:
    """The fields of a document that hold numbers which are no decimal strings."""
    return [name for name, value in document.items() if isinstance(value, float)]


def test_the_system_tells_mode_time_and_parameters(bench: Bench) -> None:
    assert bench.ask("GET", "system/state").body == {"status": "ok"}
    bench.mode(Mode.POST_ONLY)
    assert bench.ask("GET", "/system/state").body == {"status": "post_only"}
    now = bench.ask("GET", "system/time", account=None)
    assert now.body == {"server_time": str(EPOCH_MS + bench.at_ms)}
    config = bench.ask("GET", "system/config", account=None).body
    assert (config["paraclear_decimals"], config["liquidation_fee"]) == (8, "0.7")


def test_markets_tell_their_rules_and_their_prices(bench: Bench) -> None:
    (market,) = bench.listed("markets", account=None)
    assert market["delta1_cross_margin_params"]["imf_base"] == "0.02"
    assert market["price_tick_size"] == "0.01"
    assert numbers(market) == ["funding_multiplier"]
    bench.ask("POST", "orders", limit("BUY", "1", "2990"))
    (summary,) = bench.listed("markets/summary", account=None, market="ALL")
    assert (summary["mark_price"], summary["bid"], summary["ask"]) == ("3000", "2990", "")
    assert summary["created_at"] == EPOCH_MS + 5_000
    assert not numbers(summary)


def test_a_value_that_nobody_knows_is_no_zero(bench: Bench) -> None:
    bench.rows.clear()
    (summary,) = bench.listed("markets/summary")
    assert summary["mark_price"] == "3000"
    assert not {"underlying_price", "funding_rate"} & set(summary)
    market = replace(bench.state.markets[SYMBOL], funding_index=None)
    bench.ask("POST", "orders", limit("SELL", "1", "3000"), account=BOB)
    bench.ask("POST", "orders", limit("BUY", "1", "3000"))
    bench.state = replace(bench.state, markets={SYMBOL: market})
    with pytest.raises(Missing):
        bench.ask("GET", "positions")
    bench.state = replace(bench.state, markets={SYMBOL: replace(market, mark_usd=None)})
    answer = bench.ask("GET", "markets/summary")
    assert (answer.status, answer.body["error"]) == (503, "SERVICE_UNAVAILABLE")


def test_funding_data_is_what_was_published_between_two_times(bench: Bench) -> None:
    (funding,) = bench.listed("funding/data", account=None, market=SYMBOL)
    assert (funding["funding_index"], funding["funding_premium"]) == ("100", "1.5")
    assert funding["created_at"] == EPOCH_MS
    late = {"start_at": str(EPOCH_MS + 1)}
    assert bench.listed("funding/data", account=None, market=SYMBOL, **late) == []


def test_an_order_that_rests_is_shown_as_open_and_in_the_book(bench: Bench) -> None:
    answer = bench.ask("POST", "orders", limit("BUY", "1.5", "2990", client_id="mine"))
    assert answer.status == 201
    order = answer.body
    assert (order["status"], order["remaining_size"], order["client_id"]) == ("OPEN", "1.5", "mine")
    assert (order["type"], order["side"], order["price"]) == ("LIMIT", "BUY", "2990")
    assert bench.listed("orders")[0]["id"] == order["id"]
    assert bench.listed("orders", account=BOB) == []
    book = bench.ask("GET", f"orderbook/{SYMBOL}", account=None).body
    assert (book["bids"], book["asks"]) == ([["2990", "1.5"]], [])
    top = bench.ask("GET", f"bbo/{SYMBOL}", account=None).body
    assert (top["bid"], top["bid_size"], top["ask"]) == ("2990", "1.5", "")
    assert book["seq_no"] < top["seq_no"]


def test_a_trade_is_told_to_both_sides_and_to_everybody(traded: Bench) -> None:
    (mine,), (his,) = traded.listed("fills"), traded.listed("fills", account=BOB)
    assert (mine["side"], mine["liquidity"], mine["size"]) == ("BUY", "TAKER", "2")
    assert (his["side"], his["liquidity"], his["price"]) == ("SELL", "MAKER", "3000")
    assert mine["id"] != his["id"]
    (trade,) = traded.listed("trades", account=None, market=SYMBOL)
    assert (trade["side"], trade["size"], trade["trade_type"]) == ("BUY", "2", "FILL")
    filled = traded.ask("GET", "orders/request-2").body
    assert (filled["status"], filled["avg_fill_price"]) == ("CLOSED", "3000")
    assert traded.listed("orders") == []


def test_a_position_tells_what_it_is_worth_and_where_it_ends(traded: Bench) -> None:
    (held,) = traded.listed("positions")
    (short,) = traded.listed("positions", account=BOB)
    assert (held["side"], held["size"], held["average_entry_price"]) == ("LONG", "2", "6000")
    assert (short["side"], short["size"], short["cost"]) == ("SHORT", "-2", "-12000")
    assert (held["unrealized_pnl"], held["cost_usd"]) == ("0", "6000")
    account = traded.ask("GET", "account").body
    assert (account["account_value"], account["total_collateral"]) == ("5000", "5000")
    assert (account["initial_margin_requirement"], account["status"]) == ("120", "ACTIVE")
    assert account["margin_cushion"] == "4940"


def test_at_the_liquidation_price_value_meets_maintenance_margin(traded: Bench) -> None:
    state, usdc_price = traded.state, Decimal("0.5")
    prices = dict(state.known_prices())
    for name in (ALICE, BOB):
        account = state.accounts[name]
        at_usd = liquidation_price(account, SYMBOL, prices, usdc_price, state.rules)
        assert at_usd is not None
        moved = {SYMBOL: prices[SYMBOL]._replace(mark_usd=at_usd)}
        gap = account_value(account, moved, usdc_price) - maintenance_margin(
            account, moved, state.rules
        )
        assert abs(gap.value) < Decimal("1e-7")
    (held,) = traded.listed("positions")
    assert held["liquidation_price"] == "505.05050505"


def test_accrued_funding_is_told_in_usd(traded: Bench) -> None:
    market = replace(traded.state.markets[SYMBOL], funding_index=Decimal("101.5"))
    traded.state = replace(traded.state, markets={SYMBOL: market})
    (held,), (short,) = traded.listed("positions"), traded.listed("positions", account=BOB)
    assert (held["unrealized_funding_pnl"], short["unrealized_funding_pnl"]) == ("-1.5", "1.5")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (limit("BUY", "1", "2990", market="XRP-USD-PERP"), 404, "MARKET_NOT_FOUND"),
        (limit("BUY", "0.00001", "2990"), 400, "VALIDATION_ERROR"),
        (limit("BUY", "1", "2990.001"), 400, "VALIDATION_ERROR"),
        (limit("BUY", "much", "2990"), 400, "VALIDATION_ERROR"),
        (limit("UP", "1", "2990"), 400, "VALIDATION_ERROR"),
        (limit("BUY", "1", "2990", type="ICEBERG"), 400, "VALIDATION_ERROR"),
        (limit("BUY", "1", "2990", signature_timestamp=0), 400, "INVALID_TIMESTAMP"),
        ("buy some", 400, "BINDING_ERROR"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_with_its_code(
    bench: Bench, body: Any, status: int, code: str
) -> None:
    answer = bench.ask("POST", "orders", body)
    assert (answer.status, answer.body["error"]) == (status, code)
    assert bench.listed("orders") == []


@pytest.mark.parametrize(
    ("mode", "code"),
    [
        (Mode.MAINTENANCE, "SERVICE_UNAVAILABLE"),
        (Mode.CANCEL_ONLY, "SYSTEM_STATUS_CANCEL_ONLY"),
        (Mode.POST_ONLY, "SYSTEM_STATUS_POST_ONLY"),
    ],
)
def test_a_mode_refuses_orders_with_its_own_code(bench: Bench, mode: Mode, code: str) -> None:
    bench.ask("POST", "orders", limit("BUY", "1", "2990"))
    bench.mode(mode)
    answer = bench.ask("POST", "orders", limit("BUY", "1", "2980"))
    assert (answer.status, answer.body["error"]) == (503, code)
    assert bench.ask("DELETE", "orders/request-1").status == 204


def test_an_order_without_margin_is_closed_at_once_with_a_reason(bench: Bench) -> None:
    answer = bench.ask("POST", "orders", limit("BUY", "1000", "3000"))
    assert (answer.status, answer.body["status"]) == (201, "CLOSED")
    assert answer.body["cancel_reason"] == "NOT_ENOUGH_MARGIN"


def test_an_order_can_be_asked_for_changed_and_cancelled(bench: Bench) -> None:
    bench.ask("POST", "orders", limit("BUY", "1", "2990", client_id="mine"))
    assert bench.ask("GET", "orders/by_client_id/mine").body["id"] == "request-1"
    changed = bench.ask("PUT", "orders/request-1", limit("BUY", "2", "2980"))
    assert (changed.status, changed.body["size"], changed.body["price"]) == (200, "2", "2980")
    assert bench.ask("DELETE", "orders/by_client_id/mine").status == 204
    assert [type(one) for one in bench.sent] == [PlaceOrder, ModifyOrder, CancelOrder]
    closed = bench.ask("GET", "orders/request-1").body
    assert (closed["status"], closed["cancel_reason"]) == ("CLOSED", "USER_CANCELED")
    again = bench.ask("DELETE", "orders/request-1")
    assert (again.status, again.body["error"]) == (400, "ORDER_IS_CLOSED")


def test_orders_of_others_are_nobodys_business(bench: Bench) -> None:
    bench.ask("POST", "orders", limit("BUY", "1", "2990", client_id="mine"))
    for method, path in (("GET", "orders/request-1"), ("DELETE", "orders/request-1")):
        answer = bench.ask(method, path, account=BOB)
        assert (answer.status, answer.body["error"]) == (404, "ORDER_ID_NOT_FOUND")
    answer = bench.ask("GET", "orders/by_client_id/mine", account=BOB)
    assert answer.body["error"] == "CLIENT_ORDER_ID_NOT_FOUND"
    for path in ("account", "orders", "positions", "fills", "balance"):
        assert bench.ask("GET", path, account=None).status == 401
    assert bench.ask("GET", "account", account="eve").body["error"] == "ACCOUNT_NOT_FOUND"


def test_a_client_id_of_an_open_order_is_taken(bench: Bench) -> None:
    bench.ask("POST", "orders", limit("BUY", "1", "2990", client_id="mine"))
    answer = bench.ask("POST", "orders", limit("BUY", "1", "2980", client_id="mine"))
    assert (answer.status, answer.body["error"]) == (400, "DUPLICATED_CLIENT_ID")


def test_a_batch_has_an_order_or_an_error_for_each(bench: Bench) -> None:
    batch = [limit("BUY", "1", "2990"), limit("BUY", "much", "2990"), limit("BUY", "2", "2980")]
    answer = bench.ask("POST", "orders/batch", batch)
    assert [order and order["size"] for order in answer.body["orders"]] == ["1", None, "2"]
    assert [error and error["error"] for error in answer.body["errors"]] == [
        None,
        "VALIDATION_ERROR",
        None,
    ]
    impossible: tuple[Any, ...] = ([], batch * 4, {})
    for wrong in impossible:
        refused = bench.ask("POST", "orders/batch", wrong)
        assert refused.body["error"] == "BATCH_SIZE_OUT_OF_RANGE"


def test_several_orders_are_cancelled_at_once(bench: Bench) -> None:
    for price in ("2990", "2980", "2970"):
        bench.ask("POST", "orders", limit("BUY", "1", price, client_id=price))
    body = {"order_ids": ["request-1", "nothing"], "client_order_ids": ["2980"]}
    statuses = [one["status"] for one in bench.ask("DELETE", "orders/batch", body).body["results"]]
    assert statuses == ["QUEUED_FOR_CANCELLATION", "NOT_FOUND", "QUEUED_FOR_CANCELLATION"]
    assert [order["client_id"] for order in bench.listed("orders")] == ["2970"]
    assert bench.ask("DELETE", "orders", market=SYMBOL).status == 204
    assert bench.listed("orders") == []
    bench.ask("POST", "orders", limit("BUY", "1", "2990"))
    bench.ask("DELETE", "orders")
    assert isinstance(bench.sent[-1], CancelAll)
    assert bench.listed("orders") == []


def test_stops_market_orders_and_flags_are_understood(traded: Bench) -> None:
    stop = limit("SELL", "1", "2890", type="STOP_LOSS_LIMIT", trigger_price="2900")
    answer = traded.ask("POST", "orders", stop)
    assert (answer.body["status"], answer.body["trigger_price"]) == ("UNTRIGGERED", "2900")
    assert answer.body["flags"] == ["REDUCE_ONLY"]
    market = {**limit("SELL", "1", ""), "type": "MARKET", "instruction": "IOC", "recv_window": 20}
    traded.ask("POST", "orders", {**market, "stp": "EXPIRE_BOTH", "flags": ["REDUCE_ONLY"]})
    sent = traded.sent[-1]
    assert isinstance(sent, PlaceOrder)
    assert (sent.price, sent.reduce_only, sent.receive_window_ms) == (None, True, 20)
    assert sent.self_trade_prevention == "expire_both"
    assert sent.signed_at_ms == 0


def test_nothing_is_sent_twice_and_an_unknown_path_is_told(bench: Bench) -> None:
    bench.ask("POST", "orders", limit("BUY", "1", "2990"))
    assert len([one for one in bench.sent if isinstance(one, PlaceOrder)]) == 1
    assert bench.ask("GET", "nothing").body["error"] == "NOT_FOUND"
    assert bench.ask("PATCH", "orders").status == 404
    assert ApiError(400, "A", "b").answer.body == {"error": "A", "message": "b", "data": None}
