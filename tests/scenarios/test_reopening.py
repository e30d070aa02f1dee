"""Market data of every profile, and modes that come back in stages, through restarts anywhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest
import trio

from harness.engine import execute
from harness.scenario import Scenario
from harness.world.world import World
from scenarios.exchange import Exchange
from scenarios.outside import venue_quotes
from scenarios.reopening import (
    MARKET,
    PATH,
    open_exchange,
    reopen,
    reopening,
    shortened,
    whole_reopening,
)
from scenarios.rules.reopening import NAMES
from target_stub.cloud.market_data import KEPT_WEIGHTED
from target_stub.cloud.mode_control import ModeTold
from target_stub.cloud.operator import mode_now, order_mode
from target_stub.cloud.own_book import NOTHING_TOLD, BooksTold
from target_stub.cloud.staged_modes import (
    KEY,
    LOOK_AGAIN_S,
    TABLE,
    ModeOrder,
    is_settled,
    locked,
    next_stage,
    opening_row,
)
from target_stub.core import APRIL_2026, JANUARY_2026, JUNE_2026, ExchangeSpec, Mode, Venue
from target_stub.core.events import ModeChanged
from target_stub.core.impact import UNKNOWN_BOOK
from tests.scenarios.crashes import struck_at
from tests.scenarios.searches import runs

PROFILES = {"2026-01": JANUARY_2026, "2026-04": APRIL_2026, "2026-06": JUNE_2026}
DURABLE = "recovered_state_is_durable_state"


def of_profile(spec: ExchangeSpec) -> Scenario:
    """The story under the rules of a profile."""

    async def story(world: World) -> None:
        await reopen(world, open_exchange(world, shortened(spec), Exchange))

    return replace(reopening, story=story)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_goes_through_an_upgrade_and_judges_all_its_rules(profile: str) -> None:
    spec = PROFILES[profile]
    run = execute(of_profile(spec), seed=1)
    assert not run.violations, run.violations
    assert not run.unknown
    assert all(run.judged[rule] for rule in NAMES)


@pytest.mark.parametrize("profile", PROFILES)
def test_market_data_goes_on_from_what_was_saved_wherever_it_is_cut_off(profile: str) -> None:
    scenario = of_profile(PROFILES[profile])
    recovered = 0
    for step in range(60, 1_500, 180):
        choose = struck_at("crash restart of market_data", step)
        run = execute(scenario, seed=1, choose=choose)
        assert not run.violations, (run.token, run.violations)
        recovered += run.judged[DURABLE] > 1
    assert recovered >= 6


def test_mode_control_goes_on_walking_wherever_it_is_cut_off() -> None:
    for step in range(500, 1_300, 100):
        run = execute(reopening, seed=1, choose=struck_at("crash restart of mode", step))
        assert not run.violations, (run.token, run.violations)
        assert run.reached["trading opens again"]


@pytest.mark.parametrize("scenario", [reopening, whole_reopening], ids=lambda each: each.name)
def test_no_restart_of_anything_breaks_a_rule(scenario: Scenario) -> None:
    for run in runs(seed=5, schedules=8, variant={}, scenario=scenario):
        assert not run.violations, (run.token, run.violations)
        assert not run.unknown


def at_rest(check: Callable[[World, Exchange], Awaitable[None]]) -> None:
    """Run something on the exchange of June, ready and quiet."""

    async def story(world: World) -> None:
        exchange = open_exchange(world, shortened(JUNE_2026), Exchange)
        await exchange.start()
        await check(world, exchange)

    run = execute(Scenario("at rest", story, time_max_s=120.0), seed=1)
    assert not run.violations, run.violations


def test_an_outage_accrues_nothing_and_delays_liquidations() -> None:
    async def check(world: World, exchange: Exchange) -> None:
        await trio.sleep(1.5)
        await exchange.database.maintain("away")
        await trio.sleep(8.0)
        await exchange.database.reopen()
        await trio.sleep(2.2)
        rows = [version[MARKET.symbol] for version in exchange.versions]
        row, later = max(
            pairwise(rows), key=lambda each: each[1]["funding_at_ms"] - each[0]["funding_at_ms"]
        )
        assert later["funding_at_ms"] - row["funding_at_ms"] > exchange.spec.funding_gap_ms_max
        assert later["funding_index"] == row["funding_index"]
        moved = [each["funding_index"] for each in rows]
        assert moved[0] != row["funding_index"] and moved[-1] != later["funding_index"]
        assert exchange.chain.state.outage_ended_at_ms == later["funding_at_ms"]

    at_rest(check)


def test_what_market_data_keeps_in_june_is_all_that_it_knows() -> None:
    async def check(world: World, exchange: Exchange) -> None:
        await trio.sleep(3.5)
        (service,) = exchange.market_data.values()
        known = service.state.markets[MARKET.symbol]
        row = exchange.versions[-1][MARKET.symbol]
        assert set(KEPT_WEIGHTED) <= set(row)
        assert {name: row[name] for name in KEPT_WEIGHTED if name != "spot_usd"} == {
            name: getattr(known, name) for name in KEPT_WEIGHTED if name != "spot_usd"
        }
        assert known.venue_quotes
        assert row["liquidity"] < Decimal("0.5")  # nobody quotes here, so the book counts less
        chain = exchange.chain.state.markets[MARKET.symbol]
        assert (chain.liquidity, chain.own_basis) == (row["liquidity"], row["own_basis"])

    at_rest(check)


def test_an_order_that_is_late_opens_nothing() -> None:
    async def check(world: World, exchange: Exchange) -> None:
        network = exchange.network
        await order_mode(network, ModeOrder(2, Mode.MAINTENANCE))
        await network.call("mode", "order", ModeOrder(1, Mode.OK))
        await trio.sleep(5.0)
        assert await mode_now(network) is Mode.MAINTENANCE
        assert exchange.chain.state.mode is Mode.MAINTENANCE

    at_rest(check)


def test_closing_again_on_the_way_up_stops_the_walk() -> None:
    async def check(world: World, exchange: Exchange) -> None:
        network = exchange.network
        await order_mode(network, ModeOrder(1, Mode.MAINTENANCE))
        await network.call("mode", "order", ModeOrder(2, Mode.OK))
        await trio.sleep(1.0)
        await order_mode(network, ModeOrder(3, Mode.MAINTENANCE))
        await order_mode(network, ModeOrder(4, Mode.OK))
        modes = [
            event.mode
            for block in exchange.chain.blocks
            for event in block.events
            if isinstance(event, ModeChanged) and event.mode is not event.before
        ]
        closed, cancel, post = Mode.MAINTENANCE, Mode.CANCEL_ONLY, Mode.POST_ONLY
        assert modes == [closed, cancel, closed, cancel, post, Mode.OK]

    at_rest(check)


def test_an_order_that_another_incarnation_took_is_walked() -> None:
    async def check(world: World, exchange: Exchange) -> None:
        await trio.sleep(1.0)  # this incarnation has seen that nothing is wanted
        async with exchange.database.transaction() as transaction:
            row = await locked(transaction)
            other = {"wanted": Mode.CANCEL_ONLY, "order": row["order"] + 1}
            await transaction.put(TABLE, KEY, {**row, **other})
        await trio.sleep(LOOK_AGAIN_S + 1.0)
        assert exchange.chain.state.mode is Mode.CANCEL_ONLY
        assert await mode_now(exchange.network) is Mode.CANCEL_ONLY

    at_rest(check)


def test_matching_and_market_data_obey_what_the_chain_decided() -> None:
    async def check(world: World, exchange: Exchange) -> None:
        await order_mode(exchange.network, ModeOrder(1, Mode.CANCEL_ONLY))
        await trio.sleep(1.2)
        (service,) = exchange.market_data.values()
        assert service.state.mode is Mode.CANCEL_ONLY
        await world.services["market_data"].restart("crash")
        later = exchange.market_data["market_data#2"]
        assert later.mode == ModeTold(Mode.CANCEL_ONLY, exchange.chain.state.mode_sequence)

    at_rest(check)


def test_a_stage_at_a_time_up_and_straight_down() -> None:
    assert next_stage(Mode.MAINTENANCE, Mode.OK) is Mode.CANCEL_ONLY
    assert next_stage(Mode.CANCEL_ONLY, Mode.OK) is Mode.POST_ONLY
    assert next_stage(Mode.POST_ONLY, Mode.OK) is Mode.OK
    assert next_stage(Mode.OK, Mode.MAINTENANCE) is Mode.MAINTENANCE
    assert is_settled(opening_row())
    assert not is_settled({**opening_row(), "sequence": 1})


def test_a_later_incarnation_is_believed_and_an_old_book_is_not() -> None:
    old = BooksTold(incarnation=1, at_ms=9_000, books={"X": UNKNOWN_BOOK})
    new = BooksTold(incarnation=2, at_ms=8_000)
    assert old.newer(new) is new
    assert new.newer(old) is new
    assert NOTHING_TOLD.newer(old) is old
    assert old.fresh("X", 14_000) is UNKNOWN_BOOK
    assert old.fresh("X", 14_001) is None
    assert not old.two_sided(9_000)
    assert not NOTHING_TOLD.two_sided(0)


def test_venues_are_silent_or_thin_for_a_while_each() -> None:
    quotes = [venue_quotes(1, PATH, at_ms) for at_ms in range(0, 300_000, 3_000)]
    assert {len(each) for each in quotes} >= {3, 4, 5}
    assert any(q.impact_bid_usd is None for each in quotes for q in each)
    assert any(q.impact_ask_usd is None for each in quotes for q in each)
    assert not any(q.venue is Venue.PARADEX for each in quotes for q in each)
