"""Oracle updates, the funding tick and published values: everything that moves a price or an index.

The tick reads the index, the premium and the time of the last tick from the market itself and must
never start them from nothing: a market that lost its index would look like a new one.
"""

from __future__ import annotations

from dataclasses import replace

from target_stub.core.commands import FundingTick, OracleUpdate, PublishMarket
from target_stub.core.draft import Draft
from target_stub.core.errors import Missing, Reason, Refusal
from target_stub.core.events import FundingAdvanced, MarketPublished, OracleUpdated
from target_stub.core.funding import (
    advance_index,
    funding_rate,
    half_life_ms,
    premium,
    smoothed_rate,
    smoothing_weight,
)
from target_stub.core.mark import fair_basis, mark_price, next_averages
from target_stub.core.parameters import FundingProfile, Mode


def update_oracle(draft: Draft, command: OracleUpdate) -> None:
    """Take new spot and USDC prices; refused unless both are positive and newer."""
    market = draft.market(command.market)
    if command.spot_usd <= 0 or command.usdc_price <= 0:
        raise Refusal(Reason.BAD_PRICE, f"spot {command.spot_usd}, USDC {command.usdc_price}")
    if market.oracle_at_ms is not None and command.at_ms < market.oracle_at_ms:
        raise Refusal(Reason.TIME_RUNS_BACK, f"{command.at_ms} after {market.oracle_at_ms}")
    rates = market.external_rates if command.external_rates is None else command.external_rates
    draft.usdc_price = command.usdc_price
    draft.put_market(
        replace(
            market,
            spot_usd=command.spot_usd,
            usdc_price=command.usdc_price,
            oracle_at_ms=command.at_ms,
            external_rates=rates,
        )
    )
    draft.events.append(
        OracleUpdated(
            market=command.market,
            spot_before=market.spot_usd,
            spot_usd=command.spot_usd,
            usdc_price=command.usdc_price,
        )
    )


def tick_funding(draft: Draft, command: FundingTick) -> None:
    """Advance the index by the premium so far, then compute averages, mark price and premium.

    Raises Missing without a spot price, a USDC price, any basis, or a previous index, premium and
    time. A new market gets its first values by being published: a tick never invents an index.
    """
    market = draft.market(command.market)
    spot_usd, usdc_price = market.known("spot_usd"), market.known("usdc_price")
    if market.funding_at_ms is None:
        raise Missing(command.market, "funding_at_ms")
    elapsed_ms = command.at_ms - market.funding_at_ms
    if elapsed_ms < 0:
        raise Refusal(Reason.TIME_RUNS_BACK, f"{command.at_ms} after {market.funding_at_ms}")
    index = advance_index(
        market.known("funding_index"),
        market.known("premium_usdc"),
        from_ms=market.funding_at_ms,
        to_ms=command.at_ms,
        market=market.spec,
        exchange=draft.spec,
        paused=draft.mode is Mode.MAINTENANCE,
    )
    book = draft.books[command.market]
    averages = next_averages(
        market.averages,
        bid=book.best_bid,
        ask=book.best_ask,
        last=market.last_trade_usd,
        spot_usd=spot_usd,
        weight=market.spec.ewma_weight,
    )
    basis = fair_basis(averages, market.external_rates, command.market)
    rate = funding_rate(basis, market.spec, draft.spec.funding_profile)
    if draft.spec.funding_profile is FundingProfile.APRIL_2026:
        half_life = half_life_ms(draft.spec, draft.mode)
        rate = smoothed_rate(
            market.rate, rate, smoothing_weight(draft.spec.funding_tick_ms, half_life)
        )
    ticked = replace(
        market,
        averages=averages,
        mark_usd=mark_price(spot_usd, basis),
        rate=rate,
        premium_usdc=premium(rate, spot_usd, usdc_price),
        funding_index=index,
        funding_at_ms=command.at_ms,
    )
    draft.put_market(ticked)
    draft.events.append(
        FundingAdvanced(
            market=command.market,
            index_before=market.known("funding_index"),
            index=index,
            mark_before=market.mark_usd,
            mark=ticked.known("mark_usd"),
            premium_before=market.premium_usdc,
            premium=ticked.known("premium_usdc"),
            elapsed_ms=elapsed_ms,
        )
    )


def publish_market(draft: Draft, command: PublishMarket) -> None:
    """Take over mark price, index and premium as they come."""
    market = draft.market(command.market)
    draft.put_market(
        replace(
            market,
            mark_usd=command.mark_price,
            funding_index=command.funding_index,
            premium_usdc=command.premium,
            funding_at_ms=command.at_ms,
        )
    )
    draft.events.append(
        MarketPublished(
            market=command.market,
            index_before=market.funding_index,
            index=command.funding_index,
            mark_before=market.mark_usd,
            mark=command.mark_price,
            premium_before=market.premium_usdc,
            premium=command.premium,
        )
    )
