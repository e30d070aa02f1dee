"""Rules about the way back: what a drill must have achieved when the exchange opens again.

The judge has its own counterfactual: the inputs of the fork that was left, settled at the true
values, which the premise knows; and its own arithmetic, in fractions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from harness.invariants import NOTHING_TO_JUDGE, Broken, Invariant, invariant_of
from scenarios.outside import USDC_PRICE
from scenarios.recovery_premise import INDICES
from scenarios.recovery_world import RecoveringExchange, Step
from scenarios.rules.money import usdc
from target_stub.cloud import payouts, projections
from target_stub.cloud.compensation import MARGIN_KEPT
from target_stub.core import (
    LIQUIDATOR_VAULT,
    Account,
    BridgeDeposit,
    Duplicate,
    Filled,
    FillType,
    Liquidated,
    MarketPrice,
    Mode,
    PublishMarket,
    Reason,
    Rejected,
    RequestWithdrawal,
    State,
    apply,
)
from target_stub.core.commands import AdvanceWithdrawal
from target_stub.core.events import ModeChanged, Triggered
from target_stub.core.fund_events import Transferred
from target_stub.core.transfers import Direction, TransferStatus, disagreements
from target_stub.ports import Row

#: The unit to which refunds are rounded, upwards: nobody ends below his counterfactual, nor a unit
#: or more above it.
UNIT_USDC = Fraction(1, 10**8)
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
        should, prices = _counterfactual(exchange)
        has = _worth(opened.before, prices, _wallets(exchange, opened.before))
        wrong = {
            name: (has[name] - should[name]) / Fraction(USDC_PRICE)
            for name in sorted(should)
            if not 0 <= has[name] - should[name] < UNIT_USDC * Fraction(USDC_PRICE)
        }
        wrong = {
            name: gap
            for name, gap in wrong.items()
            if gap < 0 or not _can_give_nothing(opened.before.accounts[name], opened.before, prices)
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


def messages_end_with_their_fork(exchange: RecoveringExchange) -> Invariant:
    """I17: what was decided on a fork that was left has no effect on the next one."""

    def judge() -> object:
        steps = [step for step in exchange.steps if step.fork]
        for step in steps:
            forks = exchange.named.get(step.block.command.id)
            if forks and step.fork not in forks:
                raise Broken(
                    f"{step.block.command.id} was decided on fork {max(forks)} and accepted on "
                    f"fork {step.fork}.",
                    resource="chain/blocks",
                    lane="chain",
                )
        return None if steps else NOTHING_TO_JUDGE

    return invariant_of(
        judge,
        name="messages_end_with_their_fork",
        describe="What people did before a rollback was done to an exchange that is not there.",
        at_end=True,
    )


def an_id_counts_on_one_fork(exchange: RecoveringExchange) -> Invariant:
    """I9: an id that had an effect on a fork that was left has none on the next one.

    The counterfactual has paid for it. Withdrawals that were paid outside are booked again under
    their names; that is no new effect.
    """

    def judge() -> object:
        used = {step.block.command.id for step in exchange.steps if _counts(exchange, step)}
        outside = exchange.database.table(payouts.OUTSIDE)
        again = [
            step.block.command.id
            for step in exchange.steps
            if step.fork
            and step.block.command.id in used - set(outside)
            and not any(isinstance(event, Rejected | Duplicate) for event in step.block.events)
        ]
        if again:
            raise Broken(
                f"{again[0]} was rolled back and compensated, and then done again.",
                resource="chain/blocks",
                lane="chain",
            )
        return None if exchange.chain.fork else NOTHING_TO_JUDGE

    return invariant_of(
        judge,
        name="an_id_counts_on_one_fork",
        describe="A client that asks again after a lost answer must not do everything twice.",
        at_end=True,
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
            if gap.id not in credited if deposited else _paid_later(exchange, gap.id):
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


def nothing_happens_before_its_stage(exchange: RecoveringExchange) -> Invariant:
    """I11: from the restriction to the last stage nothing trades, triggers or is liquidated."""

    def judge() -> object:
        closed, judged = False, NOTHING_TO_JUDGE
        for step in exchange.steps:
            for event in step.block.events:
                if isinstance(event, ModeChanged):
                    closed = event.mode is not Mode.OK
                    judged = True
                fill = isinstance(event, Filled) and event.fill_type is FillType.FILL
                if (closed or _unopened(exchange, step)) and (
                    fill or isinstance(event, Liquidated | Triggered)
                ):
                    raise Broken(
                        f"Before the exchange was open again: {event.describe()}",
                        resource="chain/blocks",
                        lane="chain",
                    )
        return judged

    return invariant_of(
        judge,
        name="nothing_happens_before_its_stage",
        describe="Nobody is traded against, triggered or liquidated while he cannot act.",
        at_end=True,
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


# --- the judge's own counterfactual -------------------------------------------------------------


def _counterfactual(
    exchange: RecoveringExchange,
) -> tuple[dict[str, Fraction], Mapping[str, MarketPrice]]:
    """What everybody would be worth in USD without the fault, and the prices of that moment."""
    height = exchange.chain.abandoned[0].height
    if height >= exchange.premise.wrong_height:
        raise Broken(f"height {height} is no good snapshot: the fault came at its height or before")
    state = exchange.chain.blocks[height - 1].state if height else exchange.chain.genesis
    for step in exchange.steps:
        command = step.block.command
        if step.fork or step.block.height <= height:
            continue
        if isinstance(command, PublishMarket):
            command = replace(command, funding_index=INDICES[command.market])
        state, _ = apply(state, command)
    prices = state.known_prices()
    pending = [
        each for each in state.transfers.values() if each.status is not TransferStatus.FAILED
    ]
    wallets: dict[str, Fraction] = {}
    for each in pending:
        sign = 1 if each.direction is Direction.WITHDRAWAL else -1
        paid = sign * Fraction(each.amount.value)
        wallets[each.account] = wallets.get(each.account, Fraction(0)) + paid
    return _worth(state, prices, wallets), prices


def _wallets(exchange: RecoveringExchange, state: State) -> dict[str, Fraction]:
    """What everybody got outside, less what the exchange credited, in USDC."""
    wallets: dict[str, Fraction] = {}

    def add(account: str, amount: Decimal) -> None:
        wallets[account] = wallets.get(account, Fraction(0)) + Fraction(amount)

    outside: Mapping[str, Row] = exchange.database.table(payouts.OUTSIDE)
    for name, row in outside.items():
        if row["direction"] == Direction.WITHDRAWAL.value and not _paid_later(exchange, name):
            add(row["account"], row["amount"])
    for transfer in state.transfers.values():
        if transfer.direction is Direction.DEPOSIT:
            add(transfer.account, -transfer.amount.value)
        elif transfer.id not in outside:
            add(transfer.account, transfer.amount.value)
    return wallets


def _paid_later(exchange: RecoveringExchange, transfer: str) -> bool:
    """Whether a withdrawal was asked for on the new fork only, after it had opened."""
    asked = [step.fork for step in exchange.steps if step.block.command.id == transfer]
    return bool(asked) and min(asked) > 0


def _worth(
    state: State, prices: Mapping[str, MarketPrice], wallets: Mapping[str, Fraction]
) -> dict[str, Fraction]:
    """What everybody has in USD, the shares of vaults included; the fund is left out."""
    rate = Fraction(USDC_PRICE)
    worth = {
        name: _value(account, prices) + wallets.get(name, Fraction(0)) * rate
        for name, account in state.accounts.items()
        if name != LIQUIDATOR_VAULT
    }
    for vault in state.vaults.values():
        shared = worth.pop(vault.id)
        supply = sum((Fraction(each.shares) for each in vault.holdings.values()), Fraction(0))
        for holder, holding in vault.holdings.items():
            worth[holder] += shared * Fraction(holding.shares) / supply
    return worth


def _value(account: Account, prices: Mapping[str, MarketPrice]) -> Fraction:
    """Balance, and every position at its mark less its cost and the funding since it settled."""
    rate = Fraction(USDC_PRICE)
    value = Fraction(account.balance_usdc) * rate
    for market, position in account.positions.items():
        size, price = Fraction(position.size), prices[market]
        funding = size * Fraction(price.funding_index - position.cached_funding_index)
        value += size * Fraction(price.mark_usd)
        value -= (Fraction(position.cost_usdc) + funding) * rate
    return value


def _can_give_nothing(account: Account, state: State, prices: Mapping[str, MarketPrice]) -> bool:
    """Whether an account has no more than its initial margin and a tenth, or no cash."""
    needed = sum(
        (
            abs(Fraction(position.size))
            * Fraction(prices[market].mark_usd)
            * Fraction(state.markets[market].spec.imf_base)
            for market, position in account.positions.items()
        ),
        Fraction(0),
    )
    spare = _value(account, prices) - needed * Fraction(MARGIN_KEPT)
    return min(spare / Fraction(USDC_PRICE), Fraction(account.balance_usdc)) < UNIT_USDC


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


def _counts(exchange: RecoveringExchange, step: Step) -> bool:
    """Whether a block of a fork that was left had an effect that the counterfactual has."""
    height = exchange.chain.abandoned[0].height if exchange.chain.abandoned else 0
    refused = any(isinstance(event, Rejected | Duplicate) for event in step.block.events)
    return not step.fork and step.block.height > height and not refused


def _unopened(exchange: RecoveringExchange, step: Step) -> bool:
    """Whether a block of the new fork comes before the exchange was opened on it."""
    if not step.fork:
        return False
    opened = exchange.reopening
    return opened is None or step.block.height < opened.block.height


def _cents(amount: Fraction) -> Decimal:
    return Decimal(round(amount * 100)) / 100
