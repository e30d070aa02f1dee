"""How the reference exchange answers what the rules ask: markets, services, and who may write.

The other half, the books and what clients were told, is in ``scenarios.view_of_books``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from harness.history import Event
from scenarios.exchange import Exchange
from scenarios.records import Records
from scenarios.rules.view import Row, Value, View
from scenarios.view_of_books import BookLedger, ClientAnswers, OrderBooks, SecondNode, Traders
from target_stub.cloud.market_data import EPOCHS, TABLE
from target_stub.core import FundingProfile, Market, MarkRule
from target_stub.core.funding import step_bound
from target_stub.core.mark import external_fair_price
from target_stub.core.money import exact

#: What never becomes 0 once it is known. The premium of June 2026 may: it is what books show.
_NEVER_ZERO = ("spot_usd", "mark_usd", "funding_index", "funding_at_ms")
#: What an incarnation of market data must have from its store, and what the chain is told of it.
_KEPT = ("funding_index", "premium_usdc", "rate", "averages", "funding_at_ms")
_KEPT_WEIGHTED = ("liquidity", "own_basis")
_TOLD = ("mark_usd", "funding_index", "funding_at_ms")
#: Parameters by which funding is computed.
_PARAMETERS = ("max_funding_rate", "funding_period_hours", "clamp_rate", "interest_rate")
#: How far a mark may be from the external fair price: five basis points, as since v1.131.1.
MARK_BAND = Decimal("0.0005")
#: How long a service may take to come back: between boot and ready may come, one after the other,
#: the upgrade of the database (1.4 s at most), a restart of whom it asks (0.1 s), the first quote
#: (1 s), and after each of them the wait before a retry (half a second at most). One funding tick
#: is longer than all of that.
READY_MS_MAX = 5_000
#: How often it may read the same thing meanwhile.
READS_MAX = 30
#: How often the outside world quotes.
QUOTES_MS = 1_000
CHAIN_MARKETS = "chain/markets/"


def view_of(
    exchange: Exchange,
    *,
    mark_band: Decimal | None = MARK_BAND,
    ready_ms_max: int = READY_MS_MAX,
) -> View:
    """Everything that the reference exchange shows."""
    ledger = BookLedger(exchange)
    return View(
        promises=frozenset(exchange.guards.names),
        values=MarketValues(exchange),
        reference=None if mark_band is None else OutsidePrices(exchange, band=mark_band),
        saved=MarketRows(exchange),
        writers=MarketWriters(exchange),
        ledger=ledger,
        acts=ledger,
        funds=ledger,
        payers=Traders(exchange),
        liquidations=exchange,
        copies=SecondNode(exchange),
        books=OrderBooks(exchange),
        answers=ClientAnswers(exchange, ledger),
        recovery=Restarts(exchange, ready_ms_max=ready_ms_max),
        parameters=FundingParameters(exchange),
    )


def _rows(exchange: Records) -> str:
    return f"{exchange.database.name}/{TABLE}/"


class MarketValues:
    """Market values in the committed rows and on the chain."""

    def __init__(self, exchange: Records) -> None:
        self.exchange = exchange
        self.on = (_rows(exchange), CHAIN_MARKETS)
        self.tick_ms = exchange.spec.funding_tick_ms
        smoothed = exchange.spec.funding_profile.is_smoothed
        self.gap_ms_max = exchange.spec.funding_gap_ms_max if smoothed else None
        june = exchange.spec.funding_profile is FundingProfile.JUNE_2026
        self.never_zero = _NEVER_ZERO if june else (*_NEVER_ZERO, "premium_usdc")

    def opening(self) -> Mapping[str, Value]:
        """The rows as they were loaded; the chain was told the same."""
        opened = self.exchange.versions[0].items()
        rows = {f"{self.on[0]}{symbol}": self.of_row(symbol, row) for symbol, row in opened}
        told = {f"{CHAIN_MARKETS}{symbol}": self.of_row(symbol, row) for symbol, row in opened}
        return {**rows, **told}

    def after(self, event: Event) -> Value:
        """The row as committed now, or the market of the chain."""
        place, _, symbol = event.resource.rpartition("/")
        if not place.startswith("chain"):
            return self.of_row(symbol, self.exchange.database.table(TABLE).get(symbol, {}))
        market = self.exchange.chain.state.markets[symbol]
        return Value(
            market=symbol,
            place="published on the chain",
            index=market.known("funding_index"),
            mark=market.known("mark_usd"),
            at_ms=market.funding_at_ms or 0,
            never_zero={},
            is_ordered=False,
        )

    def of_row(self, symbol: str, row: Row) -> Value:
        """What a row says; a column that is not there is nothing."""
        return Value(
            market=symbol,
            place="committed",
            index=row["funding_index"],
            mark=row["mark_usd"],
            at_ms=row["funding_at_ms"],
            never_zero={name: row.get(name) for name in self.never_zero},
        )

    def step_max(self, before: Value, after: Value, elapsed_ms: int) -> Decimal:
        """Cap of the rate x spot / USDC price x elapsed / period, at the prices of outside.

        Those of now or those that made the premium which ran until now, whichever allow more.
        """
        market, at_ms = after.market, after.at_ms
        quote = next(quote for quote in self.exchange.prices(at_ms) if quote.market == market)
        spec = self.exchange.chain.state.markets[market].spec
        spot_usd, usdc_price = quote.spot_usd, quote.usdc_price
        saved = next((row for row in self.rows_of(market) if _is_of(row, before)), None)
        if saved is not None:
            spot_usd = max(spot_usd, saved["spot_usd"])
            usdc_price = min(usdc_price, saved["usdc_price"])
        bound = step_bound(spec, spot_usd=spot_usd, usdc_price=usdc_price, elapsed_ms=elapsed_ms)
        return bound.value

    def rows_of(self, market: str) -> Iterator[Row]:
        """Every committed row of a market, newest first."""
        return (version[market] for version in reversed(self.exchange.versions))

    def sizes(self, market: str) -> Sequence[Decimal]:
        """Every position on the chain."""
        accounts = self.exchange.chain.state.accounts.values()
        return [each.positions[market].size for each in accounts if market in each.positions]


def _is_of(row: Row, value: Value) -> bool:
    return bool((row["funding_index"], row["funding_at_ms"]) == (value.index, value.at_ms))


class OutsidePrices:
    """The external fair prices so far, with a band round them.

    How old a quote may be is another rule's business (I10): this one sees what nobody quoted.
    """

    def __init__(self, exchange: Records, *, band: Decimal) -> None:
        self.exchange = exchange
        self.width = band
        self.so_far: dict[str, list[tuple[Decimal, Decimal]]] = {}

    @exact
    def band(self, market: str, at_ms: int) -> tuple[Decimal, Decimal]:
        """From the lowest fair price less the band to the highest one plus the band."""
        now = self.fair(market, at_ms)
        seconds = self.so_far.setdefault(market, [(now, now)])
        while len(seconds) * QUOTES_MS <= at_ms:
            price = self.fair(market, (len(seconds) - 1) * QUOTES_MS)
            low, high = seconds[-1]
            seconds.append((min(low, price), max(high, price)))
        low, high = seconds[max(0, at_ms) // QUOTES_MS]
        return min(low, now) * (1 - self.width), max(high, now) * (1 + self.width)

    def fair(self, market: str, at_ms: int) -> Decimal:
        """Spot times one plus the median of the other venues."""
        quote = next(each for each in self.exchange.prices(at_ms) if each.market == market)
        return external_fair_price(quote.spot_usd, quote.external_rates)


class MarketRows:
    """The committed rows, what market data knows of them, and what the chain is told."""

    def __init__(self, exchange: Records) -> None:
        self.exchange = exchange
        self.on = ("market_data#",)
        self.published_on = (CHAIN_MARKETS,)
        weighted = exchange.spec.mark_rule is MarkRule.LIQUIDITY_WEIGHTED
        self.kept = (*_KEPT, *_KEPT_WEIGHTED) if weighted else _KEPT
        self.versions: Sequence[Mapping[str, Row]] = exchange.versions

    def recovered(self, lane: str) -> Mapping[str, Row] | None:
        """What an incarnation of market data has in its memory."""
        service = self.exchange.market_data.get(lane)
        if service is None:
            return None
        return {
            symbol: {name: getattr(market, name) for name in self.kept}
            for symbol, market in service.state.markets.items()
        }

    def published(self, market: str) -> Row:
        """What the chain says of a market."""
        known = self.exchange.chain.state.markets[market]
        return {name: getattr(known, name) for name in _TOLD}


class MarketWriters:
    """Who may write the rows of the markets."""

    def __init__(self, exchange: Records) -> None:
        self.exchange = exchange
        self.on = (_rows(exchange),)
        self.markets = tuple(exchange.versions[0])

    def in_charge(self) -> int | None:
        """The incarnation in the row of the epoch."""
        held = self.exchange.database.table(EPOCHS)[TABLE]["incarnation"]
        return held if isinstance(held, int) else None

    def phase_of(self, lane: str) -> str:
        """As the world knows it."""
        return self.exchange.phase_of(lane)


class Restarts:
    """How long a service may take to come back, and how often it may begin anew."""

    reads_max = READS_MAX

    def __init__(self, exchange: Exchange, *, ready_ms_max: int) -> None:
        self.ready_ms_max = ready_ms_max
        self.on = tuple(
            f"{store}/"
            for store in (exchange.database.name, exchange.network.name, exchange.storage.name)
        )


class FundingParameters:
    """The parameters of every market as the chain has them and every market data that is alive."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.on = (_rows(exchange),)

    def in_force(self) -> Mapping[str, Row]:
        """By lane; the chain has parameters of its own."""
        return {lane: dict(_parameters(markets)) for lane, markets in self._consumers()}

    def _consumers(self) -> Iterator[tuple[str, Mapping[str, Market]]]:
        yield "chain", self.exchange.chain.state.markets
        for lane, service in self.exchange.market_data.items():
            if self.exchange.world.phase_of(lane) not in ("down", "stopped", "boot"):
                yield lane, service.state.markets


def _parameters(markets: Mapping[str, Market]) -> Iterator[tuple[str, object]]:
    for symbol, market in markets.items():
        for name in _PARAMETERS:
            yield f"{name} of {symbol}", getattr(market.spec, name)
