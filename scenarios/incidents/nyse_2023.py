"""NYSE, 24 January 2023: the disaster recovery system was left running after the maintenance.

When the primary system started, the other one had marked thousands of symbols as open. The
primary took them for open and began continuous trading without an opening auction: 84 pauses,
4,341 trades in 251 symbols busted, 9 million USD paid to the SEC three years later.
Source: https://www.tradersmagazine.com/xtra/resolution-of-nyse-opening-auctions-technical-issue/
"""

from __future__ import annotations

from contextlib import suppress

import trio

from harness.invariants import Broken
from harness.scenario import restart, scenario
from harness.world.messages import Request
from harness.world.service import Life
from harness.world.world import World
from scenarios.incidents.incident import Incident
from scenarios.incidents.services import answer, column

#: Every write of a system demands that the session still belongs to it.
OWNER = "one_system_owns_the_session"
SYMBOLS = ("MCD", "WMT")
#: In USD: where the auction finds the price, and what a lone order in an empty book gets.
AUCTION_USD, ALONE_USD = 268, 230
DR_CLOSED, OPENED = "the recovery system is told to close", "a symbol trades"


class Exchange:
    """The market of one day, and the two systems that can run it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.network = world.network()
        self.market = world.database("market")
        self.market.load("session", {"today": {"owner": "recovery"}})
        self.market.load("symbols", {symbol: {"open": False} for symbol in SYMBOLS})

    async def write(self, owner: str, table: str, symbol: str, row: dict[str, object]) -> bool:
        """Write a row of the market; False if the session belongs to the other system."""
        async with self.market.transaction() as transaction:
            if OWNER in self.world.guards:
                session = await transaction.get_for_update("session", "today")
                if column(session, "owner") != owner:
                    return False
            await transaction.put(table, symbol, row)
        return True

    async def recovery(self, life: Life) -> None:
        """The recovery system in the test of the night: it opens symbols one after the other."""
        closing = trio.CancelScope()

        async def close(request: Request) -> None:
            self.world.reach(DR_CLOSED)
            closing.cancel()

        async def test() -> None:
            with closing:
                for symbol in SYMBOLS:
                    await trio.sleep(2)
                    if not await self.write("recovery", "symbols", symbol, {"open": True}):
                        return

        async with trio.open_nursery() as nursery:
            nursery.start_soon(test)
            # A message without a method wants no answer: the operator does not wait for one.
            await answer(life, self.network, "recovery", **{"": close})

    async def primary(self, life: Life) -> None:
        """The primary system: closes everything that was open, waits for the opening, opens."""
        life.enter("ready")
        async with self.market.transaction() as transaction:
            session = await transaction.get_for_update("session", "today")
            if column(session, "owner") != "primary":
                await transaction.put("session", "today", {"owner": "primary"})
                for symbol in SYMBOLS:
                    await transaction.put("symbols", symbol, {"open": False})
        await trio.sleep(4)
        for symbol in SYMBOLS:
            price_usd = ALONE_USD
            if not column(await self.market.get("symbols", symbol), "open"):
                price_usd = AUCTION_USD
                await self.write("primary", "auctions", symbol, {"price_usd": price_usd})
            await self.write("primary", "symbols", symbol, {"open": True})
            await self.write("primary", "trades", symbol, {"price_usd": price_usd})
            self.world.reach(OPENED)
        await life.stop_requested()

    async def operate(self) -> None:
        """The end of the maintenance: close the recovery system, then start the primary."""
        await trio.sleep(1)
        with suppress(OSError):
            await self.network.send("recovery", "close")
        await trio.sleep(1)
        await self.world.service("primary", self.primary).ready()

    def opened(self) -> None:
        """No symbol trades before its opening auction."""
        auctions = self.market.table("auctions")
        for symbol, trade in self.market.table("trades").items():
            if symbol not in auctions:
                raise Broken(
                    f"{symbol} trades at {trade['price_usd']}.00 USD and had no opening auction, "
                    f"which would have found {AUCTION_USD}.00 USD",
                    resource=f"market/trades/{symbol}",
                    before=f"{AUCTION_USD}.00 USD",
                    after=f"{trade['price_usd']}.00 USD",
                    consequence=f"who sold at the open lost {AUCTION_USD - ALONE_USD}.00 USD a "
                    "share; such trades are busted, and trading pauses",
                )


@scenario(
    name="nyse-2023-01-24",
    faults=[restart("recovery", kinds=("crash",)), restart("primary", kinds=("crash",))],
    guards=(OWNER,),
    time_max_s=120.0,
    must_reach=(DR_CLOSED, OPENED),
)
async def nyse(world: World) -> None:
    """The recovery system still writes when the primary starts; symbols look open without auction.

    Modelled: the test of the night, the order to close, the start of the primary, the opening.
    Not modelled: the mistake of a person (here the order comes late or is lost), and the halts.
    """
    exchange = Exchange(world)
    world.invariant(name="every_symbol_opens_by_auction")(exchange.opened)
    await world.service("recovery", exchange.recovery).ready()
    await world.client("operator", exchange.operate)
    await trio.sleep(8)


INCIDENT = Incident(
    scenario=nyse,
    system="NYSE, 24 January 2023",
    family="a stale writer beside the new one",
    breaks=("every_symbol_opens_by_auction",),
    enough=((OWNER,),),
    budget=100,
    source="https://www.tradersmagazine.com/xtra/resolution-of-nyse-opening-auctions-technical-issue/",
)
