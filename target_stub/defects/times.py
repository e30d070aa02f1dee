"""Defects about time: which clock, in which unit, and when something is too old."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import trio

from target_stub.chain import Chain
from target_stub.cloud.market_data import MarketData
from target_stub.cloud.retry import retrying
from target_stub.core import Liquidate, Market, SettleTrade, State
from target_stub.core.funding import advance_index
from target_stub.defects.bug import Bug
from target_stub.guards import EPOCH_FENCE, FRESHNESS
from target_stub.ports import Row


class MakesUpForSecondsItNeverLost(MarketData):
    """Adds what a late tick missed, and takes its milliseconds for seconds."""

    def advance(self, now_ms: int) -> Mapping[str, Row]:
        """A tick is on time, nearly always."""
        late_s = now_ms % self.state.spec.funding_tick_ms
        markets = {
            symbol: self.made_up(market, elapsed_ms=late_s * 1000)
            for symbol, market in self.state.markets.items()
        }
        self.state = replace(self.state, markets=markets)
        return super().advance(now_ms)

    def made_up(self, market: Market, *, elapsed_ms: int) -> Market:
        """A market whose premium has run for that time."""
        index = advance_index(
            market.known("funding_index"),
            market.known("premium_usdc"),
            from_ms=0,
            to_ms=elapsed_ms,
            market=market.spec,
            exchange=self.state.spec,
        )
        return replace(market, funding_index=index)


class ClockIsSetLater(MarketData):
    """Runs on another host, whose clock is slow until it has been synchronised with the chain."""

    slow_ms, samples = 36_000, 4

    async def begin(self, nursery: trio.Nursery) -> None:
        """That takes a few calls, and the next tick is seconds away."""
        nursery.start_soon(self.synchronise)
        await super().begin(nursery)

    async def synchronise(self) -> None:
        """The chain says what time it is; several answers are better than one."""
        for _ in range(self.samples):
            async for attempt in retrying():
                with attempt:
                    await self.network.call("chain", "state", None)
        self.slow_ms = 0

    def row_of(self, market: Market) -> Row:
        """Rows bear the time of this host."""
        row = super().row_of(market)
        return {**row, "funding_at_ms": row["funding_at_ms"] - self.slow_ms}


class AsksHowOldTheMarkWas(Chain):
    """Judges the age of a mark by when the command was decided, not by when it is carried out."""

    def mark_age_ms(self, state: State, command: SettleTrade | Liquidate) -> int:
        """The two are nearly always the same."""
        late_ms = max(0, self.clock_ms() - command.at_ms)
        return super().mark_age_ms(state, command) - late_ms


#: The planted bugs of this file by name.
BUGS: Mapping[str, Bug] = {
    "late_tick_in_seconds": Bug(
        text="market data makes up for a late tick and takes milliseconds for seconds",
        breaks="funding_index_step_is_bounded",
        incident=(
            "Bithumb, 6 February 2026: an amount was paid in another unit than it was meant in, "
            "BTC for KRW"
        ),
        family="one unit taken for another",
        budget=50,
        replaces={MarketData: MakesUpForSecondsItNeverLost},
        since=2,
    ),
    "clock_set_later": Bug(
        text="market data stamps rows by the clock of its host before that is synchronised",
        breaks="market_time_never_runs_back",
        incident=(
            "Eurex, 26 August 2013: clocks jumped back by some 36 seconds, and what was stamped "
            "by them was in the wrong order"
        ),
        family="clock jumping back",
        budget=100,
        replaces={MarketData: ClockIsSetLater},
        guards=(EPOCH_FENCE,),
        since=2,
    ),
    "age_at_decision": Bug(
        text="the chain asks how old a mark was when a command was decided, not how old it is",
        breaks="nobody_acts_on_an_old_mark",
        incident=(
            "Venus, 12 May 2022: a price that had stood still at its floor was still accepted; the "
            "check of its age did not ask when it was used"
        ),
        family="plan applied after a one-time check",
        budget=100,
        replaces={Chain: AsksHowOldTheMarkWas},
        guards=(FRESHNESS,),
    ),
}
