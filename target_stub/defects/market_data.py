"""Market data services with one defect each: they act too early, or on what is no longer true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import trio

from target_stub.cloud.market_data import (
    EPOCHS,
    TABLE,
    TOPIC,
    MarketData,
    check_epoch,
    market_of_row,
)
from target_stub.cloud.retry import retrying
from target_stub.core import Market
from target_stub.core.mark import NO_AVERAGES
from target_stub.defects.bug import Bug
from target_stub.guards import EPOCH_FENCE
from target_stub.ports import Row


def newly_listed(market: Market, at_ms: int) -> Market:
    """A market on its first day: nothing has been paid yet, so its index is 0 and that is right."""
    return replace(
        new_session(market),
        funding_index=Decimal(0),
        funding_at_ms=at_ms,
    )


def new_session(market: Market) -> Market:
    """A market whose averages and premium begin anew."""
    return replace(market, premium_usdc=Decimal(0), rate=Decimal(0), averages=NO_AVERAGES)


class PublishesBeforeHydrated(MarketData):
    """Starts to tick at boot, with every market as if newly listed, and hydrates meanwhile."""

    async def begin(self, nursery: trio.Nursery) -> None:
        """Tick and hydrate at the same time; hydrating is nearly always first."""
        await self.quoted.wait()
        now_ms = round(trio.current_time() * 1000)
        listed = {
            symbol: newly_listed(market, now_ms) for symbol, market in self.state.markets.items()
        }
        self.state = replace(self.state, markets=listed)
        nursery.start_soon(self.tick_for_ever)
        await self.hydrate()
        self.life.enter("ready")


class TakesMissingPriceForZero(MarketData):
    """Ticks without waiting for a quote, and writes 0 where it has no price."""

    def take_over(self, rows: Mapping[str, Row]) -> None:
        """The prices of the row are old; those of the oracle are taken, if there are any yet."""
        quoted = self.state.markets
        super().take_over(rows)
        markets = {
            symbol: replace(market, spot_usd=quoted[symbol].spot_usd, mark_usd=None)
            for symbol, market in self.state.markets.items()
        }
        self.state = replace(self.state, markets=markets)

    async def begin(self, nursery: trio.Nursery) -> None:
        """A quote comes every second and a tick every five, so there will be one in time."""
        await self.hydrate()
        self.life.enter("ready")
        nursery.start_soon(self.tick_for_ever)

    def advance(self, now_ms: int) -> Mapping[str, Row]:
        """Advance what has a price; what has none is worth nothing."""
        if any(market.spot_usd is None for market in self.state.markets.values()):
            markets = {
                symbol: replace(
                    market, spot_usd=Decimal(0), mark_usd=Decimal(0), funding_at_ms=now_ms
                )
                for symbol, market in self.state.markets.items()
            }
            self.state = replace(self.state, markets=markets)
            return {symbol: self.row_of(market) for symbol, market in markets.items()}
        return super().advance(now_ms)


class ResetsAfterLoading(MarketData):
    """Opens a session with the chain and loads the rows; the session begins with a reset."""

    async def hydrate(self) -> None:
        """During an upgrade the chain answers long before the database does."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.open_session)
            nursery.start_soon(super().hydrate)

    async def open_session(self) -> None:
        """Averages and premium belong to a session."""
        async for attempt in retrying():
            with attempt:
                await self.network.call("chain", "state", None)
        markets = {symbol: new_session(market) for symbol, market in self.state.markets.items()}
        self.state = replace(self.state, markets=markets)


class AnnouncesBeforeCommit(MarketData):
    """Tells everybody the new values while it is still writing them."""

    async def tick(self) -> None:
        """The write was sent right after, so it is nearly always done before anybody acts."""
        epoch = self.epoch
        rows = self.advance(round(trio.current_time() * 1000))
        await self.network.publish(TOPIC, rows)
        await self.commit(rows, epoch)


