"""Matching dies at every step of a day's work, in every way, and nobody can tell afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from scenarios.whole_services import WholeExchange
from target_stub.cloud.durable_matching import OWN, may_be_asked
from target_stub.cloud.order_desk import OrderDesk
from target_stub.cloud.order_feed import OrderFeed
from target_stub.core import (
    CancelOrder,
    Command,
    Deposit,
    Event,
    Filled,
    Instruction,
    Mode,
    OrderKind,
    PlaceOrder,
    Reason,
    Rejected,
    Side,
    Trigger,
    Usdc,
    Withdraw,
    apply,
)
from target_stub.core.events import TradeBusted, Triggered
from target_stub.core.triggers import is_any_due
from target_stub.guards import GUARDS
from tests.machine.small_exchange import ACCOUNTS, MARKETS, PEOPLE, SmallExchange

BTC, PATH, LISTING = MARKETS[0]
LOT = LISTING.size_step * 20
ANN, BOB, CAT, DAN = ACCOUNTS[:4]
MATCHING, CHAIN = ("matching", "order"), ("chain", "submit")
#: How many steps everybody gets to come to rest.
REST_STEPS_MAX = 400


@contextmanager
def opened() -> Iterator[SmallExchange]:
    """The small exchange with all guards; only matching is restarted."""
    held = SmallExchange(guards=frozenset(GUARDS), restarted=("matching",))
    try:
        yield held
    finally:
        held.close()


def limit(account: str, side: Side, lots: int, *, name: str, **options: object) -> PlaceOrder:
    """A limit order at the opening price, unless told otherwise."""
    choices: Any = {"price": PATH.start_usd, **options}
    return PlaceOrder(
        id=name, at_ms=0, account=account, market=BTC.symbol, side=side, size=LOT * lots, **choices
    )


def market(account: str, side: Side, lots: int, *, name: str, **options: object) -> PlaceOrder:
    """A market order, or a waiting one that becomes one."""
    return limit(account, side, lots, name=name, price=None, kind=OrderKind.MARKET, **options)


#: Rests, is met in part, is met by somebody who rests with what is left, and is taken back.
DAY: tuple[Command, ...] = (
    limit(ANN, Side.SELL, 3, name="offer"),
    limit(BOB, Side.BUY, 1, name="first"),
    limit(CAT, Side.BUY, 4, name="second"),
    limit(DAN, Side.SELL, 1, name="never", price=PATH.start_usd * 2, instruction=Instruction.IOC),
    CancelOrder(id="cancel", at_ms=0, account=CAT, order_id="second"),
    limit(CAT, Side.SELL, 9_999_999, name="too much"),
)


class Result(NamedTuple):
    """What there is in the end, for whoever compares."""

    sizes: dict[str, Decimal]
    orders: dict[str, list[str]]
    answers: dict[str, list[str]]
    trades: list[str]


def result(held: SmallExchange) -> Result:
    """Positions on the chain, open orders, what everybody was told, and what was settled."""
    desk = desk_of(held)
    state = held.exchange.chain.state
    return Result(
        {name: state.account(name).size(BTC.symbol) for name in ACCOUNTS},
        {
            name: [order.describe() for order in account.orders.values()]
            for name, account in desk.state.accounts.items()
            if account.orders
        },
        {sent.command.id: [words(event) for event in sent.answer or ()] for sent in held.sent},
        list(held.exchange.chain.trades),
    )


def words(event: Event) -> str:
    """What an event says, apart from funding, which depends on when matching came back."""
    if isinstance(event, Filled):
        return f"{event.taker.order_id} met {event.maker.order_id}: {event.size} @ {event.price}"
    return event.describe()


def desk_of(held: SmallExchange) -> OrderDesk:
    """What the newest incarnation of matching knows."""
    exchange = held.exchange
    assert isinstance(exchange, WholeExchange)
    assert exchange.matching is not None
    return exchange.matching.desk


def do(held: SmallExchange, *commands: Command, then: Callable[[], None] = lambda: None) -> None:
    """Send commands one after the other and wait for each answer; do something at every step."""
    for command in commands:
        held.send(*(CHAIN if isinstance(command, Withdraw | Deposit) else MATCHING), command)
        while held.sent[-1].answer is None:
            then()
            for service in held.services(living=[0]):
                held.start(service)
            held.take_first(1)
    assert not held.problem_at_rest()


def rest(held: SmallExchange) -> None:
    """Go on, with a living matching, until nothing is under way between it and the chain."""
    for _ in range(REST_STEPS_MAX):
        if not held.world.services["matching"].lives[-1].alive:
            held.start(held.world.services["matching"])
        newest = held.world.services["matching"].lives[-1]
        desk = desk_of(held)
        if newest.phase == "ready" and not desk.in_flight.trades and not desk.state.resyncing:
            return
        held.take_first(1)
    raise AssertionError("it never comes to rest")


def day(strike: Callable[[SmallExchange], None], *, at: int) -> tuple[Result, int]:
    """The day's work with one strike before the given step; the result, and how many steps."""
    steps = 0

    def then() -> None:
        nonlocal steps
        steps += 1
        if steps == at:
            strike(held)

    with opened() as held:
        do(held, *DAY, then=then)
        rest(held)
        assert not held.problem()
        return result(held), steps


