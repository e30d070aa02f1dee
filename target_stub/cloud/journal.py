"""The journal of matching: every command in the order in which it counts, durable before it does.

One row for each command, numbered without a gap. Only the incarnation that holds the epoch may
write, and it must hold it in the very transaction that writes: one that was replaced while its
write was under way finds out by that, whatever it believed before.

A journal may be shortened: rows go once a snapshot of what they did is durable. The last row that
the snapshot contains stays, so that the first row of a journal says which snapshot it goes on from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from target_stub.cloud.market_data import EPOCHS, check_epoch, check_not_overtaken
from target_stub.cloud.retry import retrying
from target_stub.core import Command
from target_stub.ports import Database, Life, Row

TABLE = "journal"
#: Digits of the key of a row, so that keys sort as numbers do.
DIGITS = 9


@dataclass(frozen=True, slots=True)
class Tail:
    """The commands after the first ``begins``, which a snapshot has; all of them if that is 0."""

    begins: int
    commands: tuple[Command, ...]


class Journal:
    """The journal as one incarnation writes it.

    ``length`` is how many commands there are, ``begins`` how many of them only a snapshot has.
    """

    def __init__(self, life: Life, database: Database) -> None:
        self.life = life
        self.database = database
        self.length = 0
        self.begins = 0

    async def take_over(self) -> Tail:
        """Take the right to write and read all commands that are there, as one transaction.

        Raises :class:`StaleEpoch` if a later incarnation has that right, ValueError if a row is
        missing between two others.
        """
        rows: Mapping[str, Row] = {}
        async for attempt in retrying():
            with attempt:
                rows = await self.read()
        first = int(next(iter(rows), 1))
        self.length = first + len(rows) - 1
        if list(rows) != [key_of(number) for number in range(first, self.length + 1)]:
            raise ValueError(f"the journal has a gap: {len(rows)} rows, the last is {[*rows][-1]}")
        commands = tuple(row["command"] for row in rows.values())
        self.begins = first if first > 1 else 0
        return Tail(self.begins, commands[1:] if self.begins else commands)

    async def read(self) -> Mapping[str, Row]:
        """All rows; whoever wrote before this can write no more when they are read."""
        async with self.database.transaction() as transaction:
            check_not_overtaken(self.life, await transaction.get_for_update(EPOCHS, TABLE))
            await transaction.put(EPOCHS, TABLE, {"incarnation": self.life.incarnation})
            return await transaction.scan(TABLE)

    async def append(self, commands: Sequence[Command]) -> None:
        """Write commands behind all others; they are durable when this returns.

        Raises :class:`StaleEpoch` if another incarnation has taken over. Then the commands may be
        durable all the same, if an earlier attempt has got through before that.
        """
        rows = {
            key_of(self.length + number): {"command": command, "written_by": self.life.name}
            for number, command in enumerate(commands, 1)
        }
        async for attempt in retrying():
            with attempt:
                await self.write(rows)
        self.length += len(rows)

    async def shorten(self, length: int) -> None:
        """Delete what is before the command of this number; a snapshot of it must be durable.

        Raises :class:`StaleEpoch` if another incarnation has taken over.
        """
        async for attempt in retrying():
            with attempt:
                async with self.database.transaction() as transaction:
                    held = await transaction.get_for_update(EPOCHS, TABLE)
                    check_epoch(self.life, self.life.incarnation, held)
                    for number in range(max(1, self.begins), length):
                        await transaction.delete(TABLE, key_of(number))
        self.begins = length

    async def write(self, rows: Mapping[str, Row]) -> None:
        """Write rows under the epoch; writing the same rows again changes nothing."""
        async with self.database.transaction() as transaction:
            held = await transaction.get_for_update(EPOCHS, TABLE)
            check_epoch(self.life, self.life.incarnation, held)
            await transaction.put_all(TABLE, rows)


def key_of(number: int) -> str:
    """The key of the row of a command; commands count from 1."""
    return f"{number:0{DIGITS}}"
