"""Who is owed what after the fault: two ways out, each with what it leaves wrong.

*Roll back*: the chain returns to the last good snapshot, and the difference to what everybody would
have had is settled with the liquidator vault. *Compensate without rollback*: the index is put right
and the difference is settled. Deribit compensated in 2019, because its traders had hedged
elsewhere; Paradex rolled back and compensated in 2026; Quoine's reversal of trades was held a
breach in 2019. So both are computed, and a person decides.

Rounding: an amount is settled to 8 decimals of USDC, upwards, so that nobody ends below what he
would have had, and nobody 0.00000001 USDC or more above it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from target_stub.cloud.counterfactual import (
    Valuation,
    replayed,
    valuation_of,
    wallets_of,
    worth_usd,
)
from target_stub.core import (
    LIQUIDATOR_VAULT,
    Event,
    Filled,
    FillType,
    Liquidated,
    PublishMarket,
    State,
    assess,
)
from target_stub.core.events import OrderAccepted
from target_stub.core.fund_events import SharesIssued
from target_stub.core.money import MONEY_DECIMALS, MONEY_UNIT, ZERO, divide_down8, exact, plain
from target_stub.core.transfers import Direction, Transfer
from target_stub.forks import Abandoned

#: How much of its initial margin an account keeps when it has to give something back.
MARGIN_KEPT = Decimal("1.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """What the vault pays an account in USDC (above 0), or takes back from it (below 0)."""

    account: str
    amount_usdc: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One way out: who is paid, who gives back, who keeps what he cannot give back.

    ``kept_usdc`` is what accounts have too much and cannot give back; ``leaves`` says what no
    payment puts right.
    """

    name: str
    payments: tuple[Payment, ...]
    kept_usdc: Mapping[str, Decimal]
    leaves: tuple[str, ...]

    @property
    def refunds(self) -> tuple[Payment, ...]:
        """What the vault pays."""
        return tuple(payment for payment in self.payments if payment.amount_usdc > 0)

    @property
    def reclaims(self) -> tuple[Payment, ...]:
        """What the vault takes back."""
        return tuple(payment for payment in self.payments if payment.amount_usdc < 0)

    @property
    def refunded_usdc(self) -> Decimal:
        """The sum of all refunds."""
        return total(payment.amount_usdc for payment in self.refunds)

    @property
    def reclaimed_usdc(self) -> Decimal:
        """The sum of all that is taken back, above 0."""
        return -total(payment.amount_usdc for payment in self.reclaims)

    @property
    def worst(self) -> Payment | None:
        """The account that is owed most, if anybody is."""
        return max(self.refunds, key=lambda payment: payment.amount_usdc, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the audit found after the rollback of a fork, and what is to be paid."""

    fork: int
    height: int
    rollback: Outcome
    compensation: Outcome

    def describe(self) -> str:
        """One line for a history."""
        return (
            f"{len(self.rollback.refunds)} refunds of {self.rollback.refunded_usdc} USDC, "
            f"{len(self.rollback.reclaims)} reclaims of {self.rollback.reclaimed_usdc} USDC"
        )


def make_plan(
    branch: Abandoned, *, snapshot: State, now: State, outside: Iterable[Transfer]
) -> Plan:
    """Compare both ways out with the counterfactual of an abandoned branch.

    ``now`` is the chain after rollback and restored transfers; ``outside`` is what the outside
    really completed.
    """
    paid_outside = [each for each in outside if each.direction is Direction.WITHDRAWAL]
    clean, clean_events = replayed(snapshot, [block.command for block in branch.blocks])
    at = valuation_of(clean)
    should = worth_usd(clean, at, wallets_of(clean.transfers.values()))
    head = branch.blocks[-1].state
    events = [event for block in branch.blocks for event in block.events]
    wronged = wrongly_liquidated(events, clean_events)
    return Plan(
        fork=branch.fork,
        height=branch.height,
        rollback=_outcome(
            "roll back",
            should,
            now,
            at,
            wallets_of(known_and_paid(now, paid_outside)),
            margins=(at, valuation_of(now)),
            leaves=_rollback_leaves(branch, snapshot, now, events, paid_outside),
        ),
        compensation=_outcome(
            "compensate without rollback",
            should,
            head,
            at,
            wallets_of(known_and_paid(head, paid_outside)),
            margins=(at,),
            leaves=_compensation_leaves(branch, head, at, wronged),
        ),
    )


def known_and_paid(state: State, paid_outside: Iterable[Transfer]) -> list[Transfer]:
    """All transfers that a state knows, and the withdrawals that were paid without it."""
    unknown = [each for each in paid_outside if each.id not in state.transfers]
    return [*state.transfers.values(), *unknown]


def wrongly_liquidated(events: Iterable[Event], clean: Iterable[Event]) -> tuple[str, ...]:
    """The accounts that were liquidated and would not have been without the fault."""
    due = {event.account for event in clean if isinstance(event, Liquidated)}
    done = {event.account for event in events if isinstance(event, Liquidated)}
    return tuple(sorted(done - due))


def _outcome(
    name: str,
    should: Mapping[str, Fraction],
    state: State,
    at: Valuation,
    wallets: Mapping[str, Decimal],
    *,
    margins: tuple[Valuation, ...],
    leaves: tuple[str, ...],
) -> Outcome:
    has = worth_usd(state, at, wallets)
    payments, kept = [], dict[str, Decimal]()
    for account in sorted(should):
        due_usd = should[account] - has.get(account, Fraction(0))
        amount = to_usdc_up(due_usd, at.usdc_price)
        if amount < 0:
            free = min(can_give_back(state, account, margin) for margin in margins)
            if free < -amount:
                kept[account] = -amount - free
                amount = -free
        if amount:
            payments.append(Payment(account=account, amount_usdc=amount))
    # What is taken back comes first: the vault pays with it.
    payments.sort(key=lambda payment: payment.amount_usdc > 0)
    return Outcome(name=name, payments=tuple(payments), kept_usdc=kept, leaves=leaves)


def to_usdc_up(amount_usd: Fraction, usdc_price: Decimal) -> Decimal:
    """An exact amount of USD in USDC, towards plus infinity at 8 decimals."""
    units = -(-amount_usd / Fraction(usdc_price) * 10**MONEY_DECIMALS // 1)
    return Decimal(int(units)) * MONEY_UNIT


@exact
def can_give_back(state: State, account: str, at: Valuation) -> Decimal:
    """What can be taken from an account so that it keeps its initial margin and a tenth, in USDC.

    The tenth is for the marks, which move between the plan and the payment. After a rollback the
    chain's own marks are those of the snapshot until the next ones come, so both must allow it.
    """
    health = assess(state.accounts[account], at.prices, at.usdc_price, state.rules)
    free_usd = health.account_value_usd - MARGIN_KEPT * health.initial_usd
    return max(ZERO, min(health.balance_usdc, divide_down8(free_usd, at.usdc_price)))


@exact
def total(amounts: Iterable[Decimal]) -> Decimal:
    """An exact sum of amounts in USDC."""
    return sum(amounts, ZERO)


# --- what stays wrong ---------------------------------------------------------------------------


def _rollback_leaves(
    branch: Abandoned,
    snapshot: State,
    now: State,
    events: Iterable[Event],
    paid_outside: Iterable[Transfer],
) -> tuple[str, ...]:
    fills = [e for e in events if isinstance(e, Filled) and e.fill_type is FillType.FILL]
    traders = {leg.account for fill in fills for leg in (fill.maker, fill.taker)}
    shares = [event for event in events if isinstance(event, SharesIssued)]
    exits = [e for e in events if isinstance(e, OrderAccepted) and e.order.protects]
    paid = [each for each in paid_outside if each.id not in snapshot.transfers]
    unbooked = [each for each in paid if each.id not in now.transfers]
    paid_usdc = plain(total(each.amount.value for each in paid))
    return tuple(
        text
        for holds, text in (
            (
                fills,
                f"{len(fills)} trades of {len(traders)} accounts never happened; whoever hedged "
                "them elsewhere keeps the hedge alone",
            ),
            (
                paid,
                f"{len(paid)} withdrawals ({paid_usdc} USDC) were "
                f"paid outside and cannot roll back; {len(unbooked)} could not be booked again",
            ),
            (exits, f"{len(exits)} TP/SL orders placed since the snapshot are gone"),
            (shares, f"{len(shares)} purchases of vault shares are undone and paid in money"),
        )
        if holds
    )


def _compensation_leaves(
    branch: Abandoned, head: State, at: Valuation, wronged: tuple[str, ...]
) -> tuple[str, ...]:
    told = {
        (block.command.market, block.command.funding_index)
        for block in branch.blocks
        if isinstance(block.command, PublishMarket)
    }
    wrong = {(m, index) for m, index in told if index != at.prices[m].funding_index}
    cached = [
        account.id
        for account in head.accounts.values()
        if account.id != LIQUIDATOR_VAULT
        and any((m, p.cached_funding_index) in wrong for m, p in account.positions.items())
    ]
    taken = head.accounts[LIQUIDATOR_VAULT].positions
    return tuple(
        text
        for holds, text in (
            (
                wronged,
                f"{len(wronged)} accounts were liquidated on wrong values; they are paid for their "
                "positions, but what the market does from then on is not theirs any more",
            ),
            (
                cached,
                f"{len(cached)} accounts traded on a wrong index and cached it; putting the index "
                "right charges them the difference unless it is settled",
            ),
            (taken, f"the vault holds {len(taken)} positions that it was given at wrong values"),
        )
        if holds
    )
