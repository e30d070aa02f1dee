"""How much the own book may say about the fair basis, and the slow averages that vouch for it.

The weight moves towards 1 while the book is tight and towards 0 while it is thin or empty, 30
minutes from end to end, so that a book of a few extreme quotes cannot make the mark price. Weight
and averages are state that has to survive a restart: they are begun knowingly or they are missing.
Paradex documentation, mark price and funding, as of April 2026.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from target_stub.core.errors import Missing
from target_stub.core.funding import smoothing_weight
from target_stub.core.mark import Averages, median
from target_stub.core.money import (
    ONE,
    RATE_DECIMALS,
    ZERO,
    divide_half_even,
    exact,
    round_half_even,
)

RAMP_MS = 1_800_000
"""How long the weight takes from 0 to 1 or back: 30 minutes."""
OWN_BASIS_HALF_LIFE_MS = 3_600_000
"""Of the own vote in the external fair price: 1 hour, maintenance and releases page."""


@exact
def is_liquid(bid: Decimal | None, ask: Decimal | None, spread_max: Decimal) -> bool:
    """Whether both sides are there and (ask - bid) / mid is at most ``spread_max``."""
    if bid is None or ask is None:
        return False
    return 2 * (ask - bid) <= spread_max * (ask + bid)


@exact
def next_liquidity(weight: Decimal, *, liquid: bool, elapsed_ms: int) -> Decimal:
    """The weight after one tick: linearly up or down, held between 0 and 1."""
    step = divide_half_even(Decimal(elapsed_ms), Decimal(RAMP_MS), RATE_DECIMALS)
    return max(ZERO, min(ONE, weight + step if liquid else weight - step))


def internal_basis(averages: Averages, market: str) -> Decimal:
    """median(bid, ask, last) of the own book; Missing if one of the four averages was lost."""
    return median(_own(averages, market)[:3])


def _own(averages: Averages, market: str) -> list[Decimal]:
    named = (
        ("average bid", averages.bid),
        ("average ask", averages.ask),
        ("average last trade", averages.last),
        ("average mid", averages.mid),
    )
    return [_known(value, market, name) for name, value in named]


@exact
def liquidity_weighted_basis(
    averages: Averages, external_rates: Sequence[Decimal], weight: Decimal | None, market: str
) -> Decimal:
    """(1 - w) x external median + w x median(internal, mid, external median).

    Raises Missing without external rates, without a weight, and without one of the averages.
    """
    if not external_rates:
        raise Missing(market, "external rates")
    external = median(external_rates)
    *book, mid = _own(averages, market)
    liquid = median([median(book), mid, external])
    share = _known(weight, market, "liquidity weight")
    return round_half_even((ONE - share) * external + share * liquid, RATE_DECIMALS)


@exact
def slow_average(previous: Decimal, value: Decimal, elapsed_ms: int) -> Decimal:
    """The own basis after one tick, with a half-life of one hour."""
    weight = smoothing_weight(elapsed_ms, OWN_BASIS_HALF_LIFE_MS)
    return round_half_even(weight * value + (ONE - weight) * previous, RATE_DECIMALS)


def _known(value: Decimal | None, market: str, name: str) -> Decimal:
    if value is None:
        raise Missing(market, name)
    return value
