"""Market data that comes back in the wrong way: what it does not have yet, it makes up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import trio

from target_stub.cloud.market_data import TOPIC, MarketData
from target_stub.cloud.retry import retrying
from target_stub.core import Market, MarketSpec
from target_stub.core.mark import Averages
from target_stub.core.money import ZERO
from target_stub.defects.bug import Bug
from target_stub.ports import Row


class TicksUnquoted(MarketData):
    """Ticks without waiting for a quote; what it does then is said by ``unquoted``."""

    async def begin(self, nursery: trio.Nursery) -> None:
        """A quote comes every second and a tick every five, so there will be one in time."""
        await self.hydrate()
        self.life.enter("ready")
        nursery.start_soon(self.tick_for_ever)

    def advance(self, now_ms: int) -> Mapping[str, Row]:
        """Advance what was quoted, and do something with the rest."""
        if self.quoted.is_set():
            return super().advance(now_ms)
        markets = {
            symbol: replace(self.unquoted(market), funding_at_ms=now_ms)
            for symbol, market in self.state.markets.items()
        }
        self.state = replace(self.state, markets=markets)
        return {symbol: self.row_of(market) for symbol, market in markets.items()}

    def unquoted(self, market: Market) -> Market:
        """A market that nobody has quoted since this incarnation booted."""
        return market


class OwesNothingUnquoted(TicksUnquoted):
    """Takes a premium that it cannot compute for 0."""

    def unquoted(self, market: Market) -> Market:
        """Without a price there is nothing to pay."""
        return replace(market, premium_usdc=ZERO, rate=ZERO)


class AveragesFromZero(TicksUnquoted):
    """Lets averages begin from 0 where it has none, and computes the mark price with them."""

    def unquoted(self, market: Market) -> Market:
        """The basis is then 0, and the mark price the spot price of the row."""
        averages = Averages(bid=ZERO, ask=ZERO, last=ZERO, mid=ZERO)
        return replace(market, averages=averages, mark_usd=market.known("spot_usd"))


class TicksWhileItValidates(MarketData):
    """Has loaded everything and ticks, while it still asks the chain whether that can be true."""

    async def begin(self, nursery: trio.Nursery) -> None:
        """One call against a tick every five seconds: it is answered in time, nearly always."""
        await self.quoted.wait()
        await self.hydrate()
        nursery.start_soon(self.tick_for_ever)
        async for attempt in retrying():
            with attempt:
                await self.network.call("chain", "state", None)
        await self.between_ticks.wait()
        self.life.enter("ready")


class ReadsUntilNoTickIsMissing(MarketData):
    """Takes for granted that somebody has ticked in time, and reads again, at once, until so."""

    async def hydrate(self) -> None:
        """There was a tick at every multiple of five seconds, nearly always."""
        for _ in range(100):
            await super().hydrate()
            now_ms, tick_ms = round(trio.current_time() * 1000), self.state.spec.funding_tick_ms
            due_ms = now_ms - now_ms % tick_ms
            if all((each.funding_at_ms or 0) >= due_ms for each in self.state.markets.values()):
                return


class WaitsForItsPredecessor(MarketData):
    """Hydrates right after a tick of the incarnation before it, when nothing is under way."""

    async def begin(self, nursery: trio.Nursery) -> None:
        """A service is replaced while it runs, nearly always, and then it ticks once more."""
        async for _ in self.network.subscribe(TOPIC):
            break
        await super().begin(nursery)


class FallsBackOnItsOwnParameters(MarketData):
    """Takes the parameters of the chain, or its own if the chain does not answer in time."""

    async def hydrate(self) -> None:
        """The chain answers within milliseconds, nearly always."""
        await super().hydrate()
        specs = {symbol: newer(market.spec) for symbol, market in self.state.markets.items()}
        with trio.move_on_after(0.05):
            chain = await self.network.call("chain", "state", None)
            specs = {symbol: market.spec for symbol, market in chain.markets.items()}
        markets = {
            symbol: replace(market, spec=specs[symbol])
            for symbol, market in self.state.markets.items()
        }
        self.state = replace(self.state, markets=markets)


def newer(spec: MarketSpec) -> MarketSpec:
    """The parameters of the release of 28 January 2026: 8 hours and 5 % in every market."""
    return replace(spec, funding_period_hours=8, max_funding_rate=Decimal("0.05"))


#: The planted bugs of this file by name.
BUGS: Mapping[str, Bug] = {
    "premium_zero": Bug(
        text="market data takes a premium that it cannot compute yet for 0",
        breaks="nothing_reverts_to_a_default",
        incident=(
            "github.com/michaeljfazio/dugite issue 736: one field was left empty on load and "
            "computed later from what was there by then"
        ),
        family="missing taken as zero",
        budget=100,
        replaces={MarketData: OwesNothingUnquoted},
        since=2,
    ),
    "averages_from_zero": Bug(
        text="market data lets averages begin from 0: the mark price loses its basis",
        breaks="marks_are_near_an_outside_price",
        incident=(
            "github.com/vegaprotocol/vega issue 8854: probabilities that prices are made with were "
            "empty after a restore"
        ),
        family="average seeded with zero",
        budget=100,
        replaces={MarketData: AveragesFromZero},
        since=2,
    ),
    "ticks_while_it_validates": Bug(
        text="market data ticks before it has validated what it loaded",
        breaks="nobody_writes_before_it_is_ready",
        incident=(
            "NYSE, 24 January 2023: the system took its symbols for open already, because another "
            "one had not been shut down, and left out the opening"
        ),
        family="acts before it is ready",
        budget=100,
        replaces={MarketData: TicksWhileItValidates},
        since=2,
    ),
    "reads_until_nothing_is_missing": Bug(
        text="market data reads again at once, until somebody has ticked that it waits for",
        breaks="recovery_completes",
        incident=(
            "Coinbase, 7 May 2026: what came back took something for granted at its start that was "
            "not so, until the code was changed; and Nasdaq, 18 May 2012: a computation that began "
            "anew at once, for twenty minutes"
        ),
        family="recompute-retry loop without bound",
        budget=50,
        replaces={MarketData: ReadsUntilNoTickIsMissing},
        since=2,
    ),
    "waits_for_predecessor": Bug(
        text="market data waits for a tick of the incarnation before it, which may be gone",
        breaks="recovery_completes",
        incident=(
            "Coinbase, 7 May 2026: recovery waited for what had to be there at startup and was "
            "not, until the code was changed"
        ),
        family="waits for somebody who is gone",
        budget=100,
        also=("finishes_within_limits",),
        replaces={MarketData: WaitsForItsPredecessor},
        since=2,
    ),
    "own_parameters": Bug(
        text="market data falls back on parameters of its own if the chain does not answer in time",
        breaks="everybody_works_by_one_set_of_parameters",
        incident=(
            "Tokyo Stock Exchange, 1 October 2020: a setting for failover meant something else "
            "than the rest of the system took it for"
        ),
        family="configuration applied before its consumers",
        budget=50,
        replaces={MarketData: FallsBackOnItsOwnParameters},
        since=2,
    ),
}
