"""What every account would have without the fault: the same inputs, replayed with clean values.

The operator has only the log of inputs. A published value that cannot follow the last clean one is
replaced by that one, as the gap rule of April 2026 does with an interval without values; everything
else is applied as it came, so a liquidation that clean values do not justify is refused and a trade
settles at the clean index. All of it is exact, in USD; whoever pays rounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from target_stub.chain import Block
from target_stub.cloud.market_data import Implausible, check_plausible
from target_stub.core import (
    LIQUIDATOR_VAULT,
    Command,
    Event,
    Prices,
    PublishMarket,
    State,
    apply,
)
from target_stub.core.margin import account_value
from target_stub.core.money import exact
from target_stub.core.transfers import Direction, Transfer, TransferStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Valuation:
    """At what everybody is valued: mark prices, funding indices, and USD per USDC."""

    prices: Prices
    usdc_price: Decimal


def is_clean(state: State, command: PublishMarket) -> bool:
    """Whether published values can follow the last clean ones, which ``state`` has.

    The elapsed time counts as one tick at least, because two publications may share one.
    """
    market = state.markets[command.market]
    tick_ago_ms = command.at_ms - state.spec.funding_tick_ms
    known_ms = market.funding_at_ms
    # The chain is told marks and indices, not spot prices: both rows have the one that it knows.
    quoted = {"spot_usd": market.known("spot_usd"), "usdc_price": market.known("usdc_price")}
    before = {
        **quoted,
        "funding_index": market.known("funding_index"),
        "funding_at_ms": tick_ago_ms if known_ms is None else min(known_ms, tick_ago_ms),
    }
    row = {
        **quoted,
        "mark_usd": command.mark_price,
        "funding_index": command.funding_index,
        "funding_at_ms": command.at_ms,
    }
    try:
        check_plausible(market.spec, before, row)
    except Implausible:
        return False
    return True


def first_wrong(start: State, blocks: Iterable[Block]) -> Block | None:
    """The first block that published something no clean value leads to, if one did."""
    state = start
    for block in blocks:
        command = block.command
        if isinstance(command, PublishMarket):
            if not is_clean(state, command):
                return block
            state, _ = apply(state, command)
    return None


def cleaned(state: State, command: Command) -> Command:
    """A command as it would have been: wrong values are replaced by the last clean ones."""
    if not isinstance(command, PublishMarket) or is_clean(state, command):
        return command
    market = state.markets[command.market]
    last = replace(
        command,
        funding_index=market.known("funding_index"),
        premium=market.known("premium_usdc"),
    )
    return last if is_clean(state, last) else replace(last, mark_price=market.known("mark_usd"))


def replayed(start: State, inputs: Iterable[Command]) -> tuple[State, tuple[Event, ...]]:
    """What the same inputs make of a state without the fault, and what happens on the way."""
    state, events = start, list[Event]()
    for command in inputs:
        state, new = apply(state, cleaned(state, command))
        events.extend(new)
    return state, tuple(events)


def valuation_of(state: State) -> Valuation:
    """The values of a clean state."""
    return Valuation(prices=dict(state.known_prices()), usdc_price=state.known_usdc_price())


def worth_usd(state: State, at: Valuation, wallets: Mapping[str, Decimal]) -> dict[str, Fraction]:
    """What everybody has, in USD: account, shares of vaults, and what left for outside.

    ``wallets`` is what each got outside, less what each paid in, in USDC. An account that belongs
    to holders of shares counts as theirs; the liquidator vault is who pays, and is left out.
    """
    worth = {
        name: Fraction(account_value(account, at.prices, at.usdc_price).value)
        for name, account in state.accounts.items()
        if name != LIQUIDATOR_VAULT
    }
    for name, amount in wallets.items():
        worth[name] = worth.get(name, Fraction(0)) + Fraction(amount) * Fraction(at.usdc_price)
    for vault in state.vaults.values():
        shared = worth.pop(vault.id)
        for auxiliary, redemption in vault.redemptions.items():
            worth[redemption.holder] += worth.pop(auxiliary)
        for holder, holding in vault.holdings.items():
            worth[holder] += shared * Fraction(holding.shares) / Fraction(vault.supply)
    return worth


@exact
def wallets_of(transfers: Iterable[Transfer]) -> dict[str, Decimal]:
    """What each account got outside less what it paid in, in USDC; a failed transfer is none."""
    wallets: dict[str, Decimal] = {}
    for transfer in transfers:
        if transfer.status is TransferStatus.FAILED:
            continue
        sign = 1 if transfer.direction is Direction.WITHDRAWAL else -1
        before = wallets.get(transfer.account, Decimal(0))
        wallets[transfer.account] = before + sign * transfer.amount.value
    return wallets
