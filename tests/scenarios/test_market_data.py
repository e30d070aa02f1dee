"""Market data comes back: what it takes from its rows, and what it has heard since."""

from __future__ import annotations

from decimal import Decimal

import pytest

from scenarios.january import MARKETS, opening_row
from target_stub.cloud.market_data import taken_over
from target_stub.core import JANUARY_2026, OracleUpdate, apply, genesis

MARKET, PATH, LISTING = MARKETS[0]
TICKED_AT_MS = 5_000
#: As its last tick left it, at the price of then.
ROW = {**opening_row(MARKET, PATH, LISTING), "funding_at_ms": TICKED_AT_MS}


@pytest.mark.parametrize(("heard_at_ms", "counts"), [(4_999, False), (5_000, True), (6_000, True)])
def test_a_quote_that_is_newer_than_the_tick_of_a_row_is_not_lost(
    heard_at_ms: int, counts: bool
) -> None:
    quote = OracleUpdate(
        id="quote",
        at_ms=heard_at_ms,
        market=MARKET.symbol,
        spot_usd=PATH.start_usd / 2,
        usdc_price=Decimal("0.97"),
    )
    state, _ = apply(genesis(JANUARY_2026, [MARKET]), quote)
    market = taken_over(state.markets[MARKET.symbol], ROW)
    price = (PATH.start_usd / 2, Decimal("0.97"))
    assert (market.spot_usd, market.usdc_price) == (
        price if counts else (ROW["spot_usd"], ROW["usdc_price"])
    )
    assert market.funding_index == ROW["funding_index"]
    assert market.premium_usdc == ROW["premium_usdc"]
    assert market.funding_at_ms == TICKED_AT_MS


def test_without_a_quote_the_prices_are_those_of_the_row() -> None:
    market = taken_over(genesis(JANUARY_2026, [MARKET]).markets[MARKET.symbol], ROW)
    assert (market.spot_usd, market.usdc_price) == (ROW["spot_usd"], ROW["usdc_price"])
