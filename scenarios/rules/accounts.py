"""Rules about accounts and funds: what the books did to the people, entry by entry.

An entry of the books never changes, so each is judged once, when the run is over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import TypeVar

from harness.invariants import NOTHING_TO_JUDGE, Broken, Invariant, invariant_of
from scenarios.rules.money import total, usdc
from scenarios.rules.view import Entry, FundEntry, Funds, Ledger, Liquidations, Payer, Payers, Pools

E = TypeVar("E")


def entry_rule(
    entries: Callable[[], Iterable[E]],
    name: str,
    describe: str,
    check_entry: Callable[[E], object],
) -> Invariant:
    """A rule over every entry of the books, checked when the run is over."""

    def check() -> object:
        judged = [check_entry(entry) is not NOTHING_TO_JUDGE for entry in entries()]
        return None if any(judged) else NOTHING_TO_JUDGE

    return invariant_of(check, name=name, describe=describe, at_end=True)


def positions_sum_to_zero(ledger: Ledger) -> Invariant:
    """I6: every long has a short."""

    def check(entry: Entry) -> None:
        moved: dict[str, Decimal] = {}
        for old, new in entry.touched:
            for sign, holding in ((-1, old), (1, new)):
                for market, size in holding.sizes.items() if holding else ():
                    moved[market] = moved.get(market, Decimal(0)) + sign * size
        for market, made in moved.items():
            if made:
                raise Broken(f"Block {entry.number} made {made} of {market} out of nothing.")

    return entry_rule(
        ledger.entries,
        "positions_sum_to_zero",
        "Every long has a short; otherwise somebody's profit is owed by nobody.",
        check,
    )


def cash_is_conserved(ledger: Ledger) -> Invariant:
    """I7: no entry mints or burns USDC.

    Cash is taken at one funding index for all, so that a size without a counterpart (I6) is not
    mistaken for cash.
    """

    def check(entry: Entry) -> None:
        before = total(old.cash_usdc for old, _ in entry.touched if old)
        after = total(new.cash_usdc for _, new in entry.touched)
        gap = total((after, -before, entry.kept_usdc))
        if gap:
            raise Broken(f"Block {entry.number} changed the sum of all cash by {usdc(gap)}.")

    return entry_rule(
        ledger.entries,
        "cash_is_conserved",
        "Balances, fees and the vault add up to what was paid in; nothing is minted.",
        check,
    )


def liquidations_are_justified(liquidations: Liquidations) -> Invariant:
    """I8: clean values, recomputed independently, would have liquidated the same account."""

    def check() -> object:
        if not liquidations.liquidated:
            return NOTHING_TO_JUDGE
        wronged = liquidations.wronged
        if not wronged:
            return None
        losses: dict[str, Decimal] = {}
        for each in wronged:
            losses[each.account] = losses.get(each.account, Decimal(0)) + each.loss_usdc
        taken = sum(losses.values(), Decimal(0))
        worst = max(losses, key=lambda account: losses[account])
        raise Broken(
            f"{len(losses)} accounts were liquidated that were not below their maintenance margin; "
            f"{usdc(taken)} were taken from them.",
            consequence=f"Worst: {worst} lost {usdc(losses[worst])}.",
            accounts=tuple(sorted(losses)),
            loss_usdc=f"{taken:.2f}",
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


def effects_happen_once(ledger: Ledger, payers: Payers) -> Invariant:
    """I9: a command has one effect at most, and a payment that was ordered counts once.

    An id says nothing of a sender that makes a new one when it tries again, so payments are
    counted by what their payers meant: so much, into that account.
    """

    def check() -> object:
        done: dict[str, int] = {}
        credited: Counter[object] = Counter()
        for entry in ledger.entries():
            if entry.is_repeat:
                continue
            if entry.id in done:
                raise Broken(
                    f"{entry.id} took effect in blocks {done[entry.id]} and {entry.number}."
                )
            done[entry.id] = entry.number
            credited.update(entry.credited)
        check_payments(payers.payers(), credited)
        return None if done else NOTHING_TO_JUDGE

    return invariant_of(
        check,
        name="effects_happen_once",
        describe="A deposit or a trade that is sent again after a lost answer counts once.",
        at_end=True,
    )


def check_payments(payers: Iterable[Payer], credited: Mapping[object, int]) -> None:
    """Every payment of these payers was credited once if acknowledged, and never twice."""
    for payer in payers:
        ordered, acknowledged = Counter(payer.ordered), Counter(payer.acknowledged)
        for payment, wanted in ordered.items():
            count = credited.get(payment, 0)
            if not acknowledged[payment] <= count <= wanted:
                raise Broken(
                    f"{payment.account} was credited {payment.amount} {count} times; it was "
                    f"ordered {wanted} times and acknowledged {acknowledged[payment]} times.",
                    accounts=(payment.account,),
                )


def pools_pay_what_they_have(pools: Pools) -> Invariant:
    """I16: what a payment needs is there before it; no pool is negative while the sum suffices.

    Both within a transaction, posting by posting, and between two of them.
    """

    def check() -> object:
        held = dict(pools.opening())
        judged = False
        for identity, postings in pools.transactions():
            for posting in postings:
                judged = True
                pool = posting.pool
                held[pool] = total((held.get(pool, Decimal(0)), posting.usdc))
                suffices = total(held.values()) >= 0
                if posting.usdc < 0 and held[pool] < 0 and suffices:
                    raise Broken(
                        f"{identity} took {usdc(-posting.usdc)} from {pool} before it was there: "
                        f"{usdc(held[pool])} are left, although all pools together hold enough.",
                        resource=f"pools/{pool}",
                        after=held[pool],
                    )
        return None if judged else NOTHING_TO_JUDGE

    return invariant_of(
        check,
        name="pools_pay_what_they_have",
        describe=(
            "Money is paid in before it is paid out: an exchange that moves the payout first shows "
            "a debt that nobody has, and stops."
        ),
        at_end=True,
    )


def fund_flows_balance(funds: Funds) -> Invariant:
    """I22: what an insurance fund gained or lost is what was paid into it or out of it.

    And it is never below zero unless that was declared.
    """

    def check(entry: FundEntry) -> object:
        for fund in entry.funds:
            moved = total((fund.after_usdc, -fund.before_usdc))
            flows = total(flow.usdc for flow in fund.flows)
            if moved != flows:
                why = ", ".join(f"{usdc(flow.usdc)} {flow.why}" for flow in fund.flows)
                raise Broken(
                    f"Block {entry.number} changed {fund.fund} by {usdc(moved)}; what was paid "
                    f"was {usdc(flows)} ({why or 'nothing'}).",
                    resource=f"chain/accounts/{fund.fund}",
                    before=fund.before_usdc,
                    after=fund.after_usdc,
                )
            if fund.after_usdc < 0 and not fund.declared:
                raise Broken(
                    f"{fund.fund} owes {usdc(-fund.after_usdc)} after block {entry.number}, and "
                    "nobody was told.",
                    resource=f"chain/accounts/{fund.fund}",
                    before=fund.before_usdc,
                    after=fund.after_usdc,
                )
        return None if entry.funds else NOTHING_TO_JUDGE

    return entry_rule(
        funds.entries,
        "fund_flows_balance",
        (
            "Penalties arrive in the insurance fund and compensation leaves it, to the last digit; "
            "a fund that owes money says so before anybody is paid in full."
        ),
        check,
    )
