"""A real client: paradex-py trades on the reference exchange while its services restart.

What is modelled: the client library as it is published, over REST and over a WebSocket, with the
public field names, on a network that loses connections when the gateway dies. What is not: its
signatures, rate limits, compression, and the binary encoding of the public channels. The scenario
is there when paradex-py and greenlet are installed; docs/client.md says how.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

import trio

from harness.history import derive_seed
from harness.scenario import restart, scenario
from harness.world.blocking import run_asyncio
from harness.world.service import Life
from harness.world.world import World
from scenarios.client_library import library, missing
from scenarios.customer import UNKNOWN, Customer, Testimony
from scenarios.exchange import Exchange
from scenarios.january import MARKETS, opening_row
from scenarios.outside import prices
from scenarios.people import Population, population
from scenarios.rules.client import (
    acknowledgements_are_true,
    closed_orders_stay_closed,
    positions_add_up_to_fills,
    sequence_numbers_increase,
    told_fills_happened,
)
from target_stub.api.gateway import Gateway
from target_stub.cloud.durable_matching import DurableMatching
from target_stub.cloud.journal import TABLE as JOURNAL
from target_stub.cloud.market_data import EPOCHS
from target_stub.cloud.trader import Instrument, Trader
from target_stub.core import JANUARY_2026, Command, Event
from target_stub.defects.gateway import BUGS
from target_stub.ports import Row

NAME = "real-client"
#: When the run begins, in seconds since 1970; the client's library reads the wall clock.
EPOCH_S = 1_768_796_874
MARKET, PATH, LISTING = MARKETS[1]
PEOPLE = 4
#: How often the client acts, and after what time on average; who trades with him acts until then.
ACTIONS, EVERY_S = 8, 0.4
TRADING_UNTIL_S = ACTIONS * EVERY_S
RESTARTS = {
    "gateway": ("crash", "rolling", "stop"),
    "matching": ("crash", "rolling"),
    "market_data": ("rolling",),
    "publisher": ("crash",),
}
#: What has to happen in some run, or the client was never put to the test.
CONNECTED_AGAIN = "the client connects again"
TRADED = "the client trades"
NOT_TOLD = "the client is not told what became of an order"
MUST_REACH = (CONNECTED_AGAIN, TRADED, NOT_TOLD)


class ClientExchange(Exchange):
    """The exchange with its gateway, and with a memory of everything that matching did."""

    def __init__(self, world: World, people: Population) -> None:
        super().__init__(
            world,
            spec=JANUARY_2026,
            markets=(MARKET,),
            rows={MARKET.symbol: opening_row(MARKET, PATH, LISTING)},
            people=people,
            prices=prices(world.seed, (PATH,)),
            bug=BUGS[world.bug] if world.bug else None,
        )
        self.matchings: list[DurableMatching] = []

    def load(self, rows: Mapping[str, Row]) -> None:
        """The same stores, and nobody has written to the journal of matching yet."""
        super().load(rows)
        self.database.load(EPOCHS, {JOURNAL: {"incarnation": 0}})

    async def run_matching(self, life: Life) -> None:
        """One incarnation of matching, remembered."""
        matching = self.bug.variant(DurableMatching, life.incarnation)(
            life,
            database=self.database,
            network=self.network,
            exchange=self.spec,
            markets=self.markets,
            guards=self.guards,
        )
        self.matchings.append(matching)
        await matching.run()

    async def run_gateway(self, life: Life) -> None:
        """One incarnation of the gateway."""
        gateway = self.bug.variant(Gateway, life.incarnation)
        await gateway(life, network=self.network, epoch_ms=EPOCH_S * 1_000).run()

    def done(self) -> Sequence[tuple[Command, tuple[Event, ...]]]:
        """Everything that matching did: what the incarnation knows that has read the most."""
        return max((matching.desk.done for matching in self.matchings), key=len)


def make_counterpart(world: World, exchange: ClientExchange, names: tuple[str, ...]) -> Trader:
    """Somebody who trades with the client, over the internal network as ever."""
    instrument = Instrument(
        market=MARKET.symbol,
        price_usd=PATH.start_usd,
        tick_usd=PATH.tick_usd * 100,
        size=LISTING.size_step * 10,
    )
    trader = Trader(
        "counterpart",
        network=exchange.network,
        accounts=names,
        instruments=(instrument,),
        random=Random(derive_seed(world.seed, "counterpart")),
        every_s=EVERY_S / 3,
        until_s=TRADING_UNTIL_S,
        does=world.does,
    )
    exchange.traders.append(trader)
    return trader


async def real_client(world: World) -> None:
    """A client that trades through the public interface while services restart."""
    library("api.ws_client")  # imported before the run steps on: an import is no part of it
    people = population(world.seed, PEOPLE, (LISTING,))
    exchange = ClientExchange(world, people)
    testimony = Testimony(people.traders[-1])
    world.add_invariants(
        acknowledgements_are_true(testimony, exchange.done),
        sequence_numbers_increase(testimony),
        told_fills_happened(testimony, exchange),
        positions_add_up_to_fills(testimony),
        closed_orders_stay_closed(testimony),
    )
    await exchange.start()
    await world.service("gateway", exchange.run_gateway).ready()
    customer = Customer(
        testimony,
        network=exchange.network,
        market=MARKET.symbol,
        size=LISTING.size_step * 10,
        tick_usd=PATH.tick_usd * 100,
        random=Random(derive_seed(world.seed, "customer")),
        actions=ACTIONS,
        every_s=EVERY_S,
        does=world.does,
        height=lambda: exchange.chain.height,
    )

    async def program() -> None:
        async with trio.open_nursery() as nursery:
            await run_asyncio(customer.run, nursery)
            nursery.cancel_scope.cancel()

    counterpart = make_counterpart(world, exchange, people.traders[:2])
    lanes = [
        world.start_client("customer", program),
        world.start_client("counterpart", counterpart.run),
    ]
    for lane in lanes:
        await world.finished(lane)
    note_marks(world, testimony)


def note_marks(world: World, testimony: Testimony) -> None:
    """What this run put to the test."""
    world.sometimes(CONNECTED_AGAIN, testimony.connections > 1)
    world.sometimes(TRADED, bool(testimony.fills))
    world.sometimes(NOT_TOLD, any(one.outcome == UNKNOWN for one in testimony.attempts))


if not missing():
    scenario(
        name=NAME,
        faults=[restart(name, kinds=kinds) for name, kinds in RESTARTS.items()],
        faults_max=2,
        bugs={name: bug.text for name, bug in BUGS.items()},
        time_max_s=600.0,
        stall_s=2.0,
        epoch_s=float(EPOCH_S),
        must_reach=MUST_REACH,
    )(real_client)
