"""A small reference exchange inside a simulation that somebody else steps.

Two markets, ten accounts, one fixed seed. It offers what a state machine needs: one step, judged;
many steps first-in-first-out; clients that send and wait on lanes of their own; and restarts cut
into their parts. It never chooses: every choice is handed in as a number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from random import Random
from typing import Any

import trio

from harness.invariants import Moment
from harness.schedule.choices import TIMER, Option
from harness.schedule.simulation import Limits, Simulation
from harness.world.service import Service
from harness.world.world import World
from scenarios.exchange import Exchange
from scenarios.january import MARKETS as ALL_MARKETS
from scenarios.january import opening_row
from scenarios.money_rules import rules_in_force
from scenarios.outside import EXTERNAL_RATES, USDC_PRICE
from scenarios.people import population
from scenarios.rules.orders import matching_agrees_with_chain, updates_are_numbered_once
from scenarios.whole_services import WholeExchange
from target_stub.chain import Block
from target_stub.cloud.oracle_feed import Quote
from target_stub.cloud.trader import Trader
from target_stub.core import JANUARY_2026, Command, Duplicate, Filled, State
from target_stub.core.events import Deposited
from tests.machine.model import Model, Sent

SEED = 11
MARKETS = ALL_MARKETS[:2]
PEOPLE = population(SEED, 0, tuple(listing for _, _, listing in MARKETS))
#: Those who act: six rich traders, the thin long who is due after a small fall, and his opposite.
ACCOUNTS = (*PEOPLE.traders[:6], *sorted({*PEOPLE.balances} - {*PEOPLE.traders}))
#: The services that are restarted; mode control and the oracle feed keep nothing that can break.
RESTARTED = ("market_data", "publisher", "matching", "risk", "chain")
#: How long to wait for a phase of somebody's life, in steps; most of the time nobody changes.
PHASE_STEPS_MAX = 40
#: Rules about how long something takes: here minutes pass whenever somebody draws it.
UNTIMELY = ("recovery_completes",)
#: How often the outside world quotes.
QUOTES_MS = 1_000
#: How many steps first-in-first-out may take to answer every client.
ANSWER_STEPS_MAX = 4_000


class Outside:
    """The outside world: every market stands at its start until somebody moves it.

    It quotes once a second, so a move shows at the next full second and never changes the past.
    """

    def __init__(self) -> None:
        self.moves: dict[str, list[tuple[int, Decimal]]] = {
            path.market: [(0, path.start_usd)] for _, path, _ in MARKETS
        }

    def move(self, market: int, permille: int, now_ms: int) -> None:
        """Put one market so many thousandths above or below its start from the next second on."""
        _, path, _ = MARKETS[market]
        price = path.start_usd * (1000 + permille) / 1000
        since_ms = (now_ms // QUOTES_MS + 1) * QUOTES_MS
        self.moves[path.market].append((since_ms, price.quantize(path.tick_usd)))

    def prices(self, at_ms: int) -> tuple[Quote, ...]:
        """The quotes of both markets at a time."""
        return tuple(
            Quote(
                market=market,
                at_ms=at_ms,
                spot_usd=[price for since, price in moves if since <= at_ms][-1],
                usdc_price=USDC_PRICE,
                external_rates=EXTERNAL_RATES,
            )
            for market, moves in self.moves.items()
        )


class SmallExchange:
    """One run of the exchange, opened and ready, that goes on only when it is told to."""

    def __init__(
        self,
        *,
        guards: frozenset[str],
        bug: str = "",
        restarted: Sequence[str] = RESTARTED,
        durable: bool = True,
    ) -> None:
        self.durable = durable
        self.restarted = tuple(restarted)
        self.simulation = Simulation(
            seed=SEED, limits=Limits(steps=200_000), stall_s=10.0, epoch_s=1_768_796_874.0
        )
        self.world = World(self.simulation, seed=SEED, guards=guards, bug=bug)
        self.outside = Outside()
        self.exchange = (WholeExchange if durable else Exchange)(
            self.world,
            spec=JANUARY_2026,
            markets=[market for market, _, _ in MARKETS],
            rows={market.symbol: opening_row(market, path, held) for market, path, held in MARKETS},
            people=PEOPLE,
            prices=self.outside.prices,
        )
        self.exchange.chain.observer = self.observe
        self.model = Model(self.exchange.chain.genesis)
        self.sent: list[Sent] = []
        rules = rules_in_force(self.exchange)
        self.world.add_invariants(*(rule for rule in rules if rule.name not in UNTIMELY))
        if isinstance(self.exchange, WholeExchange):
            self.world.add_invariants(
                matching_agrees_with_chain(self.exchange), updates_are_numbered_once(self.exchange)
            )
        self._lanes = 0
        self.open()

    def observe(self, before: State, block: Block) -> None:
        """The chain made a block: whoever keeps records hears of it."""
        self.exchange.observe_block(before, block)
        self.model.follow(before, block)

    def open(self) -> None:
        """Enter the simulation, start all services and let them get ready."""
        self.simulation.__enter__()
        try:
            self.simulation.spawn("calendar", turn_pages)
            opening = self.spawn("opening", self.exchange.start)
            while not opening.finished:
                self.take_first(1)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave the simulation, which ends and unwinds the run."""
        self.simulation.__exit__()

    # --- steps ------------------------------------------------------------------------------

    def take(self, option: Option) -> None:
        """Make one option happen and let the rules judge it."""
        simulation, world = self.simulation, self.world
        mark = len(simulation.history)
        simulation.apply(option)
        events = simulation.history.since(mark)
        world.observe(events)
        world.judge.after_step(events, self.moment)

    def take_first(self, steps: int) -> None:
        """Go on first-in-first-out."""
        for _ in range(steps):
            self.take(self.simulation.options()[0])

    def take_until_phase(self) -> None:
        """Go on first-in-first-out until some service enters a phase: it hydrates, or drains."""
        for _ in range(PHASE_STEPS_MAX):
            mark = len(self.simulation.history)
            self.take_first(1)
            if any(event.kind == "phase" for event in self.simulation.history.since(mark)):
                return

    def take_any(self, choice: int) -> None:
        """Take one option, whichever it is."""
        options = self.simulation.options()
        self.take(options[choice % len(options)])

    def take_timers(self, count: int) -> None:
        """Let the next timers strike, although others could run."""
        for _ in range(count):
            self.take_timer(0)

    def take_timer(self, which: int) -> None:
        """Let one of the timers ahead strike, although others are due before it."""
        timers = [option for option in self.simulation.options() if option.kind == TIMER]
        if timers:
            self.take(timers[which % len(timers)])

    def take_of_lane(self, lane: str, steps: int) -> None:
        """Let one lane go on while all others and the clock stand still."""
        for _ in range(steps):
            mine = [option for option in self.movable() if option.lane == lane]
            if not mine:
                return
            self.take(mine[0])

    @property
    def moment(self) -> Moment:
        """Which step comes to be judged, and at what time."""
        return Moment(self.simulation.steps, self.simulation.now_ms)

    def movable(self) -> list[Option]:
        """The options that need no time to pass."""
        return [option for option in self.simulation.options() if option.kind != TIMER]

    def movable_lanes(self) -> list[str]:
        """The lanes that can go on without time, in the order of their first option."""
        return list(dict.fromkeys(option.lane for option in self.movable()))

    # --- writes -----------------------------------------------------------------------------

    def spawn(self, name: str, run: Callable[..., Any], *arguments: object) -> Any:
        """A new lane with a number of its own."""
        self._lanes += 1
        return self.simulation.spawn(f"{name} {self._lanes}", run, *arguments)

    def next_id(self, what: str) -> str:
        """A command id that nobody else uses."""
        return f"{what}-{len(self.sent) + 1}"

    def send(self, address: str, method: str, command: Command) -> None:
        """Let a client send a command, again and again until it is answered; do not wait for it."""
        sent = Sent(address, command)
        self.sent.append(sent)
        trader = Trader(
            command.id,
            network=self.exchange.network,
            accounts=ACCOUNTS,
            instruments=(),
            random=Random(SEED),
            every_s=1.0,
            until_s=0.0,
        )

        async def client() -> None:
            answer: Any = await trader.send(address, method, command)
            sent.answer = answer

        self.spawn("client", client)

    def move_price(self, market: int, permille: int) -> None:
        """Move the outside world; the oracle feed tells everybody at the next full second."""
        self.outside.move(market, permille, self.simulation.now_ms)

    # --- restarts ---------------------------------------------------------------------------

    def services(self, *, living: Sequence[int]) -> list[Service]:
        """The services of which so many incarnations live, of those that are restarted at all."""
        services = (self.world.services[name] for name in self.restarted)
        return [service for service in services if len(service.alive) in living]

    def strike(self, name: str, action: Callable[[], object]) -> None:
        """Do something to a service as one step of the nemesis."""
        fault = self.simulation.offer_fault(name, lambda: void(action()))
        self.simulation.faults_left = 1
        self.take(fault)

    def crash(self, service: Service) -> None:
        """Cut the power of the oldest incarnation."""
        self.strike(f"crash {service.name}", service.crash)

    def start(self, service: Service) -> str:
        """Start the next incarnation, beside a living one if there is one; returns its lane."""
        self.strike(f"start {service.name}", service.start)
        return service.lives[-1].name

    def stop(self, service: Service) -> None:
        """Ask the oldest incarnation to drain and stop; do not wait for it."""
        self.spawn("operator", service.stop, service.alive[0])

    # --- verdicts ---------------------------------------------------------------------------

    def answer_everybody(self) -> None:
        """Start whatever is down and go on first-in-first-out until every client is answered."""
        for _ in range(ANSWER_STEPS_MAX):
            if all(sent.answer is not None for sent in self.sent):
                return
            for service in self.services(living=[0]):
                self.start(service)
            self.take_first(1)

    def problem(self) -> str:
        """The first thing that is wrong now, after the name of the rule that says so."""
        judge = self.world.judge
        for violation in judge.violations:
            return f"{violation.invariant}: {violation.message}"
        for name, error in judge.unknown.items():
            return f"{name}: could not judge: {error}"
        if self.simulation.ending is not None:
            return f"never_ends: {self.simulation.ending}"
        for lane in self.simulation.lanes.values():
            if lane.error is not None:
                return f"no_lane_fails: {lane.name} failed: {lane.error!r}"
        difference = self.model.differs_from(self.exchange.chain.state)
        return difference and f"chain_equals_model: {difference}"

    def problem_at_rest(self) -> str:
        """What is wrong once every client has its answer."""
        waiting = [sent.command.id for sent in self.sent if sent.answer is None]
        if waiting:
            return f"everybody_is_answered: {waiting} still wait"
        for sent in self.sent:
            if missed := self.model.misses(sent, durable=self.durable):
                return f"acknowledged_is_in_the_model: {missed}"
        if gap := self.model.misbooked(self.sent):
            return f"acknowledged_exactly_once: {gap}"
        self.world.judge.at_end(self.simulation.history, self.moment)
        return self.problem()

    def numbers(self) -> dict[str, int]:
        """What the run did, so that nobody takes an idle one for a good one."""
        events = [event for block in self.exchange.chain.blocks for event in block.events]
        return {
            "programs": 1,
            "steps": self.simulation.steps,
            "restarts": self.world.restarts,
            "writes during a restart": self.world.overlapped,
            "commands": len(self.sent),
            "deposits": sum(isinstance(event, Deposited) for event in events),
            "fills": sum(isinstance(event, Filled) for event in events),
            "commands that came twice": sum(isinstance(event, Duplicate) for event in events),
        }


async def turn_pages() -> None:
    """There is always a next minute, so a moment when everybody is dead does not end the run."""
    while True:
        await trio.sleep(60)


def void(value: object) -> None:
    """Let a function that returns something pass for one that returns nothing."""
