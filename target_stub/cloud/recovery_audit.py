"""The last look before money moves and the exchange opens."""

from __future__ import annotations

from collections.abc import Mapping

from target_stub.cloud.compensation import Plan
from target_stub.cloud.projections import LOCK, oversized
from target_stub.core import LIQUIDATOR_VAULT, State, assess
from target_stub.core.audit import conservation_gap, positions_by_market
from target_stub.ports import Row


class AuditFailed(Exception):
    """The exchange must stay closed; the message says why."""


def problems(state: State, rows: Mapping[str, Row], plan: Plan) -> list[str]:
    """Why the exchange may not go on, if anything speaks against it."""
    prices, usdc_price = state.known_prices(), state.known_usdc_price()
    vault = assess(state.accounts[LIQUIDATOR_VAULT], prices, usdc_price, state.rules)
    outflow = plan.rollback.refunded_usdc - plan.rollback.reclaimed_usdc
    stands = {(row["fork"], row["height"] >= plan.height) for n, row in rows.items() if n != LOCK}
    return [
        why
        for holds, why in (
            (conservation_gap(state).value != 0, "cash does not add up"),
            (any(positions_by_market(state).values()), "positions do not sum to zero"),
            (stands != {(plan.fork + 1, True)}, f"projections stand at {sorted(stands)}"),
            (oversized(rows), "a TP/SL order is larger than its position"),
            (outflow > vault.withdrawable.value, f"the vault cannot pay {outflow} USDC"),
        )
        if holds
    ]
