"""Market data: the funding index, its averages and the mark price of every market.

On every funding tick it advances all markets, commits their rows in one transaction and only then
tells the publisher and everybody else. It must never act before it has hydrated: a market whose
row it has not read is a market that it knows nothing about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import trio

from target_stub.cloud.mode_control import TOPIC as MODE
from target_stub.cloud.mode_control import ModeTold, as_told
from target_stub.cloud.oracle_feed import TOPIC as ORACLE
from target_stub.cloud.oracle_feed import command_of, sleep_until_multiple
from target_stub.cloud.own_book import NOTHING_TOLD
from target_stub.cloud.own_book import TOPIC as OWN_BOOK
from target_stub.cloud.retry import retrying
from target_stub.cloud.staged_modes import KEY as MODE_KEY
from target_stub.cloud.staged_modes import TABLE as MODES
from target_stub.cloud.staged_modes import told_mode
from target_stub.core import FundingTick, Market, MarketSpec, Mode, State, apply, genesis
from target_stub.core.funding import step_bound
from target_stub.core.impact import UNKNOWN_BOOK
from target_stub.core.mark import Averages
from target_stub.core.parameters import ExchangeSpec, MarkRule
from target_stub.guards import EPOCH_FENCE, NO_GUARDS, WRITE_BOUND, Guards, Refusal
from target_stub.ports import Database, Life, Network, Row

TOPIC = "markets"
TABLE = "markets"
EPOCHS = "epochs"
#: The amounts of a market that a row keeps; those of the liquidity weight where that is in force.
KEPT = ("spot_usd", "usdc_price", "mark_usd", "funding_index", "premium_usdc", "rate")
KEPT_WEIGHTED = (*KEPT, "liquidity", "own_basis")


class StaleEpoch(Exception):
    """Another incarnation has taken over the right to write, or this one never took it."""


class Implausible(Exception):
    """A value that no funding rate and no price band can explain."""


class MarketData:
    """One incarnation of the service; its ``state`` is the core with markets and nobody in it.

    ``epoch`` is the right to write, which it has once it has hydrated.
    """

    def __init__(
        self,
        life: Life,
        *,
        database: Database,
        network: Network,
        exchange: ExchangeSpec,
        markets: Iterable[MarketSpec],
        guards: Guards = NO_GUARDS,
        follows_books: bool = False,
        follows_modes: bool = False,
    ) -> None:
        self.life = life
        self.database = database
        self.network = network
        self.guards = guards
        self.follows_books = follows_books
        self.follows_modes = follows_modes
        self.books = NOTHING_TOLD
        self.mode = ModeTold(Mode.OK, 0)
        self.state: State = genesis(exchange, markets)
        self.kept = kept_by(exchange)
        self.epoch: int | None = None
        self.quoted = trio.Event()
        self.between_ticks = trio.Event()
        self.between_ticks.set()
        self._ticks = 0

    async def run(self) -> None:
        """Boot, hydrate, tick until asked to stop, finish the tick that is going on."""
        quotes = self.network.subscribe(ORACLE)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.follow_oracle, quotes)
            if self.follows_books:
                nursery.start_soon(self.follow_books, self.network.subscribe(OWN_BOOK))
            if self.follows_modes:
                nursery.start_soon(self.follow_modes, self.network.subscribe(MODE))
            try:
                await self.begin(nursery)
            except* StaleEpoch:
                # A later incarnation hydrated first: there is nothing left to do for this one.
                nursery.cancel_scope.cancel()
            await self.life.stop_requested()
            self.life.enter("drain")
            await self.between_ticks.wait()
            nursery.cancel_scope.cancel()

    async def begin(self, nursery: trio.Nursery) -> None:
        """Hear a first quote, hydrate, and only then be ready and tick."""
        await self.quoted.wait()
        await self.hydrate()
        self.life.enter("ready")
        nursery.start_soon(self.tick_for_ever)

    async def hydrate(self) -> None:
        """Read every market's row; with the fence, take the epoch in the same transaction."""
        self.life.enter("hydrate")
        async for attempt in retrying():
            with attempt:
                if self.follows_modes:
                    row = (await self.database.scan(MODES))[MODE_KEY]
                    self.mode = self.mode.newer(told_mode(row))
                self.take_over(await self.read_rows())
                self.epoch = self.life.incarnation

    async def read_rows(self) -> Mapping[str, Row]:
        """All rows as one statement sees them; with the fence, rows and epoch are taken as one."""
        if EPOCH_FENCE not in self.guards:
            return await self.database.scan(TABLE)
        async with self.database.transaction() as transaction:
            check_not_overtaken(self.life, await transaction.get_for_update(EPOCHS, TABLE))
            await transaction.put(EPOCHS, TABLE, {"incarnation": self.life.incarnation})
            return await transaction.scan(TABLE)

    def take_over(self, rows: Mapping[str, Row]) -> None:
        """Make the rows that were read the state; KeyError when a listed market has none.

        A quote that was heard while it booted stays: the prices of a row are those of its tick.
        """
        markets = {
            symbol: taken_over(market, rows[symbol], self.kept)
            for symbol, market in self.state.markets.items()
        }
        self.state = replace(self.state, markets=markets)

    async def follow_oracle(self, quotes: Any) -> None:
        """Take over every quote."""
        async for batch in quotes:
            for quote in batch:
                self.state, _ = apply(self.state, command_of(quote, self.life.name))
            self.quoted.set()

    async def follow_books(self, told: Any) -> None:
        """Remember what matching says of its books."""
        async for books in told:
            self.books = self.books.newer(books)

    async def follow_modes(self, modes: Any) -> None:
        """Remember the mode: how fast the rate moves, and whether anything accrues."""
        async for message in modes:
            self.mode = self.mode.newer(as_told(message))

    async def tick_for_ever(self) -> None:
        """Advance, commit and announce all markets at every multiple of the funding tick."""
        while True:
            await sleep_until_multiple(self.state.spec.funding_tick_ms)
            self.between_ticks = trio.Event()
            try:
                await self.tick()
            finally:
                self.between_ticks.set()

    async def tick(self) -> None:
        """One funding tick: nothing is announced that was not committed.

        Its rows are computed under the epoch of this moment: a tick from before hydration, written
        after many retries, is still a tick from before hydration.
        """
        epoch = self.epoch
        rows = self.advance(round(trio.current_time() * 1000))
        if await self.commit(rows, epoch):
            await self.network.publish(TOPIC, rows)

    async def commit(self, rows: Mapping[str, Row], epoch: int | None) -> bool:
        """Write rows until they are written, or until a guard refuses them."""
        try:
            async for attempt in retrying():
                with attempt:
                    await self.persist(rows, epoch)
        except (StaleEpoch, Implausible) as error:
            guard = EPOCH_FENCE if isinstance(error, StaleEpoch) else WRITE_BOUND
            self.guards.tell(Refusal(guard=guard, why=str(error), rows=rows))
            return False
        return True

    def advance(self, now_ms: int) -> Mapping[str, Row]:
        """Advance every market to now; their rows."""
        self._ticks += 1
        self.state = replace(self.state, mode=self.mode.mode)
        for symbol in self.state.markets:
            tick_id = f"{self.life.name}-tick-{self._ticks}-{symbol}"
            book = self.books.fresh(symbol, now_ms) or UNKNOWN_BOOK
            tick = FundingTick(id=tick_id, at_ms=now_ms, market=symbol, book=book)
            self.state, _ = apply(self.state, tick)
        return {symbol: self.row_of(market) for symbol, market in self.state.markets.items()}

    async def persist(self, rows: Mapping[str, Row], epoch: int | None) -> None:
        """Write all rows at once; a guard needs a transaction to look at them first."""
        if EPOCH_FENCE not in self.guards and WRITE_BOUND not in self.guards:
            await self.database.put_all(TABLE, rows)
            return
        async with self.database.transaction() as transaction:
            if EPOCH_FENCE in self.guards:
                check_epoch(self.life, epoch, await transaction.get_for_update(EPOCHS, TABLE))
            if WRITE_BOUND in self.guards:
                for symbol, row in rows.items():
                    before = await transaction.get_for_update(TABLE, symbol)
                    check_plausible(self.state.markets[symbol].spec, before, row)
            await transaction.put_all(TABLE, rows)

    def row_of(self, market: Market) -> Row:
        """What of a market is kept, with who wrote it."""
        return {
            **{name: market.known(name) for name in self.kept},
            "averages": market.averages,
            "funding_at_ms": market.funding_at_ms,
            "written_by": self.life.name,
        }