def crash(held: SmallExchange) -> None:
    """A power cut."""
    for service in held.services(living=[1, 2]):
        held.crash(service)


def roll(held: SmallExchange) -> None:
    """The next incarnation starts beside the old one, which nobody stops."""
    for service in held.services(living=[1]):
        held.start(service)


def roll_and_crash_the_new_one(held: SmallExchange) -> None:
    """The next incarnation takes over and dies; the old one is still there, or ends by itself."""
    roll(held)
    service = held.world.services["matching"]
    held.take_of_lane(service.lives[-1].name, 9)
    held.strike("crash the new one", lambda: service.crash(service.lives[-1]))


@pytest.mark.parametrize("strike", [crash, roll, roll_and_crash_the_new_one])
def test_a_restart_at_any_step_changes_nothing_of_what_happened(
    strike: Callable[[SmallExchange], None],
) -> None:
    expected, steps = day(crash, at=-1)
    assert expected.sizes[ANN] == -3 * LOT
    assert expected.sizes[CAT] == 2 * LOT
    assert not expected.orders
    for at in range(1, steps + 1, 2):
        assert day(strike, at=at)[0] == expected, at


def test_what_is_read_from_the_journal_is_what_was_known() -> None:
    with opened() as held:
        do(held, *DAY)
        rest(held)
        before = desk_of(held)
        crash(held)
        do(held, limit(ANN, Side.BUY, 1, name="next", price=PATH.start_usd - 100))
        after = desk_of(held)
        assert after is not before
        known = len(before.updates)
        assert after.updates[:known] == before.updates
        assert {name: after.outcomes[name] for name in before.outcomes} == before.outcomes
        assert known > 10


def test_an_order_that_was_refused_is_refused_whenever_it_comes_again() -> None:
    late, back = limit(BOB, Side.BUY, 1, name="late"), Usdc(Decimal(200_000))
    with opened() as held:
        do(held, payout(BOB), late)
        (refused,) = held.sent[-1].answer or ()
        assert isinstance(refused, Rejected)
        do(held, Deposit(id="in", at_ms=0, account=BOB, amount=back))
        crash(held)
        do(held, late)
        assert held.sent[-1].answer == (refused,)
        assert not desk_of(held).state.account(BOB).orders
        do(held, replace(late, id="again"))
        assert "again" in desk_of(held).state.account(BOB).orders


def payout(account: str) -> Withdraw:
    """Almost everything of an account that holds nothing else."""
    return Withdraw(id="out", at_ms=0, account=account, amount=Usdc(Decimal(249_999)))


def busts(strike: Callable[[SmallExchange], None], *, at: int) -> tuple[Result, int]:
    """Bob buys twice and is paid out before the chain hears of it; one strike on the way."""
    with opened() as held:
        do(held, limit(ANN, Side.SELL, 3, name="offer"))
        for command in (limit(BOB, Side.BUY, n, name=f"buy{n}") for n in (1, 2)):
            held.send(*MATCHING, command)
        while len(desk_of(held).in_flight.trades) < 2:
            held.take_first(1)
        held.exchange.chain.submit(payout(BOB))
        steps = 0
        while any(sent.answer is None for sent in held.sent):
            steps += 1
            if steps == at:
                strike(held)
            for service in held.services(living=[0]):
                held.start(service)
            held.take_first(1)
        rest(held)
        assert not held.problem()
        fallen = [event for event in told(held) if isinstance(event, TradeBusted)]
        assert [event.accounts for event in fallen] == [(BOB, ANN)] * 2
        assert not desk_of(held).state.resyncing
        return result(held), steps


def told(held: SmallExchange) -> list[object]:
    """Everything that was told of orders so far."""
    return [update.what for update in desk_of(held).updates]


@pytest.mark.parametrize("strike", [crash, roll])
def test_a_trade_that_the_chain_refuses_falls_once_whenever_matching_restarts(
    strike: Callable[[SmallExchange], None],
) -> None:
    expected, steps = busts(strike, at=-1)
    assert set(expected.sizes.values()) == {Decimal(0), *opening_sizes()}
    assert [order.partition(" @ ")[0] for order in expected.orders[ANN]] == [
        f"sell {3 * LOT} {BTC.symbol}"
    ], "it has its whole size back"
    for at in range(1, steps + 1, 2):
        assert busts(strike, at=at)[0] == expected, at


def opening_sizes() -> set[Decimal]:
    """What the people hold when everything begins."""
    return {held.size for held in PEOPLE.positions}


