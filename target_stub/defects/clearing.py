"""Clearings with one defect each: what belongs together is done apart."""

from __future__ import annotations

from collections.abc import Mapping

import trio

from target_stub.cloud.clearing import MARK, TABLE, Clearing, Closure, Posting
from target_stub.defects.bug import Bug

SCENARIO = "dydx-2025-10-10-pools"


class PaysWhileItIsCovered(Clearing):
    """Covers and pays out at the same time: together they come to nothing."""

    async def close(self, closure: Closure) -> bool:
        """The cover is sent first, so it is there first, nearly always."""
        done: list[bool] = []

        async def post(postings: tuple[Posting, ...]) -> None:
            done.append(await self.post(postings))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(post, closure.cover())
            nursery.start_soon(post, closure.payout())
        return all(done)


class TakesACutForARollback(Clearing):
    """Takes a rollback whose journal is cut already for one that is done."""

    async def resume(self) -> None:
        """The statement is made right after the cut, so it is there, nearly always."""
        if await self.cut():
            await self.restate()
            return
        async with self.database.transaction() as transaction:
            await transaction.put(TABLE, MARK, {"rolling_to": None})


#: The planted bugs of this file by name.
BUGS: Mapping[str, Bug] = {
    "paid_while_covered": Bug(
        text="clearing pays a winner at the same time as the insurance fund covers it",
        breaks="pools_pay_what_they_have",
        incident=(
            "dYdX, 10 October 2025: collateral was moved before the insurance fund had paid, a "
            "pool went below zero and a failsafe halted the chain for eight hours"
        ),
        family="prerequisite order inside a transaction",
        budget=50,
        scenario=SCENARIO,
        replaces={Clearing: PaysWhileItIsCovered},
    ),
    "cut_taken_for_rollback": Bug(
        text="a new clearing takes a rollback for done whose journal is cut already",
        breaks="rollback_is_complete",
        incident=(
            "Paradex, 19 January 2026: the chain was rolled back; portfolio and vault pages told "
            "of what had been rolled back for a week"
        ),
        family="one of two copies restored",
        budget=100,
        scenario=SCENARIO,
        replaces={Clearing: TakesACutForARollback},
    ),
}
