"""The money rules of an exchange: what must hold whatever is restarted when.

Each rule is a function that makes an invariant for one run, with its description in money words.
A rule that the exchange only promises with a guard (fencing, the mode gate) is in force only when
that guard is on. The numbers I1 to I13 are those of the catalogue in the documentation.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.invariants import Invariant
from scenarios.exchange import Exchange
from scenarios.rules.accounts import (
    cash_is_conserved,
    effects_happen_once,
    liquidations_are_justified,
    mode_gates_fills_and_liquidations,
    positions_sum_to_zero,
)
from scenarios.rules.markets import (
    funding_index_step_is_bounded,
    nobody_writes_before_it_is_ready,
    nothing_reverts_to_a_default,
    older_incarnation_never_overwrites,
    published_is_committed,
    recovered_state_is_durable_state,
)
from target_stub.guards import EPOCH_FENCE, MODE_GATE

#: The rules by their number in the catalogue.
NUMBERS = {
    "I1": funding_index_step_is_bounded,
    "I2": nothing_reverts_to_a_default,
    "I3": recovered_state_is_durable_state,
    "I4": published_is_committed,
    "I5": older_incarnation_never_overwrites,
    "I6": positions_sum_to_zero,
    "I7": cash_is_conserved,
    "I8": liquidations_are_justified,
    "I9": effects_happen_once,
    "I11": mode_gates_fills_and_liquidations,
    "I13": nobody_writes_before_it_is_ready,
}
#: What only holds with a guard.
PROMISED_BY = {"I5": EPOCH_FENCE, "I11": MODE_GATE}


def rules_in_force(exchange: Exchange) -> Iterator[Invariant]:
    """All rules that hold for this exchange with the guards that it has."""
    for number, rule in NUMBERS.items():
        guard = PROMISED_BY.get(number)
        if guard is None or guard in exchange.guards:
            yield rule(exchange)
