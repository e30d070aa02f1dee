"""Volumes: adds up what everybody trades, and tells the chain when a period is over.

Fees go by the volume of the last 14 periods (days on the real exchange: Paradex documentation,
trading fees), so what was counted must survive a restart to the last trade. The count and the
height up to which it goes are one row: what is counted twice or left out at a restart would show
only when the period ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import trio

from target_stub.chain import BLOCKS, Block
from target_stub.cloud.market_data import StaleEpoch, check_not_overtaken
from target_stub.cloud.oracle_feed import sleep_until_multiple
from target_stub.cloud.retry import retrying
from target_stub.core import Filled, FillType, SetStanding, State
from target_stub.core.money import ZERO, exact
from target_stub.ports import Database, Life, Network, Row

TABLE, KEY = "volumes", "all"
#: How many periods count for the fees.
PERIODS = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What was traded in the first ``height`` blocks, in USD, by account and period.

    ``last`` is the command of the last of these blocks: after a rollback it is another one.
    ``closed`` is the last period that is over, ``told`` the last one of which the chain knows all;
    periods are counted from the beginning of time.
    """

    height: int = 0
    last: str = ""
    closed: int = -1
    told: int = -1
    volumes: Mapping[str, Mapping[int, Decimal]] = field(default_factory=dict)

    @exact
    def volume_usd(self, account: str) -> Decimal:
        """What counts for the fees of an account: the last 14 periods that are over."""
        first = self.closed - PERIODS + 1
        mine = self.volumes.get(account, {})
        return sum((v for p, v in mine.items() if first <= p <= self.closed), ZERO)


@exact
def counted(before: Counted, block: Block, period_ms: int) -> Counted:
    """The same with one more block: a trade counts for both sides, in the period it belongs to."""
    volumes = {account: dict(periods) for account, periods in before.volumes.items()}
    period = block.command.at_ms // period_ms
    for event in block.events:
        if isinstance(event, Filled) and event.fill_type in (FillType.FILL, FillType.RPI):
            for side in (event.taker, event.maker):
                mine = volumes.setdefault(side.account, {})
                mine[period] = mine.get(period, ZERO) + event.price.value * event.size
    return replace(before, height=block.height, last=block.command.id, volumes=volumes)


def with_period_over(before: Counted, period: int) -> Counted:
    """The same after a period; what is older than all that counts is forgotten."""
    first = period - PERIODS + 1
    volumes = {
        account: {each: volume for each, volume in periods.items() if each >= first}
        for account, periods in before.volumes.items()
    }
    return replace(before, closed=period, volumes=volumes)


def opening_row() -> Row:
    """Nothing was counted yet, and nobody counts."""
    return {"counted": Counted(), "incarnation": 0}


class Volumes:
    """One incarnation of the count; ``counted`` is what it knows once it has hydrated."""

    def __init__(self, life: Life, *, database: Database, network: Network, period_ms: int) -> None:
        self.life = life
        self.database = database
        self.network = network
        self.period_ms = period_ms
        self.counted = Counted()
        self._one_at_a_time = trio.Lock()

    async def run(self) -> None:
        """Read what was counted, catch up, and count until asked to stop."""
        blocks = self.network.subscribe(BLOCKS)
        self.life.enter("hydrate")
        try:
            await self.hydrate()
        except StaleEpoch:
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.follow, blocks)
            nursery.start_soon(self.close_for_ever)
            self.life.enter("ready")
            await self.life.stop_requested()
            self.life.enter("drain")
            nursery.cancel_scope.cancel()

    async def hydrate(self) -> None:
        """Take over what the incarnation before this one has saved, and the right to write it.

        Raises :class:`StaleEpoch` if a later incarnation has that right, KeyError if there is no
        row at all.
        """
        async for attempt in retrying():
            with attempt:
                async with self.database.transaction() as transaction:
                    row = await transaction.get_for_update(TABLE, KEY)
                    found = check_not_overtaken(self.life, row)["counted"]
                    await transaction.put(TABLE, KEY, self.row_of(found))
        self.counted = found

    async def follow(self, blocks: Any) -> None:
        """Count whenever somebody traded; which blocks are new, the chain says."""
        await self.catch_up()
        async for block in blocks:
            if any(isinstance(event, Filled) for event in block.events):
                await self.catch_up()

    async def catch_up(self) -> None:
        """Count the blocks that were not counted yet, all at once."""
        async with self._one_at_a_time:
            await self.count_new()

    async def count_new(self) -> None:
        """Ask for them and save the result, if somebody traded in them.

        If the chain was rolled back below what was counted, everything is counted anew.
        """
        after = self.counted
        blocks = await self.blocks_from(max(0, after.height - 1))
        if after.height and (not blocks or blocks[0].command.id != after.last):
            after = Counted(closed=after.closed, told=after.told)
            blocks = await self.blocks_from(0)
        for block in blocks[1:] if after.height else blocks:
            after = counted(after, block, self.period_ms)
        if after.volumes != self.counted.volumes:
            await self.save(after)

    async def blocks_from(self, height: int) -> Sequence[Block]:
        """The blocks above a height."""
        async for attempt in retrying():
            with attempt:
                _, blocks = await self.network.call("chain", "blocks", height)
        return tuple(blocks)

    async def save(self, after: Counted) -> None:
        """Make a count durable, and only then believe it; wait for the end if it is another's."""
        async for attempt in retrying():
            with attempt:
                async with self.database.transaction() as transaction:
                    row = await transaction.get_for_update(TABLE, KEY)
                    mine = row is not None and row["incarnation"] == self.life.incarnation
                    if mine:
                        await transaction.put(TABLE, KEY, self.row_of(after))
        if not mine:
            await trio.sleep_forever()
        self.counted = after

    def row_of(self, found: Counted) -> Row:
        """A count as it is kept, with who wrote it."""
        return {"counted": found, "incarnation": self.life.incarnation}

    async def close_for_ever(self) -> None:
        """Close every period when it is over, or as soon as possible after that."""
        while True:
            over = round(trio.current_time() * 1000) // self.period_ms - 1
            async with self._one_at_a_time:
                await self.close(over)
            await sleep_until_multiple(self.period_ms)

    async def close(self, period: int) -> None:
        """Close a period if it is open, and tell the chain what that means unless it knows."""
        if period > self.counted.closed:
            await self.count_new()
            await self.save(with_period_over(self.counted, period))
        if self.counted.told < self.counted.closed:
            await self.tell_chain()
            await self.save(replace(self.counted, told=self.counted.closed))

    async def tell_chain(self) -> None:
        """Set the standing of everybody who traded; told twice it is the same command."""
        async for attempt in retrying():
            with attempt:
                state = await self.network.call("chain", "state", None)
        if not isinstance(state, State):
            raise TypeError(f"the chain answered {state!r}")
        for account in sorted(self.counted.volumes):
            standing = replace(
                state.accounts[account].standing, volume_usd=self.volume_usd(account)
            )
            command = SetStanding(
                id=f"standing-{self.counted.closed}-{account}",
                at_ms=(self.counted.closed + 1) * self.period_ms,
                account=account,
                standing=standing,
            )
            async for attempt in retrying():
                with attempt:
                    await self.network.call("chain", "submit", command)

    def volume_usd(self, account: str) -> Decimal:
        """What counts for the fees of an account."""
        return self.counted.volume_usd(account)
