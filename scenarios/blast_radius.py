"""The blast radius: what a broken run of the exchange did to people, beside what clean values do.

The shadow had the same commands with clean values, so the difference of both is what the fault did.
*Moved* is what it moved between accounts in the books as they are; *refund owed* is what is still
missing once prices and indices have been put right, for whoever traded or was liquidated meanwhile
does not get it back by that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from harness.findings.finding import Fact
from scenarios.records import Records
from scenarios.rules.money import usdc
from target_stub.core import LIQUIDATOR_VAULT, Prices, State
from target_stub.core.margin import account_value
from target_stub.core.money import ZERO, divide_half_even8, exact

#: Differences below this are rounding, in USDC.
ROUNDING_USDC = Decimal("0.000001")


def blast_radius(exchange: Records) -> tuple[Fact, ...]:
    """The facts about everybody's money; none if the fault has touched nobody's."""
    real, clean = exchange.chain.state, exchange.shadow.state
    told, true = real.known_prices(), clean.known_prices()
    usdc_price = clean.known_usdc_price()
    should = worth_usdc(clean, true, usdc_price)
    booked = gaps(should, worth_usdc(real, told, usdc_price))
    missing = gaps(should, worth_usdc(real, true, usdc_price))
    wronged = {each.account for each in exchange.wronged}
    touched = {*booked, *missing, *wronged}
    if not touched:
        return ()
    owed = {account: gap for account, gap in missing.items() if gap > 0}
    losses = owed or {account: gap for account, gap in booked.items() if gap > 0}
    worst = max(sorted(losses), key=lambda account: losses[account], default="")
    return (
        Fact("accounts touched", f"{len(touched):,}"),
        Fact("wrongful liquidations", f"{len(wronged):,}"),
        Fact("moved", usdc(total(gap for gap in booked.values() if gap > 0))),
        Fact("refund owed", usdc(total(owed.values()))),
        Fact("worst account", f"{worst} ({usdc(losses[worst])})" if worst else "none"),
    )


@exact
def worth_usdc(state: State, prices: Prices, usdc_price: Decimal) -> dict[str, Decimal]:
    """What everybody but the fund is worth at some prices, in USDC to the nearest 8th decimal."""
    return {
        name: divide_half_even8(account_value(account, prices, usdc_price).value, usdc_price)
        for name, account in state.accounts.items()
        if name != LIQUIDATOR_VAULT
    }


@exact
def gaps(should: Mapping[str, Decimal], has: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """How much everybody is short of what he should have; below 0 is what he has too much."""
    found = {}
    for account in sorted({*should, *has}):
        gap = should.get(account, ZERO) - has.get(account, ZERO)
        if abs(gap) > ROUNDING_USDC:
            found[account] = gap
    return found


@exact
def total(amounts: Iterable[Decimal]) -> Decimal:
    """An exact sum."""
    return sum(amounts, ZERO)
