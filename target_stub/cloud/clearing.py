"""Clearing: pays the winners of a market that was closed, out of pools, and can be rolled back.

The books are one journal of postings; a statement beside it says what is in every pool. A closure
is one transaction: the insurance fund pays into the pool of the market before the pool pays out. A
rollback is two, each of which can be done again, and a mark says until the last one that it goes
on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from target_stub.cloud.retry import retrying
from target_stub.core.money import exact
from target_stub.ports import Database, Life, Network, Request, Row, Transaction

ADDRESS = "clearing"
TABLE = "clearing"
#: The rows of the table.
JOURNAL, STATEMENT, MARK = "journal", "statement", "mark"
INSURANCE = "insurance"


@dataclass(frozen=True, slots=True)
class Posting:
    """Money into a pool, or out of it if negative, because of a closure."""

    closure: str
    pool: str
    usdc: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Closure:
    """A market that is closed: its winner is owed more than its losers have left in the pool."""

    id: str
    market: str
    winner: str
    usdc: Decimal

    def cover(self) -> tuple[Posting, ...]:
        """What the insurance fund pays into the pool of the market."""
        return (Posting(self.id, INSURANCE, -self.usdc), Posting(self.id, self.market, self.usdc))

    def payout(self) -> tuple[Posting, ...]:
        """What the pool pays to the winner."""
        return (Posting(self.id, self.market, -self.usdc), Posting(self.id, self.winner, self.usdc))


@exact
def totals(opening: Mapping[str, Decimal], postings: Iterable[Posting]) -> Mapping[str, Decimal]:
    """What is in every pool after some postings."""
    held = dict(opening)
    for posting in postings:
        held[posting.pool] = held.get(posting.pool, Decimal(0)) + posting.usdc
    return held


def opening_rows(opening: Mapping[str, Decimal]) -> Mapping[str, Row]:
    """The table of a clearing that has done nothing yet."""
    return {
        JOURNAL: {"postings": ()},
        STATEMENT: {"height": 0, "totals": dict(opening)},
        MARK: {"rolling_to": None},
    }


class Clearing:
    """One incarnation of the service; it keeps nothing in memory."""

    def __init__(
        self, life: Life, *, database: Database, network: Network, opening: Mapping[str, Decimal]
    ) -> None:
        self.life = life
        self.database = database
        self.network = network
        self.opening = opening

    async def run(self) -> None:
        """Finish a rollback that was begun, then answer one call after the other."""
        requests = self.network.listen(ADDRESS)
        self.life.enter("hydrate")
        async for attempt in retrying():
            with attempt:
                await self.resume()
        self.life.enter("ready")
        async for request in requests:
            await self.answer(request)

    async def answer(self, request: Request) -> None:
        """``close`` a market, or ``rollback`` to a height of the journal."""
        if request.method == "close":
            if not await self.close(request.payload):
                await request.fail(ConnectionError("the books are being rolled back"))
                return
        elif request.method == "rollback":
            await self.mark(request.payload)
            await self.resume()
        else:
            await request.fail(ValueError(f"clearing has no method {request.method!r}"))
            return
        await request.reply("done")

    async def close(self, closure: Closure) -> bool:
        """Cover, then pay out, in one transaction; not while the books are rolled back."""
        return await self.post((*closure.cover(), *closure.payout()))

    async def post(self, postings: tuple[Posting, ...]) -> bool:
        """Put postings behind the journal, unless they are there, with the statement they make."""
        async with self.database.transaction() as transaction:
            if await self.locked_mark(transaction) is not None:
                return False
            row = await transaction.get_for_update(TABLE, JOURNAL)
            known: tuple[Posting, ...] = row["postings"] if row else ()
            if not any(posting in known for posting in postings):
                await transaction.put(TABLE, JOURNAL, {"postings": (*known, *postings)})
                await transaction.put(TABLE, STATEMENT, self.statement((*known, *postings)))
        return True

    def statement(self, postings: tuple[Posting, ...]) -> Row:
        """What everybody may read."""
        return {"height": len(postings), "totals": totals(self.opening, postings)}

    # --- rollback ---------------------------------------------------------------------------

    async def mark(self, height: int) -> None:
        """Say that a rollback goes on."""
        async with self.database.transaction() as transaction:
            await transaction.put(TABLE, MARK, {"rolling_to": height})

    async def resume(self) -> None:
        """Do what a mark says: first the journal, then the statement, which ends it."""
        await self.cut()
        await self.restate()

    async def locked_mark(self, transaction: Transaction) -> int | None:
        """To which height a rollback goes on, if one does, until the transaction ends."""
        row = await transaction.get_for_update(TABLE, MARK)
        return row["rolling_to"] if row else None

    async def cut(self) -> bool:
        """Take the journal back, if a mark says so; whether there was anything to take back."""
        async with self.database.transaction() as transaction:
            height = await self.locked_mark(transaction)
            row = await transaction.get_for_update(TABLE, JOURNAL)
            known: tuple[Posting, ...] = row["postings"] if row else ()
            if height is None or len(known) <= height:
                return False
            await transaction.put(TABLE, JOURNAL, {"postings": known[:height]})
        return True

    async def restate(self) -> None:
        """Make the statement anew from the journal, and take the mark away with it."""
        async with self.database.transaction() as transaction:
            await transaction.get_for_update(TABLE, MARK)
            row = await transaction.get_for_update(TABLE, JOURNAL)
            await transaction.put(TABLE, STATEMENT, self.statement(row["postings"] if row else ()))
            await transaction.put(TABLE, MARK, {"rolling_to": None})
