"""The twin of the count of volumes: the same sums, from all blocks of the chain."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from harness.equivalence import Equivalence, Parts
from harness.history import Event as HistoryEvent
from scenarios.exchange import Exchange
from target_stub.cloud.volumes import KEY, TABLE, Counted, counted, with_period_over
from target_stub.core import SetStanding


class VolumesTwin:
    """What every committed count must be; ``on_boundary`` is told of every period that is done."""

    def __init__(
        self, exchange: Exchange, equivalence: Equivalence, *, period_ms: int, boundary: str
    ) -> None:
        self.exchange = exchange
        self.equivalence = equivalence
        self.period_ms = period_ms
        self.boundary = boundary
        #: By period and account, when the period was closed.
        self.volumes_usd: dict[tuple[int, str], Decimal] = {}
        place = f"{exchange.database.name}/{TABLE}/"
        self.twin = equivalence.twin(
            "volumes", Counted(), self.count, expected=parts, actual=self.actual, on=(place,)
        )
        exchange.world.watch(place, self.observe)

    def committed(self) -> Counted | None:
        """The count as it is saved, if it was ever."""
        row = self.exchange.database.table(TABLE).get(KEY)
        found = row["counted"] if row else None
        return found if isinstance(found, Counted) else None

    def observe(self, event: HistoryEvent) -> None:
        """A count was committed."""
        committed = self.committed()
        if event.kind != "write" or committed is None:
            return
        told, closed = self.twin.state.told, self.twin.state.closed
        self.twin.durable(committed)
        count = self.twin.state
        if count.closed > closed:
            for account in count.volumes:
                self.volumes_usd[count.closed, account] = count.volume_usd(account)
        if count.told > told:
            self.equivalence.passed(self.boundary)

    def count(self, before: Counted, committed: Counted) -> Counted:
        """Count up to the same height, from the beginning if that is lower than it was."""
        count = before if committed.height >= before.height else Counted()
        for block in self.exchange.chain.blocks[count.height : committed.height]:
            count = counted(count, block, self.period_ms)
        if committed.closed > count.closed:
            count = with_period_over(count, committed.closed)
        return replace(count, told=committed.told)

    def actual(self) -> Parts | None:
        """What is saved."""
        count = self.committed()
        return None if count is None else parts(count)

    def corrected(self, command: SetStanding) -> SetStanding:
        """The volume that the chain should have been told at that time."""
        closed = command.at_ms // self.period_ms - 1
        volume_usd = self.volumes_usd.get((closed, command.account), command.standing.volume_usd)
        return replace(command, standing=replace(command.standing, volume_usd=volume_usd))


def parts(count: Counted) -> Parts:
    """A count, account by account."""
    volumes = {f"volumes/{account}": dict(mine) for account, mine in count.volumes.items()}
    return {"closed": count.closed, "told": count.told, **volumes}
