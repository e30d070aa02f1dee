"""The twin of market data: the core that ticks whenever a tick was committed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

from harness.equivalence import Equivalence, Parts
from harness.history import Event as HistoryEvent
from scenarios.exchange import Exchange
from scenarios.outside import EXTERNAL_RATES
from target_stub.cloud.market_data import TABLE, market_of_row
from target_stub.core import FundingTick, Market, OracleUpdate, PublishMarket, State, apply
from target_stub.ports import Row

#: What of a row is no state of its market: who wrote it.
_UNCOMPARED = "written_by"


class Tick(NamedTuple):
    """A market's row that became durable; its prices and its time are what came from outside."""

    symbol: str
    row: Row


class MarketDataTwin:
    """What every committed row must be, and what may be published of it."""

    def __init__(self, exchange: Exchange, equivalence: Equivalence) -> None:
        self.exchange = exchange
        #: Mark price, index and premium by market and time.
        self.values: dict[tuple[str, int], tuple[Decimal, Decimal, Decimal]] = {}
        rows, start = exchange.versions[0], exchange.chain.genesis
        markets = {s: market_of_row(m, rows[s]) for s, m in start.markets.items()}
        self._before: dict[str, Market] = dict(markets)
        self._ticks = 0
        place = f"{exchange.database.name}/{TABLE}/"
        self.twin = equivalence.twin(
            "market data",
            replace(start, accounts={}, markets=markets),
            self.tick,
            expected=self.expected,
            actual=self.actual,
            on=(place,),
        )
        exchange.world.watch(place, self.observe)

    def observe(self, event: HistoryEvent) -> None:
        """A row was committed."""
        if event.kind == "write":
            symbol = event.resource.rpartition("/")[2]
            self.twin.durable(Tick(symbol, self.exchange.database.table(TABLE)[symbol]))

    def tick(self, state: State, tick: Tick) -> State:
        """Advance the market from its last row; two rows for one time are the same tick."""
        symbol, row = tick
        at_ms, known = row["funding_at_ms"], state.markets[symbol]
        before = self._before[symbol] if at_ms == known.funding_at_ms else known
        self._before[symbol] = before
        state = replace(state, markets={**state.markets, symbol: before})
        self._ticks += 1
        quote = OracleUpdate(
            id=f"quote-{self._ticks}",
            at_ms=at_ms,
            market=symbol,
            spot_usd=row["spot_usd"],
            usdc_price=row["usdc_price"],
            external_rates=EXTERNAL_RATES,
        )
        for command in (quote, FundingTick(id=f"tick-{self._ticks}", at_ms=at_ms, market=symbol)):
            state, _ = apply(state, command)
        market = state.markets[symbol]
        self.values[symbol, at_ms] = (
            market.known("mark_usd"),
            market.known("funding_index"),
            market.known("premium_usdc"),
        )
        return state

    def expected(self, state: State) -> Parts:
        """The rows as they must be."""
        return {
            f"{symbol}/{name}": getattr(state.markets[symbol], name)
            for symbol, row in self.rows().items()
            for name in row
            if name != _UNCOMPARED
        }

    def actual(self) -> Parts:
        """The rows as they are."""
        return {
            f"{symbol}/{name}": value
            for symbol, row in self.rows().items()
            for name, value in row.items()
            if name != _UNCOMPARED
        }

    def rows(self) -> Mapping[str, Row]:
        """What is committed."""
        return self.exchange.database.table(TABLE)

    def corrected(self, command: PublishMarket) -> PublishMarket:
        """What should have been published; as it is if nothing was committed for that time."""
        values = self.values.get((command.market, command.at_ms))
        if values is None:
            return command
        mark, index, premium = values
        return replace(command, mark_price=mark, funding_index=index, premium=premium)
