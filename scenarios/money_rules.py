"""The money rules of an exchange: what must hold whatever is restarted when.

Each rule is a function that makes an invariant for one run, with its description in money words.
A rule that the exchange only promises with a guard (fencing, the mode gate) is in force only when
that guard is on. The numbers I1 to I13 are those of the catalogue in the documentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from harness.findings.finding import Change
from harness.history import Event
from harness.invariants import NOTHING_TO_JUDGE, Broken, Invariant, invariant_of
from scenarios.exchange import Exchange
from target_stub.chain import Block
from target_stub.cloud.market_data import TABLE
from target_stub.core import Duplicate, Filled, FillType, Liquidated, Mode, State
from target_stub.core.events import Triggered
from target_stub.core.funding import step_bound
from target_stub.guards import EPOCH_FENCE, MODE_GATE


def rules_in_force(exchange: Exchange) -> Iterator[Invariant]:
    """All rules that hold for this exchange with the guards that it has."""
    guards = exchange.world.guards
    yield funding_index_step_is_bounded(exchange)
    yield nothing_reverts_to_a_default(exchange)
    yield recovered_state_is_durable_state(exchange)
    yield published_is_committed(exchange)
    if EPOCH_FENCE in guards:
        yield older_incarnation_never_overwrites(exchange)
    yield positions_sum_to_zero(exchange)
    yield cash_is_conserved(exchange)
    yield liquidations_are_justified(exchange)
    yield effects_happen_once(exchange)
    if MODE_GATE in guards:
        yield mode_gates_fills_and_liquidations(exchange)
    yield nobody_writes_before_it_is_ready(exchange)


def usdc(amount: Decimal) -> str:
    """An amount as a person reads it."""
    return f"{amount:,.2f} USDC"


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
        seen.append(Change(event.step, f"{before:f}", f"{index:f}"))
        elapsed_ms = max(abs(at_ms - before_ms), exchange.spec.funding_tick_ms)
        bound = _bound(exchange, symbol, at_ms, elapsed_ms)
        step = index - before
        if abs(step) <= bound:
            return None
        where = "published on the chain" if place.startswith("chain") else "committed"
        raise Broken(
            f"The {symbol} funding index jumped from {before} to {index:f} ({where}). In "
            f"{elapsed_ms / 1000:g} s funding can move it by {bound:f} at most.",
            before=f"{before:f}",
            after=f"{index:f}",
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
    row = exchange.database.table(TABLE)[symbol]
    return row["funding_index"], row["funding_at_ms"]


def _bound(exchange: Exchange, symbol: str, at_ms: int, elapsed_ms: int) -> Decimal:
    quote = next(quote for quote in exchange.prices(at_ms) if quote.market == symbol)
    spec = exchange.chain.state.markets[symbol].spec
    spot_usd, usdc_price = quote.spot_usd, quote.usdc_price
    return step_bound(
        spec, spot_usd=spot_usd, usdc_price=usdc_price, elapsed_ms=elapsed_ms
    ).value


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
    """I2: no price, index or time of a market becomes 0 or nothing without an event that says so."""
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
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def recovered_state_is_durable_state(exchange: Exchange) -> Invariant:
    """I3: what a restarted market data service knows when it is ready was durable, at one instant."""
    names = ("funding_index", "premium_usdc", "rate", "averages", "funding_at_ms")

    def check(event: Event) -> object:
        service = exchange.market_data.get(event.lane)
        if event.kind != "phase" or event.after != "ready" or service is None:
            return NOTHING_TO_JUDGE
        recovered = {
            symbol: {name: getattr(market, name) for name in names}
            for symbol, market in service.state.markets.items()
        }
        for version in exchange.versions:
            if all(
                recovered[symbol][name] == row[name]
                for symbol, row in version.items()
                for name in names
            ):
                return None
        raise Broken(
            f"{event.lane} is ready with values that were never durable together: "
            + ", ".join(f"{s} index {r['funding_index']}" for s, r in recovered.items())
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
    """I5: once a newer incarnation has written, an older one writes no more."""
    newest = [0]

    def check(event: Event) -> object:
        if event.kind != "write":
            return NOTHING_TO_JUDGE
        incarnation = int(event.lane.rpartition("#")[2] or 0)
        if incarnation < newest[0]:
            raise Broken(
                f"{event.lane} overwrote what incarnation {newest[0]} had written.",
                before=event.before,
                after=event.after,
            )
        newest[0] = incarnation
        return None

    return invariant_of(
        check,
        name="older_incarnation_never_overwrites",
        describe="A service that was replaced must not undo what its successor did with the money.",
        on=(_rows(exchange),),
    )


def _block_rule(
    exchange: Exchange, name: str, describe: str, check_block: Any
) -> Invariant:
    """A rule over every block of the chain, checked when the run is over."""

    def check() -> object:
        if not exchange.chain.blocks:
            return NOTHING_TO_JUDGE
        before = exchange.chain.genesis
        for block in exchange.chain.blocks:
            check_block(before, block)
            before = block.state
        return None

    return invariant_of(check, name=name, describe=describe, at_end=True)


def positions_sum_to_zero(exchange: Exchange) -> Invariant:
    """I6: every long has a short."""

    def check(before: State, block: Block) -> None:
        moved = dict.fromkeys(before.markets, Decimal(0))
        for old, new in changed_accounts(before, block.state):
            for sign, account in ((-1, old), (1, new)):
                for market, position in account.positions.items() if account else ():
                    moved[market] += sign * position.size
        for market, total in moved.items():
            if total:
                raise Broken(f"Block {block.height} made {total} of {market} out of nothing.")

    return _block_rule(
        exchange,
        "positions_sum_to_zero",
        "Every long has a short; otherwise somebody's profit is owed by nobody.",
        check,
    )


def cash_is_conserved(exchange: Exchange) -> Invariant:
    """I7: no block mints or burns USDC."""

    def total(state: State, accounts: list[Any]) -> Decimal:
        cash = state.fees_usdc + state.remainder_usdc - state.net_deposits_usdc
        for account in accounts:
            cash += account.balance_usdc
            for position in account.positions.values():
                cash += position.size * position.cached_funding_index - position.cost_usdc
        return cash

    def check(before: State, block: Block) -> None:
        pairs = changed_accounts(before, block.state)
        gap = total(block.state, [new for _, new in pairs if new]) - total(
            before, [old for old, _ in pairs if old]
        )
        if gap:
            raise Broken(f"Block {block.height} changed the sum of all cash by {usdc(gap)}.")

    return _block_rule(
        exchange,
        "cash_is_conserved",
        "Balances, fees and the vault add up to what was paid in; nothing is minted.",
        check,
    )


def changed_accounts(before: State, after: State) -> list[tuple[Any, Any]]:
    """The accounts that differ between two states, old and new; shared ones cost nothing."""
    if before.accounts is after.accounts:
        return []
    return [
        (before.accounts.get(name), account)
        for name, account in after.accounts.items()
        if before.accounts.get(name) is not account
    ]


def liquidations_are_justified(exchange: Exchange) -> Invariant:
    """I8: the shadow, with clean values, would have liquidated the same account."""

    def check() -> object:
        if not exchange.liquidated:
            return NOTHING_TO_JUDGE
        wronged = exchange.wronged
        if not wronged:
            return None
        losses: dict[str, Decimal] = {}
        for each in wronged:
            losses[each.account] = losses.get(each.account, Decimal(0)) + each.loss_usdc
        total = sum(losses.values(), Decimal(0))
        worst = max(losses, key=lambda account: losses[account])
        raise Broken(
            f"{len(losses)} accounts were liquidated that were not below their maintenance margin; "
            f"{usdc(total)} were taken from them.",
            consequence=f"Worst: {worst} lost {usdc(losses[worst])}.",
            accounts=tuple(sorted(losses)),
            loss_usdc=f"{total:.2f}",
            resource="chain/liquidations",
            lane="risk",
            operation="liquidate",
            step=wronged[0].step,
            at_ms=wronged[0].at_ms,
        )

    return invariant_of(
        check,
        name="liquidations_are_justified",
        describe=(
            "An account is liquidated only if it is below its maintenance margin at clean prices "
            "and indices, recomputed independently."
        ),
        at_end=True,
    )


def effects_happen_once(exchange: Exchange) -> Invariant:
    """I9: a command has one effect at most, however often it is sent."""

    def check() -> object:
        done: dict[str, int] = {}
        for block in exchange.chain.blocks:
            if any(isinstance(event, Duplicate) for event in block.events):
                continue
            key = block.command.id
            if key in done:
                raise Broken(f"{key} took effect in blocks {done[key]} and {block.height}.")
            done[key] = block.height
        return None if done else NOTHING_TO_JUDGE

    return invariant_of(
        check,
        name="effects_happen_once",
        describe="A deposit or a trade that is sent again after a lost answer counts once.",
        at_end=True,
    )


def mode_gates_fills_and_liquidations(exchange: Exchange) -> Invariant:
    """I11: outside mode ok nothing is filled, triggered or liquidated on the chain."""

    def check(before: State, block: Block) -> None:
        if before.mode is Mode.OK:
            return
        for event in block.events:
            fill = isinstance(event, Filled) and event.fill_type is FillType.FILL
            if fill or isinstance(event, Liquidated | Triggered):
                raise Broken(f"In mode {before.mode}: {event.describe()}")

    return _block_rule(
        exchange,
        "mode_gates_fills_and_liquidations",
        "Nobody is traded against or liquidated while he cannot act.",
        check,
    )


def nobody_writes_before_it_is_ready(exchange: Exchange) -> Invariant:
    """I13: an incarnation writes market rows only once it has loaded all of them."""

    def check(event: Event) -> object:
        if event.kind != "write":
            return NOTHING_TO_JUDGE
        phase = exchange.world.phase_of(event.lane)
        if phase in ("boot", "hydrate"):
            raise Broken(
                f"{event.lane} wrote {event.resource} in phase {phase}, before it was ready.",
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


