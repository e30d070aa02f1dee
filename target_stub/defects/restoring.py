"""Market data services that load what they need, but not as it was: torn, or from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import trio

from target_stub.cloud.market_data import EPOCHS, TABLE, TOPIC, MarketData
from target_stub.cloud.retry import retrying
from target_stub.core import State
from target_stub.defects.bug import Bug
from target_stub.ports import Row

#: Where the service that saves the time apart from the index saves it.
TIMES = "funding_times"
#: How long a service waits for the database before it does without.
PATIENCE_S = 2.0


class LoadsRowByRow(MarketData):
    """Loads every market with a statement of its own, each of which sees what is newest then."""

    async def read_rows(self) -> Mapping[str, Row]:
        """Nobody ticks while a service boots, nearly always."""
        rows: dict[str, Row] = {}
        for symbol in self.state.markets:
            async with self.database.transaction("read committed") as transaction:
                row = await transaction.get(TABLE, symbol)
            if row is None:
                raise KeyError(symbol)
            rows[symbol] = row
        return rows


class SavesTimeApart(MarketData):
    """Saves the values of a tick, and then, elsewhere, how far the funding has been paid."""

    async def persist(self, rows: Mapping[str, Row], epoch: int | None) -> None:
        """Two writes, one right after the other."""
        await super().persist(rows, epoch)
        times = {symbol: {"funding_at_ms": row["funding_at_ms"]} for symbol, row in rows.items()}
        await self.database.put_all(TIMES, times)

    async def read_rows(self) -> Mapping[str, Row]:
        """The values, with the times that were saved for them."""
        rows = await super().read_rows()
        times = await self.database.scan(TIMES)
        return {symbol: {**row, **times.get(symbol, {})} for symbol, row in rows.items()}


class GivesUpWaiting(MarketData):
    """Waits for the database for two seconds, and then begins with what it was built with."""

    async def hydrate(self) -> None:
        """A database that is upgraded is back sooner, nearly always."""
        with trio.move_on_after(PATIENCE_S):
            await super().hydrate()
            return
        now_ms = round(trio.current_time() * 1000)
        markets = {
            symbol: replace(
                market,
                funding_index=Decimal(0),
                premium_usdc=Decimal(0),
                rate=Decimal(0),
                funding_at_ms=now_ms,
            )
            for symbol, market in self.state.markets.items()
        }
        self.state = replace(self.state, markets=markets)


class PrefersItsCache(MarketData):
    """Warms a cache from the chain while the database is away; what is cached wins over rows."""

    async def read_rows(self) -> Mapping[str, Row]:
        """What was committed has been published and nothing is newer, nearly always."""
        async for attempt in retrying():
            with attempt:
                chain = await self.network.call("chain", "state", None)
        if not isinstance(chain, State):
            raise TypeError(f"the chain answered {chain!r}")
        rows: dict[str, Row] = {}
        for symbol, row in (await super().read_rows()).items():
            told = chain.markets[symbol]
            cached = {name: getattr(told, name) for name in ("funding_index", "funding_at_ms")}
            rows[symbol] = {**row, **cached}
        return rows


class AddsToWhatTheChainHad(MarketData):
    """Loads the rows, and what it announces from the chain; a tick adds its step to both."""

    async def hydrate(self) -> None:
        """The chain has what the rows have, nearly always."""
        async for attempt in retrying():
            with attempt:
                chain = await self.network.call("chain", "state", None)
        if not isinstance(chain, State):
            raise TypeError(f"the chain answered {chain!r}")
        await super().hydrate()
        self.announced = {
            symbol: chain.markets[symbol].known("funding_index") for symbol in self.state.markets
        }

    async def tick(self) -> None:
        """What is saved and what is announced move by the same steps."""
        epoch, before = self.epoch, self.state.markets
        rows = self.advance(round(trio.current_time() * 1000))
        told: dict[str, Row] = {}
        for symbol, row in rows.items():
            self.announced[symbol] += row["funding_index"] - before[symbol].known("funding_index")
            told[symbol] = {**row, "funding_index": self.announced[symbol]}
        if await self.commit(rows, epoch):
            await self.network.publish(TOPIC, told)


class TakesAnswersInOrder(MarketData):
    """Asks for all markets at once and takes the first answer for that of the first market."""

    async def read_rows(self) -> Mapping[str, Row]:
        """Answers come in the order of the questions, nearly always."""
        answers: list[Row] = []

        async def ask(symbol: str) -> None:
            async with self.database.transaction("read committed") as transaction:
                row = await transaction.get(TABLE, symbol)
            answers.append(row or {})

        await self.database.scan(EPOCHS)  # raises while the database is away
        async with trio.open_nursery() as nursery:
            for symbol in self.state.markets:
                nursery.start_soon(ask, symbol)
        return dict(zip(self.state.markets, answers, strict=True))


#: The planted bugs of this file by name.
BUGS: Mapping[str, Bug] = {
    "torn_snapshot": Bug(
        text="market data loads one row after the other, each as it is when it is read",
        breaks="recovered_state_is_durable_state",
        incident=(
            "ZOOKEEPER-3127: a snapshot taken while a transaction of several operations was being "
            "applied held half of it"
        ),
        family="torn multi-row snapshot",
        budget=20,
        replaces={MarketData: LoadsRowByRow},
        since=2,
    ),
    "time_saved_apart": Bug(
        text="market data saves how far funding was paid apart from the index that was paid",
        breaks="recovered_state_is_durable_state",
        incident=(
            "github.com/etcd-io/etcd issue 13766: data and the index of the last entry applied to "
            "it were not saved together"
        ),
        family="lost timestamp",
        budget=100,
        replaces={MarketData: SavesTimeApart},
    ),
    "gives_up_waiting": Bug(
        text="market data begins with defaults if the database does not answer in two seconds",
        breaks="recovered_state_is_durable_state",
        incident=(
            "Coinbase, 7 May 2026: recovery hung on an assumption about what is there at startup, "
            "which had to be changed in the code"
        ),
        family="default after a timeout",
        budget=20,
        also=(
            "funding_index_step_is_bounded",
            "nothing_reverts_to_a_default",
            "nobody_writes_before_it_is_ready",
            "liquidations_are_justified",
        ),
        replaces={MarketData: GivesUpWaiting},
        since=2,
    ),
    "cache_wins": Bug(
        text="market data fills a cache from the chain first, and lets it win over the rows",
        breaks="recovered_state_is_durable_state",
        incident=(
            "GitHub, 21 October 2018: a failover took over from a copy that lacked the last writes"
        ),
        family="stale copy taken for the newest",
        budget=20,
        replaces={MarketData: PrefersItsCache},
        since=2,
    ),
    "announced_from_copy": Bug(
        text="market data restores the index it saves from the rows, the one it tells elsewhere",
        breaks="published_is_committed",
        incident=(
            "github.com/bnb-chain/node issue 337: the last price was restored to the matcher, but "
            "not to the keeper that computes fees from it"
        ),
        family="one of two copies restored",
        budget=20,
        replaces={MarketData: AddsToWhatTheChainHad},
        since=2,
    ),
    "answers_in_order": Bug(
        text="market data takes the first answer for that of the first market it asked about",
        breaks="recovered_state_is_durable_state",
        incident=(
            "OpenAI, 20 March 2023: after a cancelled request a connection handed the answers of "
            "one user to another (redis-py)"
        ),
        family="answer taken for another's",
        budget=20,
        also=("funding_index_step_is_bounded", "liquidations_are_justified"),
        replaces={MarketData: TakesAnswersInOrder},
        since=2,
    ),
}
