"""Rules about coming back: stages, what is told of the mode, and what crossed the bridge."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from harness.history import Event
from harness.invariants import NOTHING_TO_JUDGE, Broken, Invariant, invariant_of
from scenarios.exchange import Exchange
from scenarios.rules.money import usdc
from target_stub.cloud.mode_control import TOPIC, ModeTold
from target_stub.core import Direction, Mode, Transfer, TransferStatus, disagreements
from target_stub.core.events import ModeChanged
from target_stub.core.modes import STAGES

#: The rules of this file by their names; each is in force where what it judges is deployed.
NAMES = (
    "no_stage_is_skipped",
    "announced_mode_is_decided",
    "both_sides_of_the_bridge_agree",
)


def reopening_rules(exchange: Exchange) -> Iterator[Invariant]:
    """The rules of this file for what is deployed."""
    if exchange.deployment.staged_modes and exchange.spec.reopening is not None:
        yield no_stage_is_skipped(exchange)
        yield announced_mode_is_decided(exchange)
    if exchange.deployment.bridge:
        yield both_sides_of_the_bridge_agree(exchange)


def no_stage_is_skipped(exchange: Exchange) -> Invariant:
    """I11: the mode loosens by one stage, each lasted its time, and opens on fresh values only."""

    def check() -> object:
        rules = exchange.spec.reopening
        if rules is None:
            return NOTHING_TO_JUDGE
        least_ms = {Mode.CANCEL_ONLY: rules.cancel_only_ms, Mode.POST_ONLY: rules.post_only_ms}
        judged, since_ms = False, 0
        for block in exchange.chain.blocks:
            for event in block.events:
                if not isinstance(event, ModeChanged) or event.before is event.mode:
                    continue
                before, after = STAGES.index(event.before), STAGES.index(event.mode)
                stayed_ms, since_ms = block.command.at_ms - since_ms, block.command.at_ms
                judged = True
                if after > before + 1:
                    raise Broken(f"The mode went from {event.before} to {event.mode} at once.")
                if after > before and stayed_ms < least_ms.get(event.before, 0):
                    raise Broken(
                        f"{event.before} lasted {stayed_ms} ms, not {least_ms[event.before]} ms: "
                        "nobody had the time to cancel what he did not want any more."
                    )
                if event.mode is Mode.OK and after > before:
                    check_fresh(exchange, block.height, since_ms, rules.fresh_ms)
        return None if judged else NOTHING_TO_JUDGE

    return invariant_of(
        check,
        name="no_stage_is_skipped",
        describe=(
            "Cancel-only, post-only, open, in that order and for a while each, and trading opens "
            "only on values of now: people need the time, and their stops the right price."
        ),
        at_end=True,
    )


def check_fresh(exchange: Exchange, height: int, now_ms: int, fresh_ms: int) -> None:
    """Every market had a price and an index of at most that age in a block."""
    for symbol, market in exchange.chain.blocks[height - 1].state.markets.items():
        stamps = (market.oracle_at_ms, market.funding_at_ms)
        if any(at_ms is None or now_ms - at_ms > fresh_ms for at_ms in stamps):
            raise Broken(f"Trading opened at {now_ms} ms on values of {symbol} of {stamps} ms.")


def announced_mode_is_decided(exchange: Exchange) -> Invariant:
    """I4 of the mode: what the cloud is told of the mode is what the chain has decided."""
    opening = (0, exchange.chain.genesis.mode)

    def check(event: Event) -> object:
        told = event.value
        if event.kind != "send" or event.operation != "publish":
            return NOTHING_TO_JUDGE
        decided = {
            (block.state.mode_sequence, block.state.mode)
            for block in exchange.chain.blocks
            if any(isinstance(each, ModeChanged) for each in block.events)
        }
        if str(told) not in {str(ModeTold(mode, number)) for number, mode in (*decided, opening)}:
            raise Broken(f"{event.lane} told everybody {told}, which the chain has not decided.")
        return None

    return invariant_of(
        check,
        name="announced_mode_is_decided",
        describe="Nobody trades in a mode that does not hold: the chain would bust what he traded.",
        on=(f"{exchange.network.name}/{TOPIC}",),
    )


def both_sides_of_the_bridge_agree(exchange: Exchange) -> Invariant:
    """I17: credited is what was deposited outside, once, and paid out what was debited, once."""

    def check() -> object:
        done = exchange.outside.done()
        transfers = exchange.chain.state.transfers
        if not done:
            return NOTHING_TO_JUDGE
        for found in disagreements(transfers, done):
            if not waits(transfers.get(found.id), found.id in exchange.outside.deposits):
                raise Broken(
                    f"{found.id} of {found.account} over {usdc(found.amount.value)}: {found.why}.",
                    accounts=(found.account,),
                    loss_usdc=f"{abs(found.amount.value):.2f}",
                )
        paid = sum((each.amount.value for each in exchange.outside.payments.values()), Decimal(0))
        owed = sum(
            (
                transfer.amount.value
                for transfer in transfers.values()
                if transfer.direction is Direction.WITHDRAWAL
                and transfer.status in (TransferStatus.AVAILABLE, TransferStatus.COMPLETED)
            ),
            Decimal(0),
        )
        if paid > owed:
            raise Broken(f"{usdc(paid)} were paid outside, and {usdc(owed)} debited here.")
        return None

    return invariant_of(
        check,
        name="both_sides_of_the_bridge_agree",
        describe="Money that crosses the bridge arrives once, and only if it has left.",
        at_end=True,
    )


def waits(known: Transfer | None, is_deposit: bool) -> bool:
    """Whether a transfer is still under way: the bridge has not come to it yet."""
    if is_deposit:
        return known is None
    return known is not None and known.status is TransferStatus.AVAILABLE