class ChecksEpochOnce(MarketData):
    """Looks at the epoch first and writes afterwards, not in one transaction."""

    async def persist(self, rows: Mapping[str, Row], epoch: int | None) -> None:
        """Whoever held the epoch a moment ago holds it still, nearly always."""
        epochs = await self.database.scan(EPOCHS)
        check_epoch(self.life, epoch, epochs.get(TABLE))
        await self.database.put_all(TABLE, rows)


class TicksWhileItLoads(MarketData):
    """Loads one market after the other and ticks those it has, so that none has to wait."""

    async def begin(self, nursery: trio.Nursery) -> None:
        """Three reads against a tick every five seconds: all are loaded in time, nearly always."""
        await self.quoted.wait()
        self.life.enter("hydrate")
        listed = self.state.markets
        self.state = replace(self.state, markets={})
        nursery.start_soon(self.tick_for_ever)
        for symbol, market in listed.items():
            row = await self.read_row(symbol)
            markets = {**self.state.markets, symbol: market_of_row(market, row)}
            self.state = replace(self.state, markets=markets)
        self.life.enter("ready")

    async def read_row(self, symbol: str) -> Row:
        """One market's row; KeyError if it has none."""
        async for attempt in retrying():
            with attempt:
                async with self.database.transaction() as transaction:
                    row = await transaction.get(TABLE, symbol)
        if row is None:
            raise KeyError(symbol)
        return row


#: The planted bugs of this file by name.
BUGS: Mapping[str, Bug] = {
    "index_zero": Bug(
        text="market data ticks before it has hydrated: funding indices become 0",
        breaks="funding_index_step_is_bounded",
        incident=(
            "Paradex, 19 January 2026: a service restarted during a database upgrade saved and "
            "published default values; funding indices of some markets became 0"
        ),
        family="acts before it is ready",
        budget=100,
        also=(
            "nothing_reverts_to_a_default",
            "nobody_writes_before_it_is_ready",
            "liquidations_are_justified",
        ),
        replaces={MarketData: PublishesBeforeHydrated},
        since=2,
    ),
    "price_zero": Bug(
        text="market data takes a missing price for 0: mark prices become 0",
        breaks="nothing_reverts_to_a_default",
        incident=(
            "Paradex, 19 January 2026, as the press of that day told it: BTC, ETH and SOL at 0.00"
        ),
        family="missing taken as zero",
        budget=100,
        also=("liquidations_are_justified", "marks_are_near_an_outside_price"),
        replaces={MarketData: TakesMissingPriceForZero},
        since=2,
    ),
    "reset_after_load": Bug(
        text="market data resets premium and averages after it has loaded them",
        breaks="recovered_state_is_durable_state",
        incident=("github.com/qubic/core pull 421: counters were reset after loading the snapshot"),
        family="reset after load",
        budget=20,
        replaces={MarketData: ResetsAfterLoading},
        since=2,
    ),
    "announced_before_commit": Bug(
        text="market data announces values that it has not committed yet",
        breaks="published_is_committed",
        incident=(
            "github.com/etcd-io/etcd issue 13766: what had been applied and what was saved of it "
            "were written apart, and a crash between left members that disagree"
        ),
        family="announced before durable",
        budget=100,
        replaces={MarketData: AnnouncesBeforeCommit},
        since=2,
    ),
    "epoch_checked_once": Bug(
        text="market data checks its epoch before the transaction, not in it",
        breaks="older_incarnation_never_overwrites",
        incident=(
            "AWS DynamoDB, 19 October 2025: a delayed worker applied an old plan after a check of "
            "its freshness that it had made once, at the start"
        ),
        family="plan applied after a one-time check",
        budget=200,
        replaces={MarketData: ChecksEpochOnce},
        guards=(EPOCH_FENCE,),
    ),
    "ticks_while_it_loads": Bug(
        text="market data ticks the markets it has loaded while it loads the others",
        breaks="nobody_writes_before_it_is_ready",
        incident=(
            "Base, 5 August 2025: a sequencer that was still being provisioned was made the leader"
        ),
        family="acts before it is ready",
        budget=50,
        also=("recovered_state_is_durable_state",),
        replaces={MarketData: TicksWhileItLoads},
        since=2,
    ),
}