def kept_by(exchange: ExchangeSpec) -> tuple[str, ...]:
    """The amounts that a row keeps under the rules of an exchange."""
    weighted = exchange.mark_rule is MarkRule.LIQUIDITY_WEIGHTED
    return KEPT_WEIGHTED if weighted else KEPT


def market_of_row(market: Market, row: Row, kept: Sequence[str] = KEPT) -> Market:
    """A market as its row says; KeyError when the row lacks a column."""
    averages = row["averages"]
    if not isinstance(averages, Averages):
        raise TypeError(f"averages of {market.spec.symbol} are {averages!r}")
    return replace(
        market,
        averages=averages,
        funding_at_ms=row["funding_at_ms"],
        **{name: row[name] for name in kept},
    )


def taken_over(market: Market, row: Row, kept: Sequence[str] = KEPT) -> Market:
    """A market as its row says, with the prices that were heard since the tick of that row."""
    loaded, heard_at_ms = market_of_row(market, row, kept), market.oracle_at_ms
    if heard_at_ms is None or heard_at_ms < row["funding_at_ms"]:
        return loaded
    return replace(loaded, spot_usd=market.spot_usd, usdc_price=market.usdc_price)


def check_epoch(life: Life, epoch: int | None, held: Row | None) -> None:
    """Raise :class:`StaleEpoch` unless the epoch of some rows is the one that is held now."""
    if held is None or epoch is None or held["incarnation"] != epoch:
        raise StaleEpoch(f"{life.name} has rows of epoch {epoch}; {held} may write")


