"""A Hypothesis state machine that holds a simulated exchange and tears at it.

Its rules write, let time pass, move single lanes and restart services in parts; after every rule
the money rules judge, and the chain is compared with the pure core. A rule never waits: a client
that was started in one may be answered many rules later, or only when everybody is.

Every choice of the schedule is an integer that Hypothesis drew, taken modulo what is possible, so
Hypothesis reduces the program and its schedule together. No other shrinker works here, and the
machine must never call ours: two of them would undo each other's work. The simulation is stepped
from outside, so between two rules time and randomness are the real ones that Hypothesis needs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from harness.world.service import Service
from target_stub.core import (
    CancelOrder,
    Deposit,
    Instruction,
    OrderKind,
    PlaceOrder,
    Side,
    Usdc,
    Withdraw,
)
from target_stub.guards import GUARDS
from tests.machine.small_exchange import ACCOUNTS, MARKETS, RESTARTED, SmallExchange

T = TypeVar("T")

#: Which of the things that are possible: taken modulo their number.
WHICH = st.integers(0, 15)
STEPS = st.integers(0, 16)
CHOICES = st.lists(WHICH, min_size=1, max_size=24)
TIMERS = st.integers(0, 8)
HUNDREDS = st.integers(1, 20)
MARKET = st.integers(0, len(MARKETS) - 1)
SIDE = st.sampled_from(Side)
LOTS = st.integers(1, 8)
AWAY = st.integers(-3, 3)
ORDERS = {
    "limit": (OrderKind.LIMIT, Instruction.GTC, False),
    "market": (OrderKind.MARKET, Instruction.GTC, False),
    "post only": (OrderKind.LIMIT, Instruction.POST_ONLY, False),
    "reduce only": (OrderKind.LIMIT, Instruction.GTC, True),
}
HOW = st.sampled_from(list(ORDERS))


class RuleBroken(AssertionError):
    """A money rule, or the comparison with the model, does not hold; the message begins with it."""


class ExchangeMachine(RuleBasedStateMachine):
    """Writes, time and the order of steps; nothing is restarted."""

    guards: ClassVar[frozenset[str]] = frozenset(GUARDS)
    bug: ClassVar[str] = ""
    restarted: ClassVar[Sequence[str]] = RESTARTED
    #: Whether matching is durable; the one of January 2026 takes fewer steps.
    durable: ClassVar[bool] = True
    #: What all programs of this machine did together.
    tally: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.broken = False
        self.held = SmallExchange(
            guards=self.guards, bug=self.bug, restarted=self.restarted, durable=self.durable
        )

    def teardown(self) -> None:
        """Answer everybody and compare, unless a rule is broken; then unwind in any case."""
        try:
            if not self.broken:
                self.answer_everybody()
        finally:
            self.held.close()
            self.tally.update(self.held.numbers())

    def expect_none(self, problem: str) -> None:
        """Fail with a problem, if there is one."""
        if problem:
            self.broken = True
            raise RuleBroken(problem)

    @invariant()
    def every_rule_holds(self) -> None:
        """The money rules, and the chain equals the model."""
        self.expect_none(self.held.problem())

    @rule()
    def answer_everybody(self) -> None:
        """Go on first-in-first-out until all clients have their answers, and compare those too."""
        self.held.answer_everybody()
        self.expect_none(self.held.problem() or self.held.problem_at_rest())

    # --- writes -----------------------------------------------------------------------------

    @rule(account=WHICH, hundreds=HUNDREDS, out=st.booleans())
    def transfer(self, account: int, hundreds: int, out: bool) -> None:
        """Somebody deposits, or withdraws if the exchange lets him."""
        held = self.held
        make = Withdraw if out else Deposit
        command = make(
            id=held.next_id("withdrawal" if out else "deposit"),
            at_ms=held.simulation.now_ms,
            account=pick(ACCOUNTS, account),
            amount=Usdc(Decimal(100 * hundreds)),
        )
        held.send("chain", "submit", command)

    @rule(account=WHICH, market=MARKET, side=SIDE, lots=LOTS, away=AWAY, how=HOW)
    def place(  # noqa: PLR0917  (Hypothesis passes them by name)
        self, account: int, market: int, side: Side, lots: int, away: int, how: str
    ) -> None:
        """Somebody places an order, so many steps of 100 ticks away from the opening price."""
        held = self.held
        spec, path, listing = MARKETS[market]
        kind, instruction, reduce_only = ORDERS[how]
        limited = kind is OrderKind.LIMIT
        command = PlaceOrder(
            id=held.next_id("order"),
            at_ms=held.simulation.now_ms,
            account=pick(ACCOUNTS, account),
            market=spec.symbol,
            side=side,
            size=listing.size_step * 20 * lots,
            price=path.start_usd + 100 * away * path.tick_usd if limited else None,
            kind=kind,
            instruction=instruction,
            reduce_only=reduce_only,
        )
        held.send("matching", "order", command)

    @rule(account=WHICH, market=MARKET, side=SIDE, lots=LOTS, away=AWAY)
    def trade(self, account: int, market: int, side: Side, lots: int, away: int) -> None:
        """Two neighbours agree on a price and send their orders at the same time."""
        self.place(account, market, side, lots, away, "limit")
        self.place(account + 1, market, side.opposite, lots, away, "limit")

    @precondition(lambda self: self.orders())
    @rule(order=WHICH)
    def cancel(self, order: int) -> None:
        """Somebody takes an order back, which may be filled, refused or still under way."""
        held, placed = self.held, pick(self.orders(), order)
        command = CancelOrder(
            id=held.next_id("cancel"),
            at_ms=held.simulation.now_ms,
            account=placed.account,
            order_id=placed.id,
        )
        held.send("matching", "order", command)

    @rule(market=MARKET, permille=st.integers(-20, 20))
    def move_price(self, market: int, permille: int) -> None:
        """The outside world moves, at most 2 % from where it stood when everything began."""
        self.held.move_price(market, permille)

    def orders(self) -> list[PlaceOrder]:
        """All orders that were sent."""
        commands = (sent.command for sent in self.held.sent)
        return [command for command in commands if isinstance(command, PlaceOrder)]

    # --- time and the order of steps ------------------------------------------------------------

    @rule(steps=STEPS, timers=TIMERS)
    def go_on(self, steps: int, timers: int) -> None:
        """Everybody goes on first-in-first-out; then timers strike, whoever could have run."""
        self.held.take_first(steps)
        self.held.take_timers(timers)

    @rule(timers=TIMERS)
    def reach_next_phase(self, timers: int) -> None:
        """Everybody goes on until a service enters a phase of its life; then timers strike."""
        self.held.take_until_phase()
        self.held.take_timers(timers)

    @rule(timer=WHICH)
    def oversleep(self, timer: int) -> None:
        """One of the timers ahead strikes, whichever; everybody whose time came before is late."""
        self.held.take_timer(timer)

    @precondition(lambda self: self.held.movable_lanes())
    @rule(lane=WHICH, steps=STEPS)
    def move_lane(self, lane: int, steps: int) -> None:
        """One lane goes on while all others are frozen."""
        self.held.take_of_lane(pick(self.held.movable_lanes(), lane), steps)

    @rule(choices=CHOICES)
    def move_anything(self, choices: list[int]) -> None:
        """One option after the other, whichever it is: a step, an arrival, or time passing."""
        for choice in choices:
            self.held.take_any(choice)


def candidates(*living: int) -> Callable[[ExchangeMachine], bool]:
    """Whether any service has so many living incarnations."""
    return lambda self: bool(self.held.services(living=living))


class RestartingExchangeMachine(ExchangeMachine):
    """The same, and services are restarted, in parts."""

    def service(self, which: int, *living: int) -> Service:
        """One of the services of which so many incarnations live."""
        return pick(self.held.services(living=living), which)

    @precondition(lambda self: candidates(1, 2)(self) and not candidates(0)(self))
    @rule(service=WHICH)
    def crash(self, service: int) -> None:
        """A power cut; until somebody starts it the service is away."""
        self.held.crash(self.service(service, 1, 2))

    @precondition(candidates(0))
    @rule(service=WHICH, steps=STEPS)
    def start(self, service: int, steps: int) -> None:
        """A service that is down boots, and goes on so many steps alone."""
        self.held.take_of_lane(self.held.start(self.service(service, 0)), steps)

    @precondition(candidates(1))
    @rule(service=WHICH)
    def stop(self, service: int) -> None:
        """Somebody asks a service to drain and stop."""
        self.held.stop(self.service(service, 1))

    @precondition(candidates(1))
    @rule(service=WHICH, steps=STEPS)
    def begin_rolling_restart(self, service: int, steps: int) -> None:
        """The next incarnation starts beside the old one, and goes on so many steps alone."""
        self.held.take_of_lane(self.held.start(self.service(service, 1)), steps)

    @precondition(candidates(2))
    @rule(service=WHICH)
    def end_rolling_restart(self, service: int) -> None:
        """Somebody asks the older of two incarnations to drain and stop."""
        self.held.stop(self.service(service, 2))


def pick(things: Sequence[T], number: int) -> T:
    """One of several things by a number that may be larger than there are things."""
    return things[number % len(things)]
