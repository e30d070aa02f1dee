"""The people of an exchange: a few hundred accounts with positions, made from the data seed.

Positions are made in pairs, so they sum to zero in every market; balances follow from a drawn
leverage. The same seed gives the same people in every process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from random import Random

from harness.history import derive_seed
from target_stub.core import SeedPosition, Usdc

_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What people hold in one market: entry price in USDC, index, size step, typical notional."""

    market: str
    entry_price_usdc: Decimal
    funding_index: Decimal
    size_step: Decimal
    notional_usdc: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Balances by account, and positions that sum to zero in every market."""

    balances: Mapping[str, Usdc]
    positions: tuple[SeedPosition, ...]
    traders: tuple[str, ...]
    thin: str
    late: str


@lru_cache(maxsize=8)
def population(seed: int, count: int, listings: tuple[Listing, ...]) -> Population:
    """``count`` accounts; every market has as many longs as shorts, leverage is 6 to 32.

    Two more pairs are added whose longs are so thin that a fall of one per cent makes them due
    (``late`` comes after ``thin`` in the alphabet, and so in a health check), and eight rich
    accounts without positions, who trade.
    """
    rng = Random(derive_seed(seed, "people"))
    names = account_names(seed, count + 12)
    traders, longs, shorts, people = names[:8], sorted(names[8:10]), names[10:12], names[12:]
    balances: dict[str, Usdc] = {name: Usdc(Decimal(250_000)) for name in traders}
    positions: list[SeedPosition] = []
    for number in range(0, len(people) - 1, 2):
        listing = listings[number // 2 % len(listings)]
        notional = listing.notional_usdc * (50 + rng.randrange(200)) // 100
        steps = max(1, round(Decimal(notional) / listing.entry_price_usdc / listing.size_step))
        size = steps * listing.size_step
        pair = list(people[number : number + 2])
        rng.shuffle(pair)
        for name, sign in zip(pair, (1, -1), strict=True):
            positions.append(_position(name, listing, sign * size))
            leverage = Decimal(rng.randrange(60, 320)) / 10
            balances[name] = _balance(size * listing.entry_price_usdc, leverage)
    first = listings[0]
    size = first.size_step * round(Decimal(40_000) / first.entry_price_usdc / first.size_step)
    for long, short in zip(longs, shorts, strict=True):
        positions += [_position(long, first, size), _position(short, first, -size)]
        balances[long] = _balance(size * first.entry_price_usdc, Decimal(60))
        balances[short] = _balance(size * first.entry_price_usdc, Decimal(3))
    return Population(
        balances=balances,
        positions=tuple(positions),
        traders=traders,
        thin=longs[0],
        late=longs[1],
    )


def account_names(seed: int, count: int) -> tuple[str, ...]:
    """Account names as people choose them, unique by a number at the end."""
    from faker import Faker  # noqa: PLC0415  (most processes need nobody's name)

    faker = Faker()
    faker.seed_instance(derive_seed(seed, "faker"))
    return tuple(f"{faker.user_name()}-{number}" for number in range(1, count + 1))


def _position(name: str, listing: Listing, size: Decimal) -> SeedPosition:
    return SeedPosition(
        account=name,
        market=listing.market,
        size=size,
        entry_price_usdc=listing.entry_price_usdc,
        cached_funding_index=listing.funding_index,
    )


def _balance(notional_usdc: Decimal, leverage: Decimal) -> Usdc:
    return Usdc((notional_usdc / leverage).quantize(_CENT, rounding=ROUND_HALF_EVEN))
