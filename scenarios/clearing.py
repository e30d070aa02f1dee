"""dYdX, 10 October 2025, the other half: a payout that moved before the insurance fund had paid.

What happened: the whole open interest of an isolated market was liquidated; its collateral was
moved before the insurance fund paid into its pool, which went below zero, and a failsafe halted
the chain for eight hours. What is modelled: closures of markets covered by one fund, a journal with
its statement, a rollback, and restarts of the service at any step. What is not: the liquidation
itself, and the stale prices after the halt, which are an incident of their own.
Source: https://www.dydx.xyz/blog/october-2025-dydx-chain-incident-review-community-update
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import groupby

import trio

from harness.scenario import restart, scenario
from harness.world.service import Life
from harness.world.world import World
from scenarios.rules.catalogue import require, rules_of
from scenarios.rules.view import Exit, Posting, View
from target_stub.bugs import BUGS, NO_BUG, bugs_of
from target_stub.cloud.clearing import (
    ADDRESS,
    INSURANCE,
    JOURNAL,
    MARK,
    STATEMENT,
    TABLE,
    Clearing,
    Closure,
    opening_rows,
)
from target_stub.cloud.clearing import Posting as Booked
from target_stub.cloud.retry import retrying
from target_stub.ports import Network, Row

NAME = "dydx-2025-10-10-pools"
OPENING: Mapping[str, Decimal] = {INSURANCE: Decimal(5_000)}
MARKETS = ("YFI-USD", "LINEA-USD", "MKR-USD")
#: When the operator rolls the journal back, in virtual seconds, and to which height.
ROLLS_BACK_AT_S, HEIGHT = (1.2, 2.0, 2.8), 4
CLOSED, ROLLED_BACK = "a market is closed", "the journal is rolled back"


class ClearingView:
    """What clearing shows: its pools, and the statement that has to go back with the journal."""

    on = (f"database/{TABLE}/",)

    def __init__(self, world: World) -> None:
        self.database = world.database()
        self.database.load(TABLE, opening_rows(OPENING))

    def row(self, name: str) -> Row:
        """A row as committed now."""
        return self.database.table(TABLE)[name]

    def opening(self) -> Mapping[str, Decimal]:
        """What every pool holds at the beginning."""
        return OPENING

    def transactions(self) -> Iterator[tuple[str, Sequence[Posting]]]:
        """The postings of the journal, closure by closure where they stand together."""
        for closure, postings in groupby(self.journal(), key=lambda posting: posting.closure):
            yield closure, [Posting(posting.pool, posting.usdc) for posting in postings]

    def journal(self) -> Sequence[Booked]:
        """All postings in their order."""
        postings: Sequence[Booked] = self.row(JOURNAL)["postings"]
        return postings

    def height(self) -> int | None:
        """How long the journal is; None while it is being rolled back."""
        return None if self.row(MARK)["rolling_to"] is not None else len(self.journal())

    def heights(self) -> Mapping[str, object]:
        """The statement."""
        return {STATEMENT: self.row(STATEMENT)["height"]}

    def exits(self) -> Sequence[Exit]:
        """There are no orders here."""
        return ()

    def strays(self) -> Sequence[str]:
        """Whoever asks again after a rollback means it."""
        return ()


async def ask(network: Network, method: str, payload: object) -> None:
    """Ask clearing until it has answered."""
    async for attempt in retrying():
        with attempt:
            await network.call(ADDRESS, method, payload, timeout_s=2.0)


@scenario(
    name=NAME,
    faults=[restart("clearing", kinds=("crash", "rolling"))],
    bugs=bugs_of(NAME),
    time_max_s=60.0,
    must_reach=(CLOSED, ROLLED_BACK),
)
async def pools(world: World) -> None:
    """Markets are closed and paid out of one fund, and the books are rolled back."""
    network, shown = world.network(), ClearingView(world)
    view = View(pools=shown, projections=shown)
    require(view, "I16", "I17")
    world.add_invariants(*rules_of(view))
    bug = BUGS[world.bug] if world.bug else NO_BUG

    async def clear(life: Life) -> None:
        service = bug.variant(Clearing, life.incarnation)
        await service(life, database=shown.database, network=network, opening=OPENING).run()

    async def close_markets(numbers: Sequence[int]) -> None:
        for number in numbers:
            market = MARKETS[number % len(MARKETS)]
            usdc = Decimal(100 * (number + 1))
            closure = Closure(
                id=f"closure-{number}", market=market, winner=f"winner-{number}", usdc=usdc
            )
            if world.does("desk"):
                await ask(network, "close", closure)
                world.reach(CLOSED)
            await trio.sleep(0.5)

    async def roll_back() -> None:
        for at_s in ROLLS_BACK_AT_S:
            await trio.sleep_until(at_s)
            await ask(network, "rollback", HEIGHT)
            world.reach(ROLLED_BACK)

    await world.service("clearing", clear).ready()
    lanes = [
        world.start_client("desk", close_markets, range(3)),
        world.start_client("night desk", close_markets, range(3, 6)),
        world.start_client("operator", roll_back),
    ]
    for lane in lanes:
        await world.finished(lane)