def test_an_account_stays_in_resync_over_a_restart_until_the_chain_was_read() -> None:
    with opened() as held:
        do(held, limit(ANN, Side.SELL, 3, name="offer"))
        held.send(*MATCHING, limit(BOB, Side.BUY, 1, name="buy"))
        until(held, lambda: bool(desk_of(held).in_flight.trades))
        held.exchange.chain.submit(payout(BOB))
        until(held, lambda: bool(desk_of(held).state.resyncing))
        first = desk_of(held)
        crash(held)
        held.start(held.world.services["matching"])
        until(held, lambda: desk_of(held) is not first and bool(desk_of(held).outcomes))
        assert desk_of(held).state.resyncing == tuple(sorted((ANN, BOB)))
        refused = limit(BOB, Side.BUY, 1, name="meanwhile")
        _, (event,) = apply(desk_of(held).state, refused)
        assert isinstance(event, Rejected) and event.reason is Reason.RESYNC
        rest(held)
        chain = held.exchange.chain.state
        assert desk_of(held).state.account(BOB).balance_usdc == chain.account(BOB).balance_usdc


def until(held: SmallExchange, reached: Callable[[], bool]) -> None:
    """Go on first-in-first-out until something is so."""
    for _ in range(REST_STEPS_MAX * 5):
        if reached():
            return
        held.take_first(1)
    raise AssertionError("it never came to that")


def fires(strike: Callable[[SmallExchange], None], *, at: int) -> tuple[list[str], int]:
    """A stop-loss order of a long position fires at the next mark; one strike after the fall."""
    long = limit(ANN, Side.BUY, 2, name="long")
    stop = market(
        ANN,
        Side.SELL,
        2,
        name="stop",
        trigger=Trigger.STOP_LOSS,
        trigger_price=PATH.start_usd * Decimal("0.995"),
        pair="exits",
    )
    profit = replace(
        stop, id="profit", trigger=Trigger.TAKE_PROFIT, trigger_price=PATH.start_usd * 2
    )
    bid = limit(CAT, Side.BUY, 5, name="bid", price=PATH.start_usd * Decimal("0.99"))
    with opened() as held:
        do(held, limit(BOB, Side.SELL, 2, name="offer"), long, stop, profit, bid)
        held.move_price(0, -10)
        steps = 0
        while held.simulation.now_ms < MARK_MOVED_MS:
            steps += 1
            if steps == at:
                strike(held)
            for service in held.services(living=[0]):
                held.start(service)
            held.take_first(1)
        rest(held)
        assert not held.problem_at_rest()
        assert held.exchange.chain.state.account(ANN).size(BTC.symbol) == 0
        assert not desk_of(held).state.account(ANN).orders
        fired = [event for event in told(held) if isinstance(event, Triggered)]
        return [event.order.id for event in fired], steps


#: The second mark after the fall is published and matching has had the time to act on it.
MARK_MOVED_MS = 11_000


def test_a_trigger_fires_once_whenever_matching_restarts() -> None:
    fired, steps = fires(crash, at=-1)
    assert fired == ["stop"], "and its sibling went with it"
    for at in range(1, steps + 1, 11):
        assert fires(crash, at=at)[0] == ["stop"], at


def test_outside_ok_nothing_fires_until_it_is_ok_again() -> None:
    stop = market(
        ANN, Side.SELL, 1, name="stop", trigger=Trigger.STOP, trigger_price=PATH.start_usd * 2
    )
    with opened() as held:
        assert with_mode(held, Mode.POST_ONLY)
        desk = desk_of(held)
        waiting, _ = apply(replace(desk.state, mode=Mode.OK), stop)
        assert is_any_due(waiting)
        assert not is_any_due(replace(waiting, mode=Mode.POST_ONLY))


def with_mode(held: SmallExchange, mode: Mode) -> bool:
    """Change the mode and wait until matching has heard of it."""
    held.spawn("operator", held.exchange.network.call, "mode", "set", mode)
    until(held, lambda: desk_of(held).state.mode is mode)
    return True


def test_a_projection_asks_for_what_it_missed() -> None:
    with opened() as held:
        do(held, DAY[0])
        feed = OrderFeed(held.exchange.network)
        held.spawn("feed", feed.run)
        do(held, *DAY[1:3])
        crash(held)
        do(held, *DAY[3:])
        until(held, lambda: len(feed.updates) == len(desk_of(held).updates))
        assert feed.gaps == 1, "what was told before it came"
        assert feed.updates == desk_of(held).updates
        assert [each.seq_no for each in feed.updates] == list(range(1, len(feed.updates) + 1))
        assert not feed.books[BTC.symbol].bids


def test_nobody_may_use_the_names_of_matching_or_give_its_commands() -> None:
    order = limit(ANN, Side.SELL, 1, name="mine")
    assert may_be_asked(order)
    assert not may_be_asked(replace(order, id=f"{OWN}7/follow"))
    assert not may_be_asked(payout(ANN))
