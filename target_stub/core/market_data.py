"""Oracle updates, the funding tick and published values: everything that moves a price or an index.

The tick reads the index, the premium and the time of the last tick from the market itself and must
never start them from nothing: a market that lost its index would look like a new one.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from target_stub.core.book import Entry
from target_stub.core.commands import (
    BeginAverages,
    FundingTick,
    OracleUpdate,
    PauseMarket,
    PublishMarket,
)
from target_stub.core.draft import Draft
from target_stub.core.errors import Missing, Reason, Refusal
from target_stub.core.events import FundingAdvanced, MarketPaused, MarketPublished, OracleUpdated
from target_stub.core.funding import (
    advance_index,
    funding_rate,
    half_life_ms,
    premium,
    smoothed_rate,
    smoothing_weight,
)
from target_stub.core.impact import OwnBook, Venue, VenueQuote, impact_price, premium_rate
from target_stub.core.liquidity import (
    internal_basis,
    is_liquid,
    liquidity_weighted_basis,
    next_liquidity,
    slow_average,
)
from target_stub.core.mark import (
    NO_AVERAGES,
    Averages,
    fair_basis,
    mark_price,
    median,
    next_averages,
)
from target_stub.core.money import exact
from target_stub.core.parameters import FundingProfile, MarkRule, Mode, Pause
from target_stub.core.state import Market, State


def update_oracle(draft: Draft, command: OracleUpdate) -> None:
    """Take new spot and USDC prices; refused unless both are positive and newer."""
    market = draft.market(command.market)
    if command.spot_usd <= 0 or command.usdc_price <= 0:
        raise Refusal(Reason.BAD_PRICE, f"spot {command.spot_usd}, USDC {command.usdc_price}")
    if market.oracle_at_ms is not None and command.at_ms < market.oracle_at_ms:
        raise Refusal(Reason.TIME_RUNS_BACK, f"{command.at_ms} after {market.oracle_at_ms}")
    rates = market.external_rates if command.external_rates is None else command.external_rates
    quotes = market.venue_quotes if command.venue_quotes is None else command.venue_quotes
    _check_quotes(quotes)
    draft.usdc_price = command.usdc_price
    draft.put_market(
        replace(
            market,
            spot_usd=command.spot_usd,
            usdc_price=command.usdc_price,
            oracle_at_ms=command.at_ms,
            external_rates=rates,
            venue_quotes=quotes,
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


def _check_quotes(quotes: tuple[VenueQuote, ...]) -> None:
    seen = {Venue.PARADEX: True}
    for quote in quotes:
        if seen.setdefault(quote.venue, False):
            raise Refusal(Reason.BAD_PRICE, f"{quote.venue} quotes twice, or is this exchange")
        seen[quote.venue] = True
        if any(p is not None and p <= 0 for p in (quote.impact_bid_usd, quote.impact_ask_usd)):
            raise Refusal(Reason.BAD_PRICE, f"impact prices of {quote.venue} must be positive")


def begin_averages(draft: Draft, command: BeginAverages) -> None:
    """Start every average of a market at what the venues say; refused if it has averages already.

    A restarted market must not come here by itself: it had averages, and they are missing.
    """
    market = draft.market(command.market)
    if market.liquidity is not None or market.averages != NO_AVERAGES:
        raise Refusal(Reason.BAD_COMBINATION, f"{command.market} has averages")
    if not 0 <= command.liquidity <= 1:
        raise Refusal(Reason.BAD_AMOUNT, f"a liquidity weight of {command.liquidity}")
    if not market.external_rates:
        raise Missing(command.market, "external rates")
    basis = median(market.external_rates)
    draft.put_market(
        replace(
            market,
            averages=Averages(bid=basis, ask=basis, last=basis, mid=basis),
            liquidity=command.liquidity,
            own_basis=basis,
            rate=funding_rate(basis, market.spec, draft.spec.funding_profile),
        )
    )


def pause_market(draft: Draft, command: PauseMarket) -> None:
    """Let one market stand still, or go on; what it has already been told changes nothing."""
    market = draft.market(command.market)
    kept = [p for p in Pause if (command.on if p is command.pause else p in market.pauses)]
    draft.put_market(replace(market, pauses=tuple(kept)))
    draft.events.append(MarketPaused(market=command.market, pause=command.pause, on=command.on))


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
        paused=draft.mode is Mode.MAINTENANCE or bool(market.pauses),
    )
    if elapsed_ms > draft.spec.funding_gap_ms_max:
        draft.outage_ended_at_ms = command.at_ms
    book = own_book(draft, command.market) if command.book is None else command.book
    averaged, basis = _with_averages(draft, market, book, spot_usd, elapsed_ms)
    rate = _rate(draft, market, book, spot_usd, basis)
    ticked = replace(
        averaged,
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


def _with_averages(
    draft: Draft, market: Market, book: OwnBook, spot_usd: Decimal, elapsed_ms: int
) -> tuple[Market, Decimal]:
    """The market with its averages after this tick, and its fair basis."""
    symbol = market.spec.symbol
    averages = next_averages(
        market.averages,
        bid=book.bid_usd,
        ask=book.ask_usd,
        last=book.last_usd,
        spot_usd=spot_usd,
        weight=market.spec.ewma_weight,
    )
    if draft.spec.mark_rule is MarkRule.MEDIANS:
        basis = fair_basis(averages, market.external_rates, symbol)
        return replace(market, averages=averages), basis
    # What the market had before counts: an average that was lost must not begin anew by itself.
    own = internal_basis(market.averages, symbol)
    liquid = is_liquid(book.bid_usd, book.ask_usd, market.spec.max_top_of_book_spread)
    averaged = replace(
        market,
        averages=averages,
        liquidity=next_liquidity(market.known("liquidity"), liquid=liquid, elapsed_ms=elapsed_ms),
        own_basis=slow_average(market.known("own_basis"), own, elapsed_ms),
    )
    basis = liquidity_weighted_basis(averages, market.external_rates, averaged.liquidity, symbol)
    return averaged, basis


def _rate(
    draft: Draft, market: Market, book: OwnBook, spot_usd: Decimal, basis: Decimal
) -> Decimal:
    profile = draft.spec.funding_profile
    if profile is FundingProfile.JUNE_2026:
        quotes = (book.impact, *market.venue_quotes)
        basis = premium_rate(quotes, spot_usd, market.spec.symbol)
    rate = funding_rate(basis, market.spec, profile)
    if not profile.is_smoothed:
        return rate
    strict = draft.spec.mark_rule is MarkRule.LIQUIDITY_WEIGHTED
    previous = market.known("rate") if strict else market.rate
    half_life = half_life_ms(draft.spec, draft.mode)
    return smoothed_rate(previous, rate, smoothing_weight(draft.spec.funding_tick_ms, half_life))


@exact
def own_book(state: State | Draft, symbol: str) -> OwnBook:
    """What the book of a state says, and where it would absorb the impact notional.

    Orders for retail alone do not count.
    """
    book, market = state.books[symbol], state.market(symbol)
    notional_usd = market.spec.impact_notional_usd * Venue.PARADEX.notional_multiplier

    def price(queue: tuple[Entry, ...]) -> Decimal | None:
        levels = [
            (entry.price, state.account(entry.account).orders[entry.order_id].remaining)
            for entry in queue
        ]
        return impact_price(levels, notional_usd)

    return OwnBook(
        bid_usd=book.best_bid,
        ask_usd=book.best_ask,
        last_usd=market.last_trade_usd,
        impact=VenueQuote(Venue.PARADEX, price(book.bids), price(book.asks)),
    )


def publish_market(draft: Draft, command: PublishMarket) -> None:
    """Take over mark price, index and premium as they come; a gap between two is an outage."""
    market = draft.market(command.market)
    if market.funding_at_ms is not None:
        elapsed_ms = command.at_ms - market.funding_at_ms
        if elapsed_ms > draft.spec.funding_gap_ms_max:
            draft.outage_ended_at_ms = command.at_ms
    draft.put_market(
        replace(
            market,
            mark_usd=command.mark_price,
            funding_index=command.funding_index,
            premium_usdc=command.premium,
            funding_at_ms=command.at_ms,
            liquidity=market.liquidity if command.liquidity is None else command.liquidity,
            own_basis=market.own_basis if command.own_basis is None else command.own_basis,
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
