"""Market data services with one defect each that shows when two incarnations are alive at once."""

from __future__ import annotations

from collections.abc import Mapping

import trio

from target_stub.cloud.market_data import EPOCHS, TABLE, TOPIC, MarketData
from target_stub.defects.bug import Bug
from target_stub.guards import EPOCH_FENCE
from target_stub.ports import Row


class ReadsItsEpochBack(MarketData):
    """Presents the epoch that the database holds, so that it is always the right one."""

    async def persist(self, rows: Mapping[str, Row], epoch: int | None) -> None:
        """The epoch is looked up for every write, by whoever writes."""
        held = (await self.database.scan(EPOCHS)).get(TABLE, {})
        await super().persist(rows, held.get("incarnation", epoch))


class FlushesWhenItStops(MarketData):
    """Asked to stop during a tick, it writes the rows of that tick at once and goes."""

    async def commit(self, rows: Mapping[str, Row], epoch: int | None) -> bool:
        """A tick is over in no time; a stop hardly ever comes in between."""
        done = False

        async def write() -> None:
            nonlocal done
            done = await super(FlushesWhenItStops, self).commit(rows, epoch)
            nursery.cancel_scope.cancel()

        async def flush() -> None:
            await self.life.stop_requested()
            with trio.CancelScope(shield=True):
                await self.database.put_all(TABLE, rows)
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(flush)
            nursery.start_soon(write)
        return done


class AnnouncesWhatWasRefused(MarketData):
    """Announces a tick after its commit, whatever became of the commit."""

    async def tick(self) -> None:
        """A commit succeeds: it is tried until it does, and a refusal is rare."""
        epoch = self.epoch
        rows = self.advance(round(trio.current_time() * 1000))
        await self.commit(rows, epoch)
        await self.network.publish(TOPIC, rows)


#: The planted bugs of this file by name.
BUGS: Mapping[str, Bug] = {
    "epoch_read_back": Bug(
        text="market data writes under the epoch that it finds, not under the one it took",
        breaks="older_incarnation_never_overwrites",
        incident=(
            "Jepsen, etcd 3.4.3: a lock holder that was paused goes on writing after its lock has "
            "passed to another one"
        ),
        family="stale writer after failover",
        budget=30,
        also=("market_time_never_runs_back",),
        replaces={MarketData: ReadsItsEpochBack},
        guards=(EPOCH_FENCE,),
    ),
    "flush_not_fenced": Bug(
        text="market data that is asked to stop flushes its tick past the epoch fence",
        breaks="older_incarnation_never_overwrites",
        incident=(
            "NYSE, 24 January 2023: a backup system was left running, and what it still sent was "
            "taken for the primary's"
        ),
        family="stale writer after failover",
        budget=40,
        also=("market_time_never_runs_back",),
        replaces={MarketData: FlushesWhenItStops},
        guards=(EPOCH_FENCE,),
    ),
    "refusal_ignored": Bug(
        text="market data announces a tick whose commit the epoch fence refused",
        breaks="published_is_committed",
        incident=(
            "Cloudflare, 18 November 2025: a file that nobody had validated was published to all "
            "consumers"
        ),
        family="refused, and published all the same",
        budget=20,
        replaces={MarketData: AnnouncesWhatWasRefused},
        guards=(EPOCH_FENCE,),
    ),
}
