"""The impact premium: what it costs to trade a notional on several venues, as one rate.

A venue is asked where its book would absorb the impact notional. A side too thin for that says
nothing; a venue that cannot be asked is left out, and the others count for more. Nobody at all is
missing and never a premium of zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from target_stub.core.errors import Missing
from target_stub.core.money import (
    RATE_DECIMALS,
    ZERO,
    divide_half_even,
    divide_half_even8,
    exact,
)


class Venue(StrEnum):
    """A place where the same perpetual trades."""

    PARADEX = "paradex"
    BINANCE = "binance"
    BYBIT = "bybit"
    OKX = "okx"
    HYPERLIQUID = "hyperliquid"
    LIGHTER = "lighter"

    @property
    def score(self) -> Decimal:
        """The weight of the venue's vote: Paradex documentation, funding, as of June 2026."""
        return _SCORES.get(self, Decimal("1.2"))

    @property
    def notional_multiplier(self) -> int:
        """How many times the impact notional of the market the venue has to absorb."""
        return _MULTIPLIERS.get(self, 4)


_SCORES = {Venue.PARADEX: Decimal("3.5")}
_MULTIPLIERS = {Venue.PARADEX: 1, Venue.LIGHTER: 2}


@dataclass(frozen=True, slots=True)
class VenueQuote:
    """Average prices in USD at which a venue absorbs its impact notional; None: too thin."""

    venue: Venue
    impact_bid_usd: Decimal | None
    impact_ask_usd: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnBook:
    """What the exchange's own book says at one time; None where nobody stands or has traded."""

    bid_usd: Decimal | None
    ask_usd: Decimal | None
    last_usd: Decimal | None
    impact: VenueQuote


UNKNOWN_BOOK = OwnBook(
    bid_usd=None, ask_usd=None, last_usd=None, impact=VenueQuote(Venue.PARADEX, None, None)
)
"""The book of which nothing was heard: it moves no average and counts as illiquid."""


@exact
def impact_price(
    levels: Iterable[tuple[Decimal, Decimal]], notional_usd: Decimal
) -> Decimal | None:
    """The average price of trading a notional into (price, size) levels, best first.

    In USD at 8 decimals; None if the levels do not hold that much.
    """
    spent_usd = size = ZERO
    for price, available in levels:
        value_usd = price * available
        if spent_usd + value_usd >= notional_usd:
            # The last level is taken in part: (notional - spent) / price of it, kept as a fraction
            # until the end, so that the average is rounded once.
            numerator = notional_usd * price
            return divide_half_even8(numerator, size * price + notional_usd - spent_usd)
        spent_usd += value_usd
        size += available
    return None


@exact
def venue_premium(quote: VenueQuote, spot_usd: Decimal) -> Decimal:
    """(max(impact bid - spot, 0) - max(spot - impact ask, 0)) / spot; a thin side adds nothing.

    Paradex documentation, funding, as of June 2026.
    """
    above = below = ZERO
    if quote.impact_bid_usd is not None:
        above = max(ZERO, quote.impact_bid_usd - spot_usd)
    if quote.impact_ask_usd is not None:
        below = max(ZERO, spot_usd - quote.impact_ask_usd)
    return divide_half_even(above - below, spot_usd, RATE_DECIMALS)


@exact
def weighted_median(votes: Sequence[tuple[Decimal, Decimal]]) -> Decimal:
    """The value of (value, weight) votes below and above which lies at most half of the weight.

    The mean of the two in the middle if the halves are equal; ValueError on no weight at all.
    """
    total = sum((weight for _, weight in votes), ZERO)
    if total <= 0:
        raise ValueError("the median of nothing is unknown")
    ordered = sorted(votes)
    reached = ZERO
    for place, (value, weight) in enumerate(ordered):
        reached += weight
        if 2 * reached > total:
            return value
        if 2 * reached == total:
            above = next(other for other, more in ordered[place + 1 :] if more)
            return (value + above) * Decimal("0.5")
    raise AssertionError("half of a positive weight is always reached")


@exact
def premium_rate(quotes: Sequence[VenueQuote], spot_usd: Decimal, market: str) -> Decimal:
    """The weighted median of the premiums of all venues that answered; Missing if none did.

    Weights are relative, so a venue that is left out makes the others count for more.
    """
    if not quotes:
        raise Missing(market, "impact premium of any venue")
    names = [quote.venue for quote in quotes]
    if len(dict.fromkeys(names)) < len(names):
        raise ValueError(f"{market}: a venue votes twice: {', '.join(names)}")
    return weighted_median([(venue_premium(q, spot_usd), q.venue.score) for q in quotes])
