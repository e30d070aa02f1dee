"""What weeks of running have left: the first state of the chain, and the objects in storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scenarios.people import Population
from target_stub.cloud.publisher import CHECKPOINTS
from target_stub.cloud.risk import BELIEVED
from target_stub.core import (
    ExchangeSpec,
    MarketPrice,
    MarketSpec,
    OracleUpdate,
    PublishMarket,
    State,
    apply,
    genesis,
    seeded,
)
from target_stub.ports import Row


def opening_state(
    spec: ExchangeSpec, markets: Sequence[MarketSpec], rows: Mapping[str, Row], people: Population
) -> State:
    """The chain as it is when the story begins: people, positions, and published values."""
    state = seeded(genesis(spec, markets), people.balances, people.positions)
    for market in markets:
        row = rows[market.symbol]
        state, _ = apply(
            state,
            OracleUpdate(
                id=f"opening-oracle-{market.symbol}",
                at_ms=0,
                market=market.symbol,
                spot_usd=row["spot_usd"],
                usdc_price=row["usdc_price"],
                external_rates=row.get("external_rates"),
            ),
        )
        state, _ = apply(
            state,
            PublishMarket(
                id=f"opening-{market.symbol}",
                at_ms=0,
                market=market.symbol,
                mark_price=row["mark_usd"],
                funding_index=row["funding_index"],
                premium=row["premium_usdc"],
                liquidity=row.get("liquidity"),
                own_basis=row.get("own_basis"),
            ),
        )
    return state


def opening_objects(rows: Mapping[str, Row]) -> Mapping[str, Any]:
    """What weeks of running would have left in cloud storage: checkpoints, and beliefs of risk."""
    prices = {s: MarketPrice(row["mark_usd"], row["funding_index"]) for s, row in rows.items()}
    return {
        **{f"{CHECKPOINTS}/{symbol}": row for symbol, row in rows.items()},
        BELIEVED: {s: (price, rows[s]["funding_at_ms"]) for s, price in prices.items()},
    }
