"""Rules about a rollback itself: what ends with the fork that was left, and what waits.

They judge every block of a run, rolled back or not.
"""

from __future__ import annotations

from harness.invariants import NOTHING_TO_JUDGE, Broken, Invariant, invariant_of
from scenarios.recovery_world import RecoveringExchange, Step
from target_stub.cloud import payouts
from target_stub.core import Duplicate, Filled, FillType, Liquidated, Mode, Rejected
from target_stub.core.events import ModeChanged, Triggered


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
