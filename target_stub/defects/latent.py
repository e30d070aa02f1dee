"""Services that recover an equal state and go wrong later: what they lost is not used at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import trio

from target_stub.cloud.market_data import MarketData
from target_stub.cloud.risk import Risk
from target_stub.cloud.volumes import Counted, Volumes
from target_stub.core import Market, State
from target_stub.core.money import exact
from target_stub.defects.bug import Bug
from target_stub.ports import Row


class PaysSinceItsBirth(MarketData):
    """Lets funding run from the moment at which it was born, if it has not ticked yet."""

    born_at_ms: int | None = None

    async def hydrate(self) -> None:
        """Load the rows, times and all; those count for whoever asks, but not for the next tick."""
        self.born_at_ms = round(trio.current_time() * 1000)
        await super().hydrate()

    def advance(self, now_ms: int) -> Mapping[str, Row]:
        """Advance every market to now; of what it was told, it only lacks when it ticked last."""
        if self.born_at_ms is not None:
            born_at_ms, self.born_at_ms = self.born_at_ms, None
            markets = {
                symbol: replace(market, funding_at_ms=born_at_ms)
                for symbol, market in self.state.markets.items()
            }
            self.state = replace(self.state, markets=markets)
        return super().advance(now_ms)


class AddsUpWhatItHasSeen(Volumes):
    """Saves and loads every trade, and has sums of its own that begin when it boots."""

    loaded = Counted()

    async def hydrate(self) -> None:
        """The sums are not saved: they follow from the trades."""
        await super().hydrate()
        self.loaded = self.counted

    @exact
    def volume_usd(self, account: str) -> Decimal:
        """From the trades that it has seen; nobody asks before the period is over."""
        return super().volume_usd(account) - replace(
            self.loaded, closed=self.counted.closed
        ).volume_usd(account)


class ChecksAgainstFirstPrices(Risk):
    """Looks at the accounts anew in every check, and at the prices once in its life."""

    first: Mapping[str, Market] | None = None

    async def check(self, state: State) -> None:
        """The first check after a restart is right."""
        if self.first is None:
            self.first = state.markets
        await super().check(replace(state, markets=self.first))


#: The planted bugs of this file by name.
BUGS: Mapping[str, Bug] = {
    "funding_since_birth": Bug(
        text="market data lets funding run from its restart, not from the last tick",
        breaks="equal_to_never_crashed",
        incident=(
            "github.com/michaeljfazio/dugite issue 736: a field was None after loading and was "
            "recomputed when it was first needed, from what was there by then"
        ),
        family="latent divergence",
        scenario="crash-equivalence",
        budget=50,
        replaces={MarketData: PaysSinceItsBirth},
        since=2,
    ),
    "volume_since_restart": Bug(
        text="the count of volumes adds up what it has seen itself: fees are wrong next period",
        breaks="equal_to_never_crashed",
        incident=(
            "github.com/michaeljfazio/dugite issue 736: short by 2,998 ADA, and only at the "
            "boundary of the next epoch"
        ),
        family="latent divergence",
        scenario="crash-equivalence",
        budget=70,
        replaces={Volumes: AddsUpWhatItHasSeen},
        since=2,
    ),
    "first_prices_kept": Bug(
        text="the liquidator checks all accounts at the prices of its first check",
        breaks="equal_to_never_crashed",
        incident=(
            "dYdX, 10 October 2025: after the restart accounts were judged by prices that had been "
            "true before it"
        ),
        family="latent divergence",
        scenario="crash-equivalence",
        budget=300,
        replaces={Risk: ChecksAgainstFirstPrices},
        since=2,
    ),
}
