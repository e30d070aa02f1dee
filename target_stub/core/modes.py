"""What the exchange accepts, how it comes back, and what stays closed for a while after an outage.

Closing may happen at any time. With staged reopening the mode loosens one stage at a time, each
for a while at least, and trading opens only when every market has fresh values. Paradex
documentation, maintenance and releases, February 2026.
"""

from __future__ import annotations

from target_stub.core.commands import SetMode
from target_stub.core.draft import Draft
from target_stub.core.errors import Missing, Reason, Refusal
from target_stub.core.events import ModeChanged
from target_stub.core.gate import BAND_MODES, outside_band
from target_stub.core.parameters import MarkRule, Mode, Pause, Reopening
from target_stub.core.state import Market

STAGES = (Mode.MAINTENANCE, Mode.CANCEL_ONLY, Mode.POST_ONLY, Mode.OK)
"""From closed to open."""


def set_mode(draft: Draft, command: SetMode) -> None:
    """Change the mode; the band of cancel-only and post-only cancels resting orders outside it."""
    if command.sequence is not None:
        if command.sequence < draft.mode_sequence:
            raise Refusal(Reason.OVERTAKEN, f"{command.sequence} after {draft.mode_sequence}")
        draft.mode_sequence = command.sequence
    if draft.spec.reopening is not None and not command.is_decided:
        _check_stage(draft, command.mode, draft.spec.reopening)
    draft.events.append(ModeChanged(before=draft.mode, mode=command.mode))
    if command.mode is not draft.mode:
        draft.mode_since_ms = command.at_ms
        if command.mode is Mode.OK:
            draft.outage_ended_at_ms = command.at_ms
    draft.mode = command.mode
    for symbol in sorted(draft.markets):
        enforce_band(draft, symbol)


def _check_stage(draft: Draft, mode: Mode, rules: Reopening) -> None:
    stage, wanted = STAGES.index(draft.mode), STAGES.index(mode)
    if wanted <= stage:
        return
    if wanted > stage + 1:
        raise Refusal(Reason.SKIPS_A_STAGE, f"{draft.mode} -> {mode}")
    since_ms = draft.mode_since_ms
    if since_ms is None:
        raise Missing("exchange", "time of the last mode change")
    least_ms = {Mode.CANCEL_ONLY: rules.cancel_only_ms, Mode.POST_ONLY: rules.post_only_ms}
    stayed_ms = draft.at_ms - since_ms
    if stayed_ms < least_ms.get(draft.mode, 0):
        raise Refusal(Reason.TOO_EARLY, f"{draft.mode} for {stayed_ms} ms")
    if mode is Mode.OK:
        for _, market in sorted(draft.markets.items()):
            why = unready(market, draft.at_ms, rules.fresh_ms, draft.spec.mark_rule)
            if why is not None:
                raise Refusal(Reason.NOT_READY, f"{market.spec.symbol}: {why}")


def unready(market: Market, now_ms: int, fresh_ms: int, rule: MarkRule) -> str | None:
    """Why a market cannot be traded now, or None; a halted market holds nobody up."""
    if Pause.HALTED in market.pauses:
        return None
    mark_usd, stamps = market.mark_usd, (market.oracle_at_ms, market.funding_at_ms)
    averages_lost = rule is MarkRule.LIQUIDITY_WEIGHTED and market.liquidity is None
    reasons = (
        (bool(market.pauses), ", ".join(market.pauses)),
        (mark_usd is None or mark_usd <= 0, f"its mark price is {mark_usd}"),
        (market.funding_index is None, "its funding index is missing"),
        (market.premium_usdc is None, "its funding premium is missing"),
        (averages_lost, "its averages are missing"),
        (any(at is None or now_ms - at > fresh_ms for at in stamps), "its values are not fresh"),
    )
    return next((why for holds, why in reasons if holds), None)


def enforce_band(draft: Draft, symbol: str) -> None:
    """Cancel resting orders outside the band of cancel-only and post-only mode, if there is one."""
    if draft.mode not in BAND_MODES or draft.spec.post_only_band is None:
        return
    market, book = draft.market(symbol), draft.books[symbol]
    for entry in book.entries():
        order = draft.account(entry.account).orders[entry.order_id]
        if outside_band(draft, market, order.side, entry.price):
            draft.cancel(order, Reason.OUTSIDE_BAND)


def check_liquidations_open(draft: Draft) -> None:
    """Refuse a liquidation in a mode that pauses them, and for a grace time after an outage."""
    if draft.mode in draft.spec.liquidations_paused_in:
        raise Refusal(Reason.PAUSED, draft.mode)
    _check_since_outage(draft, draft.spec.liquidation_grace_ms, Reason.LIQUIDATION_GRACE)


def check_withdrawals_open(draft: Draft) -> None:
    """Refuse a withdrawal in a mode that closes them, and for a while after an outage.

    In the manner of dYdX v4, which blocks withdrawals for 50 blocks after a chain outage.
    """
    if draft.mode in draft.spec.withdrawals_paused_in:
        raise Refusal(Reason.WITHDRAWALS_CLOSED, draft.mode)
    _check_since_outage(draft, draft.spec.withdrawal_gate_ms, Reason.WITHDRAWALS_CLOSED)


def _check_since_outage(draft: Draft, wait_ms: int, reason: Reason) -> None:
    ended_ms = draft.outage_ended_at_ms
    if not wait_ms or ended_ms is None:
        return
    left_ms = ended_ms + wait_ms - draft.at_ms
    if left_ms > 0:
        raise Refusal(reason, f"another {left_ms} ms")
