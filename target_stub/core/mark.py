"""The mark price: oracle spot times one plus the fair basis of the perpetual.

The moving averages behind the fair basis are state that has to survive a restart. They are None
until their first value and start from that value; an average that starts from zero drags the mark
price, and with it everybody's margin, towards nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from target_stub.core.errors import Missing
from target_stub.core.money import (
    RATE_DECIMALS,
    divide_half_even,
    exact,
    round_half_even,
    round_half_even8,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Averages:
    """Exponentially weighted basis rates of one market; None before their first value."""

    bid: Decimal | None = None
    ask: Decimal | None = None
    last: Decimal | None = None
    mid: Decimal | None = None


NO_AVERAGES = Averages()
"""Of a market that nobody has quoted or traded yet."""


@exact
def median(values: Sequence[Decimal]) -> Decimal:
    """The middle value, or the mean of the two middle ones; ValueError on no values."""
    if not values:
        raise ValueError("the median of nothing is unknown")
    ordered = sorted(values)
    half = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[half]
    return (ordered[half - 1] + ordered[half]) * Decimal("0.5")


@exact
def basis_rate(price_usd: Decimal, spot_usd: Decimal) -> Decimal:
    """How far a price is from spot, as a fraction of spot."""
    return divide_half_even(price_usd - spot_usd, spot_usd, RATE_DECIMALS)


@exact
def external_rate(
    mark_usd: Decimal, index_usd: Decimal, *, venue_hours: int, own_hours: int
) -> Decimal:
    """The basis of another venue for our funding period: (mark / index - 1) x own / venue hours.

    Paradex documentation, mark price, as of January 2026.
    """
    return divide_half_even(
        (mark_usd - index_usd) * own_hours, index_usd * venue_hours, RATE_DECIMALS
    )


@exact
def averaged(previous: Decimal | None, value: Decimal | None, weight: Decimal) -> Decimal | None:
    """One step of an average: the first value as it is, nothing new leaves it unchanged."""
    if value is None or previous is None:
        return previous if value is None else value
    return round_half_even(weight * value + (1 - weight) * previous, RATE_DECIMALS)


@exact
def next_averages(
    averages: Averages,
    *,
    bid: Decimal | None,
    ask: Decimal | None,
    last: Decimal | None,
    spot_usd: Decimal,
    weight: Decimal,
) -> Averages:
    """The averages after one tick; an empty side of the book leaves its average where it was."""

    def rate(price: Decimal | None) -> Decimal | None:
        return None if price is None else basis_rate(price, spot_usd)

    mid = None if bid is None or ask is None else (bid + ask) * Decimal("0.5")
    return Averages(
        bid=averaged(averages.bid, rate(bid), weight),
        ask=averaged(averages.ask, rate(ask), weight),
        last=averaged(averages.last, rate(last), weight),
        mid=averaged(averages.mid, rate(mid), weight),
    )


@exact
def fair_basis(averages: Averages, external_rates: Sequence[Decimal], market: str) -> Decimal:
    """median(median(bid, ask, last), mid, median(external)); Missing if nothing at all is known.

    Paradex documentation, mark price, as of January 2026; a part that is not known is left out.
    """
    book = [rate for rate in (averages.bid, averages.ask, averages.last) if rate is not None]
    parts = [median(book)] if book else []
    if averages.mid is not None:
        parts.append(averages.mid)
    if external_rates:
        parts.append(median(external_rates))
    if not parts:
        raise Missing(market, "fair basis")
    return median(parts)


@exact
def mark_price(spot_usd: Decimal, basis: Decimal) -> Decimal:
    """Spot x (1 + fair basis) in USD at 8 decimals."""
    return round_half_even8(spot_usd * (1 + basis))


@exact
def external_fair_price(spot_usd: Decimal, external_rates: Sequence[Decimal]) -> Decimal:
    """Spot x (1 + median of the external rates): anchor of the band since v1.131.1."""
    return round_half_even8(spot_usd * (1 + median(external_rates)))
