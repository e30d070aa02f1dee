"""Deribit, 31 October 2019: one outlier of one exchange moved the BTC index by 16 percent.

The index is made of the prices of several exchanges without the highest and the lowest one. When
one of them was down, nothing was left out any more, and a wrong price of another one counted:
9,150 to 7,720 USD, liquidations, and about 150 BTC repaid by Deribit. Nothing was rolled back,
because traders had hedged elsewhere.
Source: https://insights.deribit.com/exchange-updates/deribit-flash-crash-a-letter-from-the-founders/
"""

from __future__ import annotations

from statistics import mean, median

import trio

from harness.invariants import Broken
from harness.scenario import restart, scenario
from harness.world.service import Life
from harness.world.world import World
from scenarios.incidents.incident import Incident
from scenarios.incidents.services import column

#: A price far from the median of the others never counts, however many others there are.
NEAR_MEDIAN = "only_prices_near_the_median_count"
VENUES = ("alpha", "beta", "gamma", "delta", "omega")
#: What everybody quotes, and what omega quotes in the second round, in USD.
PRICE_USD, OUTLIER_USD = 9_150, 3_430
NEAR = 0.05
#: A price older than this is not used: its exchange is taken to be down.
AGE_MAX_S = 4.0
ROUNDS = range(3)
#: Below this index a long account of this size has lost its margin.
MARGIN_USD, SIZE_BTC = 8_000, 3
COUNTED = "an index is made without an exchange that is down"


class Index:
    """The quotes of the exchanges, the index that is made of them, and who is liquidated by it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.network = world.network()
        self.database = world.database("deribit")
        self.database.load("index", {"BTC": {"usd": PRICE_USD}})
        self.database.load("positions", {"long": {"btc": SIZE_BTC}})

    async def feed(self, life: Life) -> None:
        """Tells the price of one exchange now and then."""
        life.enter("ready")
        for _ in ROUNDS:
            wrong = life.service.name == "omega" and 2 < trio.current_time() < 6
            price_usd = OUTLIER_USD if wrong else PRICE_USD
            await self.network.publish("quotes", (life.service.name, price_usd))
            await trio.sleep(3)
        await life.stop_requested()

    async def index(self) -> None:
        """Makes an index of the newest prices, and liquidates who has no margin at it."""
        quotes = self.network.subscribe("quotes")
        newest: dict[str, tuple[int, float]] = {}

        async def listen() -> None:
            async for venue, price_usd in quotes:
                newest[venue] = (price_usd, trio.current_time())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            for _ in ROUNDS:
                await trio.sleep(3)
                since_s = trio.current_time() - AGE_MAX_S
                await self.publish([usd for usd, at_s in newest.values() if at_s > since_s])
            nursery.cancel_scope.cancel()

    async def publish(self, prices_usd: list[int]) -> None:
        """Publish the index of these prices, if there are enough of them."""
        self.world.sometimes(COUNTED, 2 < len(prices_usd) < len(VENUES))
        if NEAR_MEDIAN in self.world.guards and prices_usd:
            middle = median(prices_usd)
            used = [usd for usd in prices_usd if abs(usd / middle - 1) <= NEAR]
            enough = len(used) > len(VENUES) / 2
        elif len(prices_usd) == len(VENUES):
            used, enough = sorted(prices_usd)[1:-1], True
        else:
            used, enough = prices_usd, len(prices_usd) > len(VENUES) / 2
        if not enough:
            return  # the index stays where it is
        usd = round(mean(used))
        await self.database.put("index", "BTC", {"usd": usd})
        if usd < MARGIN_USD and await self.database.get("positions", "long"):
            await self.database.put("liquidations", "long", {"usd": usd})
            await self.database.delete("positions", "long")

    def near(self) -> None:
        """The index is where most exchanges are."""
        usd = column(self.database.table("index")["BTC"], "usd")
        if abs(usd / PRICE_USD - 1) > NEAR:
            raise Broken(
                f"the index is at {usd:,} USD, and all exchanges but one quote {PRICE_USD:,} USD",
                resource="deribit/index/BTC",
                before=f"{PRICE_USD:,} USD",
                after=f"{usd:,} USD",
                consequence="whoever has no margin at this price is liquidated",
            )

    def justified(self) -> None:
        """Nobody is liquidated who has margin at the price that most exchanges quote."""
        for account, row in self.database.table("liquidations").items():
            loss = SIZE_BTC * (PRICE_USD - column(row, "usd")) / PRICE_USD
            raise Broken(
                f"{account} was liquidated at {row['usd']:,} USD and has margin down to "
                f"{MARGIN_USD:,} USD; exchanges quote {PRICE_USD:,} USD",
                resource=f"deribit/liquidations/{account}",
                before=f"{SIZE_BTC} BTC long",
                after="liquidated",
                consequence=f"{account} lost {loss:.2f} BTC, and Deribit has to repay it",
                accounts=(account,),
            )


@scenario(
    name="deribit-2019-10-31",
    faults=[restart("beta", kinds=("crash",), delay_s=5.0)],
    guards=(NEAR_MEDIAN,),
    time_max_s=60.0,
    must_reach=(COUNTED,),
)
async def deribit(world: World) -> None:
    """The feed of one exchange is down when another one quotes a wrong price, which then counts.

    Modelled: five feeds, one that restarts and one that is wrong for a while, index, liquidation.
    Not modelled: why it was wrong, order books, and the repayment out of Deribit's own money.
    """
    index = Index(world)
    world.invariant(name="the_index_is_where_most_prices_are")(index.near)
    world.invariant(name="liquidations_are_justified")(index.justified)
    maker = world.start_client("index", index.index)
    for name in VENUES:
        world.service(name, index.feed)
    await world.finished(maker)


INCIDENT = Incident(
    scenario=deribit,
    system="Deribit, 31 October 2019",
    family="a missing input",
    breaks=("the_index_is_where_most_prices_are", "liquidations_are_justified"),
    enough=((NEAR_MEDIAN,),),
    budget=100,
    source="https://insights.deribit.com/exchange-updates/deribit-flash-crash-a-letter-from-the-founders/",
)