def check_not_overtaken(life: Life, held: Row | None) -> Row:
    """Who held the right to write until now; raise :class:`StaleEpoch` if a later incarnation does.

    Whoever takes that right asks this first. An incarnation that boots for so long that its
    successor is there before it would take the right back; then it would be asked to stop, and the
    one that stays might never write again. Raises KeyError if nobody held it: a row that is not
    there locks nothing, so two incarnations that come at once would both have it.
    """
    if held is None:
        raise KeyError(f"there is nothing that {life.name} could lock: open the epoch first")
    if held["incarnation"] > life.incarnation:
        raise StaleEpoch(f"{life.name} comes after {held} has taken over")
    return held


def check_plausible(spec: MarketSpec, before: Row | None, row: Row) -> None:
    """Raise :class:`Implausible` unless a row can follow the one before it.

    The index may move by at most the cap of the funding rate over the time between the two; the
    mark price must be positive and within the band round the spot price.
    """
    spot_usd, mark_usd = row["spot_usd"], row["mark_usd"]
    if not mark_usd > 0 or not spot_usd > 0:
        raise Implausible(f"{spec.symbol}: mark {mark_usd}, spot {spot_usd}")
    if abs(mark_usd - spot_usd) > spec.price_bands_width * spot_usd:
        raise Implausible(f"{spec.symbol}: mark {mark_usd} is far from spot {spot_usd}")
    if before is None:
        raise Implausible(f"{spec.symbol}: nothing is known of the value before")
    elapsed_ms = row["funding_at_ms"] - before["funding_at_ms"]
    # The premium that ran since then was made with the prices of then.
    bound = step_bound(
        spec,
        spot_usd=max(before["spot_usd"], spot_usd),
        usdc_price=min(before["usdc_price"], row["usdc_price"]),
        elapsed_ms=max(0, elapsed_ms),
    )
    step = Decimal(row["funding_index"] - before["funding_index"])
    if elapsed_ms < 0 or abs(step) > bound.value:
        raise Implausible(f"{spec.symbol}: index step {step} in {elapsed_ms} ms, bound {bound}")
