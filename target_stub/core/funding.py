"""Funding: how the index of a market moves and what a position owes or is owed because of it.

The index is the running total, in USDC per unit of base, of everything a long has paid since the
market began; a position remembers the index at which it last settled. All functions are pure. The
index must never be guessed: a step without a previous index, premium or time cannot be computed.
"""

from __future__ import annotations

from decimal import Context, Decimal
from functools import lru_cache

from target_stub.core.money import (
    MONEY_UNIT,
    RATE_DECIMALS,
    Usd,
    Usdc,
    divide_half_even,
    divide_half_even8,
    divide_up8,
    exact,
    round_down8,
    round_half_even,
)
from target_stub.core.parameters import ExchangeSpec, FundingProfile, MarketSpec, Mode


def clip(value: Decimal, limit: Decimal) -> Decimal:
    """``value`` held between -limit and +limit."""
    return max(limit.copy_negate(), min(limit, value))


@exact
def funding_rate(fair_basis: Decimal, spec: MarketSpec, profile: FundingProfile) -> Decimal:
    """The rate per funding period before smoothing.

    January 2026: cap(basis + clamp(interest - basis)). April 2026: the same, times the funding
    multiplier before the cap. June 2026: as in April, with the impact premium rate in the place of
    the basis. Paradex documentation, funding, at those dates.
    """
    clamped = fair_basis + clip(spec.interest_rate - fair_basis, spec.clamp_rate)
    if profile.is_smoothed:
        clamped *= spec.funding_multiplier
    return clip(round_half_even(clamped, RATE_DECIMALS), spec.max_funding_rate)


@exact
def smoothed_rate(previous: Decimal | None, raw: Decimal, weight: Decimal) -> Decimal:
    """The exponentially weighted rate; the first rate is taken as it is, never mixed with zero."""
    if previous is None:
        return raw
    return round_half_even(weight * raw + (1 - weight) * previous, RATE_DECIMALS)


@lru_cache(maxsize=64)
@exact
def smoothing_weight(tick_ms: int, half_life_ms: int) -> Decimal:
    """1 - 2^(-tick / half-life): the weight of one new value in an average with that half-life."""
    # exp and ln are correctly rounded by their specification, power is not.
    wide = Context(prec=40)
    exponent = wide.divide(wide.multiply(wide.ln(Decimal(2)), Decimal(-tick_ms)), half_life_ms)
    return round_half_even(1 - round_half_even(wide.exp(exponent), RATE_DECIMALS), RATE_DECIMALS)


@exact
def premium(rate: Decimal, spot_usd: Decimal, usdc_price: Decimal) -> Decimal:
    """The funding premium in USDC per unit of base and funding period: rate x spot / USDC price."""
    return divide_half_even8(rate * spot_usd, usdc_price)


@exact
def advance_index(
    index: Decimal,
    premium_usdc: Decimal,
    *,
    from_ms: int,
    to_ms: int,
    market: MarketSpec,
    exchange: ExchangeSpec,
    paused: bool = False,
) -> Decimal:
    """The index after the premium has run from one time to another; ValueError if time runs back.

    index + premium x elapsed / period, Paradex documentation, funding, as of January 2026. In the
    profiles since April 2026 a gap above ``funding_gap_ms_max``, or a pause, accrues nothing.
    """
    elapsed_ms = to_ms - from_ms
    if elapsed_ms < 0:
        raise ValueError(f"{market.symbol}: funding time runs back from {from_ms} to {to_ms} ms")
    if exchange.funding_profile.is_smoothed and (
        paused or elapsed_ms > exchange.funding_gap_ms_max
    ):
        return index
    step = divide_half_even(
        premium_usdc * elapsed_ms, Decimal(market.funding_period_ms), exchange.index_decimals
    )
    return index + step


@exact
def step_bound(
    spec: MarketSpec, *, spot_usd: Decimal, usdc_price: Decimal, elapsed_ms: int
) -> Usdc:
    """The largest index step that can be legitimate, in USDC per unit of base, rounding included.

    max rate x spot / USDC price x elapsed / period; derived from the cap of the funding rate.
    """
    widest = spec.max_funding_rate * spot_usd * elapsed_ms
    return Usdc(divide_up8(widest, usdc_price * spec.funding_period_ms) + MONEY_UNIT)


@exact
def accrued_usd(size: Decimal, cached_index: Decimal, index: Decimal, usdc_price: Decimal) -> Usd:
    """Unrealised funding of a position in USD: -size x (index - cached) x USDC price."""
    return Usd(-size * (index - cached_index) * usdc_price)


@exact
def realise_usdc(size: Decimal, cached_index: Decimal, index: Decimal) -> tuple[Usdc, Usdc]:
    """Funding paid out in USDC without a price factor, and the remainder the protocol keeps.

    -size x (index - cached), towards minus infinity at 8 decimals; the remainder is never negative.
    """
    due = -size * (index - cached_index)
    paid = round_down8(due)
    return Usdc(paid), Usdc(due - paid)


def half_life_ms(exchange: ExchangeSpec, mode: Mode) -> int:
    """The half-life of the smoothed rate: shorter in post-only mode (April 2026)."""
    if mode is Mode.POST_ONLY:
        return exchange.funding_half_life_post_only_ms
    return exchange.funding_half_life_ms
