"""A runbook: a procedure of several steps whose operator may crash at any of them.

How far it has come, and what was decided on the way, is durable. Every step may be done twice, so a
new incarnation goes on wherever the one before ended.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import trio

from target_stub.cloud.retry import retrying
from target_stub.ports import Database, Life, Network, Row

TABLE = "recovery"


def opening_rows(*decisions: str) -> Mapping[str, Row]:
    """The record of a procedure that has not begun; rows that exist can be locked."""
    return {"progress": {"done": 0}, **{name: {"value": None} for name in decisions}}


class Runbook:
    """One incarnation of an operator; ``steps`` are names of its methods, in their order."""

    steps: Sequence[str] = ()

    def __init__(self, life: Life, *, network: Network, database: Database) -> None:
        self.life = life
        self.network = network
        self.database = database
        self._known: dict[str, Any] = {}

    async def run(self) -> None:
        """Go through all steps, then wait until asked to stop."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.go_on)
            self.life.enter("ready")
            await self.life.stop_requested()
            self.life.enter("drain")
            nursery.cancel_scope.cancel()

    async def go_on(self) -> None:
        """Do the steps that are not known to be done, one after the other."""
        done = await self.progress()
        for number, step in enumerate(self.steps, 1):
            if number > done:
                await self.perform(number, step)

    async def perform(self, number: int, step: str) -> None:
        """Do a step, and only then note that it is done."""
        await getattr(self, step)()
        await self.note(number)

    # --- the durable record -----------------------------------------------------------------

    async def progress(self) -> int:
        """How many steps are done."""
        rows = await self.rows(TABLE)
        done: int = rows["progress"]["done"]
        return done

    async def note(self, number: int) -> None:
        """Remember that a step is done; a note that comes late takes nothing back."""
        async for attempt in retrying():
            with attempt:
                async with self.database.transaction() as transaction:
                    row = await transaction.get_for_update(TABLE, "progress")
                    if row is not None and row["done"] < number:
                        await transaction.put(TABLE, "progress", {"done": number})

    async def decided(self, name: str, make: Callable[[], Awaitable[Any]]) -> Any:
        """A decision of this drill: made once, and the same for every incarnation after that."""
        if name not in self._known:
            found = (await self.rows(TABLE))[name]["value"]
            self._known[name] = await self.decide(name, make) if found is None else found
        return self._known[name]

    async def decide(self, name: str, make: Callable[[], Awaitable[Any]]) -> Any:
        """Make a decision, unless somebody was faster."""
        made = value = await make()
        async for attempt in retrying():
            with attempt:
                async with self.database.transaction() as transaction:
                    row = await transaction.get_for_update(TABLE, name)
                    value = row["value"] if row else None
                    if value is None:
                        value = made
                        await transaction.put(TABLE, name, {"value": made})
        return value

    # --- talking to the others --------------------------------------------------------------

    async def ask(self, address: str, method: str, payload: object) -> Any:
        """Ask a service until it answers."""
        async for attempt in retrying():
            with attempt:
                answer = await self.network.call(address, method, payload)
        return answer

    async def rows(self, table: str) -> Mapping[str, Row]:
        """All rows of a table."""
        async for attempt in retrying():
            with attempt:
                rows = await self.database.scan(table)
        return rows
