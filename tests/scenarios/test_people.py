"""The people and the prices: balanced, and the same for the same seed in every process."""

from __future__ import annotations

from decimal import Decimal

import pytest

from scenarios.january import MARKETS, PEOPLE
from scenarios.outside import prices, spot
from scenarios.people import population
from target_stub.core import BTC_USD_PERP, Usdc
from tests.schedule.processes import printed_by

LISTINGS = tuple(listing for _, _, listing in MARKETS)
PATHS = tuple(path for _, path, _ in MARKETS)

PRINT_PEOPLE = """
from hashlib import sha256
from scenarios.outside import prices
from scenarios.january import MARKETS, PEOPLE
from scenarios.people import population
people = population(7, PEOPLE, tuple(listing for _, _, listing in MARKETS))
quotes = prices(7, tuple(path for _, path, _ in MARKETS))(5000)
print(sha256(repr((people, quotes)).encode()).hexdigest())
"""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_long_has_a_short_in_every_market(seed: int) -> None:
    people = population(seed, PEOPLE, LISTINGS)
    for listing in LISTINGS:
        sizes = [each.size for each in people.positions if each.market == listing.market]
        assert sum(sizes, Decimal(0)) == 0
        assert len(sizes) >= 2
    assert {each.account for each in people.positions} <= set(people.balances)
    assert not {each.account for each in people.positions} & set(people.traders)


def test_two_accounts_are_due_after_the_fall_and_one_can_still_be_saved() -> None:
    people = population(1, PEOPLE, LISTINGS)
    (_, path, listing), rules = MARKETS[0], BTC_USD_PERP
    assert people.thin < people.late, "the liquidator goes by the alphabet"
    for account in (people.thin, people.late):
        (position,) = [each for each in people.positions if each.account == account]
        fallen = path.start_usd * (1 - path.fall)
        loss = position.size * (listing.entry_price_usdc - fallen)
        needed = position.size * fallen * rules.imf_base * rules.mmf_factor
        assert people.balances[account] - Usdc(loss) < Usdc(needed)


def test_another_seed_has_other_people() -> None:
    one, other = population(1, PEOPLE, LISTINGS), population(2, PEOPLE, LISTINGS)
    assert one == population(1, PEOPLE, LISTINGS)
    assert one.balances != other.balances


def test_the_same_seed_has_the_same_people_and_prices_in_another_process() -> None:
    digests = {printed_by(PRINT_PEOPLE, hash_seed=hash_seed).strip() for hash_seed in ("0", "1234")}
    assert len(digests) == 1
    assert len(digests.pop()) == 64


def test_prices_are_a_function_of_seed_and_time_alone() -> None:
    at = prices(1, PATHS)
    later = at(9_000)
    assert at(4_000) == prices(1, PATHS)(4_000)
    assert later == at(9_000)
    assert {quote.market for quote in later} == {path.market for path in PATHS}
    assert all(quote.at_ms == 9_000 for quote in later)


def test_one_market_falls_once_and_the_noise_is_a_few_ticks() -> None:
    falling, steady = PATHS[0], PATHS[1]
    before, after = (spot(1, falling, at_ms) for at_ms in (3_999, 4_000))
    assert Decimal("0.011") < 1 - after / before < Decimal("0.013")
    levels = {spot(1, steady, at_ms) for at_ms in range(0, 20_000, 1_000)}
    assert max(levels) - min(levels) <= 6 * steady.tick_usd
