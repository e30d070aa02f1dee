"""Rules about market values: the committed rows, what is published of them, and who may write.

Conservation cannot see a wrong funding index, because signed positions sum to zero under any index
at all. These rules look across time and across restarts instead.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from harness.findings.finding import Change
from harness.history import Event
from harness.invariants import NOTHING_TO_JUDGE, Broken, Invariant, invariant_of
from scenarios.exchange import Exchange
from scenarios.rules.money import usdc
from target_stub.cloud.market_data import EPOCHS, TABLE
from target_stub.core import State
from target_stub.core.funding import step_bound
from target_stub.core.money import plain


def _rows(exchange: Exchange) -> str:
    return f"{exchange.database.name}/{TABLE}/"


def funding_index_step_is_bounded(exchange: Exchange) -> Invariant:
    """I1, on the committed rows and on the chain.

    |step| <= cap of the rate x spot / USDC price x elapsed / period; the elapsed time counts as
    one tick at least, because two incarnations may write for the same tick.
    """
    last: dict[str, tuple[Decimal, int]] = {}
    changes: dict[str, list[Change]] = {}
    for symbol, row in exchange.versions[0].items():
        for place in (_rows(exchange), "chain/markets/"):
            last[f"{place}{symbol}"] = (row["funding_index"], row["funding_at_ms"])

    def check(event: Event) -> object:
        if event.kind != "write":
            return NOTHING_TO_JUDGE
        place, _, symbol = event.resource.rpartition("/")
        index, at_ms = _index_at(exchange, place, symbol)
        before, before_ms = last[event.resource]
        last[event.resource] = (index, at_ms)
        seen = changes.setdefault(event.resource, [])
        seen.append(Change(event.step, plain(before), plain(index)))
        elapsed_ms = max(abs(at_ms - before_ms), exchange.spec.funding_tick_ms)
        bound = _bound(exchange, symbol, at_ms, elapsed_ms)
        step = index - before
        if abs(step) <= bound:
            return None
        where = "published on the chain" if place.startswith("chain") else "committed"
        raise Broken(
            f"The {symbol} funding index jumped from {plain(before)} to {plain(index)} ({where}). "
            f"In {elapsed_ms / 1000:g} s funding can move it by {plain(bound)} at most.",
            before=plain(before),
            after=plain(index),
            changes=seen[-2:],
            consequence=_consequence(exchange.chain.state, symbol, step),
        )

    return invariant_of(
        check,
        name="funding_index_step_is_bounded",
        describe=(
            "A funding index moves by no more than the capped funding rate allows for the time "
            "that passed; everything beyond is money taken from one side and given to the other."
        ),
        on=(_rows(exchange), "chain/markets/"),
    )


def _index_at(exchange: Exchange, place: str, symbol: str) -> tuple[Decimal, int]:
    if place.startswith("chain"):
        market = exchange.chain.state.markets[symbol]
        return market.known("funding_index"), market.funding_at_ms or 0
    row = exchange.versions[-1][symbol]
    return row["funding_index"], row["funding_at_ms"]


def _bound(exchange: Exchange, symbol: str, at_ms: int, elapsed_ms: int) -> Decimal:
    quote = next(quote for quote in exchange.prices(at_ms) if quote.market == symbol)
    spec = exchange.chain.state.markets[symbol].spec
    spot_usd, usdc_price = quote.spot_usd, quote.usdc_price
    return step_bound(spec, spot_usd=spot_usd, usdc_price=usdc_price, elapsed_ms=elapsed_ms).value


def _consequence(state: State, symbol: str, step: Decimal) -> str:
    sizes = [
        account.positions[symbol].size
        for account in state.accounts.values()
        if symbol in account.positions
    ]
    longs = sum((size for size in sizes if size > 0), Decimal(0))
    payer, receiver = ("longs", "shorts") if step > 0 else ("shorts", "longs")
    return (
        f"Left alone, {payer} owe {usdc(abs(step) * longs)} of funding that nobody earned, and "
        f"{receiver} are credited with it: {len(sizes)} positions."
    )


def nothing_reverts_to_a_default(exchange: Exchange) -> Invariant:
    """I2: no price, index or time of a market becomes 0 or nothing without saying so."""
    known: dict[str, dict[str, Any]] = {
        symbol: dict(row) for symbol, row in exchange.versions[0].items()
    }
    fields = ("spot_usd", "mark_usd", "funding_index", "funding_at_ms")

    def check(event: Event) -> object:
        if event.kind != "write":
            return NOTHING_TO_JUDGE
        symbol = event.resource.rpartition("/")[2]
        row = exchange.database.table(TABLE).get(symbol, {})
        before, known[symbol] = known[symbol], dict(row)
        for name in fields:
            if before.get(name) and not row.get(name):
                raise Broken(
                    f"{name} of {symbol} went from {before[name]} to {_plain(row.get(name))}: a "
                    "missing value was taken for a number.",
                    before=before[name],
                    after=_plain(row.get(name)),
                )
        return None

    return invariant_of(
        check,
        name="nothing_reverts_to_a_default",
        describe="Missing is not zero: a price or an index of 0 is a fortune for one side.",
        on=(_rows(exchange),),
    )


def _plain(value: object) -> str:
    return plain(value) if isinstance(value, Decimal) else str(value)


def recovered_state_is_durable_state(exchange: Exchange) -> Invariant:
    """I3: what market data knows when it is ready was durable, as a whole, since it booted."""
    booted: dict[str, int] = {}
    names = ("funding_index", "premium_usdc", "rate", "averages", "funding_at_ms")

    def check(event: Event) -> object:
        service = exchange.market_data.get(event.lane)
        if event.after == "boot":
            booted[event.lane] = len(exchange.versions) - 1
        if event.kind != "phase" or event.after != "ready" or service is None:
            return NOTHING_TO_JUDGE
        recovered = {
            symbol: {name: getattr(market, name) for name in names}
            for symbol, market in service.state.markets.items()
        }
        for version in exchange.versions[booted[event.lane] :]:
            if all(
                recovered[symbol][name] == row[name]
                for symbol, row in version.items()
                for name in names
            ):
                return None
        raise Broken(
            f"{event.lane} is ready with values that were not durable together since it booted: "
            + "; ".join(
                f"{symbol} index {row['funding_index']}, premium {row['premium_usdc']}"
                for symbol, row in recovered.items()
            )
        )

    return invariant_of(
        check,
        name="recovered_state_is_durable_state",
        describe="A service goes on from what was saved, not from something it made up meanwhile.",
        on=("market_data#",),
    )


def published_is_committed(exchange: Exchange) -> Invariant:
    """I4: what the chain is told of a market was committed in the cloud, as one version."""

    def check(event: Event) -> object:
        symbol = event.resource.rpartition("/")[2]
        market = exchange.chain.state.markets[symbol]
        told = (market.mark_usd, market.funding_index, market.funding_at_ms)
        for version in reversed(exchange.versions):
            row = version[symbol]
            if told == (row["mark_usd"], row["funding_index"], row["funding_at_ms"]):
                return None
        raise Broken(
            f"The chain was told mark {told[0]} and index {told[1]} for {symbol}, which was never "
            "committed.",
            after=told[1],
        )

    return invariant_of(
        check,
        name="published_is_committed",
        describe="Everybody settles by one set of books: nothing is published that is not saved.",
        on=("chain/markets/",),
    )


def older_incarnation_never_overwrites(exchange: Exchange) -> Invariant:
    """I5: once a newer incarnation has taken over, an older one writes no more."""

    def check(event: Event) -> object:
        if event.kind != "write":
            return NOTHING_TO_JUDGE
        held = exchange.database.table(EPOCHS)[TABLE]["incarnation"]
        writer = int(event.lane.rpartition("#")[2] or 0)
        if isinstance(held, int) and writer < held:
            raise Broken(
                f"{event.lane} wrote {event.resource} although incarnation {held} had taken over.",
                before=event.before,
                after=event.after,
            )
        return None

    return invariant_of(
        check,
        name="older_incarnation_never_overwrites",
        describe="A service that was replaced must not undo what its successor did with the money.",
        on=(_rows(exchange),),
    )


def nobody_writes_before_it_is_ready(exchange: Exchange) -> Invariant:
    """I13: an incarnation writes market rows only once it is ready and has loaded all of them.

    What it says of itself is not enough: the database knows what it has read.
    """
    listed = set(exchange.versions[0])
    loaded: dict[str, set[str]] = {}

    def check(event: Event) -> object:
        symbol = event.resource.rpartition("/")[2]
        mine = loaded.setdefault(event.lane, set())
        if event.kind == "read" and event.operation in ("scan", "get"):
            mine |= listed if symbol == "*" else {symbol}
        if event.kind != "write":
            return NOTHING_TO_JUDGE
        phase = exchange.world.phase_of(event.lane)
        if phase in ("boot", "hydrate") or mine != listed:
            missing = ", ".join(sorted(listed - mine))
            raise Broken(
                f"{event.lane} wrote {symbol} in phase {phase}"
                + (f" and had yet to load {missing}." if missing else ", before it was ready."),
                before=event.before,
                after=event.after,
            )
        return None

    return invariant_of(
        check,
        name="nobody_writes_before_it_is_ready",
        describe="A service that does not know yet must not decide about money.",
        on=(_rows(exchange),),
    )
