"""Rules about the way back: what a drill must have achieved when the exchange opens again.

Refunds are rounded upwards to 8 decimals of USDC: nobody may end below his counterfactual, nor
0.00000001 USDC or more above it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from harness.invariants import NOTHING_TO_JUDGE, Broken, Invariant, invariant_of
from scenarios.outside import USDC_PRICE
from scenarios.recovery_judge import (
    UNIT_USDC,
    can_give_nothing,
    counterfactual,
    paid_later,
    wallets_of,
    worth_usd,
)
from scenarios.recovery_world import RecoveringExchange, Step
from scenarios.rules.money import usdc
from scenarios.rules.recovery_forks import (
    an_id_counts_on_one_fork,
    messages_end_with_their_fork,
    nothing_happens_before_its_stage,
)
from target_stub.cloud import payouts, projections
from target_stub.core import (
    LIQUIDATOR_VAULT,
    BridgeDeposit,
    Filled,
    Mode,
    Reason,
    Rejected,
    RequestWithdrawal,
)
from target_stub.core.commands import AdvanceWithdrawal
from target_stub.core.fund_events import Transferred
from target_stub.core.transfers import disagreements
from target_stub.ports import Row

_BRIDGE = (BridgeDeposit, RequestWithdrawal, AdvanceWithdrawal)


def recovery_rules(exchange: RecoveringExchange) -> Iterator[Invariant]:
    """All rules of the drill."""
    for rule in RULES:
        yield rule(exchange)


def _at_reopening(
    exchange: RecoveringExchange, name: str, describe: str, check: Callable[[Step], None]
) -> Invariant:
    """A rule about the moment at which the exchange begins to open, judged when all is over."""

    def judge() -> object:
        opened = exchange.reopening
        if opened is None:
            return NOTHING_TO_JUDGE
        check(opened)
        return None

    return invariant_of(judge, name=name, describe=describe, at_end=True)


def accounts_end_at_their_counterfactual(exchange: RecoveringExchange) -> Invariant:
    """I22: after rollback and compensation everybody has what he would have without the fault."""

    def check(opened: Step) -> None:
        should, prices = counterfactual(exchange)
        has = worth_usd(opened.before, prices, wallets_of(exchange, opened.before))
        wrong = {
            name: (has[name] - should[name]) / Fraction(USDC_PRICE)
            for name in sorted(should)
            if not 0 <= has[name] - should[name] < UNIT_USDC * Fraction(USDC_PRICE)
        }
        # What may be taken back is judged at the marks of its moment; the chain had several.
        told = [prices, *(step.before.known_prices() for step in _recovery_steps(exchange, opened))]
        state = opened.before
        wrong = {
            name: gap
            for name, gap in wrong.items()
            if gap < 0
            or not any(can_give_nothing(state.accounts[name], state, each) for each in told)
        }
        if not wrong:
            return
        worst = max(wrong, key=lambda name: abs(wrong[name]))
        lost = sum((-gap for gap in wrong.values() if gap < 0), Fraction(0))
        raise Broken(
            f"{len(wrong)} accounts do not end at what they would have had without the fault; "
            f"{usdc(_cents(lost))} are missing.",
            consequence=f"Worst: {worst}, off by {usdc(_cents(wrong[worst]))}.",
            accounts=tuple(wrong),
            loss_usdc=_cents(lost),
            resource="chain/accounts",
            lane="operator",
        )

    return _at_reopening(
        exchange,
        "accounts_end_at_their_counterfactual",
        "Whoever is hurt by a fault of the exchange is made whole to the last digit, and nobody "
        "is enriched; what an account cannot give back without a margin call it may keep.",
        check,
    )


def refunds_equal_the_vaults_outflow(exchange: RecoveringExchange) -> Invariant:
    """I22: what accounts get in the drill comes out of the vault, and nothing else does."""

    def check(opened: Step) -> None:
        refunds = outflow = Decimal(0)
        for step in _recovery_steps(exchange, opened):
            for name, change in _balance_changes(step):
                if name == LIQUIDATOR_VAULT:
                    outflow -= change
                else:
                    refunds += change
        if refunds != outflow:
            raise Broken(
                f"Accounts were paid {usdc(refunds)} in the drill, and the vault paid "
                f"{usdc(outflow)}.",
                before=refunds,
                after=outflow,
                resource="chain/payments",
                lane="operator",
            )

    return _at_reopening(
        exchange,
        "refunds_equal_the_vaults_outflow",
        "A refund is paid by the fund that is there for it, not made out of nothing.",
        check,
    )


def nobody_is_settled_with_twice(exchange: RecoveringExchange) -> Invariant:
    """I9: every account is paid, or pays, once at most."""

    def check(opened: Step) -> None:
        times: Counter[str] = Counter()
        for step in _recovery_steps(exchange, opened):
            for event in step.block.events:
                if isinstance(event, Transferred):
                    times[event.to if event.account == LIQUIDATOR_VAULT else event.account] += 1
        twice = sorted(name for name, count in times.items() if count > 1)
        if twice:
            raise Broken(
                f"{len(twice)} accounts were settled with more than once: {', '.join(twice)}.",
                accounts=tuple(twice),
                resource="chain/payments",
                lane="operator",
            )

    return _at_reopening(
        exchange,
        "nobody_is_settled_with_twice",
        "A refund is paid once, however often its payer crashes.",
        check,
    )


def projections_belong_to_one_height(exchange: RecoveringExchange) -> Invariant:
    """I17: when all is over, every projection shows one height of the fork that counts."""

    def judge() -> object:
        if exchange.reopening is None:
            return NOTHING_TO_JUDGE
        rows: Mapping[str, Row] = exchange.database.table(projections.TABLE)
        journal, behind = exchange.chain.journal, []
        for name in projections.PROJECTIONS:
            row = rows[name]
            then = replace(journal, blocks=journal.blocks[: row["height"]])
            fresh = row["fork"] == journal.fork and row["height"] <= len(journal.blocks)
            content = projections.PROJECTIONS[name](then) if fresh else None
            if content != dict(row["content"].rows):
                behind.append(f"{name} at fork {row['fork']}, height {row['height']}")
        if behind:
            raise Broken(
                f"The chain stands at fork {journal.fork}, height {len(journal.blocks)}; what is "
                f"shown does not belong to it: {'; '.join(behind)}.",
                resource=f"{exchange.database.name}/{projections.TABLE}/*",
                lane="projections",
            )
        return None

    return invariant_of(
        judge,
        name="projections_belong_to_one_height",
        describe="People act on what they are shown; after a rollback all of it is rolled back.",
        at_end=True,
    )


def exits_fit_their_positions(exchange: RecoveringExchange) -> Invariant:
    """I17: no TP/SL order is larger than the position that it closes."""

    def check(opened: Step) -> None:
        for step in (opened, exchange.steps[-1]):
            for account in step.block.state.accounts.values():
                for order in account.waiting_orders():
                    size = abs(account.size(order.market))
                    if order.protects and order.remaining > size:
                        raise Broken(
                            f"{order.describe()} of {account.id} closes {order.remaining}; the "
                            f"position is {size}.",
                            accounts=(account.id,),
                            resource=f"chain/orders/{order.id}",
                            lane="chain",
                        )

    return _at_reopening(
        exchange,
        "exits_fit_their_positions",
        "A TP/SL order that outlives its position opens a new one when it fires.",
        check,
    )


def what_crossed_the_bridge_is_booked(exchange: RecoveringExchange) -> Invariant:
    """I17: what the outside paid is debited, or refused for margin; what it got is credited."""

    def check(opened: Step) -> None:
        outside = payouts.transfers_outside(exchange.database.table(payouts.OUTSIDE))
        credited = set(exchange.chain.abandoned[-1].blocks[-1].state.transfers)
        refused = {
            event.command_id
            for step in _recovery_steps(exchange, opened)
            for event in step.block.events
            if isinstance(event, Rejected) and event.reason is Reason.NOT_WITHDRAWABLE
        }
        for gap in disagreements(opened.before.transfers, outside):
            deposited = gap.amount.value > 0
            if gap.id not in credited if deposited else paid_later(exchange, gap.id):
                continue  # it came when the bridge was closed, or open again, and is booked later
            if gap.id in refused:
                continue  # there is no margin for it: it is settled with the account instead
            raise Broken(
                f"{gap.id} of {gap.account}, {usdc(abs(gap.amount.value))}: {gap.why}.",
                accounts=(gap.account,),
                loss_usdc=abs(gap.amount.value),
                resource=f"chain/transfers/{gap.id}",
                lane="operator",
            )

    return _at_reopening(
        exchange,
        "what_crossed_the_bridge_is_booked",
        "Money outside does not roll back: whoever withdrew must not have it twice.",
        check,
    )


def it_opens_after_the_audit(exchange: RecoveringExchange) -> Invariant:
    """I13: the exchange opens only when an audit has passed."""

    def check(opened: Step) -> None:
        if not all(exchange.audited_before):
            raise Broken(
                "The exchange began to open before anybody had audited it.",
                resource="chain/mode",
                lane="operator",
            )

    return _at_reopening(
        exchange,
        "it_opens_after_the_audit",
        "A repaired exchange is looked at before people trade on it.",
        check,
    )


def the_drill_completes(exchange: RecoveringExchange) -> Invariant:
    """I20: however often it crashes, the recovery comes to its end."""

    def judge() -> None:
        state = exchange.chain.state
        gate = exchange.database.table(payouts.GATES)[payouts.GATE]
        if state.mode is not Mode.OK or not gate["open"]:
            raise Broken(
                f"The exchange is in mode {state.mode} and the bridge is "
                f"{'open' if gate['open'] else 'closed'} after {exchange.done} steps.",
                resource="chain/mode",
                lane="operator",
            )

    return invariant_of(
        judge,
        name="the_drill_completes",
        describe="A recovery that hangs is a second outage.",
        at_end=True,
    )


RULES = (
    accounts_end_at_their_counterfactual,
    refunds_equal_the_vaults_outflow,
    nobody_is_settled_with_twice,
    projections_belong_to_one_height,
    exits_fit_their_positions,
    messages_end_with_their_fork,
    an_id_counts_on_one_fork,
    what_crossed_the_bridge_is_booked,
    nothing_happens_before_its_stage,
    it_opens_after_the_audit,
    the_drill_completes,
)
"""All of them, in the order in which they are judged."""


# --- the blocks of the drill --------------------------------------------------------------------


def _recovery_steps(exchange: RecoveringExchange, opened: Step) -> list[Step]:
    """The blocks between the rollback and the opening."""
    steps = exchange.steps[: exchange.steps.index(opened)]
    return [step for step in steps if step.fork]


def _balance_changes(step: Step) -> Iterator[tuple[str, Decimal]]:
    """Whose balance a block changed and by how much, if it was no trade nor for the outside."""
    traded = any(isinstance(event, Filled) for event in step.block.events)
    if traded or isinstance(step.block.command, _BRIDGE):
        return
    before, after = step.before.accounts, step.block.state.accounts
    for name, account in after.items():
        if before.get(name) is not account:
            yield name, account.balance_usdc - before[name].balance_usdc


def _cents(amount: Fraction) -> Decimal:
    return Decimal(round(amount * 100)) / 100
