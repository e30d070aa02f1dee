"""Market data of April and June 2026 with one defect each: outages and averages that must last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from target_stub.cloud.market_data import MarketData
from target_stub.core import Market
from target_stub.core.mark import Averages, basis_rate
from target_stub.defects.bug import Bug
from target_stub.guards import EPOCH_FENCE
from target_stub.ports import Row


class CatchesUpMissedTicks(MarketData):
    """Makes every tick that it has missed, each at its own time."""

    def advance(self, now_ms: int) -> Mapping[str, Row]:
        """Between two of them there is never a gap."""
        tick_ms = self.state.spec.funding_tick_ms
        known = [market.funding_at_ms for market in self.state.markets.values()]
        missed_ms = max((at_ms for at_ms in known if at_ms is not None), default=now_ms) + tick_ms
        while missed_ms < now_ms:
            super().advance(missed_ms)
            missed_ms += tick_ms
        return super().advance(now_ms)


class BeginsWithTheFirstBook(MarketData):
    """Begins its averages with the first book that it hears of, as a new market would."""

    async def follow_books(self, told: Any) -> None:
        """A book is told once a second; the rows are nearly always read before that."""
        async for books in told:
            self.books = self.books.newer(books)
            if self.epoch is None:
                begun = {symbol: self.begun(m) for symbol, m in self.state.markets.items()}
                self.state = replace(self.state, markets=begun)

    def begun(self, market: Market) -> Market:
        """A market whose averages are what its book says now."""
        book = self.books.books[market.spec.symbol]
        if book.bid_usd is None or book.ask_usd is None or market.spot_usd is None:
            return market
        bid, ask = (basis_rate(p, market.spot_usd) for p in (book.bid_usd, book.ask_usd))
        return replace(market, averages=Averages(bid=bid, ask=ask, last=bid, mid=bid))

    def take_over(self, rows: Mapping[str, Row]) -> None:
        """What was begun is newer than what was saved."""
        begun = {s: m.averages for s, m in self.state.markets.items() if m.averages.bid is not None}
        super().take_over(rows)
        markets = {
            symbol: replace(market, averages=begun.get(symbol, market.averages))
            for symbol, market in self.state.markets.items()
        }
        self.state = replace(self.state, markets=markets)


#: The planted bugs of this file by name.
BUGS: Mapping[str, Bug] = {
    "gap_caught_up": Bug(
        text="market data makes the ticks that it missed, so that an outage is charged",
        breaks="market_time_never_runs_back",
        incident=(
            "Paradex, 23 April 2026: the funding page has a rule for gaps since then; before that "
            "the first tick after an outage charged all of it"
        ),
        family="recovery repeats what must not happen",
        budget=100,
        scenario="reopening",
        replaces={MarketData: CatchesUpMissedTicks},
        guards=(EPOCH_FENCE,),
    ),
    "averages_of_first_book": Bug(
        text="market data begins its averages with a book that it hears of before it has hydrated",
        breaks="recovered_state_is_durable_state",
        incident=(
            "github.com/bnb-chain/node issue 175: the last trade price was not restored, and the "
            "snapshot at the next height was another one"
        ),
        family="averages begun anew",
        budget=700,
        scenario="reopening",
        replaces={MarketData: BeginsWithTheFirstBook},
        since=2,
    ),
}
