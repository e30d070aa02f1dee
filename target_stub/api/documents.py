"""The exchange in the words of the public interface: markets, prices, accounts, positions, books.

Every function makes one JSON document (dictionaries, lists, strings, whole numbers) from values of
the core. Amounts are decimal strings, times are milliseconds since 1970, and a value that nobody
knows raises :class:`~target_stub.core.errors.Missing` rather than become a zero. The names are
those of the OpenAPI document 1.132.1 of Paradex.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from target_stub.core import Account, MarketSpec, Mode, Order, State, assess
from target_stub.core.book import Book, Entry
from target_stub.core.events import MarketPublished
from target_stub.core.margin import fee_provision
from target_stub.core.money import EXACT, MONEY_DECIMALS, RATE_DECIMALS, divide_half_even, plain
from target_stub.core.orders import Position
from target_stub.core.parameters import ExchangeSpec
from target_stub.core.transfers import Direction, Transfer
from target_stub.core.valuation import (
    accrued_funding,
    average_entry,
    liquidation_price,
    unrealised,
)
from target_stub.ports import Row

Document = dict[str, Any]
#: How many levels of each side a book shows unless it is asked for more.
DEPTH = 15


def state_of_system(mode: Mode) -> Document:
    """``GET /system/state``: one of the four states."""
    return {"status": str(mode)}


def system_config(spec: ExchangeSpec) -> Document:
    """``GET /system/config``; addresses that the reference exchange has none of are named so."""
    buffer = spec.partial_liquidation_buffer
    return {
        "block_explorer_url": "",
        "bridged_tokens": [],
        "l1_chain_id": "0",
        "l1_core_contract_address": "0x0",
        "l1_operator_address": "0x0",
        "liquidation_fee": plain(spec.liquidation_fee),
        "oracle_address": "0x0",
        "paraclear_account_hash": "0x0",
        "paraclear_account_proxy_hash": "0x0",
        "paraclear_address": "0x0",
        "paraclear_decimals": MONEY_DECIMALS,
        "partial_liquidation_share_increment": plain(spec.liquidation_share_increment),
        "starknet_chain_id": "CHANGEOVER",
        "starknet_fullnode_rpc_base_url": "",
        "starknet_fullnode_rpc_url": "",
        "starknet_gateway_url": "",
        **({} if buffer is None else {"partial_liquidation_buffer": plain(buffer)}),
    }


def market(spec: MarketSpec, exchange: ExchangeSpec) -> Document:
    """One entry of ``GET /markets``: the rules of a market."""
    base, quote, _ = spec.symbol.split("-", 2)
    fees = exchange.fees
    maker = exchange.maker_fee if fees is None else fees.pro.maker
    taker = exchange.taker_fee if fees is None else fees.pro.base_taker(Decimal(0))
    api_fee = {"maker_fee": {"fee": plain(maker)}, "taker_fee": {"fee": plain(taker)}}
    return {
        "asset_kind": "PERP",
        "base_currency": base,
        "clamp_rate": plain(spec.clamp_rate),
        "delta1_cross_margin_params": {
            "imf_base": plain(spec.imf_base),
            "imf_factor": "0",
            "imf_shift": "0",
            "mmf_factor": plain(spec.mmf_factor),
        },
        "fee_config": {"api_fee": api_fee},
        "funding_multiplier": float(spec.funding_multiplier),
        "funding_period_hours": spec.funding_period_hours,
        "interest_rate": plain(spec.interest_rate),
        "market_kind": "cross",
        "max_funding_rate": plain(spec.max_funding_rate),
        "max_open_orders": spec.max_open_orders,
        "max_order_size": plain(spec.max_order_size),
        "max_tob_spread": plain(spec.max_top_of_book_spread),
        "min_notional": plain(spec.min_notional_usd),
        "oracle_ewma_factor": plain(spec.ewma_weight),
        "order_size_increment": plain(spec.order_size_increment),
        "position_limit": plain(spec.position_limit),
        "price_bands_width": plain(spec.price_bands_width),
        "price_tick_size": plain(spec.price_tick),
        "quote_currency": quote,
        "settlement_currency": "USDC",
        "symbol": spec.symbol,
    }


def summary(
    symbol: str, mark_usd: Decimal, row: Row | None, state: State, *, at_ms: int
) -> Document:
    """One entry of ``GET /markets/summary``: mark, the book, and what market data announced.

    Without an announcement what only market data knows is left out.
    """
    book = state.books[symbol]
    announced = (
        {} if row is None else {"underlying_price": row["spot_usd"], "funding_rate": row["rate"]}
    )
    return {
        "symbol": symbol,
        "mark_price": plain(mark_usd),
        "bid": _price(book.best_bid),
        "ask": _price(book.best_ask),
        "last_traded_price": _price(state.markets[symbol].last_trade_usd),
        "open_interest": plain(open_interest(symbol, state.accounts.values())),
        "created_at": at_ms,
        **{name: plain(value) for name, value in announced.items()},
    }


def published(event: MarketPublished, spec: MarketSpec, *, at_ms: int) -> Document:
    """One entry of ``GET /funding/data``: what the chain was told; it is not told the rate."""
    return {
        "market": event.market,
        "funding_index": plain(event.index),
        "funding_premium": plain(event.premium),
        "funding_period_hours": spec.funding_period_hours,
        "created_at": at_ms,
    }


def funding(symbol: str, row: Row, spec: MarketSpec, *, at_ms: int) -> Document:
    """A message of the channel ``funding_data``: index, premium and rate of one tick."""
    hours = spec.funding_period_hours
    rate_8h = divide_half_even(EXACT.multiply(row["rate"], 8), Decimal(hours), RATE_DECIMALS)
    return {
        "market": symbol,
        "funding_index": plain(row["funding_index"]),
        "funding_premium": plain(row["premium_usdc"]),
        "funding_rate": plain(row["rate"]),
        "funding_rate_8h": plain(rate_8h),
        "funding_period_hours": hours,
        "created_at": at_ms,
    }


def open_interest(symbol: str, accounts: Iterable[Account]) -> Decimal:
    """The sum of all long positions of one market, in base units."""
    total = Decimal(0)
    for account in accounts:
        total = EXACT.add(total, max(Decimal(0), account.size(symbol)))
    return total


def account_summary(account: Account, state: State, *, seq_no: int, at_ms: int) -> Document:
    """``GET /account``: what the account is worth and what it must hold, open orders included."""
    health = assess(account, state.known_prices(), state.known_usdc_price(), state.rules)
    value, maintenance = health.account_value_usd, health.maintenance_usd
    collateral = EXACT.multiply(health.balance_usdc, health.usdc_price)
    return {
        "account": account.id,
        "account_value": plain(value),
        "free_collateral": plain(health.free_collateral.value),
        "initial_margin_requirement": plain(health.initial_usd),
        "maintenance_margin_requirement": plain(maintenance),
        "margin_cushion": plain(EXACT.subtract(value, maintenance)),
        "seq_no": seq_no,
        "settlement_asset": "USDC",
        "status": "LIQUIDATION" if health.is_due else "ACTIVE",
        "total_collateral": plain(collateral),
        "updated_at": at_ms,
    }


def account_info(account: Account, state: State) -> Document:
    """``GET /account/info``: the rates that this account pays."""
    return {
        "account": account.id,
        "fees": {
            "maker_rate": plain(state.spec.maker_fee),
            "taker_rate": plain(fee_provision(account, state.rules)),
        },
        "kind": "main",
    }


def balance(account: Account, *, at_ms: int) -> Document:
    """The one entry of ``GET /balance``: the USDC that the account has."""
    return {"token": "USDC", "size": plain(account.balance_usdc), "last_updated_at": at_ms}


def position(account: Account, symbol: str, state: State, *, seq_no: int, at_ms: int) -> Document:
    """One entry of ``GET /positions``; sizes are signed, amounts of PnL are USD."""
    held = account.positions.get(symbol)
    if held is None:
        return _closed(account, symbol, seq_no=seq_no, at_ms=at_ms)
    return {
        **_head(account, symbol, held, seq_no=seq_no, at_ms=at_ms),
        **_worth(account, symbol, held, state),
    }


def _head(account: Account, symbol: str, held: Position, *, seq_no: int, at_ms: int) -> Document:
    return {
        "account": account.id,
        "average_entry_price": plain(average_entry(held)),
        "cached_funding_index": plain(held.cached_funding_index),
        "cost": plain(held.cost_usdc),
        "id": f"{account.id}-{symbol}",
        "last_updated_at": at_ms,
        "market": symbol,
        "seq_no": seq_no,
        "side": "LONG" if held.size > 0 else "SHORT",
        "size": plain(held.size),
        "status": "OPEN",
    }


def _worth(account: Account, symbol: str, held: Position, state: State) -> Document:
    usdc_price, price = state.known_usdc_price(), state.market(symbol).price
    funding_usd = accrued_funding(held, price.funding_index).to_usd(usdc_price)
    liquidated_at = liquidation_price(
        account, symbol, state.known_prices(), usdc_price, state.rules
    )
    return {
        "cost_usd": plain(EXACT.multiply(held.cost_usdc, usdc_price)),
        "liquidation_price": _price(liquidated_at),
        "unrealized_funding_pnl": plain(funding_usd.value),
        "unrealized_pnl": plain(unrealised(held, price, usdc_price).value),
    }


def _closed(account: Account, symbol: str, *, seq_no: int, at_ms: int) -> Document:
    return {
        "account": account.id,
        "id": f"{account.id}-{symbol}",
        "last_updated_at": at_ms,
        "market": symbol,
        "seq_no": seq_no,
        "side": "LONG",
        "size": "0",
        "status": "CLOSED",
    }


def top_of_book(symbol: str, state: State, *, seq_no: int, at_ms: int) -> Document:
    """``GET /bbo``: best bid and ask with their sizes; an empty side is an empty string."""
    bids, asks = levels(symbol, state, 1)
    bid, bid_size = bids[0] if bids else ("", "")
    ask, ask_size = asks[0] if asks else ("", "")
    return {
        "market": symbol,
        "bid": bid,
        "bid_size": bid_size,
        "ask": ask,
        "ask_size": ask_size,
        "seq_no": seq_no,
        "last_updated_at": at_ms,
    }


def order_book(
    symbol: str, state: State, *, seq_no: int, at_ms: int, depth: int = DEPTH
) -> Document:
    """``GET /orderbook``: the best levels of both sides, each a price and a size."""
    bids, asks = levels(symbol, state, depth)
    return {
        "market": symbol,
        "bids": bids,
        "asks": asks,
        "seq_no": seq_no,
        "last_updated_at": at_ms,
    }


def levels(symbol: str, state: State, depth: int) -> tuple[list[list[str]], list[list[str]]]:
    """The best ``depth`` prices of both sides with what stands there, orders for retail left out.

    Paradex documentation, retail price improvement: those are not in the books of the API.
    """
    book: Book = state.books[symbol]
    return _levels(book.bids, state, depth), _levels(book.asks, state, depth)


def _levels(entries: Iterable[Entry], state: State, depth: int) -> list[list[str]]:
    sizes: dict[Decimal, Decimal] = {}
    for entry in entries:
        order: Order = state.accounts[entry.account].orders[entry.order_id]
        sizes[entry.price] = EXACT.add(sizes.get(entry.price, Decimal(0)), order.remaining)
        if len(sizes) > depth:
            break
    return [[plain(price), plain(size)] for price, size in list(sizes.items())[:depth]]


def transfer(moved: Transfer, *, at_ms: int) -> Document:
    """One entry of ``GET /transfers``: a transfer over the bridge."""
    deposited = moved.direction is Direction.DEPOSIT
    return {
        "account": moved.account,
        "amount": plain(moved.amount.value),
        "created_at": at_ms,
        "direction": "IN" if deposited else "OUT",
        "id": moved.id,
        "kind": str(moved.direction),
        "last_updated_at": at_ms,
        "status": str(moved.status),
        "token": "USDC",
    }


def _price(value: Decimal | None) -> str:
    """A price, or an empty string where the interface has none."""
    return "" if value is None else plain(value)
